"""Nets as files of the Neuromorphic Intermediate Representation (NIR), for other simulators and for chips.

NIR has tau dv/dt = v_leak - v + r I, a spike where v > v_threshold, then v = v_reset. Those who
read it take Euler steps of dt. With tau' = dt / (1 - exp(-dt / tau)) such a step keeps exp(-dt /
tau) of the membrane, as ours decays, and takes the share 1 - exp(-dt / tau) of the input: a spike
that is to jump by J comes with J over that share, while a current comes as the level it leads to.

References
----------
Pedersen et al. 2024, Neuromorphic intermediate representation: a unified instruction set for
interoperable brain-inspired computing, Nature Communications 15, 8122.
"""

from __future__ import annotations

import math
from itertools import pairwise
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import ConfigError, InputError, LocoStreamError
from loco_stream.simulator.clocked import require_grid
from loco_stream.simulator.layers import Layer
from loco_stream.simulator.readout import Readout

__all__ = ["metadata_of", "read_graph", "read_network", "step_of", "write_network"]

_MS = 1e-3  # seconds
_DEFAULT_STEP = 0.1  # ms


def write_network(
    path: str | PathLike[str], layers: list[Layer], inputs: str, dt: float, readout: Readout | None
) -> None:
    """Write a file; see `Network.to_nir`."""
    require_grid(layers, "to_nir")
    if not 0.0 < dt < math.inf:
        raise ConfigError(f"dt is {dt!r}; it must be a number of ms above 0")
    if not all(layer.reset_zero for layer in layers):
        raise ConfigError(
            "reset is 'subtract'; NIR knows only a reset to a fixed membrane: make the net, or train the model, with "
            "reset='zero'"
        )
    nir = _nir()
    nodes: dict[str, Any] = {"input": nir.Input(np.array([layers[0].n_pre]))}
    for i, layer in enumerate(layers):
        nodes[f"weights_{i}"], nodes[f"neurons_{i}"] = _layer_nodes(
            nir, layer, dt, currents=inputs == "currents" and i == 0
        )
    if readout is not None:
        nodes["traces"], nodes["readout"] = _readout_nodes(nir, readout, dt)
    nodes["output"] = nir.Output(
        np.array([layers[-1].n_post if readout is None else len(readout.bias)])
    )
    names = list(nodes)
    metadata = {
        "made_by": "loco_stream",
        "time_unit": "s",
        "dt": dt * _MS,
        "reset": "zero",
        "inputs": inputs,
    }
    if readout is not None:
        metadata |= {
            "classes": "\n".join(map(str, readout.classes)),
            "tau_trace": readout.tau * _MS,
        }
    nir.write(str(path), nir.NIRGraph(nodes, list(pairwise(names)), metadata=metadata))


def _layer_nodes(nir: Any, layer: Layer, dt: float, *, currents: bool) -> tuple[Any, Any]:
    """Return the nodes of a layer's weights and of its neurons."""
    dense = layer.forward.dense
    assert dense is not None
    share = -math.expm1(-dt / layer.tau)
    weight = np.ascontiguousarray(dense.T / (1.0 if currents else share)).astype(dense.dtype)
    bias = layer.drive.astype(dense.dtype)
    zero = np.zeros(layer.n_post, np.float32)
    threshold = np.nextafter(layer.threshold.astype(np.float32), np.float32(0.0))
    neurons = nir.LIF(
        tau=np.full(layer.n_post, dt * _MS / share),
        r=zero + 1,
        v_leak=zero,
        v_reset=zero,
        v_threshold=threshold,
    )
    return nir.Affine(weight, bias) if bias.any() else nir.Linear(weight), neurons


def _readout_nodes(nir: Any, readout: Readout, dt: float) -> tuple[Any, Any]:
    """Return the nodes of the trace and of the scores.

    A spike of one step of dt is an impulse of area dt: with w_in = tau / dt the membrane rises by
    the trace's kernel, 2 (exp(-s / tau) - exp(-2 s / tau)).
    """
    n = len(readout.weights)
    slow = readout.tau * _MS
    tau = np.full(n, slow)
    traces = nir.CubaLI(
        tau_syn=tau / 2, tau_mem=tau, r=np.ones(n), v_leak=np.zeros(n), w_in=tau / (dt * _MS)
    )
    return traces, nir.Affine(np.ascontiguousarray(readout.weights.T), readout.bias)


def read_graph(path: str | PathLike[str]) -> Any:
    """Return the graph of a file; raises `InputError` if it cannot be read."""
    nir = _nir()
    try:
        return nir.read(str(path))
    except FileNotFoundError:
        raise InputError(f"cannot read {path}: No such file or directory") from None
    except Exception as error:  # h5py and nir raise whatever they meet
        raise InputError(
            f"{path} is no NIR file that can be read: {type(error).__name__}: {error}"
        ) from error


def metadata_of(graph: Any) -> dict[str, Any]:
    """Return what a file says beside its nodes."""
    return graph.metadata if isinstance(graph.metadata, dict) else {}


def step_of(graph: Any) -> float:
    """Return the step in ms that a file is made for.

    As it says, or snnTorch's, which writes none.
    """
    return float(metadata_of(graph).get("dt", _DEFAULT_STEP * _MS)) / _MS


