"""`python -m benchmarks watch`.

Anomaly detection without labels: the Numenta Anomaly Benchmark, events injected into its series,
labelled series in other packages, false alarms on noise, and speed.

Published detectors are scored from their own result files by the same scorer. These files are in
the repository of the benchmark (numenta/NAB, folder `results`) and in no package, so the figures of
HTM, contextOSE and ARTime stand in the table only where ``--published`` names a copy of the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import data, nab
from benchmarks.contenders import pick
from benchmarks.grid import Grid
from benchmarks.injected import KINDS, NEAR, Event, events_found, inject
from benchmarks.labelled_series import (
    FILES,
    average_precision,
    ranges_found,
    read_labelled,
)
from benchmarks.machine import cpu_seconds, fingerprint, median
from benchmarks.options import Settings, common, print_missing
from benchmarks.runs import Run
from benchmarks.watch_rivals import CODE as RIVAL_CODE
from benchmarks.watch_rivals import RIVALS, SEEDED, rival_scores
from loco_stream.errors import SourceError

__all__ = [
    "NOISES",
    "command",
    "grids",
    "measure_injected",
    "measure_labelled",
    "measure_nab",
    "measure_noise",
    "noise",
    "peaks",
]

Float64 = NDArray[np.float64]

NOISES = (
    "normal",
    "autoregressive",
    "uniform",
    "walk",
    "normal, 8 columns",
    "heavy tails",
    "rounded",
    "daily cycle",
    "normal, 20 columns",
    "autoregressive, 20 columns",
    "heavy tails, 20 columns",
    "rounded, 20 columns",
    "daily cycle, 20 columns",
)
EVERY = 1000.0
_SETTLED = 1000  # rows before the scores of noise are counted
_LEVELS = (1, 2, 3)  # scores that a row may reach
_SCORES = ("onset", "state")
_RECENT = 50  # rows whose scores a detection must exceed
_EVERY_ROW = "without the rule of recent rows"
_OURS = ("LOCODetector", "without times", "without the network", _EVERY_ROW)
_STATE = "state score"
_SMOOTH = 0.8  # autocorrelation of successive values
_PARTS = ("nab", "injected", "labelled", "noise", "speed")
_CODE = (
    "benchmarks/watch.py",
    "benchmarks/nab.py",
    "benchmarks/injected.py",
    "benchmarks/labelled_series.py",
    "loco_stream/estimators/_detector_core.py",
    "loco_stream/estimators/_forecasts.py",
    *(
        f"loco_stream/_novelty/{name}.py"
        for name in ("alarms", "columns", "covers", "state", "step", "tails")
    ),
)


# Scores of series


def _ours(name: str, series: nab.Series, seed: int) -> tuple[Float64, Float64]:
    """Return the scores and the alarms of `LOCODetector`, or of its ablation `name`."""
    from loco_stream import LOCODetector

    X = series.x[:, None]
    if name == "without the network":
        return _without_network(X, series.t)
    t = None if name == "without times" else series.t
    scores = LOCODetector(every=EVERY, seed=seed).learn_score_array(X, t)
    return scores.onset, scores.alarm.astype(np.float64)


def _without_network(X: Float64, t: Float64) -> tuple[Float64, Float64]:
    """Return the scores and the alarms of a detector that expects the value before."""
    from loco_stream.estimators._detector_core import DetectorCore
    from loco_stream.estimators._inputs.tables import table

    core = DetectorCore(EVERY, _LastValues())
    names = range(X.shape[1])
    core.admit(names)
    found = core.learn(core.rows(table(X), names), t)
    return found.scores[:, 0], found.scores[:, 2]


class _LastValues:
    """Forecasts that expect the value before."""

    def learn_predict(self, filled: Float64, known: object, times: object) -> Float64:
        return np.concatenate([filled[:1], filled[:-1]])

    def predict(self, filled: Float64, time: float) -> Float64:
        return filled

    def export(self) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {}

    def restore(self, config: object, arrays: object, n_columns: int) -> None:
        """Do nothing: there is no state."""


def peaks(scores: Float64) -> Float64:
    """Return scores with 0 in rows that do not exceed all of the last 50."""
    kept = scores.copy()
    for lag in range(1, _RECENT + 1):
        kept[lag:] = np.where(scores[lag:] > scores[:-lag], kept[lag:], 0.0)
    return kept


def _measured(series: list[nab.Series], scores: list[Float64]) -> dict[str, float]:
    """Return the scores of the benchmark: each profile, and standard for halves of the files."""
    standard = nab.PROFILES[0]
    found = {profile.name: nab.best_score(series, scores, profile)[0] for profile in nab.PROFILES}
    halves = {}
    for own, other in ((0, 1), (1, 0)):
        score, _ = nab.best_score(series[own::2], scores[own::2], standard)
        _, threshold = nab.best_score(series[other::2], scores[other::2], standard)
        halves[f"half {own + 1}"] = score
        crossed = nab.score_at(series[own::2], scores[own::2], standard, threshold)
        halves[f"half {own + 1}, threshold of the other"] = crossed
    return {**found, **halves}


def chosen_series(directory: str | None, stride: int) -> list[nab.Series]:
    """Return every `stride`-th series of the benchmark."""
    return nab.read_series(data.find("NAB", directory))[::stride]


def measure_nab(
    contender: str, seed: int, directory: str | None, stride: int = 1
) -> dict[str, Any]:
    """Score series of the benchmark with one detector per series."""
    series = chosen_series(directory, stride)
    if contender not in _OURS:
        raw = [rival_scores(contender, signal.x[:, None], seed) for signal in series]
        results = [_measured(series, scores) for scores in (raw, list(map(peaks, raw)))]
        return max(results, key=lambda found: found["standard"])
    found = [_ours(contender, signal, seed) for signal in series]
    alarms = [own for _, own in found]
    by_alarm = {
        f"{profile.name}, by alarm": nab.score_at(series, alarms, profile, 1.0)
        for profile in nab.PROFILES
    }
    rows = sum(len(signal.x) for signal in series)
    if contender == _EVERY_ROW:
        return _measured(series, [onset for onset, _ in found])
    rate = {"rows per alarm": rows / max(sum(float(own.sum()) for own in alarms), 1.0)}
    return {**_measured(series, [peaks(onset) for onset, _ in found]), **by_alarm, **rate}


def measure_published(
    directory: str | None, results: str, name: str, stride: int = 1
) -> dict[str, Any]:
    """Score the result files of a published detector, in the folder `results` of NAB."""
    series = chosen_series(directory, stride)
    return _measured(series, [nab.read_result(Path(results), name, signal) for signal in series])


def measure_injected(
    contender: str, seed: int, directory: str | None, stride: int = 1
) -> dict[str, Any]:
    """Count the injected events that are found, by kind and by how smooth the series is."""
    found: dict[str, list[float]] = {}
    for series in chosen_series(directory, stride):
        x, events = inject(series, seed)
        if contender in _OURS:
            scores, alarms = _ours(contender, series._replace(x=x), seed)
            found.setdefault("by alarm", []).extend(_alarmed(alarms, events))
        else:
            scores = rival_scores(contender, x[:, None], seed)
        hits = events_found(scores, events, series.windows).tolist()
        found.setdefault("smooth" if _is_smooth(series.x) else "noisy", []).extend(hits)
        for event, hit in zip(events, hits, strict=True):
            found.setdefault(event.kind, []).append(hit)
    shares: dict[str, Any] = {key: float(np.mean(hits)) for key, hits in found.items()}
    return {**shares, "events": sum(len(found.get(kind, [])) for kind in KINDS)}


def _is_smooth(x: Float64) -> bool:
    """Return whether successive values are alike."""
    changes = float(np.mean(np.diff(x) ** 2))
    return 1.0 - 0.5 * changes / max(float(x.var()), 1e-300) > _SMOOTH


def _alarmed(alarms: Float64, events: list[Event]) -> list[float]:
    """Return 1 for each event with an alarm in it or near it, 0 for others."""
    return [float(alarms[max(e.begin - NEAR, 0) : e.end + NEAR].any()) for e in events]


def measure_labelled(contender: str, seed: int) -> dict[str, Any]:
    """Score the labelled series in other packages with one detector per series."""
    from loco_stream import LOCODetector

    found: dict[str, Any] = {}
    for name in FILES:
        series = read_labelled(name)
        if contender in RIVALS:
            scores = rival_scores(contender, series.X, seed)
        else:
            both = LOCODetector(every=EVERY, seed=seed).learn_score_array(series.X)
            scores = both.state if contender == _STATE else both.onset
        found[name] = average_precision(scores, series.is_anomaly)
        found[f"{name}: ranges"] = ranges_found(scores, series.is_anomaly)
    return found


# False alarms and speed


def noise(kind: str, n: int, seed: int) -> Float64:
    """Return a stream without anomalies, (n, columns).

    Examples
    --------
    >>> noise("uniform", 3, 0).shape, noise("normal, 8 columns", 3, 0).shape
    ((3, 1), (3, 8))
    """
    draws = np.random.default_rng([seed, NOISES.index(kind)])
    name, _, width = kind.partition(", ")
    shape = (n, int(width.split()[0]) if width else 1)
    if name == "uniform":
        return draws.random(shape)
    if name == "heavy tails":
        return draws.standard_t(3.0, size=shape)
    steps = draws.normal(size=shape)
    if name == "walk":
        return np.cumsum(steps, axis=0)
    if name == "rounded":
        return np.round(2.0 * steps) / 2.0
    if name == "daily cycle":
        hours = np.arange(n)[:, None] + 24.0 * draws.random(shape[1])
        return 10.0 * np.sin(hours * 2.0 * np.pi / 24.0) + steps
    if name == "autoregressive":
        for i in range(1, n):
            steps[i] += 0.9 * steps[i - 1]
    return steps


def measure_noise(kind: str, n: int, seed: int) -> dict[str, Any]:
    """Count the alarms on a stream without anomalies, and the settled rows that reach a score."""
    from loco_stream import LOCODetector

    scores = LOCODetector(every=EVERY, seed=seed).learn_score_array(noise(kind, n, seed))
    found: dict[str, Any] = {"alarms": int(scores.alarm.sum()), "rows": n}
    for name in _SCORES:
        settled = getattr(scores, name)[_SETTLED:]
        for level in _LEVELS:
            found[f"{name} {level}"] = int((settled >= level).sum())
        found[f"highest {name}"] = float(settled.max(initial=0.0))
    return found


def measure_speed(columns: int, n: int, seed: int) -> dict[str, Any]:
    """Measure rows per CPU second, from an array and one by one."""
    from loco_stream import LOCODetector

    X = np.random.default_rng(seed).normal(size=(n, columns))
    rows = [dict(enumerate(row)) for row in X[: n // 10].tolist()]
    for part in (X[:300], X[:1]):
        LOCODetector(seed=seed).learn_score_array(part)  # compile
    array = LOCODetector(seed=seed)
    seconds, _ = cpu_seconds(lambda: array.learn_score_array(X))
    single = LOCODetector(seed=seed)
    single.learn_score_array(X[:300])
    each, _ = cpu_seconds(lambda: [single.learn_results(row) for row in rows])
    return {"array": n / seconds, "single": len(rows) / each}


# Tables


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the tables: the benchmark, injected events, other series, false alarms, speed."""
    forms = (_nab_grid, _injected_grid, _labelled_grid, _noise_grid, _speed_grid)
    made = [form(results) for form in forms]
    return [grid for grid in made if grid.rows]


