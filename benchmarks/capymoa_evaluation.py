"""`python -m benchmarks capymoa`: our models and CapyMOA's learners in CapyMOA's own evaluation."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import contenders, data
from benchmarks.grid import Grid
from benchmarks.holdout import by_name, spread
from benchmarks.machine import fingerprint
from benchmarks.options import Settings, common, print_missing
from benchmarks.runs import Run
from benchmarks.subprocesses import run_json

__all__ = ["command", "grids", "measure"]

_SCRIPT = "benchmarks/peers/capymoa_peers.py"
_CODE = (_SCRIPT, "benchmarks/data.py", "loco_stream/adapters/capymoa.py")
_OURS = ("default", "frozen", "fast", "accurate")
_CLASSIFIERS = ("NaiveBayes", "HoeffdingTree", "KNN", "SAMkNN", "ARF100", "SRP100")
_STRATEGIES = (
    "Finetune",
    "ER 200",
    "ER 1000",
    "ER 1000 x10",
    "NCM",
    "SLDA",
    "HoeffdingTree",
    "KNN",
)
_AGRAWAL = "MOA's Agrawal"
_TASKS = ", five tasks"
_MNIST = f"MNIST{_TASKS}"
# stream -> the learners of CapyMOA on it
PEERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ImageSegments", "RBFd1e-3", _AGRAWAL), _CLASSIFIERS),
    "FriedmanDrift": ("FIMTDD", "KNNRegressor", "ARF100", "SOKNL"),
    **dict.fromkeys((f"digits{_TASKS}", _MNIST), _STRATEGIES),
}
# title -> the scores of each stream in the table
_TABLES = {
    "prequential accuracy in CapyMOA's evaluation, %": ("accuracy",),
    "prequential RMSE in CapyMOA's evaluation": ("rmse",),
    "CapyMOA's evaluation of tasks one after the other, accuracy in %": ("accuracy", "final"),
}
_HEADS = {"accuracy": "while learned", "final": "at the end"}


def measure(
    stream: str, learner: str, learners: str, seed: int, python: str, directory: str | None
) -> dict[str, Any]:
    """Return the results of `learner`, which is one of `learners`: one process runs them all."""
    return _measure(stream, learners, seed, python, directory)[learner]


@cache
def _measure(
    stream: str, learners: str, seed: int, python: str, directory: str | None
) -> dict[str, dict[str, Any]]:
    """Run the learners in CapyMOA's environment; its start takes ten seconds and more."""
    kind = "ocl" if stream.endswith(_TASKS) else "prequential"
    with tempfile.TemporaryDirectory() as folder:
        where = stream
        if stream != _AGRAWAL:
            where = str(Path(folder) / "stream.npz")
            np.savez(where, **_arrays(stream, directory))
        script = Path(__file__).parents[1] / _SCRIPT
        words = [python, str(script), kind, learners, where, str(seed)]
        return run_json(words, f"`--peers` {python!r} could not run {learners} on {stream}")


