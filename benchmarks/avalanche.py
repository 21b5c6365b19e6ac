"""`python -m benchmarks avalanche`: our models and Avalanche's strategies in Avalanche's loops."""

from __future__ import annotations

from typing import Any

import click

from benchmarks.grid import Grid
from benchmarks.options import Settings, common, find_interpreter
from benchmarks.others_evaluation import DIGITS, MNIST, Evaluation, score_grid

__all__ = ["command", "grids"]

_STRATEGIES = (
    "Naive",
    "EWC",
    "Replay 200",
    "Replay 1000",
    "Replay 1000 x10",
    "StreamingLDA",
)
_EVALUATION = Evaluation(
    "avalanche",
    ours=("default", "frozen", "fast"),
    peers=dict.fromkeys((DIGITS, MNIST), _STRATEGIES),
)


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the accuracy while learned and at the end."""
    title = "Avalanche's loops over tasks one after the other, accuracy in %"
    return [score_grid(results, ("accuracy", "final"), title)]


@click.command("avalanche")
@click.option("--streams", "names", metavar="A;B", help=f"Streams: {DIGITS}; {MNIST}.")
@click.option("--only", metavar="A,B", help="Learners of ours or of Avalanche; default: all.")
@click.option(
    "--peers",
    callback=find_interpreter,
    metavar="PYTHON",
    required=True,
    help="Interpreter of an environment with this package and Avalanche.",
)
@common(seeds=3)
def command(settings: Settings, names: str | None, only: str | None, peers: str) -> None:
    """Measure our models and Avalanche's strategies in Avalanche's train and eval loops.

    Five tasks of two classes each follow one another, without task labels; all are tested at the
    end. "Replay 1000 x10" keeps 1,000 rows and makes ten epochs per task. The others make one. The
    strategies with gradients train a perceptron with one hidden layer of 256 units by Adam at .001.

    The environment of --peers needs avalanche-lib and this package. The one of this command needs
    scikit-learn (the extra `bench`) for the digits. MNIST needs --data with mnist.npz.

    \b
    Examples
      python -m venv avalanche && avalanche/bin/pip install avalanche-lib .
      python -m benchmarks avalanche --peers avalanche/bin/python
      python -m benchmarks avalanche --peers avalanche/bin/python --streams "digits, five tasks"
    """
    _EVALUATION.run(settings, names, only, peers, grids)
