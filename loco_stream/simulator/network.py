"""The simulator for everybody: describe a spiking net by its weights, run spikes through it, exactly."""

from __future__ import annotations

from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from loco_stream.errors import ConfigError, InputError
from loco_stream.neurons import find
from loco_stream.simulator.dense_net import DenseNet
from loco_stream.simulator.layers import Layer, describe
from loco_stream.simulator.probe import MembraneProbe, Simulation
from loco_stream.simulator.queued_net import QueuedNet
from loco_stream.simulator.record import SpikeRecord

__all__ = ["Network", "SpikeRecord"]

LONGEST_RUN = 1e9  # ms: eleven days; longer runs are made in pieces, with `carry`


class Network:
    """A spiking net simulated event by event, without a time grid.

    Build it with `Network.from_weights`. Dense feed-forward nets of plain neurons without delays run layer by layer,
    many events a nanosecond; everything else (delays, recurrence, sparse weights, drive, refractory periods,
    Izhikevich neurons) runs around a priority queue.

    Examples
    --------
    >>> import numpy as np
    >>> from loco_stream import Network
    >>> net = Network.from_weights([np.full((3, 2), 0.6)], tau=20.0, threshold=1.0)
    >>> record = net.run(times=[1.0, 2.0, 2.0], indices=[0, 1, 2], duration=10.0)
    >>> record.times.tolist(), record.indices.tolist(), record.layer.tolist()
    ([2.0, 2.0], [0, 1], [0, 0])
    """

    def __init__(self, layers: list[Layer], dtype: DTypeLike = np.float32) -> None:
        self._layers = layers
        self._dtype = np.dtype(dtype)
        self._layer_numbers = np.arange(len(layers), dtype=np.int32)
        simple = all(layer.direct and layer.model.run_net is not None for layer in layers)
        self._net: Simulation = DenseNet(layers, self._dtype) if simple else QueuedNet(layers, self._dtype)

    @classmethod
    def from_weights(
        cls,
        weights: Any,
        tau: Any = 20.0,
        threshold: Any = 1.0,
        reset: Literal["subtract", "zero"] = "subtract",
        neuron: str = "lif",
        delays: Any = None,
        recurrent: Any = None,
        *,
        recurrent_delays: Any = 1.0,
        drive: Any = 0.0,
        refractory: Any = 0.0,
        dtype: DTypeLike = np.float32,
        **parameters: float,
    ) -> Network:
        """Describe a net: one weight matrix a layer, and what its neurons do.

        Whatever is given as one value holds for all layers; a list (or tuple) has one item a layer.

        Parameters
        ----------
        weights
            One matrix (n_pre, n_post) a layer, dense or `scipy.sparse`; row j holds what a spike of presynaptic
            neuron j adds to each membrane (in units of the threshold; in mV for Izhikevich neurons).
        tau
            Membrane time constant in ms.
        threshold
            A neuron fires where its membrane is at or above it; a number or (n_post,), above 0. Membranes rest at 0.
        reset
            After a spike the threshold is subtracted from the membrane, or the membrane becomes zero.
        neuron
            "lif": leaky integrate-and-fire. "alif": the same with a threshold that each spike raises by `adapt` and
            that returns with time constant `tau_adapt`. "izhikevich": the two-variable model of 2003, in mV;
            it takes neither tau, threshold nor reset. `loco_stream.neurons.register` adds further models.
        delays
            Time from a spike to its arrival in ms, a number or one a connection (in the shape of the weights).
        recurrent
            Matrices (n_post, n_post) from a layer to itself, or None.
        recurrent_delays
            Their delays in ms. The default of 1 ms is that of a local synapse; 0 is possible where neurons only fire
            when spikes arrive.
        drive
            Constant input: the value the membrane goes to without spikes, a number or (n_post,). Above
            threshold, neurons fire by themselves. For Izhikevich neurons it is the current I.
        refractory
            Time after a spike in ms during which the membrane stands still and input is lost.
        dtype
            float32 or float64: of weights, and of membranes where no queue is needed; nets with a queue keep
            membranes and times in float64.
        parameters
            For "alif": `tau_adapt` (100 ms) and `adapt` (0.2). For "izhikevich": `a` (0.02), `b` (0.2), `c` (-65),
            `d` (8), `peak` (30) and `tolerance` (1e-6 mV), the largest estimated error of one integration step.

        Raises
        ------
        ConfigError
            If anything is out of range or does not fit; the text names it.

        Examples
        --------
        A neuron driven above its threshold fires regularly, every tau log(1.5 / 0.5) ms:

        >>> from loco_stream import Network
        >>> net = Network.from_weights([[[0.0]]], tau=10.0, drive=1.5, reset="zero", dtype="float64")
        >>> net.run([], [], duration=35.0).times.round(3).tolist()
        [10.986, 21.972, 32.958]
        """
        try:
            kind = np.dtype(dtype)
        except TypeError:
            raise ConfigError(f"dtype is {dtype!r}; allowed are float32 and float64") from None
        if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise ConfigError(f"dtype is {kind}; allowed are float32 and float64")
        if not find(neuron).leaky and not (
            _is_default(tau, 20.0) and _is_default(threshold, 1.0) and reset == "subtract"
        ):
            own = ", ".join(find(neuron).parameters)
            raise ConfigError(f"neuron={neuron!r} takes no tau, threshold or reset; its parameters are: {own}")
        layers = describe(
            weights, tau, threshold, reset, neuron, delays, recurrent, recurrent_delays, drive, refractory, kind,
            parameters,
        )  # fmt: skip
        return cls(layers, kind)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of neurons of each layer."""
        return tuple(layer.n_post for layer in self._layers)

    @property
    def n_inputs(self) -> int:
        """Number of input neurons."""
        return self._layers[0].n_pre

    def __repr__(self) -> str:
        shape = "-".join(map(str, (self.n_inputs, *self.sizes)))
        return f"Network({shape}, neuron={self._layers[0].model.name!r}, dtype={self._dtype})"

    @overload
    def run(
        self, times: ArrayLike, indices: ArrayLike, duration: float, record: Literal["spikes"] = "spikes", *,
        carry: bool = False, membranes: Any = None, membrane_step: float = 0.1, initial: Any = None,
    ) -> SpikeRecord: ...  # fmt: skip
    @overload
    def run(
        self, times: ArrayLike, indices: ArrayLike, duration: float, record: Literal["counts"], *,
        carry: bool = False, membranes: Any = None, membrane_step: float = 0.1, initial: Any = None,
    ) -> list[NDArray[np.int64]]: ...  # fmt: skip

    def run(
        self,
        times: ArrayLike,
        indices: ArrayLike,
        duration: float,
        record: Literal["spikes", "counts"] = "spikes",
        *,
        carry: bool = False,
        membranes: Any = None,
        membrane_step: float = 0.1,
        initial: Any = None,
    ) -> SpikeRecord | list[NDArray[np.int64]]:
        """Run input spikes through the net.

        Spikes that arrive at one time are delivered together; a neuron fires at most once per time of arrival in its
        layer.

        Parameters
        ----------
        times
            (n,) when input neurons fire, in ms from the start of the call; sorted, within [0, duration].
        indices
            (n,) which of them. The same pair twice counts twice.
        duration
            Length of the run in ms.
        record
            "spikes" for a `SpikeRecord`; "counts" for a list with the number of spikes of each neuron, one array a
            layer.
        carry
            Begin with the membranes, thresholds and spikes under way that the last call left, `duration` ms after it
            began; otherwise at rest.
        membranes
            Which membranes to record as well: `{layer: [neuron, ...]}`.
        membrane_step
            Time between their samples in ms; samples are exact values, not a simulation grid.
        initial
            Membranes at time 0, one array a layer, instead of rest.

        Raises
        ------
        InputError
            If the spikes are unsorted, out of range or not finite, before anything runs; or if a layer around the
            queue fires without end. The net is at rest afterwards.
        """
        net = self._net
        window = _checked_duration(duration)
        if record not in ("spikes", "counts"):
            raise InputError(f"record is {record!r}; allowed are 'spikes' and 'counts'")
        sent, sources = _checked_spikes(times, indices, net)
        if membranes is not None and record != "spikes":
            raise InputError("membranes are part of a SpikeRecord: use record='spikes'")
        probe = None if membranes is None else MembraneProbe(membranes, membrane_step, window, self._layers)
        if not carry:
            net.reset()
        if initial is not None:
            net.begin(self._checked_membranes(initial))
        if probe is not None:
            probe.note_start(net)
        bad = net.run(sent, sources, window)
        if bad >= 0:
            raise InputError(_what_is_wrong(bad, sent, sources, self.n_inputs, window))
        if record == "counts":
            return net.counts_by_layer()
        when, who, bounds = net.spikes()
        layer = np.repeat(self._layer_numbers, np.diff(bounds))
        result = SpikeRecord(when.astype(self._dtype), who.astype(np.int32), layer, self.sizes, window)
        return result if probe is None else probe.add_to(result, net, sent, sources)

    def reset(self) -> None:
        """Put every neuron to rest and forget spikes under way."""
        self._net.reset()

    def _checked_membranes(self, initial: Any) -> list[NDArray[np.float64]]:
        if not isinstance(initial, (list, tuple)):
            raise InputError(f"initial must be a list with one array a layer, not {type(initial).__name__}")
        if len(initial) != len(self._layers):
            raise InputError(f"initial has {len(initial)} items for {len(self._layers)} layers: give one array a layer")
        membranes = []
        for i, (given, layer) in enumerate(zip(initial, self._layers, strict=True)):
            try:
                with np.errstate(over="ignore"):
                    v = np.array(given, dtype=self._dtype).astype(np.float64)
            except (TypeError, ValueError, OverflowError):
                raise InputError(f"initial[{i}] is {_short(given)}; it must be numbers") from None
            if v.shape != (layer.n_post,) or not np.isfinite(v).all():
                raise InputError(f"initial[{i}] must be ({layer.n_post},) finite numbers, not {v.shape}")
            membranes.append(v)
        return membranes


def _checked_duration(duration: Any) -> float:
    try:
        window = float(duration)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"duration is {_short(duration)}; it must be a number of ms") from None
    if not 0.0 <= window <= LONGEST_RUN:
        raise InputError(f"duration is {window}; it must be finite and 0 ms or more, at most {LONGEST_RUN:g} ms")
    return window


def _checked_spikes(times: ArrayLike, indices: ArrayLike, net: Simulation) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both as vectors of the types the net computes with; what they hold is checked where they are run."""
    sent = _plain_array("times", times)
    if sent.dtype.kind not in "iuf":
        raise InputError(f"times must be numbers, in ms; they are of type {sent.dtype}")
    with np.errstate(over="ignore"):  # what becomes infinite is refused where it is run
        sent = sent.astype(net.dtype, copy=False)
    sources = _plain_array("indices", indices)
    if sources.dtype != net.index_dtype:
        if sources.size == 0:
            sources = sources.astype(net.index_dtype)
        elif sources.dtype.kind not in "iu":
            raise InputError(f"indices are of type {sources.dtype}; they must be integers: numbers of input neurons")
        else:
            sources = np.clip(sources, -1, np.iinfo(net.index_dtype).max).astype(net.index_dtype)
    if sent.ndim != 1 or sources.ndim != 1 or len(sent) != len(sources):
        raise InputError(f"times has shape {sent.shape} and indices {sources.shape}: give two lists of one length")
    # Writable as well: for arrays that are not, everything would be compiled once more.
    return np.require(sent, requirements=["C", "A", "W"]), np.require(sources, requirements=["C", "A", "W"])


def _plain_array(name: str, values: ArrayLike) -> NDArray[Any]:
    """Return an array without a mask; raises `InputError` for what is none."""
    if np.ma.is_masked(values):
        raise InputError(f"{name} holds masked values; it must be a list of numbers, all of them known")
    try:
        return np.asarray(values)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} is {_short(values)}; it must be a list of numbers") from None


def _short(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # a whole number of too many digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _what_is_wrong(k: int, times: NDArray[Any], indices: NDArray[Any], n_inputs: int, duration: float) -> str:
    """Return a sentence on the first bad event."""
    t, j = float(times[k]), int(indices[k])
    if not 0 <= j < n_inputs:
        return f"indices[{k}] is {j}; the net has the inputs 0 to {n_inputs - 1}"
    if k > 0 and t < float(times[k - 1]):
        return f"times[{k}] is {t:g} after {float(times[k - 1]):g}: times must be sorted"
    return f"times[{k}] is {t:g}; it must lie between 0 and the duration, {duration:g} ms"


def _is_default(value: Any, default: float) -> bool:
    return isinstance(value, (int, float)) and value == default
