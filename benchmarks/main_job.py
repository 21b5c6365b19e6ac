"""`python -m benchmarks main_job`: rows per CPU second of a whole run, by how the rows are fed."""

from __future__ import annotations

import os
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np

from benchmarks import contenders
from benchmarks.grid import Grid
from benchmarks.machine import cpu_seconds, median
from benchmarks.options import Settings, common
from benchmarks.runs import Run
from loco_stream import LOCOClassifier, StreamEngine, TaskMonitor
from loco_stream.connectors import ZMQSender, ZMQSource, open_source
from loco_stream.stream import Block, Source

__all__ = ["command", "grids", "measure"]

_MESSAGE = 512  # rows in a message of a live source
_WARM_UP = 600  # rows of a run before the measured one, which compiles
# table: rows, numeric columns, columns of texts
_TABLES = {"8 numbers": (30_000, 8, 0), "100 numbers": (6_000, 100, 0), "4 + 6": (15_000, 4, 6)}
_MODEL = "model on arrays"


@cache
def _table(name: str) -> tuple[np.ndarray[Any, Any], list[str], list[list[str]]]:
    """Return numbers (n, width), labels, and columns of texts."""
    n, width, n_texts = _TABLES[name]
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, width))
    words = rng.integers(0, 20, (n_texts, n))
    score = X @ rng.standard_normal(width) + 0.5 * rng.standard_normal(n)
    y = np.where(score > 0.0, "ok", "worn").tolist()
    return X, y, [[f"word {k}" for k in column] for column in words.tolist()]


