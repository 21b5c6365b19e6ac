"""`python -m benchmarks gradient`.

Variance of gradients estimated by perturbations, and directions of the credit.

The true gradient is the gradient of the smoothed loss: the log-loss averaged over the perturbations
of all other neurons; its slope along a neuron's drive is taken between the neuron's own two
perturbations. Where the neuron fires, a perturbed pass estimates exactly this without bias, so the
error is variance. A silent neuron gets no credit and is left out of the true gradient.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import contenders, data
from benchmarks.grid import Grid, with_deviation
from benchmarks.holdout import by_name, spread
from benchmarks.options import Settings, common
from benchmarks.runs import Run
from loco_stream import AdvancedOptions, LOCOClassifier
from loco_stream import _rng as rng
from loco_stream._learner.arrays.scratch import Scratch
from loco_stream._learner.arrays.spec import flatten
from loco_stream._learner.arrays.state import State
from loco_stream._learner.readout.softmax import SHARPNESS
from loco_stream.errors import ConfigError
from loco_stream.neurons._spikes import LEAK_SHARE, MOST_SPIKES

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

_SIZES = (32, 32, 32)  # one neuron cluster per layer, whose perturbations are orthogonal
_PASSES = (1, 2, 4, 8, 32, 64)
_REPEATS = 64  # estimates by one pass; fewer by many passes, which differ less
_FRESH = 1 << 16  # index of the first perturbation that training did not use
_SIGNS = 101  # keys of random streams
_RANDOM = 102
_PLAIN = {"rule": "np", "credit": "perturbation"}  # plain node perturbation
_TRIALS = {1: "node perturbation, 1 pass", 32: "node perturbation, 32 passes"}
_CREDITS = (
    "mirror",
    "learned credit",
    "paper's credit",
    *_TRIALS.values(),
    "random vector",
    "true gradient",
)


def _net(
    saved: Saved, rule: str | None = None, credit: str | None = None
) -> tuple[LOCOClassifier, State, Scratch]:
    """Return the saved net, under another rule or credit rule if given, and its arrays.

    Projectors start anew where the rule has other ones: credit does not depend on them.
    """
    config, arrays = saved
    parameters = dict(config["parameters"])
    advanced = parameters["advanced"]
    parameters["rule"] = rule or parameters["rule"]
    parameters["advanced"] = {**advanced, "credit": credit or advanced["credit"]}
    model = LOCOClassifier(**contenders.parameters(parameters))
    core = model._core
    core.admit(config["features"], config["classes"])
    state = core.state
    scratch = core.scratch
    assert state is not None
    assert scratch is not None
    for name, array in flatten(state).items():
        if name not in arrays:
            assert name.startswith("texts."), name  # saved only where there are any
        elif array.shape == arrays[name].shape:
            array[...] = arrays[name]
        else:
            assert name.startswith("projections."), name
    return model, state, scratch


def credits_of(
    saved: Saved, X: Floats, y: Sequence[int], repeats: int, passes: int = 1, **rules: str
) -> Floats:
    """Return the credit of each row when learned from the saved net, (repeats, rows, hidden).

    Every repeat and row has perturbations of its own, from the start of a round, and the mean over
    `passes` of them; each step is undone.
    """
    model, state, scratch = _net(saved, **rules)
    start = {name: array.copy() for name, array in flatten(state).items()}
    credit = scratch.neurons.credit
    found = np.zeros((repeats, len(y), len(credit)))
    for repeat, row in np.ndindex(repeats, len(y)):
        for number in range(passes):
            state.counts.noise_round = _FRESH + 64 * (repeat * len(y) + row) + number
            model.learn_array(X[row : row + 1], y[row : row + 1])
            found[repeat, row] += credit / passes
            for name, array in flatten(state).items():
                array[...] = start[name]
    return found


def traces_of(drives: Floats, window: float, tau: float, tau_trace: float) -> Floats:
    """Return the traces of LIF neurons under constant drives in thresholds per window.

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
    """Return the log-loss of one row under perturbations of the drives, (draws, hidden).

    `weighted` are the weighted inputs of the first layer; the readout sees the last layer alone.
    """
    settings = model._core.settings
    gains = state.net.gain
    assert settings is not None
    start = 0
    for layer, size in enumerate(_SIZES):
        drives = gains[layer] * weighted + noise[:, start : start + size]
        traces = traces_of(drives, settings.window, settings.tau, settings.tau_trace)
        start += size
        if layer + 1 < len(_SIZES):
            weighted = traces @ state.net.deep_weights[layer][:size]
    inputs = np.column_stack((traces, np.ones(len(noise))))
    outputs = inputs @ state.experts.least_squares.weights
    weights = state.stacks.log_weights.copy()
    n_classes = len(model.classes)
    weights[::2] *= SHARPNESS  # outputs of least squares, which alternate with log-loss
    blocks = outputs.reshape(len(noise), len(weights), -1)[:, :, :n_classes]
    scores = np.einsum("b,dbc->dc", weights, blocks)
    return np.asarray(np.logaddexp.reduce(scores, axis=1) - scores[:, column])


