"""Streams with temporal context, each defined once and exactly.

Two are recordings in the wheel of `aeon`, which is no dependency: the files are read from the
wheel. The others are generators. The seed of `load(name, seed)` is that of a generator, or of the
order of a recording's events.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import data_directory
from loco_stream.errors import SourceError

__all__ = ["EVENTS", "STREAMS", "TimedStream", "available", "load"]

Floats = NDArray[np.float64]

_ROWS = 10_000
_FOLDERS = {"motions": "BasicMotions", "vowels": "JapaneseVowels"}
EVENTS = tuple(_FOLDERS)  # streams of events with one label each
_WHERE = (
    "the wheel of aeon (`pip download --no-deps aeon`) in the directory of --data or "
    "LOCO_STREAM_DATA"
)


@dataclass(frozen=True, slots=True)
class TimedStream:
    """Rows X (n, d), labels or values y (n,), times t (n,) or None; labels come `delay` rows late.

    In a stream of events `begins` holds the first row of each; labels come at the end of an event.
    """

    X: Floats
    y: NDArray[np.int64] | Floats
    t: Floats | None = None
    delay: int = 0
    begins: NDArray[np.int64] | None = None

    @property
    def is_regression(self) -> bool:
        """Whether labels are values."""
        return self.y.dtype.kind == "f"

    @property
    def n_classes(self) -> int:
        """Number of labels."""
        return 0 if self.is_regression else int(self.y.max()) + 1


def load(name: str, seed: int, directory: str | Path | None = None) -> TimedStream:
    """Return a stream by its name in `STREAMS`.

    Raises
    ------
    SourceError
        If the recording is not on this machine.
    """
    if name in _FOLDERS:
        return _events(_FOLDERS[name], seed, directory)
    return _GENERATORS[name](np.random.RandomState(seed))  # data, not the model


def available(names: list[str], directory: str | Path | None) -> tuple[list[str], list[str]]:
    """Return the streams that are on this machine, and notes on the others."""
    if _wheel(directory) is not None:
        return names, []
    away = [name for name in names if name in _FOLDERS]
    notes = [f"{name} is not on this machine; give {_WHERE}" for name in away]
    return [name for name in names if name not in away], notes


def _wheel(directory: str | Path | None) -> Path | None:
    base = data_directory(directory)
    return None if base is None else next(iter(sorted(base.glob("aeon-*.whl"))), None)


def _events(folder: str, seed: int, directory: str | Path | None) -> TimedStream:
    """Return the training and test events of a recording in a random order."""
    path = _wheel(directory)
    if path is None:
        raise SourceError(f"{folder} is not on this machine; give {_WHERE}")
    with zipfile.ZipFile(path) as wheel:
        texts = [
            wheel.read(f"aeon/datasets/data/{folder}/{folder}_{part}.ts").decode()
            for part in ("TRAIN", "TEST")
        ]
    events = [event for text in texts for event in _read_ts(text)]
    codes = {label: code for code, label in enumerate(sorted({label for _, label in events}))}
    order = np.random.RandomState(seed).permutation(len(events))
    rows = [events[i][0] for i in order]
    sizes = np.array([len(X) for X in rows])
    y = np.repeat(np.array([codes[events[i][1]] for i in order]), sizes)
    return TimedStream(np.concatenate(rows), y, begins=np.cumsum(sizes) - sizes)


def _read_ts(text: str) -> list[tuple[Floats, str]]:
    """Return the rows (n, d) and the label of each event in a .ts file.

    Colons separate the dimensions and the label.
    """
    events = []
    for line in text.splitlines():
        if line.strip() and line[0] not in "#@":
            *columns, label = line.strip().split(":")
            events.append(
                (np.array([[float(v) for v in column.split(",")] for column in columns]).T, label)
            )
    return events


def _fading_sign(random: np.random.RandomState) -> TimedStream:
    """Return a stream whose label is the sign of a fading sum of one of three inputs.

    The sum has a time constant of 10; times are irregular.
    """
    gaps = random.lognormal(-0.5, 1.2, _ROWS)
    X = random.normal(size=(_ROWS, 3))
    total = 0.0
    y = np.zeros(_ROWS, np.int64)
    for i in range(_ROWS):
        total = total * np.exp(-gaps[i] / 10.0) + X[i, 0]
        y[i] = total > 0.0
    return TimedStream(X, y, np.cumsum(gaps), delay=20)


def _xor3(random: np.random.RandomState) -> TimedStream:
    """Return a stream whose label is the XOR of a row's bit and that three rows before.

    The bit has noise of .2; two more inputs are irrelevant.
    """
    bits = random.randint(0, 2, _ROWS)
    X = random.normal(size=(_ROWS, 3))
    X[:, 0] = 2.0 * bits - 1.0 + 0.2 * X[:, 0]
    y = np.bitwise_xor(bits, np.roll(bits, 3)).astype(np.int64)
    return TimedStream(X, y, np.cumsum(random.lognormal(0.0, 0.5, _ROWS)))


def _narma10(random: np.random.RandomState) -> TimedStream:
    """Return NARMA of order 10 (Atiya & Parlos 2000), to predict from the inputs alone."""
    u = random.uniform(0.0, 0.5, _ROWS)
    y = np.zeros(_ROWS + 1)
    for i in range(9, _ROWS):
        y[i + 1] = 0.3 * y[i] + 0.05 * y[i] * y[i - 9 : i + 1].sum() + 1.5 * u[i - 9] * u[i] + 0.1
        y[i + 1] = min(y[i + 1], 1.0)  # it diverges for rare inputs
    return TimedStream(u[:, None], y[1:])


def _mackey_glass(random: np.random.RandomState, delay: int = 0) -> TimedStream:
    """Return the delay equation of Mackey & Glass (1977), delay 17, noise .02.

    The target is the value six steps ahead.
    """
    steps = 10
    ahead = 6
    settle = 500
    x = np.full((_ROWS + ahead + settle + 17) * steps, 1.2) + 0.1 * random.normal()
    for i in range(17 * steps, len(x) - 1):
        past = x[i - 17 * steps]
        x[i + 1] = x[i] + (0.2 * past / (1.0 + past**10) - 0.1 * x[i]) / steps
    seen = x[::steps][settle + 17 :]
    seen = seen + 0.02 * random.normal(size=len(seen))
    return TimedStream(seen[:_ROWS, None], seen[ahead : _ROWS + ahead], delay=delay)


def _vibration(random: np.random.RandomState) -> TimedStream:
    """Return two accelerometers and the speed of a machine in one of four conditions.

    A condition lasts 150 to 450 rows. They are normal, imbalance (one oscillation per turn),
    misalignment (two) and a damaged bearing (3.6 decaying impacts per turn).
    """
    X = np.zeros((_ROWS, 3))
    y = np.zeros(_ROWS, np.int64)
    at = 0
    angle = 0.0
    while at < _ROWS:
        kind = random.randint(4)
        end = min(at + random.randint(150, 451), _ROWS)
        n = end - at
        speed = random.uniform(0.04, 0.12)
        turns = angle + np.cumsum(speed * (1.0 + 0.05 * random.normal(size=n)))
        signal = 0.3 * np.sin(2 * np.pi * turns) + 0.1 * np.sin(4 * np.pi * turns + 0.5)
        size = random.uniform(0.6, 1.2)
        if kind == 1:
            signal += size * np.sin(2 * np.pi * turns)
        elif kind == 2:
            signal += size * np.sin(4 * np.pi * turns + 0.5)
        elif kind == 3:
            ring = 1.5 * size * np.exp(-6.0 * (3.6 * turns % 1.0)) * np.cos(2.2 * np.arange(n))
            signal += ring
        noise = 0.2 * random.normal(size=(2, n))
        X[at:end] = np.stack(
            [signal + noise[0], 0.6 * np.roll(signal, 2) + noise[1], speed + 0 * turns], axis=1
        )
        y[at:end] = kind
        at = end
        angle = turns[-1]
    return TimedStream(X, y, delay=200)


def _runs(random: np.random.RandomState, n_kinds: int) -> Iterator[tuple[slice, int]]:
    """Yield the rows of each run of one kind, 100 to 399 of them, and the kind."""
    begin = 0
    while begin < _ROWS:
        kind = random.randint(n_kinds)
        end = min(begin + random.randint(100, 400), _ROWS)
        yield slice(begin, end), kind
        begin = end


def _levels(random: np.random.RandomState) -> TimedStream:
    """Return noise of two sensors; the label is which of them are twice as strong as otherwise."""
    X = random.normal(size=(_ROWS, 2))
    y = np.zeros(_ROWS, np.int64)
    for rows, kind in _runs(random, 4):
        X[rows] *= 0.5 * (1 + np.array([kind // 2, kind % 2]))
        y[rows] = kind
    return TimedStream(X, y, delay=150)


def _coupling(random: np.random.RandomState) -> TimedStream:
    """Return three sensors; the label is by how many rows (0, 2, 5) one follows another."""
    X = random.normal(size=(_ROWS, 3))
    y = np.zeros(_ROWS, np.int64)
    lags = (0, 2, 5)
    for rows, kind in _runs(random, len(lags)):
        X[rows, 1] = 0.6 * X[rows, 1] + 0.8 * np.roll(X[:, 0], lags[kind])[rows]
        y[rows] = kind
    return TimedStream(X, y, delay=150)


_GENERATORS: dict[str, Callable[[np.random.RandomState], TimedStream]] = {
    "ew-sign": _fading_sign,
    "xor3": _xor3,
    "vibration": _vibration,
    "levels": _levels,
    "coupling": _coupling,
    "narma-10": _narma10,
    # The target is learned at once, as in the literature, or when it arrives.
    "Mackey-Glass": _mackey_glass,
    "Mackey-Glass, late": lambda random: _mackey_glass(random, delay=6),
}
STREAMS = (*EVENTS, *_GENERATORS)
