"""A row on its way through the engine."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from loco_stream._arrays import Float32
from loco_stream.stream import Block, Sample

Label: TypeAlias = Any  # a class label, or a number in regression
Values: TypeAlias = Any  # a mapping of feature names to values, or an array of one row
Features: TypeAlias = tuple[Hashable, ...]
Proba: TypeAlias = Mapping[Any, float]


@dataclass(slots=True)
class Row:
    """A row by name (`features` None), or as an array of one row with its column names.

    `id` and `extra` are as in `Sample`. `t` is the event time that records of the row show, in a
    block perhaps the one of its first row; `own_t` is the row's own time, or NaN.
    """

    x: Values
    features: Features | None = None
    seq: int = 0
    t: float = math.nan
    source: str = ""
    epoch: int = 0
    sequence: Hashable = None
    own_t: float = math.nan
    id: Any = None
    extra: Mapping[str, Any] | None = None

    @property
    def named(self) -> Mapping[Hashable, Any]:
        """The row by name; missing values are left out."""
        named: Mapping[Hashable, Any] = (
            self.x if self.features is None else by_name(self.x[0], self.features)
        )
        return named


def by_name(values: Float32, features: Features) -> dict[Hashable, Any]:
    """Return an array of one row as a dict without the missing values."""
    pairs = zip(features, values.tolist(), strict=True)
    return {name: value for name, value in pairs if value == value and value is not None}


def row_of(sample: Sample, x: Values) -> Row:
    """Return the row of a sample, with these values by name."""
    return Row(
        x,
        None,
        sample.seq,
        sample.t,
        sample.source,
        sample.epoch,
        sample.sequence,
        sample.t,
        sample.id,
        sample.extra,
    )


def rows_of(block: Block) -> list[Row]:
    """Return the rows of a block, each an array of one row."""
    return [row_at(block, i) for i in range(len(block.X))]


def row_at(block: Block, i: int) -> Row:
    """Return a row of a block as an array of one row, which stays when the block's is reused."""
    own_t = block.t if i == 0 else math.nan
    if block.times is not None:
        own_t = float(block.times[i])
    return Row(
        block.X[i : i + 1].copy(),
        block.features,
        block.seq + i,
        block.t if block.times is None else own_t,
        block.source,
        block.epoch,
        None if block.sequence is None else block.sequence[i],
        own_t,
    )


def cut(block: Block, begin: int, end: int) -> Block:
    """Return the rows of a block from `begin` up to `end`."""
    rows = slice(begin, end)
    times = None if block.times is None else block.times[rows]
    return Block(
        block.X[rows],
        None if block.y is None else block.y[rows],
        block.features,
        block.seq + begin,
        block.t if times is None or not len(times) else float(times[0]),
        block.source,
        block.epoch,
        block.tag,
        times,
        None if block.sequence is None else block.sequence[rows],
    )
