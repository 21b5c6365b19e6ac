"""`python -m benchmarks calibration`: calibration of predicted probabilities."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from statistics import fmean
from typing import Any

import click
import numpy as np

from benchmarks import contenders, data
from benchmarks.grid import Grid
from benchmarks.holdout import by_name, spread
from benchmarks.options import Settings, common, print_missing
from benchmarks.picture import diagonal
from benchmarks.probabilities import bins, calibration_error, log_loss, prequential

__all__ = ["command", "grids", "measure"]

_BINS = 10  # of the picture
_NAMES = (
    "default",
    contenders.BY_EVIDENCE,
    "frozen",
    "learned credit",
    contenders.RELEASE,
    "softmax",
    "HAT",
    "ARF10",
)


def measure(stream: str, contender: str, seed: int, directory: str | None) -> dict[str, Any]:
    """Predict the probabilities of each sample before learning it, and score them.

    A model that has prediction modes predicts the stream's next row, unless the contender's name
    says that it decides by evidence.
    """
    X, y = data.load(stream, directory)
    n_classes = int(y.max()) + 1
    model = contenders.by_dicts(contenders.make(contender, X.shape[1], n_classes, seed))
    options: dict[str, bool | None] = {}
    if "in_stream" in signature(model.predict_proba_one).parameters:
        options["in_stream"] = None if contender == contenders.BY_EVIDENCE else True
    proba = prequential(model, X, y, n_classes, **options)
    known = np.isfinite(proba[:, 0])
    proba = np.minimum(proba[known], 1.0)
    y = y[known]
    table = bins(proba.max(axis=1), proba.argmax(axis=1) == y)
    given = proba[np.arange(len(y)), y]
    return {
        "log_loss": log_loss(given),
        "calibration_error": calibration_error(table),
        "bins": table,
    }


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return log-loss and expected calibration error of every contender on every stream."""
    grouped = by_name(results)
    streams = list(dict.fromkeys(key[0] for key in grouped))
    out = []
    for title, key in (
        ("log-loss, nats", "log_loss"),
        ("expected calibration error", "calibration_error"),
    ):
        grid = Grid(title, ["contender", *streams, "mean"])
        for contender in dict.fromkeys(key[1] for key in grouped):
            values = [
                spread(grouped[s, contender], key)[0] if (s, contender) in grouped else None
                for s in streams
            ]
            known = [value for value in values if value is not None]
            grid.row(
                contender,
                *("-" if v is None else f"{v:.3f}" for v in values),
                f"{fmean(known):.3f}",
            )
        out.append(grid)
    return out


def _picture(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw accuracy against confidence over all streams, one line per contender."""
    series: dict[str, list[tuple[float, float]]] = {}
    for contender in dict.fromkeys(key.split("/")[1] for key in results):
        rows = [
            row
            for key, run in results.items()
            if key.split("/")[1] == contender
            for row in run["bins"]
        ]
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
    """Compare predicted probabilities with the labels.

    The results are log-loss, calibration error and a reliability diagram.

    \b
    Examples
      python -m benchmarks calibration --streams Phishing,digits
      python -m benchmarks calibration --only default,softmax
    """
    here, notes = data.available(
        contenders.pick(names, data.STREAMS, "--streams"), settings.directory
    )
    chosen, absent = contenders.present(contenders.pick(only, _NAMES, "--only"))
    print_missing(notes + absent)
    runs = [
        contenders.run(
            f"{stream}/{contender}/{seed}",
            measure,
            {
                "stream": stream,
                "contender": contender,
                "seed": seed,
                "directory": settings.directory,
            },
        )
        for contender in chosen
        for stream in here
        for seed in range(settings.seeds if contenders.seeded(contender) else 1)
    ]
    settings.run("calibration", runs, grids, _picture)
