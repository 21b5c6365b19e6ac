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
from benchmarks.machine import fingerprint
from benchmarks.options import Settings, common, print_missing
from benchmarks.others_evaluation import DIGITS, MNIST, five_tasks, score_grid
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
_TASKS = (DIGITS, MNIST)
# stream -> the learners of CapyMOA on it
PEERS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("ImageSegments", "RBFd1e-3", _AGRAWAL), _CLASSIFIERS),
    "FriedmanDrift": ("FIMTDD", "KNNRegressor", "ARF100", "SOKNL"),
    **dict.fromkeys(_TASKS, _STRATEGIES),
}
# title -> the scores of each stream in the table
_TABLES = {
    "prequential accuracy in CapyMOA's evaluation, %": ("accuracy",),
    "prequential RMSE in CapyMOA's evaluation": ("rmse",),
    "CapyMOA's evaluation of tasks one after the other, accuracy in %": ("accuracy", "final"),
}


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
    kind = "ocl" if stream in _TASKS else "prequential"
    with tempfile.TemporaryDirectory() as folder:
        where = stream
        if stream != _AGRAWAL:
            where = str(Path(folder) / "stream.npz")
            np.savez(where, **_arrays(stream, directory))
        script = Path(__file__).parents[1] / _SCRIPT
        words = [python, str(script), kind, learners, where, str(seed)]
        return run_json(words, f"`--peers` {python!r} could not run {learners} on {stream}")


def _arrays(stream: str, directory: str | None) -> dict[str, Any]:
    if stream in _TASKS:
        return five_tasks(stream, directory)
    X, y = data.load(stream, directory)
    return {"X": X, "y": y}


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return a table for classification, one for regression, and one for tasks."""
    tables = []
    for title, scores in _TABLES.items():
        here = {key: run for key, run in results.items() if _scores(run) == scores}
        if here:
            tables.append(score_grid(here, scores, title))
    return tables


def _scores(run: dict[str, Any]) -> tuple[str, ...]:
    return tuple(score for score in ("accuracy", "final", "rmse") if score in run)


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
        if stream == MNIST and not data.available(("MNIST",), settings.directory)[0]:
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
