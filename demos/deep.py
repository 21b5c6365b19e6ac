"""Ten hidden layers learn digits in one pass, beside the same network with frozen layers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from loco_stream._rng import derive_key, normals, uniforms
from loco_stream.demos._demo import Demo, check_claims, demo_options, paced, run_for
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from loco_stream import LOCOClassifier
    from loco_stream.dashboard import Dashboard
    from loco_stream.engine import Report

_DEPTH = 10
_WIDTH = 128
_IMAGES = 1797
_REPEATS = 5  # of each image, shuffled, with new noise: 8985 rows in one pass
_NOISE = 0.5  # standard deviation, of 16 grey levels
_WINDOW = 1000  # rows over which the final accuracy is measured
_NOTE = (
    "Recorded data: 1797 images of handwritten digits, each shown five times with new noise. Ten "
    "hidden layers learn without backpropagation, and the prediction is read from the tenth layer "
    "alone. Look at the firing rates: all layers stay active."
)


def _images() -> tuple[Any, Any]:
    """Return images, (n, 64), and labels, (n,)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ConfigError(
            "the digits need scikit-learn: pip install 'loco-stream[bench]'"
        ) from error
    images: tuple[Any, Any] = load_digits(return_X_y=True)
    return images


def digits(seed: int) -> Iterator[tuple[dict[str, float], int]]:
    """Yield the digits of scikit-learn, 8 x 8 pixels of 0 to 16, each several times with noise."""
    X, y = _images()
    names = [f"pixel {i // 8},{i % 8}" for i in range(64)]
    order = np.argsort(uniforms(derive_key(seed, 103), 0, _REPEATS * len(y))) % len(y)
    noise_key = derive_key(seed, 104)
    for n, i in enumerate(order):
        image = X[i] + _NOISE * normals(noise_key, 64 * n, 64)
        yield dict(zip(names, image.tolist(), strict=True)), int(y[i])


def network(rule: str, seed: int) -> LOCOClassifier:
    """Return a network whose readout sees the tenth layer alone, so that depth is not bypassed."""
    from loco_stream import AdvancedOptions, LOCOClassifier

    return LOCOClassifier(
        (_WIDTH,) * _DEPTH, rule=rule, seed=seed, advanced=AdvancedOptions(readout_layers="last")
    )


@click.command("deep")
@demo_options(seconds=30.0)
def command(demo: Demo) -> None:
    """Learn digits through ten hidden layers in one pass.

    The prediction is read from the tenth layer alone. Look at the firing rate of each layer: all
    stay active to the end, although no error is propagated backwards. The second network has the
    same initial weights, and only its readout learns.

    \b
    Example
      loco-stream demo deep --headless
    """
    with demo.page("Digits through ten layers", _NOTE) as watchers:
        learning = network("loco", demo.seed)
        learned = _learn(learning, demo, watchers)
        frozen = _learn(network("frozen", demo.seed), demo, [])
    gain = 100 * (learned["window_accuracy"] - frozen["window_accuracy"])
    check_claims(
        [
            (bool((learning.spike_counts_ > 0).all()), "every layer of the learning network fires"),
            (gain >= 10, f"learning in the layers gains {gain:.1f} points (claim: 10)"),
        ]
    )


def _learn(model: LOCOClassifier, demo: Demo, watchers: list[Dashboard]) -> Report:
    """Learn all rows; print the final accuracy and the firing rates."""
    from loco_stream import StreamEngine, TaskMonitor

    rows = digits(demo.seed)
    if watchers:
        rows = paced(rows, _REPEATS * _IMAGES / demo.seconds)
    monitor = TaskMonitor(holdout=0, inputs=False)
    report = run_for(
        StreamEngine(model, rows, monitor=monitor, score_window=_WINDOW, watchers=watchers)
    )
    _print(model, report)
    return report


def _print(model: LOCOClassifier, report: Report) -> None:
    rates = " ".join(f"{count / _WIDTH:.1f}" for count in model.spike_counts_)
    accuracy = f"{report['window_accuracy']:.1%}"
    click.echo(f"{model.rule:7} {accuracy} of the last {_WINDOW} of {report['n_samples']:,} rows")
    click.echo(f"        spikes per neuron in layers 1 to {_DEPTH}: {rates}")
