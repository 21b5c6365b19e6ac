"""Connections of one layer as lists: who a spike reaches, how strongly and after how long.

Rows are presynaptic neurons: first the layer's inputs, then the layer itself where it is recurrent.
The connections of a row are sorted by (delay, target) and cut into groups of equal delay, so that a spike
has one entry in the queue, for its next group, however many neurons it reaches.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from loco_stream.simd.sizes import BLOCK
from loco_stream.simulator.memory import aligned

__all__ = ["DELAY", "LAST", "NEXT_DELAY", "START", "STOP", "Connections", "Triplets", "connect"]

START, STOP, DELAY, NEXT_DELAY = 0, 1, 2, 3  # columns of `Connections.groups`
LAST = -1.0  # in place of a next delay: the row ends


class Connections(NamedTuple):
    """All connections into one layer, grouped by (row, delay)."""

    row_group: Any  # (n_rows + 1,) int64: the groups of row j are row_group[j] .. row_group[j + 1] - 1
    groups: Any  # (n_groups, 4) float64: where each begins and ends in target and weight, its delay and the next, ms
    target: Any  # (n_connections + BLOCK,) int32; the last are -1, so that whole blocks may be read
    weight: Any  # (n_connections + BLOCK,) float32 or float64


class Triplets(NamedTuple):
    """Connections one by one, in any order."""

    source: Any  # (n,) int
    target: Any  # (n,) int
    weight: Any  # (n,) float
    delay: Any  # (n,) float, ms


def connect(parts: list[Triplets], n_rows: int, dtype: Any) -> Connections:
    """Sort and group connections; `source` of each part already counts rows of the whole."""
    source = np.concatenate([p.source for p in parts]).astype(np.int64)
    target = np.concatenate([p.target for p in parts]).astype(np.int32)
    weight = np.concatenate([p.weight for p in parts]).astype(dtype)
    delay = np.concatenate([p.delay for p in parts]).astype(np.float64)
    order = np.lexsort((target, delay, source))
    source, target, weight, delay = source[order], target[order], weight[order], delay[order]
    fresh = np.ones(len(source), dtype=bool)
    fresh[1:] = (source[1:] != source[:-1]) | (delay[1:] != delay[:-1])
    start = np.flatnonzero(fresh)
    group_source = source[start]
    groups = aligned(4 * len(start), np.float64).reshape(-1, 4)  # a group lies on one cache line
    groups[:, START], groups[:, STOP] = start, np.append(start[1:], len(source))
    groups[:, DELAY], groups[:, NEXT_DELAY] = delay[start], LAST
    follows = np.flatnonzero(group_source[1:] == group_source[:-1])
    groups[follows, NEXT_DELAY] = groups[follows + 1, DELAY]
    return Connections(
        row_group=np.searchsorted(group_source, np.arange(n_rows + 1)).astype(np.int64),
        groups=groups,
        target=np.append(target, np.full(BLOCK, -1, np.int32)),
        weight=np.append(weight, np.zeros(BLOCK, weight.dtype)),
    )
