"""Streams of tasks on real and synthetic data, and errors whose rate jumps at a known row."""

from __future__ import annotations

from itertools import islice

import numpy as np
from river.datasets import synth
from sklearn.datasets import load_digits


def digits_two_at_a_time():
    """Return five tasks (X, y) of two classes each, shuffled: the data are sorted by writer."""
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(42).permutation(len(y))
    X = X[order]
    y = y[order]
    return [(X[y // 2 == pair], y[y // 2 == pair]) for pair in range(5)]


def returning_labels(n=2500):
    """Return tasks A, B, A, B of n rows: functions 0 and 4 of Agrawal, with the same inputs."""
    concepts = [iter(synth.Agrawal(classification_function=k, seed=42 + k)) for k in (0, 4)]
    tasks = []
    for visit in range(4):
        rows = list(islice(concepts[visit % 2], n))
        tasks.append(
            (
                np.array([[float(x[key]) for key in sorted(x)] for x, _ in rows]),
                np.array([y for _, y in rows]),
            )
        )
    return tasks


def jump(before, after, seed, at=1000, n=3000):
    """Return n errors (0 or 1) whose rate jumps from `before` to `after` at row `at`."""
    rate = np.where(np.arange(n) < at, before, after)
    return (np.random.default_rng(seed).random(n) < rate).astype(np.int64)
