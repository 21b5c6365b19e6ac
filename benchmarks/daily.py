"""Streams of values per hour or half hour that are known a day later, each defined once.

Bikes are the data set Bikeshare in the wheel of `ISLP`, taxi is a file of the Numenta Anomaly
Benchmark. The others are generators, whose seed is that of `load(name, seed)`.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import data
from benchmarks.temporal_data import TimedStream
from loco_stream.errors import SourceError

__all__ = ["STREAMS", "available", "load"]

Floats = NDArray[np.float64]

_HOURS = 8_760  # of a year
_TAXI = "realKnownCause/nyc_taxi.csv"
_BIKES = "ISLP/data/Bikeshare.csv"
_LEFT_OUT = ("casual", "registered", "bikers", "season", "day")  # the value, its parts, and dates
_WHERE = "the wheel of ISLP (`pip download --no-deps ISLP`) in the directory of --data"


def load(name: str, seed: int, directory: str | None) -> TimedStream:
    """Return a stream by its name in `STREAMS`.

    Raises
    ------
    SourceError
        If the recording is not on this machine.
    """
    return _LOADERS[name](seed, directory)


def available(names: Iterable[str], directory: str | None) -> tuple[list[str], list[str]]:
    """Return the streams that are on this machine, and notes on the others."""
    here = []
    notes = []
    for name in names:
        try:
            if name == "bikes":
                _bikes_wheel(directory)
            elif name == "taxi":
                data.require("NAB", directory)
        except SourceError as error:
            notes.append(str(error))
        else:
            here.append(name)
    return here, notes


def _bikes_wheel(directory: str | None) -> Path:
    base = data.data_directory(directory)
    found = [] if base is None else sorted([*base.glob("ISLP-*.whl"), *base.glob("islp-*.whl")])
    if not found:
        raise SourceError(f"bikes are not on this machine; give {_WHERE}")
    return found[0]


def _bikes(seed: int, directory: str | None) -> TimedStream:
    """Return the bikes rented per hour over two years, from month, hour, kind of day and weather.

    Names of months and kinds of weather are numbered in the order in which they appear.
    """
    with zipfile.ZipFile(_bikes_wheel(directory)) as wheel:
        rows = list(csv.DictReader(wheel.read(_BIKES).decode().splitlines()))
    columns = [_numbers([row[name] for row in rows]) for name in rows[0] if name not in _LEFT_OUT]
    return TimedStream(np.stack(columns, 1), _numbers([row["bikers"] for row in rows]), delay=24)


def _numbers(texts: list[str]) -> Floats:
    try:
        return np.array([float(text) for text in texts])
    except ValueError:
        codes: dict[str, int] = {}
        return np.array([float(codes.setdefault(text, len(codes))) for text in texts])


def _taxi(seed: int, directory: str | None) -> TimedStream:
    """Return the passengers of New York's taxis per half hour, from time of day and weekday."""
    with np.load(data.find("NAB", directory)) as file:
        k = file["names"].tolist().index(_TAXI)
        seconds = file[f"t{k}"]
        y = file[f"x{k}"].astype(np.float64)
    X = np.stack([seconds % 86_400 / 1_800, seconds // 86_400 % 7], 1)
    return TimedStream(X.astype(np.float64), y, delay=48)


def _season(seed: int, directory: str | None) -> TimedStream:
    """Return a daily cycle whose size wanders, a product of inputs, and noise that lasts.

    Earlier rows tell nothing about a value a day later.
    """
    random = np.random.RandomState(seed)
    size = np.zeros(_HOURS)
    noise = np.zeros(_HOURS)
    for i in range(1, _HOURS):
        noise[i] = 0.95 * noise[i - 1] + 0.3 * random.normal()
        size[i] = 0.999 * size[i - 1] + 0.01 * random.normal()
    inputs = random.normal(size=(_HOURS, 3))
    hours = np.arange(_HOURS)
    y = (0.5 + size) * np.sin(2.0 * np.pi * hours / 24.0) + noise
    y += 0.3 * inputs[:, 0] * inputs[:, 1]
    return TimedStream(np.column_stack([hours % 24, inputs]), y, delay=24)


def _heat(seed: int, directory: str | None) -> TimedStream:
    """Return the level of a store that the sun fills and wind cools, whose heat lasts 12 hours."""
    random = np.random.RandomState(seed)
    hours = np.arange(_HOURS)
    sun = np.maximum(np.sin(2.0 * np.pi * hours / 24.0), 0.0) * random.uniform(0.2, 1.0, _HOURS)
    wind = np.zeros(_HOURS)
    level = np.zeros(_HOURS)
    for i in range(1, _HOURS):
        wind[i] = 0.9 * wind[i - 1] + random.normal()
        level[i] = 0.92 * level[i - 1] + sun[i] - 0.05 * max(wind[i], 0.0)
    y = level + 0.2 * random.normal(size=_HOURS)
    return TimedStream(np.column_stack([hours % 24, sun, wind]), y, delay=24)


_LOADERS: dict[str, Callable[[int, str | None], TimedStream]] = {
    "bikes": _bikes,
    "taxi": _taxi,
    "season": _season,
    "heat": _heat,
}
STREAMS = tuple(_LOADERS)
