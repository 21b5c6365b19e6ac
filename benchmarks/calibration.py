"""`loco-stream bench calibration`: whether predicted probabilities come true."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import contenders, data
from benchmarks.grid import Grid
from benchmarks.holdout import by_name, spread
from benchmarks.learner import RiverLearner
from benchmarks.options import Settings, common, say_missing
from benchmarks.picture import diagonal
from benchmarks.runs import Run

__all__ = ["bins", "command", "grids", "measure"]

_NAMES = (contenders.BY_DICTS, "softmax", "HAT", "ARF10")
_SMALLEST = 1e-6  # a probability below it is charged as this much, or one wrong certainty would hide all else
_BINS = 10


def bins(confidence: NDArray[np.float64], hit: NDArray[np.bool_]) -> list[list[float]]:
    """Return [rows, mean confidence, accuracy] of each tenth of the confidence that has rows.

    Examples
    --------
    >>> bins(np.array([0.95, 0.93, 0.5]), np.array([True, False, True]))
    [[1, 0.5, 1.0], [2, 0.94, 0.5]]
    """
    place = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    chosen = [place == b for b in range(_BINS) if (place == b).any()]
    return [[int(rows.sum()), float(confidence[rows].mean()), float(hit[rows].mean())] for rows in chosen]


def measure(stream: str, contender: str, seed: int, directory: str | None) -> dict[str, Any]:
    """Ask for probabilities before each sample is learned; score them."""
    X, y = data.load(stream, directory)
    learner = contenders.make(contender, X.shape[1], int(y.max()) + 1, seed)
    assert isinstance(learner, RiverLearner)  # the others answer by labels alone
    given, confidence, hit = [], [], []
    for row, label in zip(X.tolist(), y.tolist(), strict=True):
        x = dict(enumerate(row))
        probabilities = learner.model.predict_proba_one(x)
        if probabilities:
            best = max(probabilities, key=probabilities.__getitem__)
            given.append(probabilities.get(label, 0.0))
            confidence.append(min(probabilities[best], 1.0))
            hit.append(best == label)
        learner.model.learn_one(x, label)
    table = bins(np.array(confidence), np.array(hit))
    return {
        "log_loss": float(-np.log(np.maximum(given, _SMALLEST)).mean()),
        "calibration_error": sum(n * abs(sure - right) for n, sure, right in table) / len(hit),
        "bins": table,
    }


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return log-loss and expected calibration error of every contender on every stream."""
    grouped = by_name(results)
    streams = list(dict.fromkeys(key[0] for key in grouped))
    out = []
    for title, key in (("log-loss, nats", "log_loss"), ("expected calibration error", "calibration_error")):
        grid = Grid(title, ["contender", *streams, "mean"])
        for contender in dict.fromkeys(key[1] for key in grouped):
            values = [spread(grouped[s, contender], key)[0] if (s, contender) in grouped else None for s in streams]
            known = [value for value in values if value is not None]
            grid.row(contender, *("-" if v is None else f"{v:.3f}" for v in values), f"{fmean(known):.3f}")
        out.append(grid)
    return out


def _picture(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw accuracy against confidence over all streams, one line a contender."""
    series: dict[str, list[tuple[float, float]]] = {}
    for contender in dict.fromkeys(key.split("/")[1] for key in results):
        rows = [row for key, run in results.items() if key.split("/")[1] == contender for row in run["bins"]]
        places = {min(int(sure * _BINS), _BINS - 1) for _, sure, _ in rows}
        for place in sorted(places):
            here = [row for row in rows if min(int(row[1] * _BINS), _BINS - 1) == place]
            weight = sum(row[0] for row in here)
            point = tuple(sum(row[0] * row[k] for row in here) / weight for k in (1, 2))
            series.setdefault(contender, []).append((point[0], point[1]))
    diagonal(series, "confidence", "accuracy", path)


@click.command("calibration")
@click.option("--only", metavar="A,B", help=f"Contenders: {', '.join(_NAMES)}.")
@click.option("--streams", "names", metavar="A,B", help=f"Streams: {', '.join(data.STREAMS)}.")
@common(seeds=1)
def command(settings: Settings, only: str | None, names: str | None) -> None:
    """Compare predicted probabilities with what came true: log-loss, calibration error, reliability diagram.

    \b
    Examples
      loco-stream bench calibration --streams Phishing,digits
      loco-stream bench calibration --only "default by dicts,softmax"
    """
    here, notes = data.available(contenders.pick(names, data.STREAMS, "--streams"), settings.directory)
    say_missing(notes)
    runs = [
        Run(
            f"{stream}/{contender}/{seed}",
            measure,
            {"stream": stream, "contender": contender, "seed": seed, "directory": settings.directory},
            contenders.code(contender),
        )
        for contender in contenders.pick(only, _NAMES, "--only")
        for stream in here
        for seed in range(settings.seeds if contenders.seeded(contender) else 1)
    ]
    settings.run("calibration", runs, grids, _picture)