def _grouped(results: dict[str, dict[str, Any]], bench: str) -> dict[str, list[dict[str, Any]]]:
    """Return the results of all seeds by name."""
    grouped: dict[str, list[dict[str, Any]]] = {}
    for key, run in results.items():
        own, name, _ = key.split("/")
        if own == bench:
            grouped.setdefault(name, []).append(run)
    return grouped


def _cell(runs: list[dict[str, Any]], key: str, form: Callable[[float], str]) -> str:
    values = [run[key] for run in runs if key in run]
    if not values:
        return "-"
    spread = f" ({form(min(values))} to {form(max(values))})" if len(values) > 1 else ""
    return form(median(values)) + spread


def _nab_grid(results: dict[str, dict[str, Any]]) -> Grid:
    keys = [profile.name for profile in nab.PROFILES]
    more = ["half 1", "half 2"]
    crossed = [f"{half}, threshold of the other" for half in more]
    alarm = "standard, by alarm"
    grid = Grid(
        "Numenta Anomaly Benchmark, median over seeds (lowest to highest)",
        ["detector", *keys, *more, *crossed, alarm, "rows per alarm"],
    )
    for name, runs in _grouped(results, "nab").items():
        cells = [_cell(runs, key, "{:.1f}".format) for key in [*keys, *more, *crossed, alarm]]
        grid.row(name, *cells, _cell(runs, "rows per alarm", "{:.0f}".format))
    return grid


