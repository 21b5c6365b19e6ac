"""A small forgetful classifier, streams of tasks for it, and a slow merge of matrices."""

from __future__ import annotations

import numpy as np

NAMES = tuple("abcdefgh")


class Forgetful:
    """Softmax regression with a large step: it learns a task in some hundred rows and forgets."""

    def __init__(self, n_classes=4):
        self.weights = np.zeros((n_classes, len(NAMES) + 1))
        self.learned = []
        self.n_predicted = 0

    def _scores(self, X):
        self.n_predicted += len(X)
        return np.column_stack([np.nan_to_num(X), np.ones(len(X))]) @ self.weights.T

    def predict_one(self, x):
        return int(np.argmax(self._scores(np.array([[float(x.get(name, 0.0)) for name in NAMES]]))))

    def learn_one(self, x, y):
        v = np.array([*(float(x.get(name, 0.0)) for name in NAMES), 1.0])
        scores = self.weights @ v
        p = np.exp(scores - scores.max())
        p /= p.sum()
        p[y] -= 1.0
        self.weights -= 0.5 * np.outer(p, v) / (v @ v)


class ForgetfulArrays(Forgetful):
    """The same with `predict_array`."""

    def predict_array(self, X, features=None):
        assert features == NAMES
        return np.argmax(self._scores(X), axis=1)


class Tasks:
    """Classes around means; each concept has other means, or permuted labels."""

    def __init__(self, seed, same_inputs=False):
        self.rng = np.random.default_rng(seed)
        means = self.rng.standard_normal((4, 4, len(NAMES))) * 1.5
        self.means = (
            np.stack([np.roll(means[0], k, axis=0) for k in range(4)]) if same_inputs else means
        )

    def rows(self, concept, n):
        y = self.rng.integers(0, 4, n)
        return self.means[concept][y] + self.rng.standard_normal((n, len(NAMES))), y


def run(monitor, model, tasks, order, length, start=0, tests=None):
    """Stream `order` of concepts through; return (alarms, matrix on full test sets after each)."""
    alarms = []
    matrix = []
    index = start
    for concept in order:
        X, y = tasks.rows(concept, length)
        for row, label in zip(X.tolist(), y.tolist(), strict=True):
            alarms += step(monitor, model, dict(zip(NAMES, row, strict=True)), label, index)
            index += 1
        if tests is not None:
            answers = [
                np.argmax(model._scores(tests[other][0]), axis=1) == tests[other][1]
                for other in order
            ]
            matrix.append([float(right.mean()) for right in answers])
    return alarms, np.array(matrix)


def step(monitor, model, x, y, index):
    """One sample, in the order of the engine."""
    y_pred = model.predict_one(x)
    alarms = monitor.update(y, y_pred, x, index)
    if not monitor.hold_out(x, y, index):
        model.learn_one(x, y)
        model.learned.append(index)
    monitor.rescore(model)
    return alarms


def merged(rows, counts, target):
    """Return R and counts after merging segment 0 into `target`, entry by entry."""
    new_rows = []
    new_counts = []
    for i in range(1, len(rows)):
        row = []
        count = []
        for j in range(1, len(rows[i])):
            if j == target:
                n = counts[i][0] + counts[i][j]
                row.append((rows[i][0] * counts[i][0] + rows[i][j] * counts[i][j]) / n)
                count.append(n)
            else:
                row.append(rows[i][j])
                count.append(counts[i][j])
        new_rows.append(row)
        new_counts.append(count)
    return new_rows, new_counts
