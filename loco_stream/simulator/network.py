"""The simulator for everybody.

Describe a spiking net by its weights, run spikes through it, exactly.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from os import PathLike
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from loco_stream.errors import ConfigError, InputError
from loco_stream.neurons import find
from loco_stream.simulator.checks import (
    checked_currents,
    checked_duration,
    checked_membranes,
    checked_spikes,
    is_default,
    what_is_wrong,
)
from loco_stream.simulator.clocked import run_clocked
from loco_stream.simulator.dense_net import DenseNet
from loco_stream.simulator.layers import Layer, checked_dtype, describe
from loco_stream.simulator.many import run_many
from loco_stream.simulator.picture import draw
from loco_stream.simulator.probe import MembraneProbe, Simulation
from loco_stream.simulator.queued_net import QueuedNet
from loco_stream.simulator.readout import Readout
from loco_stream.simulator.record import SpikeRecord

__all__ = ["Network", "SpikeRecord"]


class Network:
    """A spiking net simulated event by event, without a time grid.

    Build it with `Network.from_weights`. Dense feed-forward nets of plain neurons without delays
    run layer by layer, many events a nanosecond; everything else (delays, recurrence, sparse
    weights, drive, refractory periods, Izhikevich neurons) runs around a queue of spikes under way.

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
        self._layers = layers
        self._dtype = np.dtype(dtype)
        self._inputs = inputs
        self.readout: Readout | None = (
            None  # of the last layer's traces, in nets of trained models and from files
        )
        self._layer_numbers = np.arange(len(layers), dtype=np.int32)
        simple = inputs == "spikes" and all(
            layer.direct and layer.model.run_net is not None for layer in layers
        )
        self._net: Simulation = (
            DenseNet(layers, self._dtype) if simple else QueuedNet(layers, self._dtype)
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
        """Describe a net: one weight matrix a layer, and what its neurons do.

        Whatever is given as one value holds for all layers; a list (or tuple) has one item a layer.

        Parameters
        ----------
        weights
            One matrix (n_pre, n_post) a layer, dense or `scipy.sparse`; row j holds what a spike of
            presynaptic neuron j adds to each membrane (in units of the threshold; in mV for
            Izhikevich neurons).
        tau
            Membrane time constant in ms.
        threshold
            A neuron fires where its membrane is at or above it; a number or (n_post,), above 0.
            Membranes rest at 0.
        reset
            After a spike the threshold is subtracted from the membrane, or the membrane becomes
            zero.
        neuron
            "lif": leaky integrate-and-fire. "alif": the same with a threshold that each spike
            raises by `adapt` and that returns with time constant `tau_adapt`. "izhikevich": the
            two-variable model of 2003, in mV; it takes neither tau, threshold nor reset.
            `loco_stream.neurons.register` adds further models.
        delays
            Time from a spike to its arrival in ms, a number or one a connection (in the shape of
            the weights).
        recurrent
            Matrices (n_post, n_post) from a layer to itself, or None.
        recurrent_delays
            Their delays in ms. The default of 1 ms is that of a local synapse; 0 is possible where
            neurons only fire when spikes arrive.
        drive
            Constant input: the value the membrane goes to without spikes, a number or (n_post,).
            Above threshold, neurons fire by themselves. For Izhikevich neurons it is the current I.
        refractory
            Time after a spike in ms during which the membrane stands still and input is lost.
        inputs
            What the first layer's weights carry: "spikes", or "currents" that are constant through
            a run and are given to it: a current of 1 then adds its weight to the drive.
        dtype
            float32 or float64: of weights, and of membranes where no queue is needed; nets with a
            queue keep membranes and times in float64.
        parameters
            For "alif": `tau_adapt` (100 ms) and `adapt` (0.2). For "izhikevich": `a` (0.02), `b`
            (0.2), `c` (-65), `d` (8), `peak` (30) and `tolerance` (1e-6 mV), the largest estimated
            error of one integration step.

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
        kind = checked_dtype(dtype)
        if not find(neuron).leaky and not (
            is_default(tau, 20.0) and is_default(threshold, 1.0) and reset == "subtract"
        ):
            own = ", ".join(find(neuron).parameters)
            raise ConfigError(
                f"neuron={neuron!r} takes no tau, threshold or reset; its parameters are: {own}"
            )
        if inputs not in ("spikes", "currents"):
            raise ConfigError(f"inputs is {inputs!r}; allowed are 'spikes' and 'currents'")
        layers = describe(
            weights,
            tau,
            threshold,
            reset,
            neuron,
            delays,
            recurrent,
            recurrent_delays,
            drive,
            refractory,
            kind,
            parameters,
        )
        return cls(layers, kind, inputs)

    @classmethod
    def from_nir(cls, path: str | PathLike[str], dt: float | None = None) -> Network:
        """Read a net from a file in the Neuromorphic Intermediate Representation.

        Needs the extra `nir`.

        Parameters
        ----------
        path
            A chain of Affine or Linear and LIF nodes, with a CubaLI and an Affine after it or not.
        dt
            Step in ms of the machine the file was made for. None: as the file says, or 0.1 ms,
            which is snnTorch's.

        Raises
        ------
        InputError
            The file cannot be read, or holds what this simulator does not know; the text names the
            node.

        References
        ----------
        Pedersen et al. 2024, Neuromorphic intermediate representation, Nature Communications 15.
        """
        from loco_stream.simulator.interchange import read_network

        described, readout = read_network(path, dt)
        net = cls.from_weights(**described)
        net.readout = readout
        return net

    def to_nir(self, path: str | PathLike[str], dt: float = 0.1, readout: bool = False) -> None:
        """Write the net as a file in the Neuromorphic Intermediate Representation.

        Needs the extra `nir`.

        On steps of `dt` it computes what `run_clocked` does: time constants become dt / (1 -
        exp(-dt / tau)), weights of spikes W / (1 - exp(-dt / tau)). Times are in seconds there; its
        threshold, which must be exceeded, is the next number below ours.

        Parameters
        ----------
        path
            The file, in HDF5.
        dt
            Step in ms of the machine it is for. snnTorch takes every file for one of 0.1 ms.
        readout
            Whether to add the readout, if there is one, as a CubaLI node, whose membrane is the
            trace, and an Affine; snnTorch and Norse read neither.

        Raises
        ------
        ConfigError
            The net cannot be said there: the reset subtracts, or neurons, delays or recurrence are
            not of its kind.
        """
        from loco_stream.simulator.interchange import write_network

        write_network(path, self._layers, self._inputs, dt, self.readout if readout else None)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of neurons of each layer."""
        return tuple(layer.n_post for layer in self._layers)

    @property
    def inputs(self) -> str:
        """What the first layer's weights carry: "spikes" or "currents"."""
        return self._inputs

    @property
    def n_inputs(self) -> int:
        """Number of input neurons."""
        return self._layers[0].n_pre

    def __repr__(self) -> str:
        shape = "-".join(map(str, (self.n_inputs, *self.sizes)))
        return f"Network({shape}, neuron={self._layers[0].model.name!r}, dtype={self._dtype})"

    def _repr_svg_(self) -> str:
        """Return the picture that a notebook shows."""
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
    ) -> list[NDArray[np.int64]]: ...

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
    ) -> SpikeRecord | list[NDArray[np.int64]]:
        """Run input spikes through the net.

        Spikes that arrive at one time are delivered together; a neuron fires at most once per time
        of arrival in its layer.

        Parameters
        ----------
        times
            (n,) when input neurons fire, in ms from the start of the call; sorted, within [0,
            duration].
        indices
            (n,) which of them. The same pair twice counts twice.
        duration
            Length of the run in ms.
        record
            "spikes" for a `SpikeRecord`; "counts" for a list with the number of spikes of each
            neuron, one array a layer.
        carry
            Begin with the membranes, thresholds and spikes under way that the last call left,
            `duration` ms after it began; otherwise at rest.
        membranes
            Which membranes to record as well: `{layer: [neuron, ...]}`.
        membrane_step
            Time between their samples in ms; samples are exact values, not a simulation grid.
        initial
            Membranes at time 0, one array a layer, instead of rest.
        currents
            (n_inputs,) constant inputs of a net with inputs="currents".

        Raises
        ------
        InputError
            If the spikes are unsorted, out of range or not finite, before anything runs; or if a
            layer around the queue fires without end. The net is at rest afterwards.
        """
        net = self._net
        window = checked_duration(duration)
        if record not in ("spikes", "counts"):
            raise InputError(f"record is {record!r}; allowed are 'spikes' and 'counts'")
        sent, sources = checked_spikes(times, indices, net)
        if membranes is not None and record != "spikes":
            raise InputError("membranes are part of a SpikeRecord: use record='spikes'")
        probe = (
            None
            if membranes is None
            else MembraneProbe(membranes, membrane_step, window, self._layers)
        )
        if currents is not None or self._inputs == "currents":
            self._drive_by(currents, carry, len(sent))
        if not carry:
            net.reset()
        if initial is not None:
            net.begin(checked_membranes(initial, self._layers, self._dtype))
        if probe is not None:
            probe.note_start(net)
        bad = net.run(sent, sources, window)
        if bad >= 0:
            raise InputError(what_is_wrong(bad, sent, sources, self.n_inputs, window))
        if record == "counts":
            return net.counts_by_layer()
        when, who, bounds = net.spikes()
        layer = np.repeat(self._layer_numbers, np.diff(bounds))
        result = SpikeRecord(
            when.astype(self._dtype), who.astype(np.int32), layer, self.sizes, window
        )
        return result if probe is None else probe.add_to(result, net, sent, sources)

    def reset(self) -> None:
        """Put every neuron to rest and forget spikes under way."""
        self._net.reset()

    def run_many(
        self,
        samples: Iterable[Any],
        duration: float,
        record: Literal["spikes", "counts"] = "spikes",
        threads: int | None = None,
    ) -> list[Any]:
        """Run many samples, each from rest, on several threads; the net's own state stays as it is.

        Parameters
        ----------
        samples
            Pairs (times, indices) as `run` takes them; of a net with inputs="currents", arrays
            (n_inputs,) of currents.
        duration
            Length of each run in ms.
        record
            What to return of each, as in `run`.
        threads
            How many; None: one for each core this process may use. They share the weights; each has
            its own membranes.

        Returns
        -------
        What `run` gives for each sample, in order, the same to the byte.

        Raises
        ------
        InputError
            As `run` does, with the number of the sample.

        Examples
        --------
        >>> from loco_stream import Network
        >>> net = Network.from_weights([[[0.6]]])
        >>> net.run_many([([1.0, 2.0], [0, 0]), ([1.0], [0])], duration=5.0, record="counts")
        [[array([1])], [array([0])]]
        """
        return run_many(self, samples, duration, record, threads)

    def copy(self) -> Network:
        """Return a net with the same weights and membranes of its own, at rest.

        A net is for one thread at a time.
        """
        other = copy(self)
        other._net = self._net.copy()
        return other

    def run_clocked(self, inputs: ArrayLike, dt: float) -> list[NDArray[np.bool_]]:
        """Run the net on a time grid, from rest, as clocked simulators and chips do.

        Spikes on the grid and no drive give what `run` gives; under a drive, neurons fire at the
        end of the step in which they reach their threshold.

        Parameters
        ----------
        inputs
            (steps, n_inputs), or (..., steps, n_inputs) for many samples: the spikes of each step,
            or the currents.
        dt
            Length of a step in ms. A spike in step k arrives at k dt.

        Returns
        -------
        One array (..., steps, n_post) a layer: who fired in which step.

        Raises
        ------
        ConfigError
            The net has neurons, delays or connections that have no meaning on a grid.
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

    def _drive_by(self, currents: ArrayLike | None, carry: bool, n_spikes: int) -> None:
        """Set the first layer's drive for the next run."""
        if self._inputs != "currents" or n_spikes > 0 or carry:
            raise InputError(
                "currents drive a net made with inputs='currents' through one run from rest: "
                "they go neither with input spikes nor with carry"
            )
        first = self._layers[0]
        net = self._net
        assert isinstance(net, QueuedNet)
        net.layers[0].layer = first.driven(checked_currents(currents, first.n_pre))
