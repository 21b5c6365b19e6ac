"""`loco-stream nir`: look at a file of the Neuromorphic Intermediate Representation, and compare who runs it how."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from loco_stream.simulator.network import Network

__all__ = ["command"]

_PEERS = ("snntorch", "norse")


@click.command("nir")
@click.argument("path", metavar="FILE")
@click.option(
    "--dt",
    type=float,
    metavar="MS",
    help="Step of the machine it is for; otherwise as the file says, or 0.1.",
)
@click.option(
    "--samples",
    type=click.IntRange(1, 10_000),
    default=16,
    show_default=True,
    help="Random samples to run.",
)
@click.option(
    "--steps",
    type=click.IntRange(1, 100_000),
    default=200,
    show_default=True,
    help="Steps of a sample.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0.0, 1.0),
    default=0.1,
    show_default=True,
    help="Input spikes a step.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the samples."
)
@click.option(
    "--python", metavar="PATH", help="Python with snnTorch and Norse; otherwise this one."
)
def command(
    path: str,
    dt: float | None,
    samples: int,
    steps: int,
    rate: float,
    seed: int,
    python: str | None,
) -> None:
    """Print the nodes of a NIR file, check that it can be read, and run it here, on snnTorch and on Norse.

    \b
    Examples
      loco-stream nir net.nir
      loco-stream nir net.nir --samples 100 --steps 1000
      loco-stream nir net.nir --python out/venv-simulators/bin/python

    All get the same random input on the grid, spikes or constant currents as the file says;
    compared is how often each neuron of the last layer fires in each sample. snnTorch and Norse are
    found where they are installed; `make bench-peers` makes an environment with both. The exit code
    is 1 if one of them counts other spikes.
    """
    from loco_stream.simulator.interchange import metadata_of, read_graph, step_of
    from loco_stream.simulator.network import Network

    graph = read_graph(path)
    for name, node in graph.nodes.items():
        shapes = ", ".join(
            f"{key} {_shape(value)}" for key, value in vars(node).items() if hasattr(value, "shape")
        )
        click.echo(f"{name:<14} {type(node).__name__:<8} {shapes}")
    for key, value in metadata_of(graph).items():
        click.echo(f"{key:<14} {value!r}")
    net = Network.from_nir(path, dt)
    step = step_of(graph) if dt is None else dt
    click.echo(f"read as        {net!r}, steps of {step:g} ms")
    inputs = _samples(net, samples, steps, rate, seed)
    ours = net.run_clocked(inputs, step)[-1].sum(-2)
    click.echo(f"loco_stream    {int(ours.sum())} spikes in {samples} samples of {steps} steps")
    if net.readout is not None:
        click.echo(
            "snnTorch and Norse read no CubaLI node: to compare, write the file without its readout"
        )
    elif not _compare(python, path, inputs, step, ours):
        raise click.exceptions.Exit(1)


def _shape(value: Any) -> str:
    same = value.size > 0 and value.min() == value.max()
    return f"{value.shape}" + (f" all {value.flat[0]:g}" if same else "")


def _samples(net: Network, samples: int, steps: int, rate: float, seed: int) -> NDArray[Any]:
    """Return random inputs (samples, steps, n_inputs).

    Spikes, or currents from 0 to 1 held through a sample.
    """
    import numpy as np

    from loco_stream import rng

    n = net.n_inputs * samples * (1 if net.inputs == "currents" else steps)
    uniform = rng.uniforms(rng.derive_key(seed, 0), 0, n)
    if net.inputs == "currents":
        return np.repeat(uniform.reshape(samples, 1, net.n_inputs), steps, axis=1)
    return (uniform.reshape(samples, steps, net.n_inputs) < rate).astype(np.float64)


def _compare(
    python: str | None, path: str, inputs: NDArray[Any], step: float, ours: NDArray[Any]
) -> bool:
    """Print what each peer counts; return whether all that run count as we do."""
    import json
    import subprocess
    import sys
    from tempfile import TemporaryDirectory

    import numpy as np

    equal = True
    with TemporaryDirectory() as folder:
        np.save(f"{folder}/inputs.npy", inputs)
        for peer in _PEERS:
            call = [
                python or sys.executable,
                "-I",
                str(Path(__file__).with_name("nir_peers.py")),
                peer,
                path,
                f"{folder}/inputs.npy",
                repr(step),
            ]
            try:
                done = subprocess.run(call, capture_output=True, text=True, check=False)
            except OSError as error:
                raise click.BadParameter(
                    f"{python}: {error.strerror}", param_hint="--python"
                ) from None
            if done.returncode:
                click.echo(
                    f"{peer:<14} left out: {(done.stderr.strip() or 'no reason given').splitlines()[-1]}"
                )
                continue
            said = json.loads(done.stdout.splitlines()[-1])
            differs = int((np.array(said["counts"]) != ours).sum())
            equal &= differs == 0
            click.echo(
                f"{peer:<14} {said['version']}: {differs or 'no'} of {ours.size} spike counts differ"
            )
    return equal
