"""Two concepts take turns, A-B-A-B, and four learners show what they still know at each return."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import click

from loco_stream.demos.stage import Hits, Stage, conclude, demo_options, play
from loco_stream.persistence.outputs import check_picture

__all__ = ["command"]

_TURNS = "ABAB"
_EARLY = 200  # samples after a change: what is not known by then was learned anew
_PER_SECOND = 200  # samples; the slowest contender takes most of the time
_OURS = "LOCO"
_NOTE = (
    "Simulated: two concepts, A and B, take turns, A-B-A-B; each is five classes of points around centres of its own. "
    "Four learners see the same rows, each predicted before it is learned. Look at the start of the third and fourth "
    "quarter: who starts where it stopped has not forgotten."
)


def contenders(seed: int) -> dict[str, Any]:
    """Return our model and three of river's, each with its defaults."""
    from river.forest import ARFClassifier
    from river.linear_model import SoftmaxRegression
    from river.preprocessing import StandardScaler
    from river.tree import HoeffdingAdaptiveTreeClassifier

    from loco_stream import LOCOClassifier

    return {
        _OURS: LOCOClassifier(seed=seed),
        "softmax regression": StandardScaler() | SoftmaxRegression(),
        "Hoeffding adaptive tree": HoeffdingAdaptiveTreeClassifier(seed=seed),
        "adaptive random forest, 10 trees": ARFClassifier(n_models=10, seed=seed),
    }


def stream(turn: int, seed: int) -> Iterator[tuple[dict[Any, Any], Any]]:
    """Yield `turn` samples of A, of B, of A and of B: clouds around other centres each."""
    from river.datasets.synth import RandomRBF

    concepts = {
        name: iter(
            RandomRBF(
                seed_model=drawn, seed_sample=drawn, n_classes=5, n_features=10, n_centroids=30
            )
        )
        for name, drawn in (("A", 2 * seed), ("B", 2 * seed + 1))
    }
    for name in _TURNS:
        yield from islice(concepts[name], turn)


def beside(
    rows: Iterator[tuple[Any, Any]], models: Mapping[str, Any], courses: Mapping[str, list[bool]]
) -> Iterator[tuple[Any, Any]]:
    """Yield rows, once each of the models has predicted, been scored on, and learned the row."""
    for x, y in rows:
        for name, model in models.items():
            courses[name].append(model.predict_one(x) == y)
            model.learn_one(x, y)
        yield x, y


def _lately(hits: Sequence[bool]) -> float | None:
    """Return the share of right answers in the last samples."""
    return sum(hits[-_EARLY:]) / len(hits[-_EARLY:]) if hits else None


def draw(courses: Mapping[str, list[bool]], turn: int, path: str) -> None:
    """Draw the share of right answers over the last 200 samples of each contender."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for (name, hits), colour in zip(
        courses.items(), ("#0072b2", "#009e73", "#e69f00", "#cc79a7"), strict=True
    ):
        window = np.convolve(hits, np.ones(_EARLY) / _EARLY, mode="valid")
        axes.plot(
            np.arange(len(window)) + _EARLY,
            window,
            lw=2.2 if name == _OURS else 1.2,
            color=colour,
            label=name,
        )
    for k, name in enumerate(_TURNS):
        axes.axvline(k * turn, color="grey", lw=0.8, ls=":")
        axes.text((k + 0.5) * turn, 1.01, name, ha="center")
    axes.set(ylim=(0, 1), xlabel="samples", ylabel=f"accuracy, last {_EARLY} samples (fraction)")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)


@click.command("recurring")
@demo_options(seconds=30.0)
@click.option(
    "--plot", default="recurring.png", show_default=True, metavar="FILE", help="The picture."
)
def command(stage: Stage, plot: str) -> None:
    """Learn two concepts that take turns, beside softmax regression, HAT and ARF, and draw all four.

    Look at the first samples after each return in the picture: who starts where it stopped has not
    forgotten.
    """
    from loco_stream import StreamEngine, TaskMonitor

    check_picture("--plot", plot)
    turn = max(1000, int(stage.seconds * _PER_SECOND) // len(_TURNS))
    models = contenders(stage.seed)
    sink = Hits()
    ours = models.pop(_OURS)
    courses: dict[str, list[bool]] = {name: [] for name in models}
    rivals = {name: partial(_lately, hits) for name, hits in courses.items()}
    with stage.page("Two concepts take turns", _NOTE, rivals=rivals) as watchers:
        rows = beside(stream(turn, stage.seed), models, courses)
        monitor = TaskMonitor(holdout=0)
        play(StreamEngine(ours, rows, [sink], monitor, score_window=_EARLY, watchers=watchers))
    courses = {_OURS: sink.hits, **courses}
    draw(courses, turn, plot)
    click.echo(f"the picture is {plot}")
    returns = {}
    for name, hits in courses.items():
        returns[name] = [sum(hits[k * turn : k * turn + _EARLY]) / _EARLY for k in (2, 3)]
        overall = sum(hits) / len(hits)
        click.echo(
            f"{name:34} {overall:.3f} of all; A and B on return {returns[name][0]:.3f} {returns[name][1]:.3f}"
        )
    mean = {name: sum(values) / 2 for name, values in returns.items()}
    best = max(value for name, value in mean.items() if name != _OURS)
    text = f"on return LOCO is right in {mean[_OURS]:.1%} of the first {_EARLY} samples, the best other in {best:.1%}"
    conclude([(mean[_OURS] > best, text)])
