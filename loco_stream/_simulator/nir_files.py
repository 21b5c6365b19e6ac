"""Files in the Neuromorphic Intermediate Representation (NIR), for other simulators and chips.

In NIR, LIF neurons follow tau dv/dt = v_leak - v + r I, fire where v > v_threshold, and are set to
v_reset. Machines that read a file take Euler steps of dt. With tau' = dt / (1 - exp(-dt / tau)) a
step keeps exp(-dt / tau) of the membrane, as here, and takes the share 1 - exp(-dt / tau) of the
input. A spike that adds J to the membrane is therefore written as J divided by that share, a
current as the level it leads to.

References
----------
Pedersen et al. 2024, Neuromorphic intermediate representation: a unified instruction set for
interoperable brain-inspired computing, Nature Communications 15, 8122.
"""

from __future__ import annotations

import io
import math
import os
import stat
from itertools import pairwise
from os import PathLike
from typing import Any, TypeAlias

import numpy as np

from loco_stream._arrays import AnyFloat, Float64
from loco_stream._persistence.outputs import write_output
from loco_stream._simulator import nir_reader
from loco_stream._simulator.clocked import require_grid
from loco_stream._simulator.layers import Layer
from loco_stream._simulator.linear_readout import Readout
from loco_stream.errors import ConfigError, InputError, LocoStreamError

_MS = 1e-3  # seconds
_DEFAULT_STEP = 0.1  # ms
Untyped: TypeAlias = Any  # the package nir and its nodes have no types
Path: TypeAlias = str | PathLike[str]
Chain: TypeAlias = list[tuple[str, Untyped]]


def write_network(
    path: Path, layers: list[Layer], inputs: str, dt: float, readout: Readout | None
) -> None:
    """Write a file; see `Network.to_nir`."""
    _require_nir(layers, dt)
    nir = _nir()
    nodes: dict[str, Untyped] = {"input": nir.Input(np.array([layers[0].n_pre]))}
    for i, layer in enumerate(layers):
        currents = inputs == "currents" and i == 0
        weights, neurons = _layer_nodes(nir, layer, dt, currents=currents)
        nodes[f"weights_{i}"] = weights
        nodes[f"neurons_{i}"] = neurons
    n_outputs = layers[-1].n_post
    if readout is not None:
        nodes["traces"], nodes["readout"] = _readout_nodes(nir, readout, dt)
        n_outputs = len(readout.bias)
    nodes["output"] = nir.Output(np.array([n_outputs]))
    metadata = _metadata(inputs, dt, readout)
    content = io.BytesIO()
    nir.write(content, nir.NIRGraph(nodes, list(pairwise(nodes)), metadata=metadata))
    write_output("the net", path, content.getvalue())


def _metadata(inputs: str, dt: float, readout: Readout | None) -> dict[str, object]:
    """Return the metadata of a file."""
    metadata: dict[str, object] = {
        "made_by": "loco_stream",
        "time_unit": "s",
        "dt": dt * _MS,
        "reset": "zero",
        "inputs": inputs,
    }
    if readout is not None:
        metadata["classes"] = "\n".join(map(str, readout.classes))
        metadata["tau_trace"] = readout.tau * _MS
    return metadata


def _require_nir(layers: list[Layer], dt: float) -> None:
    """Raise `ConfigError` for a net that NIR cannot represent."""
    require_grid(layers, "to_nir")
    if not 0.0 < dt < math.inf:
        raise ConfigError(f"`dt` must be a number of ms above 0, got {dt!r}")
    for i, layer in enumerate(layers):
        if layer.model.nir_node != "LIF":
            raise ConfigError(
                f"to_nir requires neurons with a node type in NIR, got "
                f"neuron={layer.model.name!r} in layer {i}"
            )
    if not all(layer.reset_zero for layer in layers):
        raise ConfigError(
            "`reset` must be 'zero' for to_nir, since NIR resets membranes to a constant, "
            "got 'subtract'; make the net, or train the model, with reset='zero'"
        )


def _layer_nodes(
    nir: Untyped, layer: Layer, dt: float, *, currents: bool
) -> tuple[Untyped, Untyped]:
    """Return the nodes of the weights and of the neurons of a layer."""
    dense = layer.forward.dense
    assert dense is not None
    share = -math.expm1(-dt / layer.tau)
    weight = np.ascontiguousarray(dense.T / (1.0 if currents else share)).astype(dense.dtype)
    bias = layer.drive.astype(dense.dtype)
    weights = nir.Affine(weight, bias) if bias.any() else nir.Linear(weight)
    return weights, _lif_node(nir, layer, dt * _MS / share)


