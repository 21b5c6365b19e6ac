"""`python -m benchmarks learning`.

Cost of one learning step compared with backpropagation through time.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.grid import Grid
from benchmarks.holdout import by_name
from benchmarks.learner import warm
from benchmarks.machine import cpu_seconds, median
from benchmarks.options import Settings, common, find_interpreter
from benchmarks.runs import Run
from benchmarks.subprocesses import run_json
from loco_stream.errors import ConfigError

__all__ = ["command", "grids", "images", "measure", "measure_peer"]

_NETS = {"W1": (256, 256), "W1-deep": (128,) * 10}
_LIT = {"all pixels lit": 1.0, "a fifth lit": 0.2}
# peer -> whether it is a spiking library, and counts for the ratio
_PEERS = {"spikingjelly": True, "snntorch": True, "torch": False}
_SCRIPT = Path(__file__).parent / "peers" / "learning_peers.py"
_PIXELS = 784
_STEPS = 20
_CLASSES = 10


def images(n: int, lit: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return `n` random images and labels.

    A share `lit` of the pixels is uniform in [0.2, 1], the others are 0. Cost does not depend on
    what is learned; with all pixels lit nearly every input fires.
    """
    draw = np.random.default_rng(0)  # data, not the model
    X = draw.uniform(0.2, 1.0, (n, _PIXELS)) * (draw.random((n, _PIXELS)) < lit)
    return X, np.arange(n) % _CLASSES


def measure(net: str, lit: float, n_samples: int) -> dict[str, Any]:
    """Time learning steps, which perturb one row in four."""
    from loco_stream import AdvancedOptions, LOCOClassifier

    X, y = images(n_samples, lit)
    advanced = AdvancedOptions(readout="delta", credit="learned")
    warm(LOCOClassifier(_NETS[net], seed=0, advanced=advanced), X, y)
    model = LOCOClassifier(_NETS[net], seed=0, advanced=advanced)
    labels = y.tolist()
    seconds, _ = cpu_seconds(lambda: model.learn_array(X, labels))
    spikes = int(model.spike_counts_.sum())
    return {"samples_per_second": n_samples / seconds, "hidden_spikes": spikes}


def measure_peer(net: str, library: str, python: str, seconds: float) -> dict[str, Any]:
    """Time a peer in its own environment on the same images, as spikes in 20 steps of 1 ms."""
    X, y = images(64, 1.0)
    slot = np.clip((_STEPS * (1.0 - X)).astype(int), 0, _STEPS - 1)
    raster = (slot[:, None, :] == np.arange(_STEPS)[None, :, None]) & (X > 0.0)[:, None, :]
    widths = ",".join(map(str, (_PIXELS, *_NETS[net], _CLASSES)))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rasters.npz"
        np.savez(path, raster=raster.astype(np.uint8), y=y)
        words = [python, str(_SCRIPT), library, str(path), widths, str(seconds)]
        return run_json(words, f"`--peers` {python!r} could not run {library}")


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return learning steps per CPU second, and their ratio to the best spiking library."""
    rates = {
        key: median([run["samples_per_second"] for run in runs])
        for key, runs in by_name(results).items()
    }
    nets = list(dict.fromkeys(net for net, _ in rates))
    grid = Grid(
        "learning steps per CPU second, median over repeats (times the best spiking library)",
        ["", *nets],
    )
    best = {
        net: max(
            (rates[net, p] for p, spiking in _PEERS.items() if spiking and (net, p) in rates),
            default=None,
        )
        for net in nets
    }
    for contender in dict.fromkeys(contender for _, contender in rates):
        cells = []
        for net in nets:
            rate = rates.get((net, contender))
            base = best[net]
            ratio = f" ({rate / base:.1f}x)" if rate and base else ""
            cells.append(f"{rate:,.0f}{ratio}" if rate else "-")
        grid.row(contender if contender in _PEERS else f"loco_stream, {contender}", *cells)
    return [grid]


@click.command("learning")
@click.option(
    "--peers",
    callback=find_interpreter,
    metavar="PYTHON",
    help="Interpreter of an environment with torch, spikingjelly and snntorch; without it the "
    "peers are not measured.",
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Rounds, in which all take turns.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=20),
    default=2000,
    show_default=True,
    help="Steps of this package per round.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=3.0,
    show_default=True,
    help="Time of each peer per round.",
)
@common(seeds=1)
def command(
    settings: Settings, peers: str | None, repeats: int, samples: int, seconds: float
) -> None:
    """Time one learning step of one sample on the nets W1 and W1-deep.

    W1 is 784-256-256-10 and W1-deep 784-[128 x 10]-10, with a delta readout. The peers' step is
    backpropagation through 20 time steps. They take turns with this package, one thread each.

    \b
    Examples
      python -m benchmarks learning
      python -m venv peers && peers/bin/pip install torch spikingjelly snntorch
      python -m benchmarks learning --peers peers/bin/python
    """
    if peers and not _SCRIPT.is_file():
        raise ConfigError(
            f"`--peers` needs {str(_SCRIPT)!r}, which is in the repository and not in the wheel"
        )
    runs = []
    for repeat in range(repeats):
        for net in _NETS:
            for name, lit in _LIT.items():
                arguments: dict[str, Any] = {"net": net, "lit": lit, "n_samples": samples}
                runs.append(Run(f"{net}/{name}/{repeat}", measure, arguments))
            for library in _PEERS if peers else ():
                arguments = {"net": net, "library": library, "python": peers, "seconds": seconds}
                runs.append(Run(f"{net}/{library}/{repeat}", measure_peer, arguments))
    settings.anew().run("learning", runs, grids)