def smoothed_gradient(saved: Saved, X: Floats, y: Sequence[int], draws: int, seed: int) -> Floats:
    """Return the true gradient of each row by the drives, from two halves, (2, rows, hidden).

    Each half averages `draws` draws.

    Finite differences: the sign of each neuron's perturbation is changed while all others stay
    (common random numbers).
    """
    model, state, scratch = _net(saved)
    size = model._core.options.advanced.perturbation_std
    hidden = sum(_SIZES)
    signs = np.sign(rng.uniforms(rng.derive_key(seed, _SIGNS), 0, 2 * draws * hidden) - 0.5)
    total = np.zeros((2, len(y), hidden))
    for r, label in enumerate(y):
        model.predict_array(X[r : r + 1])
        weighted = scratch.code.channels.astype(np.float64) @ state.net.weights
        fires = scratch.clean.traces[:hidden] > 0.0
        for d, noise in enumerate(size * signs.reshape(-1, hidden)):
            each = np.tile(noise, (hidden + 1, 1))  # as drawn, and with each neuron's sign changed
            each[np.arange(1, hidden + 1), np.arange(hidden)] *= -1.0
            losses = _losses(state, model, weighted, model.classes.index(label), each)
            total[d % 2, r] += fires * (losses[0] - losses[1:]) / (2.0 * noise)
    return total / draws


def relative_error(estimates: Floats, truth: Floats) -> float:
    """Return the mean squared error of estimates over the squared norm of the true gradient.

    All rows count together. Each square takes one factor from each half of `truth`, so that its
    noise cancels.

    Examples
    --------
    >>> truth = np.array([[[1.0, 0.0]], [[1.0, 0.0]]])
    >>> relative_error(np.array([[[1.0, 2.0]]]), truth)
    4.0
    """
    errors = (estimates - truth[0]) * (estimates - truth[1])
    return float(errors.sum(axis=(1, 2)).mean() / (truth[0] * truth[1]).sum())


def angles(estimates: Floats, gradient: Floats) -> list[float]:
    """Return the angle between estimates and gradient per layer in degrees, all rows as one vector.

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
    advanced = AdvancedOptions(credit=credit, readout_layers="last")
    model = LOCOClassifier(_SIZES, retention=0.0, seed=seed, advanced=advanced)
    model.learn_array(X[:n_samples], labels[:n_samples].tolist())
    return model.export_state()


def measure(trained: int, rows: int, draws: int, seed: int) -> dict[str, Any]:
    """Train 3 x 32 neurons on the first digits, then measure on the last rows, never learned."""
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
    for passes in _PASSES:
        found = credits_of(saved, X, y, max(4, _REPEATS // passes), passes, **_PLAIN)
        figures[f"orthogonal/{passes}"] = relative_error(found, truth)
        if passes in _TRIALS:
            estimates[_TRIALS[passes]] = found
    draw = rng.normals(rng.derive_key(seed, _RANDOM), 0, _REPEATS * truth[0].size)
    estimates["random vector"] = draw.reshape(_REPEATS, *truth[0].shape) * (truth[0] != 0.0)
    for name, found in estimates.items():
        gradient = truth[1] if name == "true gradient" else truth.mean(axis=0)
        _keep_angles(figures, name, found, gradient)
    for name, credit in (("learned credit", "learned"), ("paper's credit", "perturbation")):
        saved = _trained(credit, trained, seed)  # feedback is learned with its net
        truth = smoothed_gradient(saved, X, y, draws, seed)
        found = credits_of(saved, X, y, 1)
        _keep_angles(figures, name, found, truth.mean(axis=0))
    return figures


def _keep_angles(figures: dict[str, Any], name: str, found: Floats, gradient: Floats) -> None:
    for layer, angle in enumerate(angles(found, gradient), start=1):
        figures[f"{name}/{layer}"] = angle


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the relative error by number of passes, and the angles by credit and layer."""
    linear = sum(_SIZES) - 1
    variance = Grid(
        "squared error of the estimated gradient over the squared norm of the true one, by number "
        f"of perturbed passes (independent ones on a linear loss: {linear} / passes)",
        ["trained on", *map(str, _PASSES)],
    )
    angle = Grid(
        "degrees between credit and true gradient (last row: between its two halves)",
        ["trained on", "credit", *(f"layer {layer + 1}" for layer in range(len(_SIZES)))],
    )
    for (_, trained), runs in by_name(results).items():
        variance.row(trained, *(with_deviation(*spread(runs, f"orthogonal/{n}")) for n in _PASSES))
        for name in _CREDITS:
            layers = (spread(runs, f"{name}/{layer + 1}") for layer in range(len(_SIZES)))
            angle.row(trained, name, *(with_deviation(*cell) for cell in layers))
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
    help="Perturbations per half of the true gradient.",
)
@common(seeds=3)
def command(settings: Settings, samples: str, rows: int, draws: int) -> None:
    """Measure the variance of gradient estimates, and angles between credit and gradient.

    A net of 3 x 32 neurons on sklearn's digits, whose readout sees the last layer alone. Before the
    first rows the readout is zero, and so is every gradient. "Mirror" has mirrored feedback in the
    last layer, which the readout sees, and learned feedback below.

    \b
    Examples
      python -m benchmarks gradient
      python -m benchmarks gradient --samples 500 --seeds 1 --draws 1000
    """
    numbers = contenders.whole_numbers(samples, "--samples")
    # Fewer rows miss a class, more leave none to measure on.
    if not all(100 <= number <= 1700 for number in numbers):
        raise ConfigError(f"`--samples` must be integers from 100 to 1700, got {samples!r}")
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