def _lif_node(nir: Untyped, layer: Layer, tau: float) -> Untyped:
    zero = np.zeros(layer.n_post, np.float32)
    return nir.LIF(
        tau=np.full(layer.n_post, tau),
        r=zero + 1,
        v_leak=zero,
        v_reset=zero,
        v_threshold=np.nextafter(layer.threshold.astype(np.float32), np.float32(0.0)),
    )


def _readout_nodes(nir: Untyped, readout: Readout, dt: float) -> tuple[Untyped, Untyped]:
    """Return the nodes of the traces and of the scores.

    A spike in a step of dt is an impulse of area dt. With w_in = tau / dt it changes the membrane
    by the kernel of the trace, 2 (exp(-s / tau) - exp(-2 s / tau)).
    """
    n = len(readout.weights)
    slow = readout.tau * _MS
    tau = np.full(n, slow)
    traces = nir.CubaLI(
        tau_syn=tau / 2, tau_mem=tau, r=np.ones(n), v_leak=np.zeros(n), w_in=tau / (dt * _MS)
    )
    return traces, nir.Affine(np.ascontiguousarray(readout.weights.T), readout.bias)


def read_graph(path: Path) -> Untyped:
    """Return the graph of a file; raises `InputError` if it cannot be read."""
    _nir()
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
            raise InputError(f"cannot read {path}: it must be a regular file")
        return nir_reader.read(path)
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"cannot read {path}: No such file or directory") from None
    except Exception as error:  # nir raises errors of many kinds
        raise InputError(f"cannot read {path} as a NIR file: {error}") from error


def metadata_of(graph: Untyped) -> dict[str, Untyped]:
    """Return the metadata of a file."""
    return graph.metadata if isinstance(graph.metadata, dict) else {}


def step_of(graph: Untyped) -> float:
    """Return the time step in ms that a file states, or snnTorch's, which writes none."""
    return float(metadata_of(graph).get("dt", _DEFAULT_STEP * _MS)) / _MS


def read_network(path: Path, dt: float | None = None) -> tuple[dict[str, Untyped], Readout | None]:
    """Return the arguments of `Network.from_weights` for the net of a file, and its readout.

    See `Network.from_nir`.
    """
    graph = read_graph(path)
    metadata = metadata_of(graph)
    step = step_of(graph) if dt is None else dt
    if not 0.0 < step < math.inf:
        raise InputError(f"`dt` must be a number of ms above 0, got {step!r}")
    inputs = _text(metadata.get("inputs", "spikes"))
    chain = _chain(graph)
    readout = _read_readout(chain, metadata)
    layers = _read_layers(chain, step, inputs)
    names = ("weights", "tau", "threshold", "drive")
    arguments: dict[str, Untyped] = {name: [layer[name] for layer in layers] for name in names}
    kind = np.result_type(np.float32, *(weights.dtype for weights in arguments["weights"]))
    return {**arguments, "reset": "zero", "inputs": inputs, "dtype": kind}, readout


def _chain(graph: Untyped) -> Chain:
    """Return the nodes between input and output; raises `InputError` where they branch."""
    chain: Chain = []
    name = _input_name(graph)
    while _type(graph.nodes[name]) != "Output":
        following = sorted({b for a, b in graph.edges if a == name})
        if len(following) != 1 or len(chain) > len(graph.nodes):
            raise InputError(
                "the nodes of a NIR file must be a chain from Input to Output, "
                f"got {name!r} followed by {following}"
            )
        name = following[0]
        chain.append((name, graph.nodes[name]))
    return chain[:-1]


def _input_name(graph: Untyped) -> str:
    names = [name for name, node in graph.nodes.items() if _type(node) == "Input"]
    if len(names) != 1:
        raise InputError(f"a NIR file must have one Input node, got {len(names)}")
    return str(names[0])


def _type(node: Untyped) -> str:
    return type(node).__name__


def _checked_tau(seconds: Untyped) -> float:
    tau = float(seconds) / _MS
    if not 0.0 < tau < math.inf:
        raise InputError(f"`tau_trace` must be above 0 ms, got {tau:g}")
    return tau


