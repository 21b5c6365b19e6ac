"""`python -m benchmarks time`.

Streams with temporal context, predicted before their labels arrive.
"""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import contenders, temporal_data
from benchmarks.grid import Grid, percent
from benchmarks.holdout import by_name, spread
from benchmarks.machine import cpu_seconds, fingerprint
from benchmarks.options import Settings, common, find_interpreter, print_missing
from benchmarks.rivals import CLASSIFIERS, REGRESSORS
from benchmarks.runs import Run
from benchmarks.subprocesses import run_json
from benchmarks.temporal_data import STREAMS, TimedStream
from benchmarks.temporal_inputs import INPUTS

__all__ = ["MEMORY", "OURS", "command", "grids", "measure", "measure_peer", "score", "spans"]

MEMORY = (0.3, 50.0)
_MAX_DELAY = 9
# Eight neurons beside the given inputs.
_READOUT_ALONE: dict[str, Any] = {"hidden_sizes": (8,), "rule": "frozen"}
# name -> parameters of the estimator, and its inputs
OURS: dict[str, tuple[dict[str, Any], str]] = {
    "memory": ({"memory": MEMORY}, "rows"),
    "memory, frozen": ({"memory": MEMORY, "rule": "frozen"}, "rows"),
    "delays": ({"max_delay": _MAX_DELAY}, "rows"),
    "delays, frozen": ({"max_delay": _MAX_DELAY, "rule": "frozen"}, "rows"),
    "memory and delays": ({"memory": MEMORY, "max_delay": _MAX_DELAY}, "rows"),
    "memory and delays, 256": (
        {"memory": MEMORY, "max_delay": _MAX_DELAY, "hidden_sizes": 256},
        "rows",
    ),
    "rows alone": ({}, "rows"),
    "rows alone, frozen": ({"rule": "frozen"}, "rows"),
    "5 lags": ({}, "5 lags"),
    "10 lags": ({}, "10 lags"),
    "filters": ({}, "filters"),
    "echo states": (_READOUT_ALONE, "echo states"),
}
# name -> peer in classification, peer in regression, and their inputs
_RIVALS: dict[str, tuple[str, str, str]] = {
    "linear, 5 lags": ("softmax", "LinearRegression", "5 lags"),
    "linear, 10 lags": ("softmax", "LinearRegression", "10 lags"),
    "HAT, 5 lags": ("HAT", "HATR", "5 lags"),
    "ARF10, 5 lags": ("ARF10", "AMRules", "5 lags"),
    "no-change": ("no-change", "no-change", "rows"),
    "majority": ("majority", "no-change", "rows"),
}
_NAMES = (*OURS, *_RIVALS)
_PEER = "LSTM (deep-river)"
_CODE = ("benchmarks/temporal.py", "benchmarks/temporal_data.py")
_SCRIPT = Path(__file__).parent / "peers" / "time_peers.py"


def measure(stream: str, contender: str, seed: int, directory: str | None) -> dict[str, Any]:
    """Predict each row or event before its label arrives, and learn it then."""
    timed = temporal_data.load(stream, seed, directory)
    settings, inputs = OURS.get(contender, ({}, _RIVALS.get(contender, ("", "", "rows"))[2]))
    X = INPUTS[inputs](timed, seed)
    run = _run_ours if contender in OURS else _run_rival
    run(_make(contender, timed, settings, seed), X[:1], TimedStream(X[:1], timed.y[:1]))  # compile
    model = _make(contender, timed, settings, seed)
    seconds, predictions = cpu_seconds(lambda: run(model, X, timed))
    return {**_scores(predictions, timed), "samples_per_second": len(X) / seconds}


def measure_peer(stream: str, seed: int, python: str, directory: str | None) -> dict[str, Any]:
    """Run and score deep-river's LSTM in another environment."""
    timed = temporal_data.load(stream, seed, directory)
    arrays: dict[str, Any] = {"X": timed.X, "y": timed.y, "delay": timed.delay}
    if timed.begins is not None:
        arrays["begins"] = timed.begins
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.npz"
        np.savez(path, **arrays)
        result = run_json(
            [python, str(_SCRIPT), str(path), str(seed)],
            f"`--peers` {python!r} could not run {_PEER}",
        )
    scores = _scores(result["predictions"], timed)
    return {**scores, "samples_per_second": result["samples_per_second"]}


def _scores(predictions: list[Any], timed: TimedStream) -> dict[str, float]:
    y = timed.y if timed.begins is None else timed.y[timed.begins]
    half = len(y) // 2
    return {
        "score": score(predictions, y, timed),
        "second_half": score(predictions[half:], y[half:], timed),
    }


def _make(contender: str, timed: TimedStream, settings: dict[str, Any], seed: int) -> Any:
    from loco_stream import LOCOClassifier, LOCORegressor

    if contender in OURS:
        return (LOCORegressor if timed.is_regression else LOCOClassifier)(**settings, seed=seed)
    names = _RIVALS[contender]
    if timed.is_regression:
        return REGRESSORS[names[1]].make(timed.X.shape[1], 0, seed)
    return CLASSIFIERS[names[0]].make(timed.X.shape[1], timed.n_classes, seed)


