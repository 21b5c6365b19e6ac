"""`python -m benchmarks avalanche`: our models and Avalanche's strategies in Avalanche's loops."""

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

_SCRIPT = "benchmarks/peers/avalanche_peers.py"
_CODE = (_SCRIPT, "benchmarks/others_evaluation.py", "loco_stream/adapters/avalanche.py")
_OURS = ("default", "frozen", "fast")
_STRATEGIES = (
    "Naive",
    "EWC",
    "Replay 200",
    "Replay 1000",
    "Replay 1000 x10",
    "StreamingLDA",
)


def measure(
    stream: str, learner: str, learners: str, seed: int, python: str, directory: str | None
) -> dict[str, Any]:
    """Return the results of `learner`, which is one of `learners`: one process runs them all."""
    return _measure(stream, learners, seed, python, directory)[learner]


@cache
def _measure(
    stream: str, learners: str, seed: int, python: str, directory: str | None
) -> dict[str, dict[str, Any]]:
    """Run the learners in Avalanche's environment; its start takes ten seconds."""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "tasks.npz"
        np.savez(where, **five_tasks(stream, directory))
        script = Path(__file__).parents[1] / _SCRIPT
        words = [python, str(script), learners, str(where), str(seed)]
        return run_json(words, f"`--peers` {python!r} could not run {learners} on {stream}")


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the accuracy while learned and at the end."""
    title = "Avalanche's loops over tasks one after the other, accuracy in %"
    return [score_grid(results, ("accuracy", "final"), title)]


@click.command("avalanche")
@click.option("--streams", "names", metavar="A;B", help=f"Streams: {DIGITS}; {MNIST}.")
@click.option("--only", metavar="A,B", help="Learners of ours or of Avalanche; default: all.")
@click.option(
    "--peers",
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

    \b
    Examples
      python -m venv avalanche && avalanche/bin/pip install avalanche-lib .
      python -m benchmarks avalanche --peers avalanche/bin/python
      python -m benchmarks avalanche --peers avalanche/bin/python --streams "digits, five tasks"
    """
    wanted = contenders.pick(only, (*_OURS, *_STRATEGIES), "--only")
    runs = []
    for stream in contenders.pick(names, (DIGITS, MNIST), "--streams", separator=";"):
        if stream == MNIST and not data.available(("MNIST",), settings.directory)[0]:
            print_missing(data.available(("MNIST",), settings.directory)[1])
            continue
        arguments = {
            "stream": stream,
            "learners": ",".join(wanted),
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
            for learner in wanted
        ]
    replace(settings, jobs=1).run("avalanche", runs, grids)
