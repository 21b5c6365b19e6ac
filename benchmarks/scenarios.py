"""Continual-learning scenarios: sequences of tasks with a training stream and a test set each.

Class-incremental scenarios have one head and no task labels. Permutations and orders are part of
the data's definition, which needs numpy's old generator (`RandomState`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import data
from loco_stream.errors import ConfigError

__all__ = ["SCENARIOS", "Scenario", "Task", "build"]


@dataclass(frozen=True, slots=True)
class Task:
    """Rows to learn in order, rows to test on, and their concept, which recurring tasks share."""

    X: NDArray[np.float64]
    y: NDArray[np.int64]
    Xt: NDArray[np.float64]
    yt: NDArray[np.int64]
    concept: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """`make(directory, share)` returns the tasks; `needs` names the data to find, if any."""

    make: Callable[[str | Path | None, float], list[Task]]
    needs: str = ""


def _digits() -> tuple[data.Arrays, data.Arrays]:
    """Return the digits in their fixed order, each class split 80 to 20 at random."""
    X, y = data.load("digits")
    test = np.random.RandomState(0).permutation(len(y)) < len(y) // 5
    return (X[~test], y[~test]), (X[test], y[test])


def _by_class(train: data.Arrays, test: data.Arrays, n_each: int, n_test: int) -> list[Task]:
    """Return five tasks of two classes each, 0 and 1 first."""
    tasks = []
    for pair in range(5):
        rows, tested = (np.flatnonzero(y // 2 == pair) for _, y in (train, test))
        rows = rows[:n_each]
        tested = tested[:n_test]
        tasks.append(Task(train[0][rows], train[1][rows], test[0][tested], test[1][tested], pair))
    return tasks


def _class_incremental_digits(directory: str | Path | None, share: float) -> list[Task]:
    return _by_class(*_digits(), n_each=int(1797 * share), n_test=1797)


def _shuffled_mnist(directory: str | Path | None) -> tuple[data.Arrays, data.Arrays]:
    (X, y), test = data.load_mnist(directory)
    order = np.random.RandomState(0).permutation(len(y))
    return (X[order], y[order]), test


def _split_mnist(directory: str | Path | None, share: float) -> list[Task]:
    return _by_class(*_shuffled_mnist(directory), n_each=int(2000 * share), n_test=int(500 * share))


def _transformed_mnist(
    directory: str | Path | None, share: float, change: Callable[[NDArray[Any], int], NDArray[Any]]
) -> list[Task]:
    """Return ten tasks of 1000 new images each, transformed by `change(images, task)`."""
    (X, y), (Xt, yt) = _shuffled_mnist(directory)
    n = int(1000 * share)
    n_test = int(300 * share)
    tasks = []
    for task in range(10):
        rows = slice(task * n, task * n + n)
        tested = slice(task * n_test, task * n_test + n_test)
        tasks.append(
            Task(change(X[rows], task), y[rows], change(Xt[tested], task), yt[tested], task)
        )
    return tasks


def _permuted_mnist(directory: str | Path | None, share: float) -> list[Task]:
    def change(images: NDArray[Any], task: int) -> NDArray[Any]:
        order = np.arange(784) if task == 0 else np.random.RandomState(task).permutation(784)
        return images[:, order]

    return _transformed_mnist(directory, share, change)


def _rotated_mnist(directory: str | Path | None, share: float) -> list[Task]:
    def change(images: NDArray[Any], task: int) -> NDArray[Any]:
        from scipy.ndimage import rotate

        turned = rotate(
            images.reshape(-1, 28, 28), 20.0 * task, axes=(1, 2), reshape=False, order=1
        )
        return np.asarray(turned).reshape(-1, 784)

    return _transformed_mnist(directory, share, change)


def _recurring_inputs(directory: str | Path | None, share: float) -> list[Task]:
    """A-B-A-B on digits, permuted in B; every visit has new digits."""
    (X, y), (Xt, yt) = _digits()
    order = np.random.RandomState(1).permutation(64)
    n = int(len(y) * share) // 4
    tasks = []
    for visit in range(4):
        rows = slice(visit * n, visit * n + n)
        concept = visit % 2
        columns = order if concept else np.arange(64)
        tasks.append(Task(X[rows][:, columns], y[rows], Xt[:, columns], yt, concept))
    return tasks


def _recurring_labels(directory: str | Path | None, share: float) -> list[Task]:
    """A-B-A-B on Agrawal's functions 0 and 4, which label the same inputs differently."""
    from river.datasets import synth

    n = int(2500 * share)
    n_test = int(500 * share)
    concepts = [
        iter(synth.Agrawal(classification_function=function, seed=42 + i))
        for i, function in enumerate((0, 4))
    ]
    tests = [_agrawal_rows(concept, n_test) for concept in concepts]
    return [
        Task(*_agrawal_rows(concepts[visit % 2], n), *tests[visit % 2], visit % 2)
        for visit in range(4)
    ]


def _agrawal_rows(concept: Any, n: int) -> data.Arrays:
    rows = [next(concept) for _ in range(n)]
    X = np.array([[float(x[key]) for key in sorted(x)] for x, _ in rows])
    return X, np.array([y for _, y in rows], dtype=np.int64)


def _noaa(directory: str | Path | None, share: float) -> list[Task]:
    """Fifty years of weather as six spans in order; every fifth day is for testing."""
    X, y = data.load("NOAA", directory)
    tasks = []
    for span, rows in enumerate(np.array_split(np.arange(int(len(y) * share)), 6)):
        test = rows % 5 == 4
        tasks.append(Task(X[rows[~test]], y[rows[~test]], X[rows[test]], y[rows[test]], span))
    return tasks


SCENARIOS: dict[str, Scenario] = {
    "class-incremental digits": Scenario(_class_incremental_digits),
    "split MNIST": Scenario(_split_mnist, "MNIST"),
    "permuted MNIST": Scenario(_permuted_mnist, "MNIST"),
    "rotated MNIST": Scenario(_rotated_mnist, "MNIST"),
    "A-B-A-B inputs": Scenario(_recurring_inputs),
    "A-B-A-B labels": Scenario(_recurring_labels),
    "NOAA": Scenario(_noaa, "NOAA"),
}


def build(name: str, directory: str | Path | None = None, share: float = 1.0) -> list[Task]:
    """Return the tasks of a scenario.

    Parameters
    ----------
    name
        One of `SCENARIOS`.
    directory
        Directory of MNIST and NOAA; None takes `LOCO_STREAM_DATA`.
    share
        Fraction of the samples of each task, for a quick look.

    Raises
    ------
    ConfigError
        For an unknown name or a share outside (0, 1].
    SourceError
        If its data is not on this machine; the message tells how to get it.

    Examples
    --------
    >>> tasks = build("class-incremental digits")
    >>> [sorted(set(task.y.tolist())) for task in tasks]
    [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]
    """
    if name not in SCENARIOS:
        raise ConfigError(f"`scenario` must be one of {', '.join(SCENARIOS)}, got {name!r}")
    if not 0.0 < share <= 1.0:
        raise ConfigError(f"`share` must be a fraction above 0, at most 1, got {share!r}")
    return SCENARIOS[name].make(directory, share)
