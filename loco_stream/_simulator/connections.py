"""Connections of one layer as lists: targets, weights and delays of the spikes of each row.

Rows are presynaptic neurons: first the inputs of the layer, then the layer itself if it is
recurrent. The connections of a row are sorted by (delay, target) and divided into groups of equal
delay, so that a spike has one entry in the queue, for its next group, however many neurons it
reaches.

Everything that is read once per arrival is kept small, so that large nets stay in the cache. A
target takes two bytes where neurons are few enough. Where all connections of each group have the
same weight, as the outgoing connections of a neuron often do, the weight is stored beside the
delay. Pairs of both are stored once, however many groups have them. Weights are bit-identical in
both forms.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from loco_stream._arrays import AnyFloat, AnyInt, Array, Bool, Float64, Int64, Records
from loco_stream._compiler.alignment import aligned_zeros
from loco_stream._compiler.jit import inlined
from loco_stream._compiler.simd.sizes import DOUBLES
from loco_stream._compiler.structs import struct_dtype

# First connection and kind of a group; the wide one from 2 ** 32 connections on.
GROUP = struct_dtype(first="u4", kind="u4")
WIDE_GROUP = struct_dtype(first="u8", kind="u8")
KIND = struct_dtype("delay", "weight")  # in ms
END = -1.0  # in place of a delay: the row has ended


class Connections(NamedTuple):
    """All connections into one layer, grouped by (row, delay)."""

    # (n_rows + 1,): the groups of row j are first_group[j] to first_group[j + 1] - 2; its end
    # follows.
    first_group: Int64
    groups: Records  # (n_groups + n_rows,) of GROUP or WIDE_GROUP
    # (n_kinds,) of KIND; `weight` is used if `weights` is empty. Kind 0 is the end of a row.
    kinds: Records
    # (n_connections + DOUBLES,) uint16, or int32 from 65,537 neurons on; whole vectors are read.
    targets: AnyInt
    weights: AnyFloat  # (n_connections + DOUBLES,) float32 or float64, or (0,)


class Triplets(NamedTuple):
    """Connections one by one, in any order, (n,) each."""

    source: AnyInt
    target: AnyInt
    weight: AnyFloat
    delay: Float64  # ms


@inlined
def delay_of(connections: Connections, group: int) -> float:
    """Return the delay of a group in ms, or `END`."""
    return connections.kinds[connections.groups[group].kind].delay


@inlined
def weight_of(connections: Connections, group: int, k: int) -> float:
    """Return the weight of connection `k` of a group."""
    if len(connections.weights) > 0:
        return float(connections.weights[k])
    return connections.kinds[connections.groups[group].kind].weight


def connect(parts: list[Triplets], n_rows: int, n_neurons: int, dtype: DTypeLike) -> Connections:
    """Sort and group connections; `source` of each part counts rows of the whole.

    n_rows, n_neurons: numbers of presynaptic and of postsynaptic neurons
    dtype: float32 or float64, of the weights
    """
    source, target, weight, delay = _sorted(parts)
    begins = _changes(source) | _changes(delay)
    start = np.flatnonzero(begins)
    kinds, kind, weights = _weighted_kinds(begins, delay[start], weight.astype(dtype))
    first_group, groups = _by_row(source[start], start, kind, len(source), n_rows)
    targets = target.astype(np.uint16 if n_neurons <= 1 << 16 else np.int32)
    return Connections(first_group, groups, kinds, _padded(targets), weights)


def _sorted(parts: list[Triplets]) -> Triplets:
    """Return all connections sorted by row, delay and target."""
    source, target, weight, delay = map(np.concatenate, zip(*parts, strict=True))
    order = np.lexsort((target, delay, source))
    return Triplets(source[order].astype(np.int64), target[order], weight[order], delay[order])


def _changes(items: Array) -> Bool:
    """Return which items differ from the one before; the first always does."""
    changes = np.ones(len(items), dtype=bool)
    changes[1:] = items[1:] != items[:-1]
    return changes


def _padded(items: Array) -> Array:
    """Return an array with room to read a whole vector at its last item."""
    return np.append(items, np.zeros(DOUBLES, items.dtype))


def _weighted_kinds(
    begins: Bool, delay: Float64, weight: AnyFloat
) -> tuple[Records, Int64, AnyFloat]:
    """Return the kinds of groups, the kind of each group, and the weights in the smaller form.

    begins: (n_connections,) where a group begins
    delay: (n_groups,) of each group
    weight: (n_connections,) of each connection
    """
    kinds, kind = _kinds(delay, np.zeros(len(delay)))
    if (begins | ~_changes(weight)).all():
        weighed = _kinds(delay, weight[begins].astype(np.float64))
        if weighed[0].nbytes < kinds.nbytes + weight.nbytes:
            return *weighed, weight[:0]
    return kinds, kind, _padded(weight) if len(weight) else weight


def _by_row(
    source: AnyInt,
    start: Int64,
    kind: Int64,
    n_connections: int,
    n_rows: int,
) -> tuple[Int64, Records]:
    """Return the first group of each row, and the groups with an end after each row.

    `source`, `start` and `kind` are (n_groups,): row, first connection and kind of each group.
    """
    n_of = np.bincount(source, minlength=n_rows)
    first_group = np.concatenate(([0], np.cumsum(n_of + 1)))
    place = np.arange(len(start)) + source  # each row before has an end
    groups = aligned_zeros(first_group[-1], GROUP if n_connections < 1 << 32 else WIDE_GROUP)
    groups["first"][place] = start
    groups["kind"][place] = kind
    groups["first"][first_group[1:] - 1] = np.append(start, n_connections)[np.cumsum(n_of)]
    return first_group, groups


def _kinds(delay: Float64, weight: Float64) -> tuple[Records, Int64]:
    """Return the kinds of groups in the order of their first group, and the kind of each group.

    The end of a row comes first.
    """
    which = np.unique(delay, return_inverse=True)[1]
    weights, how = np.unique(weight, return_inverse=True)
    _, first, pair = np.unique(which * len(weights) + how, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(first), np.int64)
    rank[order] = np.arange(1, len(first) + 1)
    first = first[order]
    kinds = np.zeros(len(first) + 1, KIND)
    kinds["delay"] = np.append(END, delay[first])
    kinds["weight"] = np.append(0.0, weight[first])
    return kinds, rank[pair]
