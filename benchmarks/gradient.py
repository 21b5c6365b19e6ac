"""`python -m benchmarks gradient`.

How noisy the gradient of the perturbations is, and where the credit points.

The true gradient is that of the smoothed loss: the log-loss averaged over the perturbations of all
other neurons, its slope along a neuron's drive taken between this neuron's own two perturbations. A
perturbed pass estimates exactly this without bias where the neuron fires, so what is left is
variance. A neuron that is silent gets no credit, and is left out of the true gradient too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import contenders, data
from benchmarks.grid import Grid
from benchmarks.holdout import by_name, spread
from benchmarks.options import Settings, common
from benchmarks.runs import Run
from loco_stream import LOCOClassifier, rng
from loco_stream.errors import ConfigError
from loco_stream.learner.arrays.scratch import CREDIT, Scratch
from loco_stream.learner.arrays.spec import flatten
from loco_stream.learner.arrays.state import GAIN, ROUND, State
from loco_stream.learner.readout.log_loss import SHARPNESS
from loco_stream.neurons.spikes import LEAK_SHARE, MOST_SPIKES

__all__ = [
    "angles",
    "command",
    "credits_of",
    "grids",
    "measure",
    "relative_error",
    "smoothed_gradient",
    "traces_of",
]

Saved = tuple[dict[str, Any], dict[str, NDArray[Any]]]
Floats = NDArray[np.float64]

_SIZES = (32, 32, 32)  # one neuron cluster a layer, whose perturbations are orthogonal
_PASSES = (1, 2, 4, 8, 32, 64)
_REPEATS = 64  # estimates of one pass; fewer of many passes, which differ less
_FRESH = 1 << 16  # perturbations from this number on were not met in training
# purposes of random streams
_SIGNS = 101
_RANDOM = 102
_NOISES = {"orthogonal": False, "orthogonal, antithetic": True}
_TRIALS = {1: "node perturbation, 1 pass", 32: "node perturbation, 32 passes"}
_CREDITS = (
    "mirror",
    "learned credit",
    "paper's credit",
    *_TRIALS.values(),
    "random vector",
    "true gradient",
)


def _net(saved: Saved, **settings: Any) -> tuple[LOCOClassifier, State, Scratch]:
    """Return the saved net under other settings, and its arrays."""
    config, arrays = saved
    config = {**config, "parameters": {**config["parameters"], **settings}}
    model = LOCOClassifier.from_state(
        config, {name: array.copy() for name, array in arrays.items()}
    )
    state = model._state
    scratch = model._scratch
    assert state is not None
    assert scratch is not None
    return model, state, scratch


def credits_of(saved: Saved, X: Floats, y: Sequence[int], repeats: int, **settings: Any) -> Floats:
    """Return the credit that learning each row from the same saved net would use, (repeats, rows, hidden neurons).

    Every repeat and row has perturbations of its own, from the start of a round; what a step
    learned is undone.
    """
    model, state, scratch = _net(saved, **settings)
    found = np.zeros((repeats, len(y), scratch.run.neurons.shape[1]))
    for place in np.ndindex(repeats, len(y)):
        state.counts[ROUND] = _FRESH + 64 * (place[0] * len(y) + place[1])
        row = slice(place[1], place[1] + 1)
        model.learn_array(X[row], y[row])
        found[place] = scratch.run.neurons[CREDIT]
        for name, array in flatten(state).items():
            array[...] = saved[1][name]
    return found


def traces_of(drives: Floats, window: float, tau: float, tau_trace: float) -> Floats:
    """Return the traces that LIF neurons leave under constant drives in thresholds a window, in closed form.

    Examples
    --------
    >>> traces_of(np.array([0.4, 6.0]), 20.0, 20.0, 20.0).round(2)
    array([0.  , 1.83])
    """
    current = drives * tau / window + LEAK_SHARE
    above = np.maximum(current, 1.0 + 1e-12)
    period = tau * np.log(above / (above - 1.0))
    times = period[..., None] * np.arange(1, MOST_SPIKES + 1)
    faded = np.where(times <= window, np.exp((times - window) / tau_trace), 0.0)
    return np.asarray(2.0 * (faded - faded**2).sum(axis=-1))


def _losses(
    state: State, model: LOCOClassifier, weighted: Floats, column: int, noise: Floats
) -> Floats:
    """Return the log-loss of one row under many perturbations of the drives, (draws, hidden neurons).

    `weighted` are the weighted inputs of the first layer; the readout sees the last layer alone.
    """
    settings = model._settings
    gains = state.net.gains[GAIN]
    assert settings is not None
    start = 0
    for layer, size in enumerate(_SIZES):
        drives = gains[layer] * weighted + noise[:, start : start + size]
        traces = traces_of(drives, settings.window, settings.tau, settings.tau_trace)
        start += size
        if layer + 1 < len(_SIZES):
            weighted = traces @ state.net.deep_weights[layer][:size]
    outputs = np.column_stack((traces, np.ones(len(noise)))) @ state.bank.traces
    shares = state.bank.log_stack[0].copy()
    n_classes = len(model.classes)
    shares[::2] *= SHARPNESS  # the least-squares ones, which alternate with those by log-loss
    blocks = outputs.reshape(len(noise), len(shares), -1)[:, :, :n_classes]
    scores = np.einsum("b,dbc->dc", shares, blocks)
    return np.asarray(np.logaddexp.reduce(scores, axis=1) - scores[:, column])


def smoothed_gradient(saved: Saved, X: Floats, y: Sequence[int], draws: int, seed: int) -> Floats:
    """Return the true gradient of each row by the drives, twice from `draws` draws, (2, rows, hidden neurons).

    Finite differences: each neuron's perturbation is turned round while all others stay (common
    random numbers).
    """
    model, state, scratch = _net(saved)
    size = model.perturbation_std
    hidden = sum(_SIZES)
    signs = np.sign(rng.uniforms(rng.derive_key(seed, _SIGNS), 0, 2 * draws * hidden) - 0.5)
    total = np.zeros((2, len(y), hidden))
    for r, label in enumerate(y):
        model.predict_array(X[r : r + 1])
        weighted = scratch.code.lines.astype(np.float64) @ state.net.weights
        fires = scratch.features[:hidden] > 0.0
        for d, noise in enumerate(size * signs.reshape(-1, hidden)):
            each = np.tile(noise, (hidden + 1, 1))  # as drawn, and with each neuron's turned round
            each[np.arange(1, hidden + 1), np.arange(hidden)] *= -1.0
            losses = _losses(state, model, weighted, model.classes.index(label), each)
            total[d % 2, r] += fires * (losses[0] - losses[1:]) / (2.0 * noise)
    return total / draws


def relative_error(estimates: Floats, truth: Floats) -> float:
    """Return the mean squared error of estimates over the squared norm of the true gradient, all rows together.

    One factor of each square is taken from each half of `truth`, so that its own noise cancels.

    Examples
    --------
    >>> truth = np.array([[[1.0, 0.0]], [[1.0, 0.0]]])
    >>> relative_error(np.array([[[1.0, 2.0]]]), truth)
    4.0
    """
    errors = (estimates - truth[0]) * (estimates - truth[1])
    return float(errors.sum(axis=(1, 2)).mean() / (truth[0] * truth[1]).sum())


def angles(estimates: Floats, gradient: Floats) -> list[float]:
    """Return the angle between estimates and the gradient in each layer, degrees, all rows as one vector.

    Examples
    --------
    >>> angles(np.ones((1, 1, 3)), np.array([[1.0, 1.0, -1.0]]))
    [0.0, 0.0, 180.0]
    """
    found = []
    for layer in np.split(np.arange(gradient.shape[-1]), len(_SIZES)):
        a = estimates[..., layer]
        b = gradient[:, layer]
        cosines = (a * b).sum(axis=(1, 2)) / np.sqrt((a * a).sum(axis=(1, 2)) * (b * b).sum())
        found.append(float(np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))).mean()))
    return found


def _trained(credit: str, n_samples: int, seed: int) -> Saved:
    X, labels = data.load("digits")
    model = LOCOClassifier(_SIZES, credit=credit, readout_layers="last", retention=0.0, seed=seed)
    model.learn_array(X[:n_samples], labels[:n_samples].tolist())
    return model.export_state()


def measure(trained: int, rows: int, draws: int, seed: int) -> dict[str, Any]:
    """Train 3 x 32 neurons on the first digits, then measure on the last rows of the stream, never learned."""
    X, labels = data.load("digits")
    X = X[-rows:]
    y = labels[-rows:].tolist()
    saved = _trained("mirror", trained, seed)
    truth = smoothed_gradient(saved, X, y, draws, seed)
    figures: dict[str, Any] = {}
    estimates: dict[str, Floats] = {
        "true gradient": truth[:1],
        "mirror": credits_of(saved, X, y, 1),
    }
    for name, antithetic in _NOISES.items():
        for passes in _PASSES[antithetic:]:
            found = credits_of(
                saved,
                X,
                y,
                max(4, _REPEATS // passes),
                rule="np",
                credit="perturbation",
                antithetic=antithetic,
                n_perturbations=passes // (1 + antithetic),
            )
            figures[f"{name}/{passes}"] = relative_error(found, truth)
            if passes in _TRIALS and not antithetic:
                estimates[_TRIALS[passes]] = found
    draw = rng.normals(rng.derive_key(seed, _RANDOM), 0, _REPEATS * truth[0].size)
    estimates["random vector"] = draw.reshape(_REPEATS, *truth[0].shape) * (truth[0] != 0.0)
    for name, found in estimates.items():
        _keep_angles(
            figures, name, found, truth[1] if name == "true gradient" else truth.mean(axis=0)
        )
    for name, credit in (("learned credit", "learned"), ("paper's credit", "perturbation")):
        saved = _trained(credit, trained, seed)  # a net of its own, for its feedback grew with it
        truth = smoothed_gradient(saved, X, y, draws, seed)
        _keep_angles(figures, name, credits_of(saved, X, y, 1), truth.mean(axis=0))
    return figures


def _keep_angles(figures: dict[str, Any], name: str, found: Floats, gradient: Floats) -> None:
    for layer, angle in enumerate(angles(found, gradient), start=1):
        figures[f"{name}/{layer}"] = angle


def _cell(runs: list[dict[str, Any]], key: str) -> str:
    mean, deviation = spread(runs, key)
    return f"{mean:.1f}" + (f" ±{deviation:.1f}" if deviation is not None else "")


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the relative variance by noise and number of passes, and the angles by credit and layer."""
    linear = sum(_SIZES) - 1
    variance = Grid(
        "squared error of the perturbations' gradient over the true one's squared norm, by number of perturbed passes "
        f"(independent ones on a linear loss: {linear} / passes)",
        ["trained on", "perturbations", *map(str, _PASSES)],
    )
    angle = Grid(
        "degrees between credit and true gradient (last row: between its two halves)",
        ["trained on", "credit", *(f"layer {layer + 1}" for layer in range(len(_SIZES)))],
    )
    for (_, trained), runs in by_name(results).items():
        for name, antithetic in _NOISES.items():
            cells = (_cell(runs, f"{name}/{passes}") for passes in _PASSES[antithetic:])
            variance.row(trained, name, *["-"] * antithetic, *cells)
        for name in _CREDITS:
            angle.row(
                trained, name, *(_cell(runs, f"{name}/{layer + 1}") for layer in range(len(_SIZES)))
            )
    return [variance, angle]


