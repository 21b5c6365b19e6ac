"""Connections of one layer as lists: who a spike reaches, how strongly and after how long.

Rows are presynaptic neurons: first the layer's inputs, then the layer itself where it is recurrent.
The connections of a row are sorted by (delay, target) and cut into groups of equal delay, so that a
spike has one entry in the queue, for its next group, however many neurons it reaches.

What is read once an arrival is kept small, so that large nets stay in the cache: a target takes two
bytes where neurons are few enough, and where all connections of each group weigh the same, as those
of a neuron often do, their weight stands beside the delay. Pairs of both are kept once, however
many groups have them. Weights are the same numbers in either form.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream._compiler.jit import inlined
from loco_stream._compiler.simd.sizes import BLOCK
from loco_stream.simulator.memory import aligned

__all__ = [
    "DELAY",
    "KIND",
    "LAST",
    "START",
    "WEIGHT",
    "Connections",
    "Triplets",
    "connect",
    "delay_of",
    "weight_of",
]

# columns of `Connections.groups`
START = 0
KIND = 1
# columns of `Connections.kinds`
DELAY = 0
WEIGHT = 1
LAST = -1.0  # in place of a delay: the row has ended


class Connections(NamedTuple):
    """All connections into one layer, grouped by (row, delay)."""

    # (n_rows + 1,): the groups of row j are row_group[j] .. row_group[j + 1] - 2, and then comes
    # its end
    row_group: NDArray[np.int64]
    # (n_groups + n_rows, 2) uint32, or uint64 from 2 ** 32 connections on: where each begins, and
    # its kind
    groups: NDArray[np.unsignedinteger]
    # (n_kinds, 2): delay in ms, and weight where there is one of each group; kind 0 is the end of a
    # row
    kinds: NDArray[np.float64]
    # (n_connections + BLOCK,) uint16, or int32 from 65,537 neurons on; blocks may be read beyond
    # the last
    target: NDArray[np.integer]
    # (n_connections + BLOCK,) float32 or float64; (0,) if `kinds` has them
    weight: NDArray[np.floating]


class Triplets(NamedTuple):
    """Connections one by one, in any order."""

    source: Any  # (n,) int
    target: Any  # (n,) int
    weight: Any  # (n,) float
    delay: Any  # (n,) float, ms


@inlined
def delay_of(groups, kinds, group):  # type: ignore[no-untyped-def]
    """Return the delay of a group in ms, or `LAST`."""
    return kinds[groups[group, KIND], DELAY]


@inlined
def weight_of(groups, kinds, weight, group, k):  # type: ignore[no-untyped-def]
    """Return the weight of connection `k`, which is of this group."""
    return float(weight[k]) if weight.shape[0] > 0 else kinds[groups[group, KIND], WEIGHT]


def connect(parts: list[Triplets], n_rows: int, n_neurons: int, dtype: Any) -> Connections:
    """Sort and group connections; `source` of each part already counts rows of the whole."""
    source = np.concatenate([p.source for p in parts]).astype(np.int64)
    target = np.concatenate([p.target for p in parts]).astype(
        np.uint16 if n_neurons <= 1 << 16 else np.int32
    )
    weight = np.concatenate([p.weight for p in parts]).astype(dtype)
    delay = np.concatenate([p.delay for p in parts]).astype(np.float64)
    order = np.lexsort((target, delay, source))
    source = source[order]
    target = target[order]
    weight = weight[order]
    delay = delay[order]
    fresh = np.ones(len(source), dtype=bool)
    fresh[1:] = (source[1:] != source[:-1]) | (delay[1:] != delay[:-1])
    start = np.flatnonzero(fresh)
    kinds, kind = _kinds(delay[start], np.zeros(len(start)))
    if (fresh[1:] | (weight[1:] == weight[:-1])).all():
        weighed = _kinds(delay[start], weight[start].astype(np.float64))
        if weighed[0].nbytes < kinds.nbytes + weight.nbytes:
            kinds, kind = weighed
            weight = weight[:0]
    row_group, groups = _by_row(source[start], start, kind, len(source), n_rows)
    if len(weight):
        weight = np.append(weight, np.zeros(BLOCK, weight.dtype))
    return Connections(
        row_group, groups, kinds, np.append(target, np.zeros(BLOCK, target.dtype)), weight
    )


def _by_row(
    source: NDArray[np.int64],
    start: NDArray[np.int64],
    kind: NDArray[np.int64],
    n_connections: int,
    n_rows: int,
) -> tuple[NDArray[np.int64], NDArray[np.unsignedinteger]]:
    """Return where the groups of each row begin, and the groups with an end after each row."""
    n_of = np.bincount(source, minlength=n_rows)
    row_group = np.concatenate(([0], np.cumsum(n_of + 1)))
    place = np.arange(len(start)) + source  # as many ends before it as rows
    groups = aligned(
        2 * row_group[-1], np.uint32 if n_connections < 1 << 32 else np.uint64
    ).reshape(-1, 2)
    groups[place, START] = start
    groups[place, KIND] = kind
    groups[row_group[1:] - 1, START] = np.append(start, n_connections)[np.cumsum(n_of)]
    return row_group, groups


def _kinds(
    delay: NDArray[np.float64], weight: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the kinds of groups after the end of a row, in the order of their first group, and the kind of each."""
    which = np.unique(delay, return_inverse=True)[1]
    weights, how = np.unique(weight, return_inverse=True)
    _, first, pair = np.unique(which * len(weights) + how, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(first), np.int64)
    rank[order] = np.arange(1, len(first) + 1)
    first = first[order]
    kinds = np.vstack(((LAST, 0.0), np.column_stack((delay[first], weight[first]))))
    return kinds, rank[pair]