def _injected_grid(results: dict[str, dict[str, Any]]) -> Grid:
    keys = [*KINDS, "smooth", "noisy", "by alarm"]
    grid = Grid(
        "events injected into the series of the benchmark: share found before there are more false "
        "alarms than half the events, median over seeds (lowest to highest)",
        ["detector", *KINDS, "in smooth series", "in noisy series", "by alarm", "events"],
    )
    for name, runs in _grouped(results, "injected").items():
        cells = [_cell(runs, key, "{:.2f}".format) for key in keys]
        grid.row(name, *cells, f"{runs[0]['events']:.0f}")
    return grid


def _labelled_grid(results: dict[str, dict[str, Any]]) -> Grid:
    grid = Grid(
        "labelled series in other packages: average precision, median over seeds (lowest to "
        "highest); labelled ranges found before false alarms outnumber them",
        ["detector", *FILES, "ranges found"],
    )
    for name, runs in _grouped(results, "labelled").items():
        cells = [_cell(runs, key, "{:.2f}".format) for key in FILES]
        found = median([_found(run)[0] for run in runs])
        grid.row(name, *cells, f"{found:.0f} of {_found(runs[0])[1]}")
    return grid


def _found(run: dict[str, Any]) -> tuple[int, int]:
    """Return in how many ranges of all series a detector was right, and how many there are."""
    pairs = [run[f"{name}: ranges"] for name in FILES]
    return sum(found for found, _ in pairs), sum(ranges for _, ranges in pairs)


