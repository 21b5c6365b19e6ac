"""Measures written straight from their definitions, as slow loops."""

from __future__ import annotations


def average_accuracy(R):
    return sum(R[-1][j] for j in range(len(R))) / len(R)


def learning_accuracy(R):
    return sum(R[i][i] for i in range(len(R))) / len(R)


def average_anytime_accuracy(R):
    return sum(sum(R[i][j] for j in range(i + 1)) / (i + 1) for i in range(len(R))) / len(R)


def backward_transfer(R):
    last = len(R) - 1
    return sum(R[last][j] - R[j][j] for j in range(last)) / last if last else 0.0


def forgetting(R):
    last = len(R) - 1
    drops = [max(R[step][j] for step in range(j, last)) - R[last][j] for j in range(last)]
    return sum(drops) / last if last else 0.0


def windowed_forgetting(curves, window):
    n_rows, n_tasks = curves.shape
    total = 0.0
    for task in range(n_tasks):
        drops = [
            curves[m, task] - curves[n, task]
            for n in range(n_rows)
            for m in range(max(0, n - window + 1), n + 1)
        ]
        total += max(drops)
    return total / n_tasks


def minimum_accuracy(curves, ends):
    return sum(
        min(curves[n][task] for n in range(end + 1, len(curves))) for task, end in enumerate(ends)
    ) / len(ends)


def accuracy(y_true, y_pred):
    return sum(a == b for a, b in zip(y_true, y_pred, strict=True)) / len(y_true)