@click.command("gradient")
@click.option(
    "--samples",
    default="100,500,1700",
    show_default=True,
    help="Digits learned before the measurement.",
)
@click.option(
    "--rows", type=click.IntRange(1, 97), default=16, show_default=True, help="Digits measured on."
)
@click.option(
    "--draws",
    type=click.IntRange(min=1),
    default=250,
    show_default=True,
    help="Perturbations that each half of the true gradient averages.",
)
@common(seeds=3)
def command(settings: Settings, samples: str, rows: int, draws: int) -> None:
    """Variance of the perturbations' gradient, and the angle between credit and true gradient, 3 x 32 neurons.

    The readout sees the last layer alone; sklearn's digits. Before the first samples the readout is
    zero, and so is every gradient. "Mirror" has mirrored feedback in the last layer, which is read,
    and learned feedback below.

    \b
    Examples
      python -m benchmarks gradient
      python -m benchmarks gradient --samples 500 --seeds 1 --draws 1000
    """
    numbers = contenders.whole_numbers(samples, "--samples")
    if not all(
        100 <= number <= 1700 for number in numbers
    ):  # with fewer a class is missing, with more the rows
        raise ConfigError(f"--samples is {samples!r}; allowed are whole numbers from 100 to 1700.")
    runs = [
        Run(
            f"digits/{trained}/{seed}",
            measure,
            {"trained": trained, "rows": rows, "draws": draws, "seed": seed},
            f"{contenders.code('default')} {rows} {draws}",
        )
        for trained in numbers
        for seed in range(settings.seeds)
    ]
    settings.run("gradient", runs, grids)
