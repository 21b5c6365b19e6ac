"""`python -m benchmarks capymoa`: our models and CapyMOA's learners in CapyMOA's own evaluation."""

from __future__ import annotations

from typing import Any

import click

from benchmarks import data
from benchmarks.grid import Grid
from benchmarks.options import Settings, common, find_interpreter
from benchmarks.others_evaluation import DIGITS, MNIST, Evaluation, five_tasks, score_grid

__all__ = ["command", "grids"]

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
_PEERS: dict[str, tuple[str, ...]] = {
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


def _load(stream: str, directory: str | None) -> dict[str, Any] | None:
    """Return the arrays of a stream; CapyMOA generates the rows of Agrawal."""
    if stream == _AGRAWAL:
        return None
    if stream in _TASKS:
        return five_tasks(stream, directory)
    X, y = data.load(stream, directory)
    return {"X": X, "y": y}


_EVALUATION = Evaluation("capymoa", ("default", "frozen", "fast", "accurate"), _PEERS, _load)


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
@click.option("--streams", "names", metavar="A;B", help=f"Streams: {'; '.join(_PEERS)}.")
@click.option("--only", metavar="A,B", help="Learners of ours or of CapyMOA; default: all.")
@click.option(
    "--peers",
    callback=find_interpreter,
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

    The environment of --peers needs capymoa, torch, Java and this package. The one of this command
    needs scikit-learn (the extra `bench`) for the digits. MNIST needs --data with mnist.npz.

    \b
    Examples
      python -m venv capymoa && capymoa/bin/pip install 'capymoa[torch-cpu]' .
      python -m benchmarks capymoa --peers capymoa/bin/python
      python -m benchmarks capymoa --peers capymoa/bin/python --streams RBFd1e-3
    """
    _EVALUATION.run(settings, names, only, peers, grids)
