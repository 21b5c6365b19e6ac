"""What the benches in other libraries' evaluation share: the data of five tasks, and the table."""

from __future__ import annotations

from typing import Any

from benchmarks import data
from benchmarks.grid import Grid
from benchmarks.holdout import by_name, spread

__all__ = ["DIGITS", "MNIST", "five_tasks", "score_grid"]

DIGITS = "digits, five tasks"
MNIST = "MNIST, five tasks"
_HEADS = {"accuracy": "while learned", "final": "at the end"}


def five_tasks(name: str, directory: str | None) -> dict[str, Any]:
    """Return `X`, `y`, `X_test` and `y_test` of digits or of MNIST, values in [0, 1].

    A quarter of the digits is for tests; of MNIST the first 6,000 rows are learned and the first
    1,000 test rows are used. A task has two classes, 0 and 1 first.
    """
    if name == DIGITS:
        X, y = data.load("digits")
        is_test = [row % 4 == 0 for row in range(len(y))]
        is_train = [not tested for tested in is_test]
        return {
            "X": X[is_train] / 16,
            "y": y[is_train],
            "X_test": X[is_test] / 16,
            "y_test": y[is_test],
        }
    (X, y), (X_test, y_test) = data.load_mnist(directory)
    return {"X": X[:6000], "y": y[:6000], "X_test": X_test[:1000], "y_test": y_test[:1000]}


def score_grid(results: dict[str, dict[str, Any]], scores: tuple[str, ...], title: str) -> Grid:
    """Return a table of learners by streams; the CPU time is that over the streams of a row.

    `results` has keys stream/learner/seed. Several scores of a stream are columns beside each
    other. A learner may lack a stream or a score.
    """
    grouped = by_name(results)
    streams, learners = (list(dict.fromkeys(key[place] for key in grouped)) for place in (0, 1))
    columns = [(stream, score) for stream in streams for score in scores]
    heads = [f"{s}: {_HEADS[score]}" if len(scores) > 1 else s for s, score in columns]
    grid = Grid(title, ["learner", *heads, "CPU seconds"])
    for learner in learners:
        cells = [_cell(grouped.get((stream, learner)), score) for stream, score in columns]
        there = [grouped[stream, learner] for stream in streams if (stream, learner) in grouped]
        grid.row(learner, *cells, f"{sum(spread(runs, 'cpu_seconds')[0] for runs in there):.0f}")
    for column, (stream, score) in enumerate(columns, start=1):
        here = [grouped.get((stream, learner)) for learner in learners]
        means = [_spread(runs, score)[0] for runs in here]
        grid.mark_best(column, means, largest=score != "rmse")
    return grid


def _spread(runs: list[dict[str, Any]] | None, score: str) -> tuple[float | None, float | None]:
    """Return mean and deviation; None for a learner without runs or without the score."""
    if runs is None or runs[0].get(score) is None:
        return None, None
    return spread(runs, score)


def _cell(runs: list[dict[str, Any]] | None, score: str) -> str:
    mean, deviation = _spread(runs, score)
    if mean is None:
        return "-"
    digits = 2 if score == "rmse" else 1
    return f"{mean:.{digits}f}" + ("" if deviation is None else f" ±{deviation:.{digits}f}")
