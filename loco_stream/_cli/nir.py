"""`loco-stream nir`: inspect a file in the Neuromorphic Intermediate Representation and run it."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from loco_stream._cli._option_group import PATH
from loco_stream._ranges import FiniteNumber, FloatRange, IntRange

if TYPE_CHECKING:
    from loco_stream._arrays import Array
    from loco_stream._simulator.network import Network


@click.command("nir", short_help="Check a NIR file and run it on random samples.")
@click.argument("path", type=PATH, metavar="FILE")
@click.option(
    "--dt",
    type=FiniteNumber(),
    metavar="MS",
    help="Time step of the target machine (default: as stated in the file, or 0.1).",
)
@click.option(
    "--samples",
    type=IntRange(1, 10_000),
    default=16,
    help="Number of random samples to run.",
)
@click.option(
    "--steps",
    type=IntRange(1, 100_000),
    default=200,
    help="Time steps per sample.",
)
@click.option(
    "--rate",
    type=FloatRange(0.0, 1.0),
    default=0.1,
    help="Input spikes per input neuron and step.",
)
@click.option(
    "--seed",
    type=IntRange(min=0),
    default=0,
    help="Seed of the random samples.",
)
@click.option(
    "--save",
    type=PATH,
    metavar="RUN.npz",
    help="Save inputs, time step and spike counts, to compare with other simulators.",
)
def command(
    path: str,
    dt: float | None,
    samples: int,
    steps: int,
    rate: float,
    seed: int,
    save: str | None,
) -> None:
    """Print the nodes of a NIR file, check that it can be read, and run it on random input.

    \b
    Examples
      loco-stream nir net.nir
      loco-stream nir net.nir --samples 100 --steps 1000
      loco-stream nir net.nir --save run.npz

    The input is spikes on the time grid or constant currents, as the file requires.
    benchmarks/peers/nir_peers.py in the source repository runs a saved run on snnTorch or Norse and
    compares the spike counts of the last layer.
    """
    import numpy as np

    from loco_stream._persistence.outputs import check_output, write_output
    from loco_stream._simulator.network import Network
    from loco_stream._simulator.nir_files import metadata_of, read_graph, step_of

    check_output("--save", save)
    graph = read_graph(path)
    _print_nodes(graph.nodes, metadata_of(graph))
    net = Network.from_nir(path, dt)
    step = step_of(graph) if dt is None else dt
    click.echo(f"read as        {net!r}, time step {step:g} ms")
    inputs = _samples(net, samples, steps, rate, seed)
    counts = net.run_clocked(inputs, step)[-1].sum(-2)
    click.echo(f"spikes         {int(counts.sum())} in {samples} samples of {steps} steps")
    if save is not None:
        content = io.BytesIO()
        np.savez_compressed(content, inputs=inputs, dt=step, counts=counts)
        write_output("the run", save, content.getvalue())


def _print_nodes(nodes: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
    for name, node in nodes.items():
        click.echo(f"{name:<14} {type(node).__name__:<8} {_shapes(node)}")
    for key, value in metadata.items():
        click.echo(f"{key:<14} {value!r}")


def _shapes(node: Any) -> str:
    """Return the shapes of a node's arrays, and their values where all are equal."""
    arrays = {key: value for key, value in vars(node).items() if hasattr(value, "shape")}
    texts = []
    for key, value in arrays.items():
        is_constant = value.size > 0 and value.min() == value.max()
        texts.append(f"{key} {value.shape}" + (f" all {value.flat[0]:g}" if is_constant else ""))
    return ", ".join(texts)


def _samples(net: Network, samples: int, steps: int, rate: float, seed: int) -> Array:
    """Return random inputs (samples, steps, n_inputs).

    Spikes, or currents between 0 and 1 that are constant in each sample.
    """
    import numpy as np

    from loco_stream import _rng as rng

    n = net.n_inputs * samples * (1 if net.inputs == "currents" else steps)
    uniform = rng.uniforms(rng.derive_key(seed, 0), 0, n)
    if net.inputs == "currents":
        return np.repeat(uniform.reshape(samples, 1, net.n_inputs), steps, axis=1)
    return (uniform.reshape(samples, steps, net.n_inputs) < rate).astype(np.float64)