def _run_ours(model: Any, X: Any, timed: TimedStream) -> list[Any]:
    """Return one prediction per row or event; tickets hold those of late labels."""
    y = timed.y.tolist()
    t = timed.t
    if timed.begins is not None:
        predictions = []
        for rows in spans(timed):
            predictions.append(model.predict_sequence(X[rows]))
            model.learn_sequence(X[rows], y[rows.start])
        return predictions
    if not timed.delay:
        return list(model.learn_predict_array(X, y, t=t))
    waiting: deque[Any] = deque()
    predictions = []
    for i, row in enumerate(X.tolist()):
        if len(waiting) == timed.delay:
            model.learn_one(waiting.popleft(), y[i - timed.delay])
        waiting.append(model.observe_one(dict(enumerate(row)), None if t is None else t[i]))
        predictions.append(waiting[-1].prediction)
    return predictions


def _run_rival(model: Any, X: Any, timed: TimedStream) -> list[Any]:
    """Return one prediction per row, or the most frequent one of each event."""
    if timed.begins is None:
        predictions = []
        for i in range(len(X)):
            due = slice(max(i - timed.delay, 0), max(i - timed.delay + 1, 0))
            if timed.delay:
                model.learn_array(X[due], timed.y[due] if i >= timed.delay else timed.y[:0])
                predictions.append(model.predict_array(X[i : i + 1])[0])
            else:
                predictions.append(model.learn_predict_array(X[i : i + 1], timed.y[i : i + 1])[0])
        return predictions
    predictions = []
    for rows in spans(timed):
        votes = model.predict_array(X[rows]).tolist()
        predictions.append(max(votes, key=votes.count))
        model.learn_array(X[rows], timed.y[rows])
    return predictions


def spans(timed: TimedStream) -> Iterator[slice]:
    """Yield the slice of each event."""
    assert timed.begins is not None
    ends = np.append(timed.begins[1:], len(timed.X))
    return (
        slice(begin, end) for begin, end in zip(timed.begins.tolist(), ends.tolist(), strict=True)
    )


def score(predictions: list[Any], y: Any, timed: TimedStream) -> float:
    """Return R2, or the share of right predictions; missing ones count as wrong."""
    if not timed.is_regression:
        return float(
            np.mean(
                [
                    prediction == label
                    for prediction, label in zip(predictions, y.tolist(), strict=True)
                ]
            )
        )
    known = np.array(
        [0.0 if prediction is None else prediction for prediction in predictions], dtype=np.float64
    )
    return float(1.0 - np.square(known - y).sum() / np.square(y - y.mean()).sum())


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the scores over the stream and its second half, and the throughput."""
    grouped = by_name(results)
    streams, names = (list(dict.fromkeys(key[part] for key in grouped)) for part in (0, 1))
    grids = []
    for key, title in (("score", "all"), ("second_half", "the second half")):
        grid = Grid(
            f"accuracy, % (R2 x 100 for values) over {title}, predicted before the label",
            ["contender", *streams, "rows/CPU s"],
        )
        for name in names:
            runs = {stream: grouped.get((stream, name)) for stream in streams}
            known = [each for each in runs.values() if each]
            speed = np.mean([spread(each, "samples_per_second")[0] for each in known])
            cells = [percent(*spread(each, key)) if each else "-" for each in runs.values()]
            grid.row(name, *cells, f"{speed:,.0f}")
        for column, stream in enumerate(streams, start=1):
            grid.mark_best(
                column,
                [
                    spread(grouped[stream, name], key)[0] if (stream, name) in grouped else None
                    for name in names
                ],
            )
        grids.append(grid)
    return grids


def _run(stream: str, contender: str, seed: int, peers: str | None, directory: str | None) -> Run:
    key = f"{stream}/{contender}/{seed}"
    arguments = {"stream": stream, "seed": seed, "directory": directory}
    if contender == _PEER:
        code = fingerprint(*_CODE, "benchmarks/peers/time_peers.py")
        return Run(key, measure_peer, {**arguments, "python": peers}, code)
    code = fingerprint(*_CODE, "benchmarks/temporal_inputs.py", "benchmarks/rivals.py")
    return Run(
        key,
        measure,
        {**arguments, "contender": contender},
        f"{code} {OURS.get(contender, '')}".strip(),
    )


@click.command("time")
@click.option(
    "--only", metavar="A;B", help=f"Contenders, separated by semicolons: {'; '.join(_NAMES)}."
)
@click.option("--streams", "names", metavar="A;B", help=f"Streams: {'; '.join(STREAMS)}.")
@click.option(
    "--peers",
    callback=find_interpreter,
    metavar="PYTHON",
    help=f"Interpreter of an environment with deep-river: adds {_PEER}.",
)
@common(seeds=3)
def command(settings: Settings, only: str | None, names: str | None, peers: str | None) -> None:
    """Compare memory between rows with lags, filters and an echo-state net.

    Labels arrive after the prediction of their row: at once, rows later, or at the end of an event.
    The recordings (motions, vowels) are read from aeon's wheel in the directory of --data.

    \b
    Examples
      pip download --no-deps -d ~/data aeon
      python -m benchmarks time --data ~/data --seeds 1
      python -m benchmarks time --streams "xor3;ew-sign" --only "memory;rows alone;10 lags"
      python3.11 -m venv lstm && lstm/bin/pip install deep-river pytest
      python -m benchmarks time --only "memory;LSTM (deep-river)" --peers lstm/bin/python
    """
    here, notes = temporal_data.available(
        contenders.pick(names, STREAMS, "--streams", separator=";"), settings.directory
    )
    print_missing(notes)
    allowed = (*_NAMES, _PEER) if peers else _NAMES
    runs = [
        _run(stream, name, seed, peers, settings.directory)
        for name in contenders.pick(only, allowed, "--only", separator=";")
        for stream in here
        for seed in range(settings.seeds)
    ]
    settings.run("time", runs, grids)