def _frame(name: str) -> Any:
    import pyarrow

    X, y, texts = _table(name)
    columns = {f"x{j}": column for j, column in enumerate(X.T)}
    columns |= {f"c{j}": pyarrow.array(column) for j, column in enumerate(texts)}
    return pyarrow.table({**columns, "y": y})


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder that is there until the process ends."""
    return tempfile.TemporaryDirectory()


@cache
def _file(name: str, scheme: str) -> Path:
    """Return a file with a table, which is written at the first call."""
    from pyarrow import csv, feather, parquet

    writers = {
        "csv": csv.write_csv,
        "parquet": parquet.write_table,
        "arrow": feather.write_feather,
        "jsonl": _write_json_lines,
    }
    path = Path(_folder().name) / f"{name}.{scheme}"
    writers[scheme](_frame(name), path)
    return path


def _write_json_lines(frame: Any, path: Path) -> None:
    encoder = msgspec.json.Encoder()
    path.write_bytes(b"".join(encoder.encode(row) + b"\n" for row in frame.to_pylist()))


class _Arrays(Source):
    """A table in blocks of 1024 rows."""

    name = "arrays"

    def __init__(self, name: str) -> None:
        X, self._y, _ = _table(name)
        self._X = X.astype(np.float32)
        self._row = 0

    @property
    def position(self) -> dict[str, Any]:
        return {"row": self._row}

    def __iter__(self) -> Iterator[Block]:
        names = tuple(f"x{j}" for j in range(self._X.shape[1]))
        for begin in range(0, len(self._X), 1024):
            rows = slice(begin, begin + 1024)
            self._row = min(begin + 1024, len(self._X))
            yield Block(self._X[rows], self._y[rows], names, begin, source=self.name)


def _engine(source: Any, most: int | None, *, watches: bool) -> None:
    monitor = TaskMonitor(seed=1) if watches else None
    StreamEngine(LOCOClassifier(seed=1), source, monitor=monitor).run(max_samples=most)


def _from_file(scheme: str) -> Callable[[str, int | None], None]:
    def work(table: str, most: int | None) -> None:
        source = open_source(f"{scheme}:{_file(table, scheme)}?target=y")
        _engine(source, most, watches=True)

    return work


def _live(table: str, most: int | None) -> None:
    """Learn the rows that another process sends by ZeroMQ, a table in each message."""
    rows = min(most or _TABLES[table][0], _TABLES[table][0])
    source = ZMQSource("tcp://127.0.0.1:*", "pull", endless=True)
    sender = get_context("spawn").Process(target=_send, args=(source.address, table, rows))
    sender.start()
    _engine(source, rows, watches=True)
    sender.join()


def _send(address: str, table: str, rows: int) -> None:
    X, y, _ = _table(table)
    names = tuple(f"x{j}" for j in range(X.shape[1]))
    with ZMQSender(address, features=names, classes=("ok", "worn"), linger=60) as sender:
        for begin in range(0, rows, _MESSAGE):
            part = slice(begin, min(begin + _MESSAGE, rows))
            sender.send(X[part].astype(np.float32), y[part])
        sender.flush()


def _pandas(table: str, most: int | None) -> None:
    """Predict and learn the rows of a CSV file that pandas reads in chunks, and count hits."""
    import pandas as pd

    model = LOCOClassifier(seed=1)
    hits = 0
    for chunk in pd.read_csv(_file(table, "csv"), chunksize=1024, nrows=most):
        y = chunk.pop("y")
        hits += int((model.learn_predict_many(chunk, y) == y).sum())


def _river(name: str) -> Callable[[str, int | None], None]:
    def work(table: str, most: int | None) -> None:
        from river import evaluate, metrics, stream

        model: Any = contenders.make(name, _TABLES[table][1], 2, seed=0)
        converters: dict[str, Callable[[str], Any]] = {
            f"x{j}": float for j in range(_TABLES[table][1])
        }
        converters["y"] = "worn".__eq__  # logistic regression of river has no texts as labels
        rows = stream.iter_csv(_file(table, "csv"), target="y", converters=converters)
        evaluate.progressive_val_score(_first(rows, most), model.model, metrics.Accuracy())

    return work


def _first(rows: Any, most: int | None) -> Iterator[Any]:
    for i, row in enumerate(rows):
        if i == most:
            return
        yield row


def _model(table: str, most: int | None) -> None:
    X, y, _ = _table(table)
    LOCOClassifier(seed=1).learn_predict_proba_array(X[:most], y[:most])


@cache
def _rows(table: str) -> list[tuple[dict[str, float], Any]]:
    """Return the table as pairs, which the warm-up makes and the timed run finds."""
    names = [f"x{j}" for j in range(_TABLES[table][1])]
    X, y, _ = _table(table)
    return [
        (dict(zip(names, row, strict=True)), label)
        for row, label in zip(X.tolist(), y, strict=True)
    ]


def _pairs(table: str, most: int | None) -> None:
    _engine(_rows(table)[:most], None, watches=True)


FEEDS: dict[str, Callable[[str, int | None], None]] = {
    _MODEL: _model,
    "engine on arrays": lambda table, most: _engine(_Arrays(table), most, watches=False),
    "engine on arrays, monitor": lambda table, most: _engine(_Arrays(table), most, watches=True),
    "run csv:": _from_file("csv"),
    "run parquet:": _from_file("parquet"),
    "run arrow: (Feather)": _from_file("arrow"),
    "run jsonl:": _from_file("jsonl"),
    "run zmq: (tables from another process)": _live,
    "engine on (x, y) pairs": _pairs,
    "pandas loop, learn_predict_many": _pandas,
    "river logistic regression on CSV": _river("LogReg"),
    "river Hoeffding adaptive tree on CSV": _river("HAT"),
}
_NUMBERS_ONLY = {
    feed for feed in FEEDS if any(word in feed for word in ("arrays", "pairs", "river", "zmq"))
}


def measure(feed: str, table: str) -> dict[str, Any]:
    """Time one run over a table, after a short one that compiles and writes the file."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    work = FEEDS[feed]
    work(table, _WARM_UP)
    seconds, _ = cpu_seconds(lambda: work(table, None))
    n = _TABLES[table][0]
    return {"rows_per_second": n / seconds, "n_samples": n}


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the median rate of each feed, and its share of the model's on arrays."""
    rates: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for key, values in results.items():
        feed, table, _ = key.split("/")
        rates[feed][table].append(values["rows_per_second"])
    grid = Grid(
        "rows per CPU second on one core, median over repeats (share of the model on arrays)",
        ["how the rows are fed", *_TABLES],
    )
    for feed, row in rates.items():
        cells = []
        for table in _TABLES:
            rate = median(row[table]) if table in row else None
            whole = rates.get(_MODEL, {}).get(table)
            share = f" ({rate / median(whole):.0%})" if rate and whole else ""
            cells.append("" if rate is None else f"{rate:,.0f}{share}")
        grid.row(feed, *cells)
    return [grid]


@click.command("main_job")
@click.option("--only", metavar="A,B", help="Feeds, by the first words of their names.")
@click.option("--repeats", type=click.IntRange(1), default=5, show_default=True, help="Runs each.")
@common(seeds=1)
def command(settings: Settings, only: str | None, repeats: int) -> None:
    """Measure a whole run (read, predict, score, watch, learn) by how its rows are fed.

    Feeds take turns, so that other load slows all of them alike: compare the shares.

    \b
    Examples
      python -m benchmarks main_job
      python -m benchmarks main_job --only "model,run csv" --repeats 3
    """
    words = [word.strip() for word in (only or "").split(",")]
    runs = [
        Run(f"{feed}/{table}/{repeat}", measure, {"feed": feed, "table": table})
        for repeat in range(repeats)
        for table, (_, _, n_texts) in _TABLES.items()
        for feed in FEEDS
        if any(feed.startswith(word) for word in words) and not (n_texts and feed in _NUMBERS_ONLY)
    ]
    settings.anew().run("main_job", runs, grids)