def _read_readout(chain: Chain, metadata: dict[str, Untyped]) -> Readout | None:
    """Take the readout from the end of a chain, if it has one."""
    if [_type(node) for _, node in chain[-2:]] != ["CubaLI", "Affine"]:
        return None
    if "tau_trace" not in metadata:
        return None
    tau = _checked_tau(metadata["tau_trace"])
    affine = chain[-1][1]
    del chain[-2:]
    bias = np.asarray(affine.bias, np.float64)
    weights = np.asarray(affine.weight, np.float64).T
    return Readout(tau, weights, bias, _checked_classes(metadata, len(bias)))


def _checked_classes(metadata: dict[str, Untyped], n: int) -> tuple[str, ...]:
    """Return the classes of a readout with `n` scores; raises `InputError` for another number."""
    classes = tuple(_text(metadata.get("classes", "")).split("\n"))
    if len(classes) != n:
        raise InputError(f"`classes` must name the {n} classes of the readout, got {classes!r:.80}")
    return classes


def _read_layers(chain: Chain, dt: float, inputs: str) -> list[dict[str, Untyped]]:
    """Return the arguments of each layer, a pair of weights and neurons."""
    _check_pairs(chain)
    layers = []
    for i in range(0, len(chain), 2):
        weights = _checked_weights(*chain[i])
        neurons = chain[i + 1][1]
        share = _share(*chain[i + 1], dt)
        currents = inputs == "currents" and i == 0
        layers.append(_read_layer(weights, neurons, 1.0 if currents else share))
        layers[-1]["tau"] = -dt / math.log1p(-share)
    return layers


def _check_pairs(chain: Chain) -> None:
    if not chain or len(chain) % 2:
        raise InputError(
            "a NIR file must have pairs of weights and LIF nodes between Input and Output, "
            f"got {len(chain)} nodes"
        )


def _checked_weights(name: str, node: Untyped) -> Untyped:
    """Return a node of weights; raises `InputError` if it is another."""
    if _type(node) not in ("Affine", "Linear") or np.ndim(node.weight) != 2:
        raise InputError(f"node {name!r} must be an Affine or Linear matrix, got {_type(node)}")
    return node


def _share(name: str, neurons: Untyped, dt: float) -> float:
    """Return the share of its input that the membrane takes in a step; raises `InputError`."""
    if _type(neurons) != "LIF":
        raise InputError(f"node {name!r} must be LIF, got {_type(neurons)}")
    if np.any(neurons.v_reset):
        largest = np.max(np.abs(neurons.v_reset))
        raise InputError(f"v_reset of node {name!r} must be 0, got {largest}")
    tau = np.asarray(neurons.tau, np.float64) / _MS
    if tau.size == 0 or tau.min() != tau.max():
        raise InputError(
            f"tau of node {name!r} must be the same for all neurons, got {np.unique(tau).tolist()}"
        )
    share = dt / float(tau.flat[0]) if tau.flat[0] != 0.0 else math.inf
    if not 0.0 < share < 1.0 or math.log1p(-share) == 0.0:
        raise InputError(
            f"tau of node {name!r} must be longer than the time step of {dt:g} ms, "
            f"got {tau.flat[0]:g} ms"
        )
    return share


def _read_layer(weights: Untyped, neurons: Untyped, scale: float) -> dict[str, Untyped]:
    """Return weights, drive and threshold of a layer; `scale` is what weights are multiplied by."""
    n_post = np.shape(weights.weight)[0]
    r = np.broadcast_to(np.asarray(neurons.r, np.float64).ravel(), n_post)
    bias = np.asarray(getattr(weights, "bias", 0.0), np.float64)
    leak = np.asarray(neurons.v_leak, np.float64).ravel()
    matrix = np.asarray(weights.weight)
    kind = np.dtype(np.float64) if matrix.dtype == np.float64 else np.dtype(np.float32)
    return {
        "weights": (matrix.T * r * scale).astype(kind),
        "drive": np.broadcast_to(r * bias + leak, n_post),
        "threshold": _next_larger(np.broadcast_to(np.ravel(neurons.v_threshold), n_post)),
    }


def _next_larger(threshold: AnyFloat) -> Float64:
    """Return the smallest number above a threshold, in the precision of the file."""
    kind = threshold.dtype if threshold.dtype == np.float64 else np.dtype(np.float32)
    return np.nextafter(threshold.astype(kind), kind.type(np.inf)).astype(np.float64)


def _text(value: Untyped) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _nir() -> Untyped:
    try:
        import nir
    except ImportError:
        raise LocoStreamError(
            "NIR files require the package nir: pip install 'loco-stream[nir]'"
        ) from None
    return nir
