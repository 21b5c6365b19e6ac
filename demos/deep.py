"""Ten hidden layers learn digits in one pass without backpropagation, beside a twin whose layers stay as drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import click
import numpy as np

from loco_stream.demos.stage import Stage, conclude, demo_options, paced, play
from loco_stream.errors import ConfigError
from loco_stream.rng import derive_key, normals, uniforms

__all__ = ["command"]

_DEPTH = 10
_WIDTH = 128
_LOOKS = (
    5  # at each of the 1797 images, shuffled, each time with fresh noise: 8985 samples, one pass
)
_NOISE = 0.5  # grey levels of 16
_NOTE = (
    "Real: 1797 images of handwritten digits, each shown five times with fresh noise. Ten hidden layers learn without "
    "backpropagation, and the answer is read from the tenth alone: look at the firing rates, alive to the end."
)
_LAST = 1000  # samples over which the end is judged


def digits(seed: int) -> Iterator[tuple[dict[str, float], int]]:
    """Yield scikit-learn's digits, 8 x 8 pixels of 0 to 16, each several times with fresh noise."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ConfigError(
            "the digits come with scikit-learn: pip install 'loco-stream[bench]'"
        ) from error
    X, y = load_digits(return_X_y=True)
    n = _LOOKS * len(y)
    names = [f"pixel {i // 8},{i % 8}" for i in range(64)]
    for row, k in enumerate(np.argsort(uniforms(derive_key(seed, 103), 0, n)) % len(y)):
        image = X[k] + _NOISE * normals(derive_key(seed, 104), 64 * row, 64)
        yield dict(zip(names, image.tolist(), strict=True)), int(y[k])


def network(rule: str, seed: int) -> Any:
    """Return a net whose answer comes from the tenth layer alone, so that depth cannot be bypassed."""
    from loco_stream import AdvancedOptions, LOCOClassifier

    advanced = AdvancedOptions(readout_layers="last")
    return LOCOClassifier((_WIDTH,) * _DEPTH, rule=rule, seed=seed, advanced=advanced)


@click.command("deep")
@demo_options(seconds=30.0)
def command(stage: Stage) -> None:
    """Learn digits through ten hidden layers in one pass.

    The answer is read from the tenth layer alone.

    Look at the firing rate of each layer: it stays alive to the end although nothing is sent
    backwards. The twin has the same start weights, and only its readout learns.
    """
    from loco_stream import StreamEngine, TaskMonitor

    end = {}
    alive = False
    with stage.page("Digits through ten layers", _NOTE) as watchers:
        for rule in ("loco", "frozen"):
            model = network(rule, stage.seed)
            learns = rule == "loco"
            rows: Any = digits(stage.seed)
            if learns and watchers:
                rows = paced(rows, _LOOKS * 1797 / stage.seconds)
            monitor = TaskMonitor(holdout=0, inputs=False)
            engine = StreamEngine(
                model, rows, monitor=monitor, score_window=_LAST, watchers=watchers if learns else ()
            )
            report = play(engine)
            end[rule] = report["window_accuracy"]
            rates = " ".join(f"{count / _WIDTH:.1f}" for count in model.spike_counts_)
            click.echo(
                f"{rule:7} {end[rule]:.1%} of the last {_LAST} of {report['n_samples']:,} samples"
            )
            click.echo(f"        spikes per neuron in layers 1 to {_DEPTH}: {rates}")
            alive = alive or (learns and bool((model.spike_counts_ > 0).all()))
    gain = end["loco"] - end["frozen"]
    conclude(
        [
            (alive, "every layer of the learning net fires"),
            (gain >= 0.1, f"learning in the layers gains {100 * gain:.1f} points (claim: 10)"),
        ]
    )
