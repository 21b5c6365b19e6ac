"""What the benches in other libraries' evaluation share: the five tasks, the runs, the table."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from benchmarks import contenders, data
from benchmarks.grid import Grid, with_deviation
from benchmarks.holdout import by_name, spread
from benchmarks.machine import fingerprint
from benchmarks.options import Settings, print_missing
from benchmarks.runs import Run
from benchmarks.subprocesses import run_json

__all__ = ["DIGITS", "MNIST", "Evaluation", "five_tasks", "score_grid"]

Results: TypeAlias = dict[str, dict[str, Any]]

DIGITS = "digits, five tasks"
MNIST = "MNIST, five tasks"
_HEADS = {"accuracy": "while learned", "final": "at the end"}


def five_tasks(stream: str, directory: str | None) -> dict[str, Any]:
    """Return `X`, `y`, `X_test` and `y_test` of `DIGITS` or `MNIST`, values in [0, 1].

    A quarter of the digits is for tests; of MNIST the first 6,000 rows are learned and the first
    1,000 test rows are used. A task has two classes, 0 and 1 first.
    """
    if stream == DIGITS:
        X, y = data.load("digits")
        X = X / 16
        is_test = np.arange(len(y)) % 4 == 0
        return {"X": X[~is_test], "y": y[~is_test], "X_test": X[is_test], "y_test": y[is_test]}
    (X, y), (X_test, y_test) = data.load_mnist(directory)
    return {"X": X[:6000], "y": y[:6000], "X_test": X_test[:1000], "y_test": y_test[:1000]}


@dataclass(frozen=True, slots=True, eq=False)  # compared by identity: a key of `_measure_all`
class Evaluation:
    """Another library, in whose evaluation our models run beside its own learners.

    Parameters
    ----------
    name
        Name of the bench, of its script in benchmarks/peers and of the adapter.
    ours
        Our models.
    peers
        The library's learners on each stream.
    load
        Returns the arrays of a stream; None if the script makes the stream.
    """

    name: str
    ours: tuple[str, ...]
    peers: Mapping[str, tuple[str, ...]]
    load: Callable[[str, str | None], dict[str, Any] | None] = five_tasks

    @property
    def script(self) -> str:
        """Return what runs in the library's environment."""
        return f"benchmarks/peers/{self.name}_peers.py"

    def run(
        self,
        settings: Settings,
        names: str | None,
        only: str | None,
        python: str,
        grids: Callable[[Results], list[Grid]],
    ) -> None:
        """Run the learners `only` on the streams `names`; None means all."""
        known = dict.fromkeys(chain(self.ours, *self.peers.values()))
        wanted = contenders.pick(only, tuple(known), "--only")
        streams = contenders.pick(names, tuple(self.peers), "--streams", separator=";")
        missing = data.available(("MNIST",) * (MNIST in streams), settings.directory)[1]
        print_missing(missing)
        runs = [
            run
            for stream in streams
            if stream != MNIST or not missing
            for run in self._runs(stream, wanted, settings, python)
        ]
        replace(settings, jobs=1).run(self.name, runs, grids)

    def _runs(self, stream: str, wanted: list[str], settings: Settings, python: str) -> list[Run]:
        learners = [name for name in (*self.ours, *self.peers[stream]) if name in wanted]
        shared = {
            "evaluation": self,
            "stream": stream,
            "learners": ",".join(learners),
            "python": python,
            "directory": settings.directory,
        }
        code = fingerprint(
            self.script,
            "benchmarks/others_evaluation.py",
            "benchmarks/data.py",
            f"loco_stream/adapters/{self.name}.py",
        )
        return [
            Run(
                f"{stream}/{learner}/{seed}",
                _measure,
                {**shared, "learner": learner, "seed": seed},
                f"{code} {fingerprint()}" if learner in self.ours else code,
            )
            for seed in range(settings.seeds)
            for learner in learners
        ]


def _measure(learner: str, **shared: Any) -> dict[str, Any]:
    """Return the results of one of the learners: one process runs them all."""
    return _measure_all(**shared)[learner]


@cache
def _measure_all(
    evaluation: Evaluation,
    stream: str,
    learners: str,
    seed: int,
    python: str,
    directory: str | None,
) -> Results:
    """Run the learners in the library's environment; its start takes ten seconds and more."""
    with tempfile.TemporaryDirectory() as folder:
        source = stream
        arrays = evaluation.load(stream, directory)
        if arrays is not None:
            source = str(Path(folder) / "stream.npz")
            np.savez(source, **arrays)
        script = Path(__file__).parents[1] / evaluation.script
        words = [python, str(script), learners, source, str(seed)]
        return run_json(words, f"`--peers` {python!r} could not run {learners} on {stream}")


def score_grid(results: Results, scores: tuple[str, ...], title: str) -> Grid:
    """Return a table of learners by streams; the CPU time is that over the streams of a row.

    `results` has keys stream/learner/seed. Several scores of a stream are columns beside each
    other. A learner may lack a stream or a score.
    """
    grouped = by_name(results)
    streams, learners = (list(dict.fromkeys(key[place] for key in grouped)) for place in (0, 1))
    columns = [(stream, score) for stream in streams for score in scores]
    heads = [f"{s}: {_HEADS[score]}" if len(scores) > 1 else s for s, score in columns]
    grid = Grid(title, ["learner", *heads, "CPU seconds"])
    found = {
        learner: [_spread(grouped.get((stream, learner)), score) for stream, score in columns]
        for learner in learners
    }
    is_error = scores == ("rmse",)
    for learner, pairs in found.items():
        cells = (with_deviation(*pair, digits=2 if is_error else 1) for pair in pairs)
        there = [runs for key, runs in grouped.items() if key[1] == learner]
        seconds = sum(spread(runs, "cpu_seconds")[0] for runs in there)
        grid.row(learner, *cells, f"{seconds:.0f}")
    for column, compared in enumerate(zip(*found.values(), strict=True), start=1):
        grid.mark_best(column, [mean for mean, _ in compared], largest=not is_error)
    return grid


def _spread(runs: list[dict[str, Any]] | None, score: str) -> tuple[float | None, float | None]:
    """Return mean and deviation; None for a learner without runs or without the score."""
    if runs is None or runs[0].get(score) is None:
        return None, None
    return spread(runs, score)
