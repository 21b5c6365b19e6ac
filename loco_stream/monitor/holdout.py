"""Withheld samples of one segment: never trained on, predicted again and again."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.monitor.arrays import Arrays, plain
from loco_stream.monitor.rows import RowCodec
from loco_stream.numbers import to_number
from loco_stream.rng import uniforms

__all__ = ["Draws", "Held", "HoldOut", "predict"]

_HELD = (
    "index",
    "hit",
    "at",
    "was",
    "was_at",
)  # of a withheld sample, what fits into one array of integers
_BLOCK = 256  # numbers drawn at once


@dataclass(slots=True)
class Held:
    """One withheld sample: its position in the stream, its content, and whether the model gets it right.

    `hit` is the answer of the model as it was after sample `at` of the stream, `was` the one
    before, after `was_at`. A regression counts as right within `tolerance`, the usual error when
    the sample was withheld.
    """

    index: int
    row: NDArray[np.float64]
    extras: Mapping[Hashable, Any]
    y: Any
    tolerance: float = 0.0
    hit: bool = False
    at: int = -1
    was: bool = False
    was_at: int = -1

    def score(self, answer: Any, at: int) -> None:
        """Keep whether `answer`, given after sample `at`, is right."""
        self.was, self.was_at, self.at = self.hit, self.at, at
        if self.tolerance > 0.0:
            self.hit = abs(to_number(answer) - self.y) <= self.tolerance
        else:
            self.hit = bool(answer == self.y)

    def scored_in(self, start: int, end: int) -> bool:
        """Return whether one of the two answers was given from `start` on, before `end`."""
        return start <= self.at < end or start <= self.was_at < end

    def hit_in(self, start: int, end: int) -> bool:
        """Return the newest answer given from `start` on, before `end`.

        The newest of all if there is none.
        """
        return self.was if start <= self.was_at < end <= self.at else self.hit


class Draws:
    """Uniform numbers in (0, 1) from the counter-based generator.

    Key and counter are the whole state.
    """

    def __init__(self, key: int, counter: int = 0) -> None:
        self.key = key
        self.counter = counter
        self._block = -1
        self._numbers = [0.0]

    def next(self) -> float:
        """Return the next number."""
        self.counter += 1
        block, place = divmod(self.counter, _BLOCK)
        if block != self._block:  # drawn together: one alone would take Python fifty times as long
            self._block, self._numbers = block, uniforms(self.key, block * _BLOCK, _BLOCK).tolist()
        return self._numbers[place]


@dataclass(slots=True)
class HoldOut:
    """A uniform sample of at most `size` of a segment's candidates (Vitter's reservoir, 1985)."""

    size: int
    held: list[Held] = field(default_factory=list)
    offered: int = 0  # candidates so far
    cursor: int = 0  # whose turn it is to be predicted again

    def offer(self, held: Held, draws: Draws) -> bool:
        """Take `held` in, perhaps instead of another.

        False if it lost the draw and should be learned.
        """
        self.offered += 1
        if len(self.held) < self.size:
            self.held.append(held)
            return True
        place = int(draws.next() * self.offered)
        if place >= self.size:
            return False
        self.held[place] = held
        return True

    def split(self, since: int) -> HoldOut:
        """Move the samples from index `since` on into a hold-out of their own.

        They belong to the next segment.
        """
        later = HoldOut(self.size, [held for held in self.held if held.index >= since])
        self.held = [held for held in self.held if held.index < since]
        later.offered = len(later.held)
        self.offered = max(len(self.held), self.offered - later.offered)
        self.cursor = 0
        return later

    def absorb(self, older: HoldOut, draws: Draws) -> None:
        """Pool with the hold-out of a merged segment.

        Each side keeps its share of the candidates.
        """
        total = max(1, self.offered + older.offered)
        room = min(self.size, len(self.held) + len(older.held))
        keep = min(len(older.held), max(room - len(self.held), round(room * older.offered / total)))
        self.held = [*_subset(older.held, keep, draws), *_subset(self.held, room - keep, draws)]
        self.offered = total
        self.cursor = 0

    def accuracy(self, start: int = 0, end: int | None = None) -> tuple[float, int]:
        """Return the share of right answers (`Held.hit_in` if a stretch is given) and the number of samples."""
        n = len(self.held)
        hits = (held.hit if end is None else held.hit_in(start, end) for held in self.held)
        return (sum(hits) / n if n else float("nan")), n

    def rescore(self, model: Any, codec: RowCodec, n: int, at: int) -> int:
        """Let `model`, as it is after sample `at`, predict the next `n` samples in turn.

        Return how many that were.
        """
        n = min(n, len(self.held))
        turn = [self.held[(self.cursor + i) % len(self.held)] for i in range(n)]
        self.cursor = (self.cursor + n) % max(1, len(self.held))
        return predict(model, codec, turn, at)

    def export(self) -> tuple[dict[str, Any], Arrays]:
        """Return the withheld samples as plain values and arrays."""
        width = max((len(held.row) for held in self.held), default=0)
        rows = np.full((len(self.held), width), np.nan)
        for row, held in zip(rows, self.held, strict=True):
            row[: len(held.row)] = held.row
        numbers = [[len(held.row), *(getattr(held, name) for name in _HELD)] for held in self.held]
        config = {
            "counters": [self.offered, self.cursor],
            "y": [plain(held.y) for held in self.held],
            "extras": [
                [[name, plain(value)] for name, value in held.extras.items()] for held in self.held
            ],
        }
        arrays: Arrays = {
            "rows": rows,
            "numbers": np.array(numbers, dtype=np.int64).reshape(-1, 1 + len(_HELD)),
            "tolerance": np.array([held.tolerance for held in self.held]),
        }
        return config, arrays

    @classmethod
    def restore(
        cls, size: int, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> HoldOut:
        """Undo `export`, for a hold-out of at most `size` samples."""
        hold = cls(size)
        hold.offered, hold.cursor = config["counters"]
        rows = zip(
            arrays["rows"], arrays["numbers"].tolist(), arrays["tolerance"].tolist(), strict=True
        )
        for (row, (width, *numbers), tolerance), y, extras in zip(
            rows, config["y"], config["extras"], strict=True
        ):
            index, hit, at, was, was_at = numbers
            named = {name: value for name, value in extras}  # noqa: C416
            hold.held.append(
                Held(
                    index, row[:width].copy(), named, y, tolerance, bool(hit), at, bool(was), was_at
                )
            )
        return hold


def predict(model: Any, codec: RowCodec, chosen: Sequence[Held], at: int) -> int:
    """Let `model`, as it is after sample `at`, predict the chosen samples.

    Return how many that were.
    """
    if chosen:
        for held, answer in zip(chosen, _answers(model, codec, chosen), strict=True):
            held.score(answer, at)
    return len(chosen)


def _answers(model: Any, codec: RowCodec, turn: Sequence[Held]) -> list[Any]:
    """Return the model's predictions, through its array door where it has one and the samples are numbers."""
    if hasattr(model, "predict_array") and not any(held.extras for held in turn):
        X = np.full((len(turn), len(codec.names)), np.nan)
        for row, held in zip(X, turn, strict=True):
            row[: len(held.row)] = held.row
        answers: list[Any] = model.predict_array(X, features=codec.names).tolist()
        return answers
    return [model.predict_one(codec.decode(held.row, held.extras)) for held in turn]


def _subset(held: list[Held], n: int, draws: Draws) -> list[Held]:
    """Return `n` of `held` at random."""
    chosen = list(held)
    for i in range(min(n, len(chosen) - 1)):
        j = i + int(draws.next() * (len(chosen) - i))
        chosen[i], chosen[j] = chosen[j], chosen[i]
    return chosen[:n]