def read_network(
    path: str | PathLike[str], dt: float | None = None
) -> tuple[dict[str, Any], Readout | None]:
    """Return the arguments of `Network.from_weights` for the net of a file, and its readout.

    See `Network.from_nir`.
    """
    graph = read_graph(path)
    metadata = metadata_of(graph)
    step = step_of(graph) if dt is None else dt
    if not 0.0 < step < math.inf:
        raise InputError(f"dt is {step!r}; it must be a number of ms above 0")
    inputs = _text(metadata.get("inputs", "spikes"))
    chain = _chain(graph)
    readout = _read_readout(chain, metadata)
    layers = _read_layers(chain, step, inputs)
    described = {
        name: [layer[name] for layer in layers] for name in ("weights", "tau", "threshold", "drive")
    }
    kind = np.result_type(np.float32, *(weights.dtype for weights in described["weights"]))
    return {**described, "reset": "zero", "inputs": inputs, "dtype": kind}, readout


def _chain(graph: Any) -> list[tuple[str, Any]]:
    """Return the nodes from the input to the output, without these two.

    Raises `InputError` where they branch.
    """
    names = [name for name, node in graph.nodes.items() if type(node).__name__ == "Input"]
    if len(names) != 1:
        raise InputError(f"the file has {len(names)} Input nodes; one is allowed")
    chain: list[tuple[str, Any]] = []
    name = names[0]
    while type(graph.nodes[name]).__name__ != "Output":
        following = sorted({b for a, b in graph.edges if a == name})
        if len(following) != 1 or len(chain) > len(graph.nodes):
            raise InputError(
                f"node {name!r} leads to {following}; only chains from Input to Output can be read"
            )
        name = following[0]
        chain.append((name, graph.nodes[name]))
    return chain[:-1]


def _read_readout(chain: list[tuple[str, Any]], metadata: dict[str, Any]) -> Readout | None:
    """Take the readout from the end of a chain, if it has one."""
    kinds = [type(node).__name__ for _, node in chain[-2:]]
    if kinds != ["CubaLI", "Affine"] or "tau_trace" not in metadata:
        return None
    affine = chain[-1][1]
    del chain[-2:]
    return Readout(
        float(metadata["tau_trace"]) / _MS,
        np.asarray(affine.weight, np.float64).T,
        np.asarray(affine.bias, np.float64),
        tuple(_text(metadata["classes"]).split("\n")),
    )


def _read_layers(chain: list[tuple[str, Any]], dt: float, inputs: str) -> list[dict[str, Any]]:
    """Return the numbers of each pair of weights and neurons."""
    if not chain or len(chain) % 2:
        raise InputError(
            f"the file has {len(chain)} nodes between Input and Output; they must be weights and LIF in turn"
        )
    layers = []
    for i in range(0, len(chain), 2):
        (name, weights), (neuron_name, neurons) = chain[i], chain[i + 1]
        if type(weights).__name__ not in ("Affine", "Linear") or np.ndim(weights.weight) != 2:
            raise InputError(
                f"node {name!r} is a {type(weights).__name__}; allowed there are Affine and Linear matrices"
            )
        if type(neurons).__name__ != "LIF":
            raise InputError(
                f"node {neuron_name!r} is a {type(neurons).__name__}; allowed there is LIF"
            )
        layers.append(
            _read_layer(neuron_name, weights, neurons, dt, currents=inputs == "currents" and i == 0)
        )
    return layers


def _read_layer(
    name: str, weights: Any, neurons: Any, dt: float, *, currents: bool
) -> dict[str, Any]:
    """Return weights, drive, tau and threshold of one layer."""
    n_post = np.shape(weights.weight)[0]
    slow = np.asarray(neurons.tau, np.float64) / _MS
    if np.any(neurons.v_reset):
        raise InputError(
            f"v_reset of {name!r} holds {np.max(np.abs(neurons.v_reset))}; only a reset to 0 can be read"
        )
    if slow.size == 0 or slow.min() != slow.max():
        raise InputError(f"tau of {name!r} differs between its neurons; a layer here has one")
    share = dt / float(slow.flat[0])
    if not 0.0 < share < 1.0:
        raise InputError(
            f"tau of {name!r} is {slow.flat[0]:g} ms; it must be longer than the step of {dt:g} ms"
        )
    r = np.broadcast_to(np.asarray(neurons.r, np.float64).ravel(), n_post)
    bias = np.asarray(getattr(weights, "bias", 0.0), np.float64)
    matrix = np.asarray(weights.weight)
    kind = np.dtype(np.float64) if matrix.dtype == np.float64 else np.dtype(np.float32)
    return {
        "weights": (matrix.T * r * (1.0 if currents else share)).astype(kind),
        "drive": np.broadcast_to(r * bias + np.asarray(neurons.v_leak, np.float64).ravel(), n_post),
        "tau": -dt / math.log1p(-share),
        "threshold": _next_above(np.broadcast_to(np.ravel(neurons.v_threshold), n_post)),
    }


def _next_above(threshold: NDArray[Any]) -> NDArray[np.float64]:
    """Return the least number that exceeds a threshold, in the numbers of the file."""
    kind = threshold.dtype if threshold.dtype == np.float64 else np.dtype(np.float32)
    return np.nextafter(threshold.astype(kind), kind.type(np.inf)).astype(np.float64)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _nir() -> Any:
    try:
        import nir
    except ImportError:
        raise LocoStreamError(
            "NIR files need the package nir: pip install 'loco-stream[nir]'"
        ) from None
    return nir
