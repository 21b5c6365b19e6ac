"""`loco-stream bench gradient`: how noisy the gradient of the perturbations is, and where the credit points.

The true gradient is that of the smoothed loss: the log-loss averaged over the perturbations of all other neurons,
its slope along a neuron's membrane taken between this neuron's own two perturbations. A perturbed pass estimates
exactly this without bias, so what is left is variance.
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
from loco_stream.learner.state import CLEAN_FOR, CREDIT, ROUND, THRESHOLD, Scratch, State, flatten

__all__ = ["angles", "command", "credits_of", "grids", "measure", "relative_error", "smoothed_gradient"]

Saved = tuple[dict[str, Any], dict[str, NDArray[Any]]]

_SIZES = (32, 32, 32)
_PASSES = (1, 2, 4, 8, 32, 64)
_REPEATS = 64  # estimates of one pass; fewer of many passes, which differ less
_FRESH = 1 << 16  # perturbations from this number on were not met in training
_SIGNS, _RANDOM = 101, 102  # purposes of random streams
# our names -> neurons whose perturbations are orthogonal, and whether each is also run with the opposite sign
_NOISES = {
    "independent": (1, False),
    "orthogonal": (32, False),
    "independent, antithetic": (1, True),
    "orthogonal, antithetic": (32, True),
}
_CREDITS = ("learned credit", "paper's credit, 1 pass", "paper's credit, 32 passes", "random vector", "true gradient")


def _net(saved: Saved, **settings: Any) -> tuple[LOCOClassifier, State, Scratch]:
    """Return the saved net under other settings, and its arrays."""
    config, arrays = saved
    config = {**config, "parameters": {**config["parameters"], **settings}}
    model = LOCOClassifier.from_state(config, {name: array.copy() for name, array in arrays.items()})
    state, scratch = model._state, model._scratch
    assert state is not None
    assert scratch is not None
    return model, state, scratch


def credits_of(
    saved: Saved, X: NDArray[np.float64], y: Sequence[int], repeats: int, **settings: Any
) -> NDArray[np.float64]:
    """Return the credit that learning each row from the same saved net would use, (repeats, rows, hidden neurons).

    Every repeat and row has perturbations of its own, from the start of a round; what a step learned is undone.
    """
    model, state, scratch = _net(saved, **settings)
    found = np.zeros((repeats, len(y), scratch.workspace.neurons.shape[1]))
    for place in np.ndindex(repeats, len(y)):
        state.counts[ROUND] = _FRESH + 64 * (place[0] * len(y) + place[1])
        row = slice(place[1], place[1] + 1)
        model.learn_array(X[row], y[row])
        found[place] = scratch.workspace.neurons[CREDIT]
        for name, array in flatten(state).items():
            array[...] = saved[1][name]
    return found


def smoothed_gradient(
    saved: Saved, X: NDArray[np.float64], y: Sequence[int], draws: int, seed: int
) -> NDArray[np.float64]:
    """Return the true gradient of each row by the membranes, twice from `draws` draws, (2, rows, hidden neurons).

    Finite differences: each neuron's perturbation is turned round while all others stay (common random numbers).
    """
    model, state, scratch = _net(saved)
    thresholds, clean = state.net.neurons[THRESHOLD], state.net.neurons[THRESHOLD].copy()
    size, hidden = model.perturbation_std, len(clean)
    columns = [model.classes.index(label) for label in y]

    def loss(noise: NDArray[np.float64]) -> NDArray[np.float64]:
        thresholds[:] = clean - noise  # a membrane raised is a threshold lowered
        scratch.flags[CLEAN_FOR] = -1  # the pass in scratch is that of other thresholds
        return np.asarray(-np.log(model.predict_proba_array(X)[np.arange(len(y)), columns]))

    signs = np.sign(rng.uniforms(rng.derive_key(seed, _SIGNS), 0, 2 * draws * hidden) - 0.5)
    total = np.zeros((2, len(y), hidden))
    for d, noise in enumerate(size * signs.reshape(-1, hidden)):
        before = loss(noise)
        for i in range(hidden):
            turned = noise.copy()
            turned[i] = -noise[i]
            total[d % 2, :, i] += (before - loss(turned)) / (2.0 * noise[i])
    return total / draws


def relative_error(estimates: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
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


def angles(estimates: NDArray[np.float64], gradient: NDArray[np.float64]) -> list[float]:
    """Return the angle between estimates and the gradient in each layer, degrees, all rows as one vector.

    Examples
    --------
    >>> angles(np.ones((1, 1, 3)), np.array([[1.0, 1.0, -1.0]]))
    [0.0, 0.0, 180.0]
    """
    found = []
    for layer in np.split(np.arange(gradient.shape[-1]), len(_SIZES)):
        a, b = estimates[..., layer], gradient[:, layer]
        cosines = (a * b).sum(axis=(1, 2)) / np.sqrt((a * a).sum(axis=(1, 2)) * (b * b).sum())
        found.append(float(np.degrees(np.arccos(np.clip(cosines, -1.0, 1.0))).mean()))
    return found


def measure(trained: int, rows: int, draws: int, seed: int) -> dict[str, Any]:
    """Train 3 x 32 neurons on the first digits, then measure on the last rows of the stream, never learned."""
    X, labels = data.load("digits")
    y = labels.tolist()
    model = LOCOClassifier(_SIZES, readout="delta", readout_layers="last", seed=seed)
    model.learn_array(X[:trained], y[:trained])
    saved, X, y = model.export_state(), X[-rows:], y[-rows:]
    truth = smoothed_gradient(saved, X, y, draws, seed)
    figures: dict[str, Any] = {}
    estimates: dict[str, NDArray[np.float64]] = {"true gradient": truth[:1]}
    for name, (cluster_size, antithetic) in _NOISES.items():
        for passes in _PASSES[antithetic:]:
            found = credits_of(
                saved, X, y, max(4, _REPEATS // passes), credit="perturbation", cluster_size=cluster_size,
                antithetic=antithetic, n_perturbations=passes // (1 + antithetic),
            )  # fmt: skip
            figures[f"{name}/{passes}"] = relative_error(found, truth)
            if name == "orthogonal":
                estimates[f"paper's credit, {passes} pass{'es' * (passes > 1)}"] = found
    estimates["learned credit"] = credits_of(saved, X, y, 4)
    draw = rng.normals(rng.derive_key(seed, _RANDOM), 0, _REPEATS * truth[0].size)
    estimates["random vector"] = draw.reshape(_REPEATS, *truth[0].shape)
    for name in _CREDITS:
        gradient = truth[1] if name == "true gradient" else truth.mean(axis=0)
        for layer, angle in enumerate(angles(estimates[name], gradient), start=1):
            figures[f"{name}/{layer}"] = angle
    return figures


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
        for name, (_, antithetic) in _NOISES.items():
            cells = (_cell(runs, f"{name}/{passes}") for passes in _PASSES[antithetic:])
            variance.row(trained, name, *["-"] * antithetic, *cells)
        for name in _CREDITS:
            angle.row(trained, name, *(_cell(runs, f"{name}/{layer + 1}") for layer in range(len(_SIZES))))
    return [variance, angle]


@click.command("gradient")
@click.option("--samples", default="100,500,1700", show_default=True, help="Digits learned before the measurement.")
@click.option("--rows", type=click.IntRange(1, 97), default=16, show_default=True, help="Digits measured on.")
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

    The readout is the delta rule and sees the last layer alone; sklearn's digits. Before the first samples the
    readout is zero, and so is every gradient.

    \b
    Examples
      loco-stream bench gradient
      loco-stream bench gradient --samples 500 --seeds 1 --draws 1000
    """
    numbers = contenders.whole_numbers(samples, "--samples")
    if not all(100 <= number <= 1700 for number in numbers):  # with fewer a class is missing, with more the rows
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