def _arrays(stream: str, directory: str | None) -> dict[str, Any]:
    if not stream.endswith(_TASKS):
        X, y = data.load(stream, directory)
        return {"X": X, "y": y}
    if stream.startswith("digits"):
        X, y = data.load("digits")
        is_test = np.arange(len(y)) % 4 == 0
        X_test = X[is_test] / 16
        y_test = y[is_test]
        X = X[~is_test] / 16
        y = y[~is_test]
    else:
        (X, y), (X_test, y_test) = data.load_mnist(directory)
        X = X[:6000]
        y = y[:6000]
        X_test = X_test[:1000]
        y_test = y_test[:1000]
    return {"X": X, "y": y, "X_test": X_test, "y_test": y_test}


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return a table for classification, one for regression, and one for tasks."""
    grouped = by_name(results)
    tables = []
    for title, scores in _TABLES.items():
        here = {key: runs for key, runs in grouped.items() if _scores(runs[0]) == scores}
        if here:
            tables.append(_grid(here, scores, title))
    return tables


def _scores(run: dict[str, Any]) -> tuple[str, ...]:
    return tuple(score for score in ("accuracy", "final", "rmse") if score in run)


def _grid(
    grouped: dict[tuple[str, ...], list[dict[str, Any]]], scores: tuple[str, ...], title: str
) -> Grid:
    streams, learners = (list(dict.fromkeys(key[place] for key in grouped)) for place in (0, 1))
    columns = [(stream, score) for stream in streams for score in scores]
    heads = [f"{s}: {_HEADS[score]}" if len(scores) > 1 else s for s, score in columns]
    grid = Grid(title, ["learner", *heads, "CPU seconds"])
    for learner in learners:
        cells = [_cell(grouped.get((stream, learner)), score) for stream, score in columns]
        there = [grouped[stream, learner] for stream in streams if (stream, learner) in grouped]
        grid.row(learner, *cells, f"{sum(spread(runs, 'cpu_seconds')[0] for runs in there):.0f}")
    for column, (stream, score) in enumerate(columns, start=1):
        here = [grouped.get((stream, learner)) for learner in learners]
        means = [None if runs is None else spread(runs, score)[0] for runs in here]
        grid.mark_best(column, means, largest=score != "rmse")
    return grid


def _cell(runs: list[dict[str, Any]] | None, key: str) -> str:
    if runs is None:
        return "-"
    mean, deviation = spread(runs, key)
    digits = 2 if key == "rmse" else 1
    return f"{mean:.{digits}f}" + ("" if deviation is None else f" ±{deviation:.{digits}f}")


@click.command("capymoa")
@click.option("--streams", "names", metavar="A;B", help=f"Streams: {'; '.join(PEERS)}.")
@click.option("--only", metavar="A,B", help="Learners of ours or of CapyMOA; default: all.")
@click.option(
    "--peers",
    metavar="PYTHON",
    required=True,
    help="Interpreter of an environment with this package, CapyMOA, PyTorch and Java.",
)
@common(seeds=1)
def command(settings: Settings, names: str | None, only: str | None, peers: str) -> None:
    """Measure our models and CapyMOA's learners in CapyMOA's evaluation.

    Rows are predicted and then learned by `prequential_evaluation`. Tasks of two classes each
    follow one another in `ocl_train_eval_loop`, which tests all of them after each. At most 20,000
    rows per stream. "ER 1000 x10" is experience replay of 1,000 rows with ten steps per batch. CPU
    seconds are those of a process with all threads of its Java machine.

    \b
    Examples
      python -m venv capymoa && capymoa/bin/pip install 'capymoa[torch-cpu]' .
      python -m benchmarks capymoa --peers capymoa/bin/python
      python -m benchmarks capymoa --peers capymoa/bin/python --streams RBFd1e-3
    """
    known = tuple(dict.fromkeys([*_OURS, *(name for row in PEERS.values() for name in row)]))
    wanted = contenders.pick(only, known, "--only")
    runs = []
    for stream in contenders.pick(names, tuple(PEERS), "--streams", separator=";"):
        if stream == _MNIST and not data.available(("MNIST",), settings.directory)[0]:
            print_missing(data.available(("MNIST",), settings.directory)[1])
            continue
        learners = [name for name in (*_OURS, *PEERS[stream]) if name in wanted]
        arguments = {
            "stream": stream,
            "learners": ",".join(learners),
            "python": peers,
            "directory": settings.directory,
        }
        runs += [
            Run(
                f"{stream}/{learner}/{seed}",
                measure,
                {**arguments, "learner": learner, "seed": seed},
                f"{fingerprint(*_CODE)} {fingerprint() if learner in _OURS else ''}".strip(),
            )
            for seed in range(settings.seeds)
            for learner in learners
        ]
    replace(settings, jobs=1).run("capymoa", runs, grids)
