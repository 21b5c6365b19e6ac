"""`python -m benchmarks watch`.

Anomaly detection without labels: the Numenta Anomaly Benchmark, false alarms on noise, and speed.

Published detectors are scored from their own result files by the same scorer. These files are in
the repository of the benchmark (numenta/NAB, folder `results`) and in no package, so the figures of
HTM, contextOSE and ARTime stand in the table only where ``--published`` names a copy of the folder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import data, nab
from benchmarks.grid import Grid
from benchmarks.machine import cpu_seconds, fingerprint, median
from benchmarks.options import Settings, common, print_missing
from benchmarks.runs import Run
from loco_stream.errors import SourceError

__all__ = ["NOISES", "command", "grids", "measure_nab", "measure_noise", "noise", "peaks"]

Float64 = NDArray[np.float64]

NOISES = ("normal", "autoregressive", "uniform", "walk", "normal, 8 columns")
EVERY = 1000.0
_RECENT = 50  # rows whose scores a detection must exceed
_EVERY_ROW = "without the rule of recent rows"
_OURS = ("LOCODetector", "without times", "without the network", _EVERY_ROW)
_PYSAD = ("xStream", "LODA", "KitNet")
_RIVALS = (
    "HalfSpaceTrees",
    "OneClassSVM",
    "LOF",
    "StandardAbsoluteDeviation",
    *_PYSAD,
    "z-score",
    "last difference",
)
_RANDOM = ("HalfSpaceTrees", *_PYSAD)  # rivals with a seed
_FIRST = 100  # rows that a rival of PySAD learns before it scores
_LOF_ROWS = 500  # that LOF is fitted on, every `_LOF_EVERY` rows
_LOF_EVERY = 100
_CODE = (
    "benchmarks/watch.py",
    "benchmarks/nab.py",
    "loco_stream/estimators/_detector_core.py",
    "loco_stream/estimators/_forecasts.py",
    *(
        f"loco_stream/novelty/{name}.py"
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
    from loco_stream.estimators.inputs.tables import table

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


def _rival(name: str, seed: int) -> Any:
    """Return a detector of river."""
    from river import anomaly, preprocessing

    if name == "HalfSpaceTrees":
        return preprocessing.MinMaxScaler() | anomaly.HalfSpaceTrees(seed=seed)
    if name == "OneClassSVM":
        return preprocessing.StandardScaler() | anomaly.OneClassSVM()
    return anomaly.StandardAbsoluteDeviation()


def _rival_scores(name: str, x: Float64, seed: int) -> Float64:
    """Return the scores of a rival, each before the row is learned."""
    if name == "last difference":
        return np.abs(np.diff(x, prepend=x[0]))
    if name == "z-score":
        return np.array(list(_z_scores(x)))
    if name == "LOF":
        return _lof_scores(x)
    if name in _PYSAD:
        return _pysad_scores(name, x, seed)
    model = _rival(name, seed)
    scores = np.zeros(len(x))
    for i, value in enumerate(x.tolist()):
        if name == "StandardAbsoluteDeviation":
            scores[i] = abs(model.score_one(None, value))
            model.learn_one(None, value)
        else:
            scores[i] = model.score_one({"x": value})
            model.learn_one({"x": value})
    return np.nan_to_num(scores, posinf=0.0, neginf=0.0)


def _lof_scores(x: Float64) -> Float64:
    """Return the scores of the local outlier factor, fitted anew on the last rows."""
    from sklearn.neighbors import LocalOutlierFactor

    scores = np.zeros(len(x))
    for begin in range(_LOF_EVERY, len(x), _LOF_EVERY):
        known = x[max(0, begin - _LOF_ROWS) : begin, None]
        model = LocalOutlierFactor(novelty=True).fit(known)
        end = begin + _LOF_EVERY
        scores[begin:end] = -model.score_samples(x[begin:end, None])
    return scores


def _pysad_scores(name: str, x: Float64, seed: int) -> Float64:
    """Return the scores of a detector of PySAD with its defaults."""
    from pysad import models

    grace = {"grace_feature_mapping": _FIRST // 2, "grace_anomaly_detector": _FIRST // 2}
    options = grace if name == "KitNet" else {}
    model: Any = getattr(models, name)(random_state=seed, **options)
    scores = np.zeros(len(x))
    for i, value in enumerate(x):
        row = np.array([value])
        scores[i] = model.score_partial(row) if i >= _FIRST else 0.0
        model.fit_partial(row)
    return np.nan_to_num(scores, posinf=0.0, neginf=0.0)


def _z_scores(x: Float64) -> Iterator[float]:
    """Yield the distance of each value from the mean so far, in standard deviations so far."""
    mean = 0.0
    squares = 0.0
    for n, value in enumerate(x.tolist()):
        deviation = (squares / n) ** 0.5 if n else 0.0
        yield abs(value - mean) / deviation if deviation else 0.0
        delta = value - mean
        mean += delta / (n + 1)
        squares += delta * (value - mean)


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
    return nab.read_series(data.find("NAB", "nab.npz", directory))[::stride]


def measure_nab(
    contender: str, seed: int, directory: str | None, stride: int = 1
) -> dict[str, Any]:
    """Score series of the benchmark with one detector per series."""
    series = chosen_series(directory, stride)
    if contender not in _OURS:
        raw = [_rival_scores(contender, signal.x, seed) for signal in series]
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


# False alarms and speed


def noise(kind: str, n: int, seed: int) -> Float64:
    """Return a stream without anomalies, (n,) or (n, 8).

    Examples
    --------
    >>> noise("uniform", 3, 0).shape, noise("normal, 8 columns", 3, 0).shape
    ((3,), (3, 8))
    """
    draws = np.random.default_rng([seed, NOISES.index(kind)])
    if kind == "uniform":
        return draws.random(n)
    if kind == "normal, 8 columns":
        return draws.normal(size=(n, 8))
    steps = draws.normal(size=n)
    if kind == "walk":
        return np.cumsum(steps)
    if kind == "autoregressive":
        for i in range(1, n):
            steps[i] += 0.9 * steps[i - 1]
    return steps


def measure_noise(kind: str, n: int, seed: int) -> dict[str, Any]:
    """Count the alarms on a stream without anomalies."""
    from loco_stream import LOCODetector

    X = noise(kind, n, seed)
    X = X[:, None] if X.ndim == 1 else X
    scores = LOCODetector(every=EVERY, seed=seed).learn_score_array(X)
    return {"alarms": int(scores.alarm.sum()), "rows": n}


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
    """Return the tables: the benchmark, false alarms, speed."""
    return [_nab_grid(results), _noise_grid(results), _speed_grid(results)]


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


def _noise_grid(results: dict[str, dict[str, Any]]) -> Grid:
    grid = Grid(
        f"rows per false alarm, of {EVERY:.0f} promised", ["stream", "rows", "rows per alarm"]
    )
    for name, runs in _grouped(results, "noise").items():
        alarms = sum(run["alarms"] for run in runs)
        rows = sum(run["rows"] for run in runs)
        kind, n = name.rsplit(" ", 1)
        grid.row(kind, f"{int(n):,}", f"{rows / max(alarms, 1):.0f}")
    return grid


def _speed_grid(results: dict[str, dict[str, Any]]) -> Grid:
    grid = Grid("rows per CPU second", ["columns", "from an array", "one by one"])
    for name, runs in _grouped(results, "speed").items():
        grid.row(name, *(_cell(runs, key, "{:,.0f}".format) for key in ("array", "single")))
    return grid


def _runs(settings: Settings, only: list[str], published: str | None, stride: int) -> list[Run]:
    code = fingerprint(*_CODE)
    runs = []
    for name in only:
        seeds = settings.seeds if name in (*_OURS, *_RANDOM) else 1
        for seed in range(seeds):
            arguments = {
                "contender": name,
                "seed": seed,
                "directory": settings.directory,
                "stride": stride,
            }
            runs.append(Run(f"nab/{name}/{seed}", measure_nab, arguments, code))
    for folder in sorted(Path(published).iterdir()) if published else ():
        if nab.has_results(folder):
            own = {
                "directory": settings.directory,
                "results": str(published),
                "name": folder.name,
                "stride": stride,
            }
            runs.append(Run(f"nab/{folder.name} (published)/0", measure_published, own, code))
    for kind in NOISES:
        for n in (10_000, 50_000):
            for seed in range(settings.seeds):
                arguments = {"kind": kind, "n": n, "seed": seed}
                runs.append(Run(f"noise/{kind} {n}/{seed}", measure_noise, arguments, code))
    for columns in (1, 8):
        for seed in range(settings.seeds):
            arguments = {"columns": columns, "n": 20_000, "seed": seed}
            runs.append(Run(f"speed/{columns}/{seed}", measure_speed, arguments, code))
    return runs


@click.command("watch")
@click.option("--only", metavar="A,B", help=f"Detectors: {', '.join((*_OURS, *_RIVALS))}.")
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
def command(settings: Settings, only: str | None, published: str | None, stride: int) -> None:
    """Measure anomaly detection without labels.

    In the Numenta Anomaly Benchmark there is one detector of default settings per series. A rival
    is scored twice: on all its scores, and on those that exceed the last 50, because LOCODetector
    applies that rule itself. The better result counts.
    The rivals of PySAD need the package pysad. Result files of published detectors are in no
    package: --published takes a copy of the folder `results` of numenta/NAB.

    \b
    Examples
      python -m benchmarks watch --data DIR
      python -m benchmarks watch --only LOCODetector,z-score --seeds 1
      python -m benchmarks watch --published NAB/results
    """
    from benchmarks.contenders import pick

    chosen = pick(only, (*_OURS, *_RIVALS), "--only")
    try:
        data.find("NAB", "nab.npz", settings.directory)
    except SourceError as error:
        print_missing([str(error)])
        chosen = []
        published = None
    settings.run("watch", _runs(settings, chosen, published, stride), grids)
