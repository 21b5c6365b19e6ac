"""The Numenta Anomaly Benchmark: its series, and its score.

The score is computed as Lavin & Ahmad (2015) define it. The first 15 % of a series, at most 750
rows, are not scored. Of the detections in a labelled window the first counts, by a sigmoid of its
position; a false alarm costs by a sigmoid of its distance behind the last window; a missed window
costs a constant. One threshold serves all series. 0 is a detector without detections, 100 a perfect
one.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import SourceError

__all__ = [
    "PROFILES",
    "Profile",
    "Series",
    "best_score",
    "has_results",
    "read_result",
    "read_series",
    "score_at",
]

Float64 = NDArray[np.float64]
SHARE_NOT_SCORED = 0.15  # of the rows of a series, from its first one
MOST_ROWS_NOT_SCORED = 5000  # rows that this share is taken of, at most
FAR = 3.0  # window widths behind a window, from which a false alarm costs the most


class Profile(NamedTuple):
    """Costs of a false alarm and of a missed window; a detection at once gains 1."""

    name: str
    false_alarm: float
    missed: float


PROFILES = (
    Profile("standard", 0.11, 1.0),
    Profile("low FP", 0.22, 1.0),
    Profile("low FN", 0.11, 2.0),
)


class Series(NamedTuple):
    """One series: times (n,) in seconds, values (n,), windows (m, 2) of first and last rows."""

    name: str
    t: Float64
    x: Float64
    windows: NDArray[np.int64]


def read_series(path: str | os.PathLike[str]) -> list[Series]:
    """Read the series of an npz file: `names`, and t{k}, x{k}, w{k} of each."""
    with np.load(Path(path), allow_pickle=False) as data:
        return [
            Series(
                str(name),
                data[f"t{k}"].astype(np.float64),
                data[f"x{k}"].astype(np.float64),
                data[f"w{k}"].astype(np.int64),
            )
            for k, name in enumerate(data["names"])
        ]


def has_results(folder: Path) -> bool:
    """Return whether a folder holds the result files of a detector, as NAB publishes them."""
    return any(folder.glob(f"*/{folder.name}_*.csv"))


def read_result(results: Path, detector: str, series: Series) -> Float64:
    """Return the published scores of a detector for a series, (n,).

    Raises
    ------
    SourceError
        The file has another number of rows than the series.
    """
    group, _, name = series.name.partition("/")
    path = results / detector / group / f"{detector}_{name}"
    with path.open(encoding="utf-8", newline="") as file:
        scores = np.array([float(row["anomaly_score"]) for row in csv.DictReader(file)])
    if len(scores) != len(series.x):
        raise SourceError(f"{path} must have {len(series.x)} rows, got {len(scores)}")
    return scores


def _sigmoid(position: Float64) -> Float64:
    """Return the gain of a detection at a position in window widths, 0 at the window's end."""
    value = 2.0 / (1.0 + np.exp(5.0 * np.minimum(position, FAR))) - 1.0
    return np.where(position > FAR, -1.0, value)


def _steps(series: Series, scores: Float64, profile: Profile) -> list[tuple[float, float]]:
    """Return by how much the total changes when the threshold falls to a score, for all scores."""
    n = len(scores)
    rows = np.arange(n)
    first = int(SHARE_NOT_SCORED * min(n, MOST_ROWS_NOT_SCORED))
    inside = np.zeros(n, bool)
    cost = np.full(n, -1.0)
    steps: list[tuple[float, float]] = []
    for left, right in series.windows:
        width = right - left + 1
        inside[left : right + 1] = True
        behind = rows > right
        cost[behind] = _sigmoid((rows[behind] - right) / max(width - 1.0, 1.0))
        window = rows[max(left, first) : right + 1]
        if len(window):
            gain = _sigmoid(-(right - window + 1.0) / width) / _sigmoid(np.array(-1.0))
            steps += _gains(scores[window], gain, profile)
    for row in rows[first:][~inside[first:]]:
        steps.append((scores[row], profile.false_alarm * cost[row]))
    return steps


def _gains(scores: Float64, gain: Float64, profile: Profile) -> list[tuple[float, float]]:
    """Return the steps of one window: its first detection counts, which has the largest gain."""
    best = -profile.missed
    steps = []
    for row in np.lexsort((-gain, -scores)):
        if gain[row] > best:
            steps.append((scores[row], gain[row] - best))
            best = gain[row]
    return steps


def _normalized(total: Float64, n_windows: int, profile: Profile) -> Float64:
    """Return totals, counted from the one without detections, on the scale of the benchmark."""
    return 100.0 * total / (n_windows * (1.0 + profile.missed))


def _curve(
    series: Sequence[Series], scores: Iterable[Float64], profile: Profile
) -> tuple[Float64, Float64]:
    """Return all thresholds, falling, and the score of the benchmark at each."""
    steps = []
    for one, own in zip(series, scores, strict=True):
        steps += _steps(one, own, profile)
    table = np.array(steps)
    table = table[np.argsort(-table[:, 0], kind="stable")]
    total = np.cumsum(table[:, 1])
    ends = np.append(np.flatnonzero(np.diff(table[:, 0])), len(table) - 1)
    n_windows = sum(len(signal.windows) for signal in series)
    return table[ends, 0], _normalized(total[ends], n_windows, profile)


def best_score(
    series: Sequence[Series], scores: Sequence[Float64], profile: Profile
) -> tuple[float, float]:
    """Return the score with the best threshold for all series, and that threshold."""
    thresholds, values = _curve(series, scores, profile)
    best = int(np.argmax(values))
    return max(float(values[best]), 0.0), float(thresholds[best])


def score_at(
    series: Sequence[Series], scores: Sequence[Float64], profile: Profile, threshold: float
) -> float:
    """Return the score with a given threshold: rows with at least this score are detections."""
    thresholds, values = _curve(series, scores, profile)
    reached = np.flatnonzero(thresholds >= threshold)
    return float(values[reached[-1]]) if len(reached) else 0.0
