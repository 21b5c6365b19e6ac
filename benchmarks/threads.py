"""`python -m benchmarks threads`: wide rows learned by one thread and by several."""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from typing import Any

import click
import numpy as np

from benchmarks import data
from benchmarks.grid import Grid
from benchmarks.holdout import images
from benchmarks.machine import median
from benchmarks.options import Settings, common
from benchmarks.runs import Run
from loco_stream import LOCOClassifier

__all__ = ["command", "grids", "measure"]

_ROWS = 6_000
_WARM_UP = 128  # rows of a temporary model; fewer than 64 would start no threads
_RANDOM = {"300 dense numbers": 300, "784 dense numbers": 784}
_IMAGES = "images"
_MOST = 2


def _rows(case: str, directory: str | None, n: int) -> tuple[str, data.Arrays]:
    if case == _IMAGES:
        name, rows, _ = images(directory, n, 1)
        return name, rows
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, _RANDOM[case]))
    return case, (X, (X @ rng.normal(size=(X.shape[1], 10))).argmax(axis=1))


def measure(case: str, n_threads: int, directory: str | None, n_samples: int) -> dict[str, Any]:
    """Learn the rows of a case in blocks; return the seconds by the clock and by the processors."""
    name, (X, y) = _rows(case, directory, n_samples)

    def make() -> LOCOClassifier:
        model = LOCOClassifier(seed=0)
        model.set_threads(n_threads)
        return model

    make().learn_predict_array(X[:_WARM_UP], y[:_WARM_UP])
    model = make()
    by_clock = time.perf_counter()
    by_processors = time.process_time()
    predictions = model.learn_predict_array(X, y)
    return {
        "name": name,
        "us": 1e6 * (time.perf_counter() - by_clock) / len(y),
        "cpu_us": 1e6 * (time.process_time() - by_processors) / len(y),
        "predictions": hashlib.sha256(predictions.tobytes()).hexdigest(),
    }


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return medians over repeats, and whether all predictions are the same."""
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    hashes: dict[str, set[str]] = defaultdict(set)
    for key, values in results.items():
        _, n_threads, _ = key.split("/")
        grouped[values["name"], n_threads].append(values)
        hashes[values["name"]].add(values["predictions"])
    grid = Grid(
        "wide rows, predict and learn, µs per row, median over repeats",
        ["rows", "threads", "by the clock", "CPU time of all threads", "same predictions"],
    )
    for (name, n_threads), passes in sorted(grouped.items()):
        us = median([each["us"] for each in passes])
        cpu = median([each["cpu_us"] for each in passes])
        same = "yes" if len(hashes[name]) == 1 else "NO"
        grid.row(name, n_threads, f"{us:,.0f}", f"{cpu:,.0f}", same)
    return [grid]


@click.command("threads")
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Passes, in which one and several threads take turns.",
)
@click.option(
    "--samples", type=click.IntRange(min=100), default=_ROWS, show_default=True, help="Rows."
)
@common(seeds=1)
def command(settings: Settings, repeats: int, samples: int) -> None:
    """Measure what a second thread saves on wide rows; nothing else may run on the machine.

    \b
    Examples
      python -m benchmarks threads --data ~/data
    """
    runs = [
        Run(
            f"{case}/{n_threads}/{repeat}",
            measure,
            {
                "case": case,
                "n_threads": n_threads,
                "directory": settings.directory,
                "n_samples": samples,
            },
        )
        for repeat in range(repeats)
        for case in (_IMAGES, *_RANDOM)
        for n_threads in range(1, _MOST + 1)
    ]
    settings.anew().run("threads", runs, grids)
