"""What the two classes that run a net have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from loco_stream._arrays import AnyFloat, AnyInt, Float64, Int64

if TYPE_CHECKING:
    from loco_stream._simulator.dense_net import DenseNet
    from loco_stream._simulator.queued_net import QueuedNet


class Spikes(NamedTuple):
    """The spikes of a run, layer after layer, sorted by time and neuron."""

    times: AnyFloat  # (n,) in ms
    indices: AnyInt  # (n,) neurons, counted from 0 within their layer
    bounds: Int64  # (layers + 1,): layer l is bounds[l] : bounds[l + 1]


class UnderWay(NamedTuple):
    """Spikes on their way to a layer, (n,) each."""

    origin: Float64  # ms, when the spike was fired
    row: Int64  # presynaptic neuron, as in `Connections`
    next_arrival: Float64  # ms, when it next arrives at some neuron


SpikingNet: TypeAlias = "DenseNet | QueuedNet"
"""Runs a net."""
