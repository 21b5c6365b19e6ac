"""`Network`: a spiking net described by its weights and simulated exactly."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from os import PathLike
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from loco_stream._arrays import Bool, Int64
from loco_stream._simulator.arguments import (
    checked_currents,
    checked_duration,
    checked_membranes,
    checked_record,
    checked_spikes,
    describe_bad_event,
)
from loco_stream._simulator.batch import run_many
from loco_stream._simulator.clocked import run_clocked
from loco_stream._simulator.dense_net import DenseNet
from loco_stream._simulator.layers import Layer, Options, checked_dtype, describe
from loco_stream._simulator.linear_readout import Readout
from loco_stream._simulator.net import SpikingNet
from loco_stream._simulator.probe import MembraneProbe
from loco_stream._simulator.queued_net import QueuedNet
from loco_stream._simulator.spike_record import SpikeRecord
from loco_stream._simulator.svg import draw
from loco_stream._text import counted, one_line
from loco_stream.errors import ConfigError, InputError
from loco_stream.neurons import find

__all__ = ["Network", "SpikeRecord"]


class Network:
    """A spiking net simulated event by event, without a time grid.

    Build it with `Network.from_weights`. Dense feed-forward nets of leaky integrate-and-fire
    neurons without delays run layer by layer, several synaptic events per nanosecond. Everything
    else (delays, recurrence, sparse weights, drive, refractory periods, other neurons) runs with a
    queue of spikes under way.

    Examples
    --------
    >>> import numpy as np
    >>> from loco_stream import Network
    >>> net = Network.from_weights([np.full((3, 2), 0.6)], tau=20.0, threshold=1.0)
    >>> record = net.run(times=[1.0, 2.0, 2.0], indices=[0, 1, 2], duration=10.0)
    >>> record.times.tolist(), record.indices.tolist(), record.layer.tolist()
    ([2.0, 2.0], [0, 1], [0, 0])
    """

    def __init__(
        self, layers: list[Layer], dtype: DTypeLike = np.float32, inputs: str = "spikes"
    ) -> None:
        is_list = isinstance(layers, list) and bool(layers)
        if not is_list or not all(isinstance(layer, Layer) for layer in layers):
            raise ConfigError(
                "`layers` must be a list of those that `Network.from_weights` makes, got "
                f"{one_line(f'{layers!r:.80}')}"
            )
        self._layers = layers
        self._dtype = checked_dtype(dtype)
        self._inputs = inputs
        # of the traces of the last layer, in nets of trained models and from files
        self.readout: Readout | None = None
        self._layer_numbers = np.arange(len(layers), dtype=np.int32)
        needs_no_queue = inputs == "spikes" and all(
            layer.direct and layer.model.dense is not None for layer in layers
        )
        self._net: SpikingNet = (
            DenseNet(layers, self._dtype) if needs_no_queue else QueuedNet(layers, self._dtype)
        )

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
        inputs: Literal["spikes", "currents"] = "spikes",
        dtype: DTypeLike = np.float32,
        **parameters: float,
    ) -> Network:
        """Describe a net by one weight matrix per layer and the parameters of its neurons.

        A single value holds for all layers; a list or tuple has one item per layer.

        Parameters
        ----------
        weights
            One matrix (n_pre, n_post) per layer, dense or `scipy.sparse`. Row j is added to the
            membranes when presynaptic neuron j fires, in units of the threshold (in mV for
            Izhikevich neurons).
        tau
            Membrane time constant in ms.
        threshold
            A neuron fires when its membrane reaches this value, a number or (n_post,), above 0.
            Membranes rest at 0.
        reset
            After a spike the threshold is subtracted from the membrane ("subtract"), or the
            membrane is set to 0 ("zero").
        neuron
            Name of a neuron model: "lif" (leaky integrate-and-fire), or another one of
            `loco_stream.neurons`, which describes them.
        delays
            Time from a spike to its arrival in ms: a number, or one per connection in the shape of
            the weights.
        recurrent
            Matrices (n_post, n_post) from a layer to itself, or None.
        recurrent_delays
            Delays of recurrent connections in ms. The default of 1 ms is typical of local synapses.
            0 is possible if neurons fire only when spikes arrive.
        drive
            Constant input: the value that the membrane approaches without spikes, a number or
            (n_post,). Above threshold, neurons fire without input. For Izhikevich neurons it is the
            current I.
        refractory
            Time after a spike in ms during which the membrane is constant and input is lost.
        inputs
            "spikes", or "currents" that are constant during a run and passed to it: a current of 1
            adds its weight to the drive of the first layer.
        dtype
            float32 or float64, of the weights and, in nets without a queue, of membranes and times.
            With a queue these are float64.
        parameters
            Those of the neuron model, which `loco_stream.neurons` describes.

        Raises
        ------
        ConfigError
            An argument is out of range or does not fit the others.

        Examples
        --------
        A neuron driven above its threshold fires regularly, every tau log(1.5 / 0.5) ms:

        >>> from loco_stream import Network
        >>> net = Network.from_weights(
        ...     [[[0.0]]], tau=10.0, drive=1.5, reset="zero", dtype="float64"
        ... )
        >>> net.run([], [], duration=35.0).times.round(3).tolist()
        [10.986, 21.972, 32.958]
        """
        kind = checked_dtype(dtype)
        is_default = _is(tau, 20.0) and _is(threshold, 1.0) and reset == "subtract"
        if not find(neuron).leaky and not is_default:
            own = ", ".join(find(neuron).parameters)
            raise ConfigError(
                f"`tau`, `threshold` and `reset` must be left out for neuron={neuron!r}, "
                f"whose parameters are: {own}"
            )
        if inputs not in ("spikes", "currents"):
            raise ConfigError(f"`inputs` must be 'spikes' or 'currents', got {inputs!r}")
        options = Options(tau, threshold, delays, recurrent, recurrent_delays, drive, refractory)
        return cls(describe(weights, options, reset, neuron, kind, parameters), kind, inputs)

    @classmethod
    def from_nir(cls, path: str | PathLike[str], dt: float | None = None) -> Network:
        """Read a net from a file in the Neuromorphic Intermediate Representation (NIR).

        Requires the extra `nir`.

        Parameters
        ----------
        path
            File with a chain of Affine or Linear and LIF nodes, optionally followed by CubaLI and
            Affine nodes, which become the readout.
        dt
            Time step in ms of the machine the file was made for. None: as stated in the file, or
            0.1 ms, which is snnTorch's.

        Raises
        ------
        InputError
            The file cannot be read, or has a node that this simulator does not support.

        References
        ----------
        Pedersen et al. 2024, Neuromorphic intermediate representation, Nature Communications 15.
        """
        from loco_stream._simulator.nir_files import read_network

        arguments, readout = read_network(path, dt)
        net = cls.from_weights(**arguments)
        net.readout = readout
        return net

    def to_nir(self, path: str | PathLike[str], dt: float = 0.1, readout: bool = False) -> None:
        """Write the net to a file in the Neuromorphic Intermediate Representation (NIR).

        Requires the extra `nir`. On time steps of `dt` the file computes what `run_clocked` does:
        time constants become dt / (1 - exp(-dt / tau)), weights of spikes W / (1 - exp(-dt / tau)).
        Times in the file are in seconds. Thresholds must be exceeded there, so they are the next
        smaller numbers.

        Parameters
        ----------
        path
            File to write, in HDF5.
        dt
            Time step in ms of the target machine. snnTorch assumes 0.1 ms.
        readout
            Whether to add the readout, if there is one, as a CubaLI node, whose membrane is the
            trace, and an Affine node. snnTorch and Norse read neither.

        Raises
        ------
        ConfigError
            NIR cannot represent the net: the reset subtracts, or neurons, delays or recurrence are
            not supported. The file cannot be written.
        InputError
            `path` is no path.
        """
        from loco_stream._simulator.nir_files import write_network

        write_network(path, self._layers, self._inputs, dt, self.readout if readout else None)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of neurons of each layer."""
        return tuple(layer.n_post for layer in self._layers)

    @property
    def weights(self) -> list[Any]:
        """Weights of each layer: read-only arrays (n_pre, n_post), sparse ones in CSR form."""
        return [layer.forward.matrix() for layer in self._layers]

    @property
    def inputs(self) -> str:
        """Kind of input: "spikes" or "currents"."""
        return self._inputs

    @property
    def n_inputs(self) -> int:
        """Number of input neurons."""
        return self._layers[0].n_pre

    def __repr__(self) -> str:
        shape = "-".join(map(str, (self.n_inputs, *self.sizes)))
        return f"Network({shape}, neuron={self._layers[0].model.name!r}, dtype={self._dtype})"

    def _repr_svg_(self) -> str:
        """Return the picture for notebooks."""
        return draw([self.n_inputs, *self.sizes], self._layers[0].model.name)

    @overload
    def run(
        self,
        times: ArrayLike,
        indices: ArrayLike,
        duration: float,
        record: Literal["spikes"] = "spikes",
        *,
        carry: bool = False,
        membranes: Any = None,
        membrane_step: float = 0.1,
        initial: Any = None,
        currents: ArrayLike | None = None,
    ) -> SpikeRecord: ...
    @overload
    def run(
        self,
        times: ArrayLike,
        indices: ArrayLike,
        duration: float,
        record: Literal["counts"],
        *,
        carry: bool = False,
        membranes: Any = None,
        membrane_step: float = 0.1,
        initial: Any = None,
        currents: ArrayLike | None = None,
    ) -> list[Int64]: ...

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
        currents: ArrayLike | None = None,
    ) -> SpikeRecord | list[Int64]:
        """Run input spikes through the net.

        Spikes that arrive at the same time are delivered together. A neuron fires at most once per
        time of arrival in its layer.

        Parameters
        ----------
        times
            (n,) spike times of input neurons in ms from the start of the run; sorted, within [0,
            duration].
        indices
            (n,) input neuron of each spike. The same pair twice counts twice.
        duration
            Length of the run in ms.
        record
            "spikes" for a `SpikeRecord`; "counts" for the number of spikes of each neuron, a list
            with one array per layer.
        carry
            Whether to continue from the membranes, thresholds and spikes under way at the end of
            the last run; otherwise the net starts at rest.
        membranes
            Membranes to record as well: ``{layer: [neuron, ...]}``.
        membrane_step
            Time between membrane samples in ms. Samples are exact values, not a simulation grid.
        initial
            Membranes at time 0, one array per layer, instead of rest.
        currents
            (n_inputs,) constant inputs of a net with inputs="currents".

        Raises
        ------
        InputError
            The spikes are unsorted, out of range or not finite, before anything runs; or a layer
            with a queue fires endlessly. The net is at rest afterwards.
        """
        net = self._net
        window = checked_duration(duration)
        checked_record(record)
        sent, sources = checked_spikes(times, indices, net)
        if membranes is not None and record != "spikes":
            raise InputError("`membranes` requires record='spikes', got record='counts'")
        probe = None
        if membranes is not None:
            probe = MembraneProbe(membranes, membrane_step, window, self._layers)
        if currents is not None or self._inputs == "currents":
            self._set_currents(currents, carry, len(sent))
        if not carry:
            net.reset()
        if initial is not None:
            net.begin(checked_membranes(initial, self._layers, self._dtype))
        if probe is not None:
            probe.store_start(net)
        bad = net.run(sent, sources, window)
        if bad >= 0:
            raise InputError(describe_bad_event(bad, sent, sources, self.n_inputs, window))
        if record == "counts":
            return net.counts_by_layer()
        result = self._record(window)
        return result if probe is None else probe.add_to(result, net, sent, sources)

    def _record(self, duration: float) -> SpikeRecord:
        """Return the spikes of the last run."""
        times, indices, bounds = self._net.spikes()
        layer = np.repeat(self._layer_numbers, np.diff(bounds))
        return SpikeRecord(
            times.astype(self._dtype), indices.astype(np.int32), layer, self.sizes, duration
        )

    def reset(self) -> None:
        """Set every neuron to rest and forget spikes under way."""
        self._net.reset()

    @overload
    def run_many(
        self,
        samples: Iterable[Any],
        duration: float,
        record: Literal["spikes"] = "spikes",
        threads: int | None = None,
    ) -> list[SpikeRecord]: ...
    @overload
    def run_many(
        self,
        samples: Iterable[Any],
        duration: float,
        record: Literal["counts"],
        threads: int | None = None,
    ) -> list[list[Int64]]: ...

    def run_many(
        self,
        samples: Iterable[Any],
        duration: float,
        record: Literal["spikes", "counts"] = "spikes",
        threads: int | None = None,
    ) -> list[Any]:
        """Run many samples, each from rest, on several threads; the state of the net is unchanged.

        Parameters
        ----------
        samples
            Pairs (times, indices) as `run` takes them; for a net with inputs="currents", arrays
            (n_inputs,) of currents.
        duration
            Length of each run in ms.
        record
            What to return for each sample, as in `run`.
        threads
            Number of threads; None: one per core that this process may use. Threads share the
            weights; each has its own membranes.

        Returns
        -------
        The results of `run` for each sample, in order and bit-identical.

        Raises
        ------
        InputError
            As in `run`, with the number of the sample.

        Examples
        --------
        >>> from loco_stream import Network
        >>> net = Network.from_weights([[[0.6]]])
        >>> net.run_many([([1.0, 2.0], [0, 0]), ([1.0], [0])], duration=5.0, record="counts")
        [[array([1])], [array([0])]]
        """
        return run_many(self, samples, duration, record, threads)

    def copy(self) -> Network:
        """Return a net with the same weights and a state of its own, at rest.

        A net can be used by one thread at a time.
        """
        other = copy(self)
        other._net = self._net.copy()
        return other

    def run_clocked(self, inputs: ArrayLike, dt: float) -> list[Bool]:
        """Run the net from rest on a time grid, as clocked simulators and chips do.

        For spikes on the grid and without a drive the results are those of `run`. With a drive,
        neurons fire at the end of the step in which they reach their threshold.

        Parameters
        ----------
        inputs
            (steps, n_inputs), or (..., steps, n_inputs) for many samples: the spikes of each step,
            or the currents.
        dt
            Time step in ms. A spike in step k arrives at k dt.

        Returns
        -------
        One array (..., steps, n_post) per layer: which neurons fire in which step.

        Raises
        ------
        ConfigError
            The net has neurons, delays or connections that are not defined on a grid.
        InputError
            The inputs do not fit the net.

        Examples
        --------
        >>> from loco_stream import Network
        >>> net = Network.from_weights([[[0.6]]], reset="zero")
        >>> net.run_clocked([[1], [1], [0]], dt=1.0)[0].ravel().tolist()
        [False, True, False]
        """
        return run_clocked(self._layers, inputs, dt, self._inputs == "currents")

    def _set_currents(self, currents: ArrayLike | None, carry: bool, n_spikes: int) -> None:
        """Set the drive of the first layer for the next run."""
        if self._inputs != "currents":
            raise InputError("`currents` must be None in a net with inputs='spikes'")
        if n_spikes > 0 or carry:
            raise InputError(
                "`times` must be empty and `carry` False in a net with inputs='currents', got "
                f"{counted(n_spikes, 'spike')} and carry={carry}"
            )
        first = self._layers[0]
        net = self._net
        assert isinstance(net, QueuedNet)
        net.layers[0].layer = first.driven(checked_currents(currents, first.n_pre))


def _is(value: Any, default: float) -> bool:
    """Return whether a number was left at its default."""
    return isinstance(value, (int, float)) and value == default
