"""`python -m benchmarks embeddings`.

Embeddings and images learned class by class or in random order, by all prediction modes.
`benchmarks/peers/embed.py` makes two of the sets with networks that Python packages ship.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks import contenders, data
from benchmarks.grid import Grid, percent
from benchmarks.holdout import by_name, spread
from benchmarks.learner import correct, prequential_accuracy
from benchmarks.machine import cpu_seconds, fingerprint
from benchmarks.options import Settings, common, print_missing, share_option
from loco_stream._prediction_mode import mode_arguments
from loco_stream.errors import SourceError

__all__ = ["ORDERS", "command", "grids", "learn_and_test", "measure"]

_NAMES = (
    "default",
    "frozen",
    "fast part alone",
    "nearest mean",
    "SLDA",
    "ridge",
    "RFF2000+RLS",
    "MLP .05",
    "replay of 300 rows",
)
_FASHION = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
ORDERS = ("random order", "class by class")
_MODES = {"next row": True, "anywhere": False, "evidence": None}
_SETS = ("fashion", "banking77", "descriptions", "fashion features")
_BANKING_TRAIN = 10_003  # rows that are learned, as many as the published training part has


def load(
    name: str, seed: int, directory: str | None, share: float
) -> tuple[data.Arrays, data.Arrays]:
    """Return training and test rows of a set, both shuffled by the seed."""
    if name == "fashion":
        X, y = _fashion("train")
        Xt, yt = _fashion("t10k")
    else:
        with np.load(data.find(name, directory)) as file:
            X = file["X"].astype(np.float64)
            y = file["y"].astype(np.int64)
            if "Xt" in file:
                Xt = file["Xt"].astype(np.float64)
                yt = file["yt"].astype(np.int64)
            else:
                Xt = X[_BANKING_TRAIN:]
                yt = y[_BANKING_TRAIN:]
                X = X[:_BANKING_TRAIN]
                y = y[:_BANKING_TRAIN]
    random = np.random.RandomState(seed)
    train = random.permutation(len(y))[: int(share * min(len(y), 10_000))]
    test = random.permutation(len(yt))[: int(share * min(len(yt), 3_000))]
    return (X[train], y[train]), (Xt[test], yt[test])


def _fashion(part: str) -> data.Arrays:
    """Return images of clothing as rows of 784 numbers from 0 to 1."""
    with gzip.open(_FASHION / f"{part}-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    with gzip.open(_FASHION / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    return pixels.reshape(len(labels), -1) / 255.0, labels.astype(np.int64)


def measure(
    stream: str, order: str, contender: str, seed: int, directory: str | None, share: float
) -> dict[str, Any]:
    """Learn a set in an order and test it."""
    train, test = load(stream, seed, directory, share)
    return learn_and_test(train, test, order, contender, seed)


def learn_and_test(
    train: data.Arrays, test: data.Arrays, order: str, contender: str, seed: int
) -> dict[str, Any]:
    """Learn rows, predicting each one first; then predict test rows in every mode.

    `order` is "class by class" or "random order", that of the rows.
    """
    X, y = train
    Xt, yt = test
    if order == "class by class":
        classes = np.random.RandomState(seed).permutation(np.unique(y))
        place = np.empty(classes.max() + 1, np.int64)  # of each label; a small share may lack some
        place[classes] = np.arange(len(classes))
        rows = np.argsort(place[y], kind="stable")
        X = X[rows]
        y = y[rows]
    model = contenders.make(contender, X.shape[1], int(y.max()) + 1, seed)
    seconds, predictions = cpu_seconds(lambda: model.learn_predict_array(X, y))
    tested = {}
    for mode, in_stream in _MODES.items():
        given = mode_arguments(model.predict_array, in_stream)
        if given or mode == "anywhere":
            right, _ = correct(model.predict_array(Xt, **given), yt)
            tested[mode] = right / len(yt)
    return {
        "prequential": prequential_accuracy(predictions, y),
        "microseconds": 1e6 * seconds / len(y),
        **tested,
    }


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return one table per stream and order, one row per contender."""
    grouped = by_name(results)
    tables = []
    for stream, order in dict.fromkeys(key[:2] for key in grouped):
        grid = Grid(
            f"{stream}, {order}: %, and CPU time per row (predict and learn)",
            ["contender", "next row", "end: next row", "end: anywhere", "end: evidence", "us"],
        )
        for key, runs in grouped.items():
            if key[:2] == (stream, order):
                cells = [_cell(runs, name) for name in ("prequential", *_MODES)]
                grid.row(key[2], *cells, f"{spread(runs, 'microseconds')[0]:,.0f}")
        tables.append(grid)
    return tables


def _cell(runs: list[dict[str, Any]], key: str) -> str:
    return percent(*spread(runs, key)) if key in runs[0] else "-"


@click.command("embeddings")
@click.option("--only", metavar="A,B", help=f"Contenders: {', '.join(_NAMES)}.")
@click.option("--sets", metavar="A,B", help=f"Streams: {', '.join(_SETS)}.")
@share_option
@common(seeds=3)
def command(settings: Settings, only: str | None, sets: str | None, share: float) -> None:
    """Measure embeddings of sentences and images, in random order and class by class.

    Needs banking77.npz in --data, Debian's package dataset-fashion-mnist, and for the other sets
    what benchmarks/peers/embed.py writes there.

    \b
    Examples
      python -m benchmarks embeddings --data ~/data --share 0.2 --seeds 1
      python -m benchmarks embeddings --data ~/data --sets fashion --only default,SLDA
    """
    streams = contenders.pick(sets, _SETS, "--sets")
    if "fashion" in streams and not _FASHION.exists():
        raise SourceError(f"no {_FASHION}: apt-get install dataset-fashion-mnist")
    chosen, absent = contenders.present(contenders.pick(only, _NAMES, "--only"))
    print_missing(absent)
    runs = [
        contenders.run(
            f"{stream}/{order}/{contender}/{seed}",
            measure,
            {
                "stream": stream,
                "order": order,
                "contender": contender,
                "seed": seed,
                "directory": settings.directory,
                "share": share,
            },
            f"{fingerprint('benchmarks/embeddings.py')} {share}",
        )
        for stream in streams
        for order in ORDERS
        for contender in chosen
        for seed in range(settings.seeds)
    ]
    settings.run("embeddings", runs, grids)