def _noise_grid(results: dict[str, dict[str, Any]]) -> Grid:
    reached = [f"{name} {level}" for name in _SCORES for level in _LEVELS]
    highest = [f"highest {name}" for name in _SCORES]
    grid = Grid(
        f"streams without anomalies: rows per false alarm, of {EVERY:.0f} promised, and % of the "
        f"rows after the first {_SETTLED:,} that reach a score",
        ["stream", "rows", "rows per alarm", *reached, *highest],
    )
    for name, runs in _grouped(results, "noise").items():
        alarms = sum(run["alarms"] for run in runs)
        rows = sum(run["rows"] for run in runs)
        settled = rows - _SETTLED * len(runs)
        shares = [100.0 * sum(run[key] for run in runs) / settled for key in reached]
        kind, n = name.rsplit(" ", 1)
        cells = [f"{share:.2g}" for share in shares]
        cells += [f"{max(run[key] for run in runs):.1f}" for key in highest]
        grid.row(kind, f"{int(n):,}", f"{rows / max(alarms, 1):.0f}", *cells)
    return grid


def _speed_grid(results: dict[str, dict[str, Any]]) -> Grid:
    grid = Grid("rows per CPU second", ["columns", "from an array", "one by one"])
    for name, runs in _grouped(results, "speed").items():
        grid.row(name, *(_cell(runs, key, "{:,.0f}".format) for key in ("array", "single")))
    return grid


def _seeds(name: str, settings: Settings) -> range:
    is_seeded = name in (*_OURS, _STATE, *SEEDED) and name != "without the network"
    return range(settings.seeds if is_seeded else 1)


def _code(name: str) -> str:
    """Return the fingerprint of the code of a contender; a rival needs no code of the package."""
    return fingerprint(*(RIVAL_CODE if name in RIVALS else _CODE))


def _nab_runs(
    settings: Settings, only: Sequence[str], published: str | None, stride: int
) -> list[Run]:
    shared = {"directory": settings.directory, "stride": stride}
    runs = [
        Run(
            f"nab/{name}/{seed}",
            measure_nab,
            {"contender": name, "seed": seed, **shared},
            _code(name),
        )
        for name in only
        for seed in _seeds(name, settings)
    ]
    for folder in sorted(Path(published).iterdir()) if published else ():
        if nab.has_results(folder):
            own = {"results": str(published), "name": folder.name, **shared}
            key = f"nab/{folder.name} (published)/0"
            runs.append(Run(key, measure_published, own, fingerprint(*RIVAL_CODE)))
    return runs


