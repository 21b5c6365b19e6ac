"""Training in one pass, testing on held-out rows, and the data sets with such a split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.learner import Learner, correct, prequential_accuracy, warm
from benchmarks.machine import cpu_seconds
from loco_stream.errors import SourceError

__all__ = ["by_name", "images", "nettalk", "spread", "train_and_test"]


def train_and_test(
    make: Callable[[], Learner], train: data.Arrays, test: data.Arrays
) -> dict[str, Any]:
    """Learn `train` in order with a fresh model, predicting each row first; then predict `test`."""
    warm(make(), *train)
    model = make()
    seconds, predictions = cpu_seconds(lambda: model.learn_predict_array(*train))
    right, _ = correct(model.predict_array(test[0]), test[1])
    spikes = getattr(model, "spike_counts_", None)
    return {
        "test_accuracy": right / len(test[1]),
        "prequential": prequential_accuracy(predictions, train[1]),
        "n_samples": len(train[1]),
        "n_test": len(test[1]),
        "cpu_seconds": seconds,
        "samples_per_second": len(train[1]) / seconds,
        "spikes_per_layer": None if spikes is None else float(np.mean(spikes)),
    }


def images(
    directory: str | Path | None, n_samples: int, n_test: int
) -> tuple[str, data.Arrays, data.Arrays]:
    """Return the name, training rows and test rows of MNIST, or of sklearn's digits without it.

    Training takes the first `n_samples` of a shuffle with seed 0. Digits have 1438 training and 359
    test rows.
    """
    try:
        (X, y), (Xt, yt) = data.load_mnist(directory)
    except SourceError:
        X, y = data.load("digits")
        cut = len(y) - len(y) // 5
        return (
            "digits",
            (X[:cut][:n_samples], y[:cut][:n_samples]),
            (X[cut:][:n_test], y[cut:][:n_test]),
        )
    order = np.random.RandomState(0).permutation(len(y))[:n_samples]  # data, not the model
    return "MNIST", (X[order], y[order]), (Xt[:n_test], yt[:n_test])


def nettalk(
    directory: str | Path | None, target: str, common: bool, share: float
) -> tuple[data.Arrays, data.Arrays]:
    """Return NETtalk, split by word: four fifths are for training.

    Rows are 7 one-hot letters, labels phoneme or stress codes.
    """
    with np.load(data.find("NETtalk", directory)) as file:
        letters = file["X"]
        y = file[target].astype(np.int64)
        word = file["word"]
        chosen = (
            np.flatnonzero(file["common1000"]) if common else np.arange(len(file["common1000"]))
        )
        n_letters = len(file["letters"])
    n_chosen = max(10, int(len(chosen) * share))
    order = np.random.RandomState(0).permutation(chosen)[:n_chosen]  # data, not the model
    place = np.full(int(word.max()) + 1, -1)
    place[order] = np.arange(len(order))
    rows = np.flatnonzero(place[word] >= 0)
    rows = rows[np.argsort(place[word[rows]], kind="stable")]
    test = place[word[rows]] >= len(order) - len(order) // 5
    X = np.eye(n_letters)[letters[rows]].reshape(len(rows), -1)
    return (X[~test], y[rows][~test]), (X[test], y[rows][test])


def by_name(results: dict[str, dict[str, Any]]) -> dict[tuple[str, ...], list[dict[str, Any]]]:
    """Group the runs of all seeds by the key without its last part."""
    grouped: dict[tuple[str, ...], list[dict[str, Any]]] = defaultdict(list)
    for key, values in results.items():
        grouped[tuple(key.split("/")[:-1])].append(values)
    return dict(grouped)


def spread(runs: list[dict[str, Any]], key: str) -> tuple[float, float | None]:
    """Return the mean and standard deviation of a figure over seeds; None for a single run's."""
    values = [run[key] for run in runs]
    return fmean(values), stdev(values) if len(values) > 1 else None
