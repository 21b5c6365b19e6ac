"""Two concepts alternate, A-B-A-B; four learners show how much they retain at each return."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import click

from loco_stream._persistence.outputs import check_picture
from loco_stream.demos._demo import Demo, HitRecorder, check_claims, demo_options, run_for

_TURNS = "ABAB"
_EARLY = 200  # rows after a change, within which nothing can be learned anew
_ROWS_PER_SECOND = 200  # the slowest learner takes most of the time
_OURS = "LOCO"
_COLOURS = ("#0072b2", "#009e73", "#e69f00", "#cc79a7")
_NOTE = (
    "Simulated data: two concepts, A and B, alternate as A-B-A-B. Each has five classes of points "
    "around centres of its own. Four learners predict and then learn the same rows. Look at the "
    "start of the third and fourth quarter: a learner without forgetting starts where it stopped."
)


def contenders(seed: int) -> dict[str, Any]:
    """Return our model and three of river, each with its defaults."""
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
    """Yield `turn` rows of A, of B, of A and of B: point clouds around other centres."""
    from river.datasets.synth import RandomRBF

    seeds = {"A": 2 * seed, "B": 2 * seed + 1}
    concepts = {
        name: iter(
            RandomRBF(seed_model=s, seed_sample=s, n_classes=5, n_features=10, n_centroids=30)
        )
        for name, s in seeds.items()
    }
    for name in _TURNS:
        yield from islice(concepts[name], turn)


def with_rivals(
    rows: Iterator[tuple[Any, Any]], models: Mapping[str, Any], hits: Mapping[str, list[bool]]
) -> Iterator[tuple[Any, Any]]:
    """Yield rows after each of the models has predicted and learned them."""
    for x, y in rows:
        for name, model in models.items():
            hits[name].append(model.predict_one(x) == y)
            model.learn_one(x, y)
        yield x, y


def _recent(hits: Sequence[bool]) -> float | None:
    """Return the accuracy on the last rows."""
    return sum(hits[-_EARLY:]) / len(hits[-_EARLY:]) if hits else None


def draw(courses: Mapping[str, list[bool]], turn: int, path: str) -> None:
    """Draw the accuracy of each learner over the last 200 rows."""
    import numpy as np
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for (name, hits), colour in zip(courses.items(), _COLOURS, strict=True):
        accuracy = np.convolve(hits, np.ones(_EARLY) / _EARLY, mode="valid")
        rows = np.arange(len(accuracy)) + _EARLY
        width = 2.2 if name == _OURS else 1.2
        axes.plot(rows, accuracy, lw=width, color=colour, label=name)
    for k, name in enumerate(_TURNS):
        axes.axvline(k * turn, color="grey", lw=0.8, ls=":")
        axes.text((k + 0.5) * turn, 1.01, name, ha="center")
    axes.set(ylim=(0, 1), xlabel="rows", ylabel=f"accuracy, last {_EARLY} rows (fraction)")
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=120)


@click.command("recurring")
@demo_options(seconds=30.0)
@click.option("--plot", default="recurring.png", metavar="FILE", help="The picture.")
def command(demo: Demo, plot: str) -> None:
    """Learn two concepts that alternate, beside three learners of river, and draw all four.

    Look at the first rows after each return in the picture: a learner without forgetting starts
    where it stopped.

    \b
    Example
      loco-stream demo recurring --headless --plot recurring.png
    """
    check_picture("--plot", plot)
    turn = max(1000, int(demo.seconds * _ROWS_PER_SECOND) // len(_TURNS))
    courses = _learn(demo, turn)
    draw(courses, turn, plot)
    click.echo(f"the picture is {plot}")
    returns = {name: _returns(hits, turn) for name, hits in courses.items()}
    for name, hits in courses.items():
        first, second = returns[name]
        overall = sum(hits) / len(hits)
        click.echo(f"{name:34} {overall:.3f} of all; A and B on return {first:.3f} {second:.3f}")
    check_claims([_claim({name: sum(values) / 2 for name, values in returns.items()})])


def _claim(returns: Mapping[str, float]) -> tuple[bool, str]:
    """Compare the mean accuracies on return."""
    ours = returns[_OURS]
    best = max(accuracy for name, accuracy in returns.items() if name != _OURS)
    text = f"on return, LOCO predicts {ours:.1%} of the first {_EARLY} rows correctly"
    return ours > best, f"{text}, the best other learner {best:.1%}"


def _learn(demo: Demo, turn: int) -> dict[str, list[bool]]:
    """Let all models learn the stream; return whether each row was predicted correctly."""
    from loco_stream import StreamEngine, TaskMonitor

    models = contenders(demo.seed)
    ours = models.pop(_OURS)
    recorder = HitRecorder()
    hits: dict[str, list[bool]] = {name: [] for name in models}
    rivals = {name: partial(_recent, values) for name, values in hits.items()}
    with demo.page("Two concepts alternate", _NOTE, rivals=rivals) as watchers:
        rows = with_rivals(stream(turn, demo.seed), models, hits)
        monitor = TaskMonitor(holdout=0)
        run_for(
            StreamEngine(ours, rows, [recorder], monitor, score_window=_EARLY, watchers=watchers)
        )
    return {_OURS: list(recorder.hits.values()), **hits}


def _returns(hits: Sequence[bool], turn: int) -> tuple[float, float]:
    """Return the accuracy on the first rows after A and after B return."""
    first, second = (sum(hits[k * turn : k * turn + _EARLY]) / _EARLY for k in (2, 3))
    return first, second