def _injected_runs(settings: Settings, only: Sequence[str], stride: int) -> list[Run]:
    shared = {"directory": settings.directory, "stride": stride}
    code = (*RIVAL_CODE, "benchmarks/injected.py", "benchmarks/nab.py")
    return [
        Run(
            f"injected/{name}/{seed}",
            measure_injected,
            {"contender": name, "seed": seed, **shared},
            fingerprint(*code) if name in RIVALS else _code(name),
        )
        for name in only
        if name != _EVERY_ROW
        for seed in range(settings.seeds)
    ]


def _labelled_runs(settings: Settings, only: Sequence[str]) -> list[Run]:
    ours = ("LOCODetector", _STATE) if "LOCODetector" in only else ()
    return [
        Run(
            f"labelled/{name}/{seed}",
            measure_labelled,
            {"contender": name, "seed": seed},
            fingerprint(*RIVAL_CODE, "benchmarks/labelled_series.py")
            if name in RIVALS
            else _code(name),
        )
        for name in (*ours, *(name for name in only if name in RIVALS))
        for seed in _seeds(name, settings)
    ]


def _own_runs(settings: Settings, parts: Sequence[str]) -> list[Run]:
    """Return the runs of false alarms and of speed."""
    code = fingerprint(*_CODE)
    runs = []
    for seed in range(settings.seeds):
        for kind in NOISES if "noise" in parts else ():
            for n in (10_000, 50_000):
                arguments = {"kind": kind, "n": n, "seed": seed}
                runs.append(Run(f"noise/{kind} {n}/{seed}", measure_noise, arguments, code))
        for columns in (1, 8) if "speed" in parts else ():
            arguments = {"columns": columns, "n": 20_000, "seed": seed}
            runs.append(Run(f"speed/{columns}/{seed}", measure_speed, arguments, code))
    return runs


@click.command("watch")
@click.option("--only", metavar="A,B", help=f"Detectors: {', '.join((*_OURS, *RIVALS))}.")
@click.option("--parts", metavar="A,B", help=f"Tables: {', '.join(_PARTS)}.")
@click.option(
    "--published",
    type=click.Path(exists=True, file_okay=False),
    metavar="DIR",
    help="Folder `results` of a copy of NAB: its detectors are scored too.",
)
@click.option(
    "--stride",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="Use every N-th of the 58 series, from the first.",
)
@common(seeds=3)
def command(
    settings: Settings, only: str | None, parts: str | None, published: str | None, stride: int
) -> None:
    """Measure anomaly detection without labels.

    In the Numenta Anomaly Benchmark there is one detector of default settings per series. A rival
    is scored twice: on all its scores, and on those that exceed the last 50, because LOCODetector
    applies that rule itself. The better result counts.
    Events that are injected into the same series, away from labelled windows, mostly have usual
    values at an unusual place.
    The rivals of PySAD need the package pysad. Result files of published detectors are in no
    package: --published takes a copy of the folder `results` of numenta/NAB.
    Other labelled series are read from the files of aeon, sktime and streamad, whose code is not
    used: install them without what they depend on.

    \b
    Examples
      python -m benchmarks watch --data DIR
      python -m benchmarks watch --only LOCODetector,z-score --seeds 1
      python -m benchmarks watch --published NAB/results
      pip install --no-deps aeon sktime streamad
      python -m benchmarks watch --parts labelled
    """
    chosen = pick(only, (*_OURS, *RIVALS), "--only")
    wanted = pick(parts, _PARTS, "--parts")
    runs: list[Run] = []
    missing: list[str] = []
    if "nab" in wanted:
        try:
            data.find("NAB", settings.directory)
            runs += _nab_runs(settings, chosen, published, stride)
        except SourceError as error:
            missing.append(str(error))
    if "injected" in wanted:
        try:
            data.find("NAB", settings.directory)
            runs += _injected_runs(settings, chosen, stride)
        except SourceError as error:
            missing.append(str(error))
    if "labelled" in wanted:
        try:
            for name in FILES:
                read_labelled(name)
            runs += _labelled_runs(settings, chosen)
        except SourceError as error:
            missing.append(str(error))
    print_missing(missing)
    settings.run("watch", [*runs, *_own_runs(settings, wanted)], grids)
