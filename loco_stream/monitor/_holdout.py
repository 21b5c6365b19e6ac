"""Hold-outs: rows of a segment that are never trained on and predicted again from time to time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import numpy as np

from loco_stream._arrays import Array
from loco_stream._numbers import plain, to_number
from loco_stream._persistence.content import Arrays, Config, State
from loco_stream._prediction_mode import mode_arguments
from loco_stream._rng import uniforms
from loco_stream.monitor._row_codec import Extras, RowCodec, Vector

Label: TypeAlias = Any  # a class label, or a number in regression

_BLOCK = 4096  # numbers drawn at once


class Predictor(Protocol):
    """A model that predicts; a method `predict_array` is used where it exists.

    Examples
    --------
    >>> from loco_stream import TaskMonitor
    >>> class Constant:
    ...     def predict_one(self, x):
    ...         return "on"
    >>> TaskMonitor().measure(Constant())
    """

    def predict_one(self, x: Extras) -> Label:
        """Return the prediction for a row by name."""


@dataclass(slots=True)
class HeldRow:
    """One held-out row, and whether the model predicts it correctly.

    index: position in the stream
    row, extras: content, as `RowCodec` encodes it
    y: label
    tolerance: in regression, the absolute error up to which a prediction counts as correct: the
        usual error when the row was held out. 0 in classification
    hit, at: whether the last prediction was correct, and the scored row after which it was made
    previous_hit, previous_at: the same for the prediction before
    """

    index: int
    row: Vector
    extras: Extras
    y: Label
    tolerance: float = 0.0
    hit: bool = False
    at: int = -1
    previous_hit: bool = False
    previous_at: int = -1

    def score(self, y_pred: Label, at: int) -> None:
        """Store whether `y_pred`, made after row `at`, is correct."""
        self.previous_hit = self.hit
        self.previous_at = self.at
        self.at = at
        if self.tolerance > 0.0:
            self.hit = abs(to_number(y_pred) - self.y) <= self.tolerance
        else:
            self.hit = bool(y_pred == self.y)

    def scored_in(self, start: int, end: int) -> bool:
        """Return whether one of the two predictions was made from `start` on, before `end`."""
        return start <= self.at < end or start <= self.previous_at < end

    def hit_in(self, start: int, end: int) -> bool:
        """Return the newest prediction from `start` on, before `end`; the newest of all if none."""
        use_previous = start <= self.previous_at < end <= self.at
        return self.previous_hit if use_previous else self.hit

    def numbers(self) -> tuple[int, ...]:
        """Return the numbers of the row in the order in which a checkpoint stores them."""
        return (
            len(self.row),
            self.index,
            int(self.hit),
            self.at,
            int(self.previous_hit),
            self.previous_at,
        )


class UniformDraws:
    """Uniform numbers in (0, 1) of the counter-based generator; key and counter are the state."""

    def __init__(self, key: int, counter: int = 0) -> None:
        self.key = key
        self.counter = counter
        self._first = 0  # counter of the first number drawn ahead
        self._numbers: list[float] = []

    def next(self) -> float:
        """Return the next number."""
        (number,) = self.ahead(1)
        self.counter += 1
        return number

    def ahead(self, n: int) -> list[float]:
        """Return the next `n` numbers, which `next` returns as well."""
        first = self.counter + 1 - self._first
        if first < 0 or first + n > len(self._numbers):
            # drawing numbers one by one takes fifty times longer
            self._first = self.counter + 1
            self._numbers = uniforms(self.key, self._first, max(n, _BLOCK)).tolist()
            first = 0
        return self._numbers[first : first + n]


@dataclass(slots=True)
class HoldOut:
    """A uniform sample of at most `size` of a segment's candidates (Vitter's reservoir, 1985)."""

    size: int
    rows: list[HeldRow] = field(default_factory=list)
    n_candidates: int = 0
    cursor: int = 0  # next row to be predicted again

    def put(self, candidate: HeldRow, place: int) -> bool:
        """Hold out a row at a place, -1 for a new one; beyond the size, it is to be learned."""
        self.n_candidates += 1
        if place >= self.size:
            return False
        if len(self.rows) < self.size:
            self.rows.append(candidate)
        else:
            self.rows[place] = candidate
        return True

    def split(self, since: int) -> HoldOut:
        """Move the rows from position `since` on into a hold-out of their own, and return it."""
        later = HoldOut(self.size, [held for held in self.rows if held.index >= since])
        self.rows = [held for held in self.rows if held.index < since]
        later.n_candidates = len(later.rows)
        self.n_candidates = max(len(self.rows), self.n_candidates - later.n_candidates)
        self.cursor = 0
        return later

    def merge(self, older: HoldOut, draws: UniformDraws) -> None:
        """Pool with the hold-out of a merged segment, in proportion to their candidates."""
        total = max(1, self.n_candidates + older.n_candidates)
        room = min(self.size, len(self.rows) + len(older.rows))
        share = round(room * older.n_candidates / total)
        n_older = min(len(older.rows), max(room - len(self.rows), share))
        kept_older = _subset(older.rows, n_older, draws)
        self.rows = [*kept_older, *_subset(self.rows, room - n_older, draws)]
        self.n_candidates = total
        self.cursor = 0

    def accuracy(self, start: int = 0, end: int | None = None) -> tuple[float, int]:
        """Return the share of correct predictions, NaN without rows, and the number of rows.

        With `end`, the predictions made from `start` on, before `end`, count where there are any.
        """
        n = len(self.rows)
        hits = (held.hit if end is None else held.hit_in(start, end) for held in self.rows)
        return (sum(hits) / n if n else float("nan")), n

    def rescore(self, model: Predictor, codec: RowCodec, n: int, at: int) -> int:
        """Predict the next `n` rows in turn with the model after row `at`; return how many."""
        n = min(n, len(self.rows))
        turn = [self.rows[(self.cursor + i) % len(self.rows)] for i in range(n)]
        self.cursor = (self.cursor + n) % max(1, len(self.rows))
        return predict(model, codec, turn, at)

    def export_state(self) -> tuple[Config, Arrays]:
        """Return the rows as plain values and arrays."""
        width = max((len(held.row) for held in self.rows), default=0)
        numbers = np.array([held.numbers() for held in self.rows], dtype=np.int64)
        config = {
            "n_candidates": self.n_candidates,
            "cursor": self.cursor,
            "y": [plain(held.y) for held in self.rows],
            "extras": [
                [[name, plain(value)] for name, value in held.extras.items()] for held in self.rows
            ],
        }
        arrays = {
            "rows": _padded(self.rows, width),
            "numbers": numbers.reshape(-1, 6),
            "tolerance": np.array([held.tolerance for held in self.rows]),
        }
        return config, arrays

    @classmethod
    def restore_state(cls, size: int, config: State, arrays: Mapping[str, Array]) -> HoldOut:
        """Undo `export_state`, for a hold-out of at most `size` rows."""
        hold = cls(size)
        hold.n_candidates = config["n_candidates"]
        hold.cursor = config["cursor"]
        numbers = arrays["numbers"].tolist()
        tolerances = arrays["tolerance"].tolist()
        for row, counts, tolerance, y, extras in zip(
            arrays["rows"], numbers, tolerances, config["y"], config["extras"], strict=True
        ):
            width, index, hit, at, previous_hit, previous_at = counts
            values = row[:width].copy()
            named = {name: value for name, value in extras}  # noqa: C416
            held = HeldRow(index, values, named, y, tolerance, bool(hit), at)
            held.previous_hit = bool(previous_hit)
            held.previous_at = previous_at
            hold.rows.append(held)
        return hold


def predict(model: Predictor, codec: RowCodec, rows: Sequence[HeldRow], at: int) -> int:
    """Predict held-out rows with `model` as it is after row `at`; return how many."""
    if rows:
        for held, y_pred in zip(rows, _predictions(model, codec, rows), strict=True):
            held.score(y_pred, at)
    return len(rows)


def _predictions(model: Predictor, codec: RowCodec, rows: Sequence[HeldRow]) -> list[Label]:
    """Return the predictions, by array where the model takes arrays and all values are numbers.

    Held-out rows are not the stream's next ones: any class may be right.
    """
    predict_array = getattr(model, "predict_array", None)
    if predict_array is None or any(held.extras for held in rows):
        mode = mode_arguments(model.predict_one, False)
        return [model.predict_one(codec.decode(held.row, held.extras), **mode) for held in rows]
    X = _padded(rows, len(codec.names))
    predictions: list[Label] = predict_array(
        X, features=codec.names, **mode_arguments(predict_array, False)
    ).tolist()
    return predictions


def _padded(rows: Sequence[HeldRow], width: int) -> Array:
    """Return rows as an array (n, width), NaN for features that came after a row."""
    if all(len(held.row) == width for held in rows):
        return np.array([held.row for held in rows]).reshape(len(rows), width)
    X = np.full((len(rows), width), np.nan)
    for row, held in zip(X, rows, strict=True):
        row[: len(held.row)] = held.row
    return X


def _subset(rows: list[HeldRow], n: int, draws: UniformDraws) -> list[HeldRow]:
    """Return `n` of the rows at random."""
    chosen = list(rows)
    for i in range(min(n, len(chosen) - 1)):
        j = i + int(draws.next() * (len(chosen) - i))
        swapped = chosen[j]
        chosen[j] = chosen[i]
        chosen[i] = swapped
    return chosen[:n]
