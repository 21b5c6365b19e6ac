"""`python -m benchmarks learning`.

The price of one learning step, beside backpropagation through time.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks.elsewhere import ask
from benchmarks.grid import Grid
from benchmarks.holdout import by_name
from benchmarks.learner import warm
from benchmarks.machine import cpu_seconds, median
from benchmarks.options import Settings, common
from benchmarks.runs import Run
from loco_stream.errors import ConfigError

__all__ = ["command", "grids", "images", "measure", "measure_peer"]

_NETS = {"W1": (256, 256), "W1-deep": (128,) * 10}
_SETTINGS: dict[str, Any] = {"readout": "delta", "credit": "learned"}
_LIT = {"all pixels lit": 1.0, "a fifth lit": 0.2}
_PEERS = {
    "spikingjelly": True,
    "snntorch": True,
    "torch": False,
}  # True: a spiking library, counted for the ratio
_SCRIPT = Path(__file__).parent / "peers" / "learning_peers.py"
_PIXELS = 784
_STEPS = 20
_CLASSES = 10


def images(n: int, lit: float) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return `n` random images, a share `lit` of the pixels uniform in [0.2, 1], the others 0, and random labels.

    Cost does not depend on what is learned, and with every pixel lit nearly every input line fires.
    """
    draw = np.random.default_rng(0)  # data, not the model
    X = draw.uniform(0.2, 1.0, (n, _PIXELS)) * (draw.random((n, _PIXELS)) < lit)
    return X, np.arange(n) % _CLASSES


def measure(net: str, lit: float, n_samples: int) -> dict[str, Any]:
    """Time our learning step.

    Encode, clean pass, of one row in four a perturbed one, credit, projection, change.
    """
    from loco_stream import LOCOClassifier

    X, y = images(n_samples, lit)
    warm(LOCOClassifier(_NETS[net], **_SETTINGS, seed=0), X, y)
    model = LOCOClassifier(_NETS[net], **_SETTINGS, seed=0)
    labels = y.tolist()
    seconds, _ = cpu_seconds(lambda: model.learn_array(X, labels))
    spikes = int(model.spike_counts_.sum())
    return {"samples_per_second": n_samples / seconds, "hidden_spikes": spikes}


def measure_peer(net: str, library: str, python: str, seconds: float) -> dict[str, Any]:
    """Time a peer in its own environment on the same images, coded as spikes of 20 steps of 1 ms."""
    X, y = images(64, 1.0)
    slot = np.clip((_STEPS * (1.0 - X)).astype(int), 0, _STEPS - 1)
    raster = (slot[:, None, :] == np.arange(_STEPS)[None, :, None]) & (X > 0.0)[:, None, :]
    widths = ",".join(map(str, (_PIXELS, *_NETS[net], _CLASSES)))
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "rasters.npz"
        np.savez(path, raster=raster.astype(np.uint8), y=y)
        words = [python, str(_SCRIPT), library, str(path), widths, str(seconds)]
        return ask(words, f"--peers {python!r} could not run {library}")


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return learning steps a CPU second, and how many times the best spiking library that is."""
    rates = {
        key: median([run["samples_per_second"] for run in runs])
        for key, runs in by_name(results).items()
    }
    nets = list(dict.fromkeys(net for net, _ in rates))
    grid = Grid(
        "learning steps a CPU second, median over repeats (times the best spiking library)",
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
    metavar="PYTHON",
    help="Interpreter of an environment with torch, spikingjelly and snntorch; without it only ours is measured.",
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Rounds, taking turns.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=20),
    default=2000,
    show_default=True,
    help="Steps of ours a round.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=3.0,
    show_default=True,
    help="Of each peer a round.",
)
@common(seeds=1)
def command(
    settings: Settings, peers: str | None, repeats: int, samples: int, seconds: float
) -> None:
    """Time one learning step on 784-256-256-10 (W1) and 784-[128 x 10]-10 (W1-deep), delta readout, one sample each.

    The peers' step is backpropagation through 20 time steps. They run in the same minutes, one
    thread each.

    \b
    Examples
      python -m benchmarks learning
      python -m venv peers && peers/bin/pip install torch spikingjelly snntorch
      python -m benchmarks learning --peers peers/bin/python
    """
    if peers and not _SCRIPT.is_file():
        raise ConfigError(
            f"--peers needs {str(_SCRIPT)!r}, which is in the repository and not in the wheel."
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
