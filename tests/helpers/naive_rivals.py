"""Slow, plain numpy twins of the compiled peers of the benches."""

from __future__ import annotations

import numpy as np


class NaiveMLP:
    """ReLU network, softmax cross-entropy, SGD.

    Moments from all samples kept, not from a recursion.
    """

    def __init__(self, w1, w2, learning_rate):
        self.w1, self.w2, self.rate = w1.copy(), w2.copy(), learning_rate
        self.b1 = np.zeros(w1.shape[1])
        self.b2 = np.zeros(w2.shape[1])
        self.seen = []

    def _scaled(self, x):
        if not self.seen:
            return np.zeros_like(x)
        past = np.array(self.seen)
        spread = past.std(axis=0)
        return np.where(
            spread > 1e-12, (x - past.mean(axis=0)) / np.where(spread > 1e-12, spread, 1.0), 0.0
        )

    def predict(self, x):
        hidden = np.maximum(self._scaled(x) @ self.w1 + self.b1, 0.0)
        return int(np.argmax(hidden @ self.w2 + self.b2)) if self.seen else -1

    def learn(self, x, y):
        self.seen.append(x)
        z = self._scaled(x)
        hidden = np.maximum(z @ self.w1 + self.b1, 0.0)
        logits = hidden @ self.w2 + self.b2
        p = np.exp(logits - logits.max())
        p /= p.sum()
        p[y] -= 1.0
        back = (self.w2 @ p) * (hidden > 0.0)
        self.w2 -= self.rate * np.outer(hidden, p)
        self.b2 -= self.rate * p
        self.w1 -= self.rate * np.outer(z, back)
        self.b1 -= self.rate * back


class NaiveContinualMLP(NaiveMLP):
    """The same network by continual backpropagation, without scaling.

    `fresh()` returns the input weights of a new unit.
    """

    def __init__(self, w1, w2, learning_rate, replacement_rate, fresh):
        super().__init__(w1, w2, learning_rate)
        self.replacement_rate = replacement_rate
        self.fresh = fresh
        self.utility = np.zeros(len(w2))
        self.age = np.zeros(len(w2))
        self.owed = 0.0
        self.replaced = []

    def _scaled(self, x):
        return x

    def predict(self, x):
        return int(np.argmax(np.maximum(x @ self.w1 + self.b1, 0.0) @ self.w2 + self.b2))

    def learn(self, x, y):
        hidden = np.maximum(x @ self.w1 + self.b1, 0.0)
        self.utility = 0.99 * self.utility + 0.01 * hidden * np.abs(self.w2).sum(axis=1)
        super().learn(x, y)
        self.age += 1
        old = np.flatnonzero(self.age > 100)
        self.owed += self.replacement_rate * len(old)
        if self.owed >= 1.0:
            self.owed -= 1.0
            unit = old[np.argmin(self.utility[old])]
            self.replaced.append(unit)
            self.w1[:, unit] = self.fresh()
            self.w2[unit] = self.b1[unit] = self.utility[unit] = self.age[unit] = 0.0


def slda_predict(X, y, x, n_classes, ridge):
    """Predict `x` from all rows learned: class means and the pooled scatter, inverted at once."""
    means = np.zeros((n_classes, X.shape[1]))
    scatter = ridge * np.eye(X.shape[1])
    for c in np.unique(y):
        rows = X[y == c]
        means[c] = rows.mean(axis=0)
        scatter += (rows - means[c]).T @ (rows - means[c])
    precision = np.linalg.inv(scatter) * len(y)
    scores = [
        x @ precision @ m - 0.5 * m @ precision @ m if (y == c).any() else -np.inf
        for c, m in enumerate(means)
    ]
    return int(np.argmax(scores))


def ridge_weights(features, y, n_classes, prior):
    """Return the ridge solution that recursive least squares must have reached.

    (classes, features).
    """
    gram = features.T @ features + np.eye(features.shape[1]) / prior
    return np.linalg.solve(gram, features.T @ np.eye(n_classes)[y]).T


class NaiveRegressionNet:
    """ReLU network for values, half the squared error, SGD, and continual backpropagation.

    It starts from the weights of a compiled one. `fresh()` returns the input weights of a new unit.
    """

    def __init__(self, w1, w2, options, fresh):
        self.w1, self.w2, self.options, self.fresh = w1.copy(), w2.copy(), options, fresh
        self.b1 = np.zeros(len(w2))
        self.b2 = 0.0
        self.utility = np.zeros(len(w2))
        self.age = np.zeros(len(w2))
        self.owed = 0.0
        self.replaced = []

    def predict(self, x):
        return np.maximum(x @ self.w1 + self.b1, 0.0) @ self.w2 + self.b2

    def learn(self, x, y):
        rate = self.options.learning_rate
        decay = self.options.decay
        hidden = np.maximum(x @ self.w1 + self.b1, 0.0)
        error = hidden @ self.w2 + self.b2 - y
        back = error * self.w2 * (hidden > 0.0)
        if self.options.bound:
            slopes = self.w2 * (hidden > 0.0)
            norm = sum(np.abs(g).sum() for g in (np.outer(x, slopes), slopes, hidden, 1.0))
            overshoot = rate * self.options.bound * max(abs(error), 1.0) * norm
            rate = rate / overshoot if overshoot > 1.0 else rate
        self.w2 -= rate * (error * hidden + decay * self.w2)
        self.w1 -= rate * (np.outer(x, back) + decay * self.w1)
        self.b1 -= rate * back
        self.b2 -= rate * error
        self.age += 1
        self.utility = 0.99 * self.utility + 0.01 * hidden * np.abs(self.w2)
        old = np.flatnonzero(self.age > 100)
        self.owed += self.options.replaced * len(old)
        if self.owed >= 1.0:
            self.owed -= 1.0
            self._replace(old[np.argmin(self.utility[old])])

    def _replace(self, unit):
        self.replaced.append(unit)
        self.w1[:, unit] = self.fresh()
        self.b1[unit] = self.w2[unit] = self.utility[unit] = self.age[unit] = 0.0


class NaiveUPGD:
    """ReLU network for values, half the squared error, first-order UPGD, weights in one vector.

    Utilities are corrected for their age, as published. `draw` makes the noise.
    """

    def __init__(self, w1, w2, options, draw):
        self.shape = w1.shape
        self.options = options
        self.draw = draw
        self.weights = np.concatenate([w1.ravel(), np.zeros(len(w2)), w2, [0.0]])
        self.utility = np.zeros_like(self.weights)
        self.age = 0

    def _parts(self):
        n_in, n_hidden = self.shape
        w1, b1, w2, b2 = np.split(self.weights, np.cumsum([n_in * n_hidden, n_hidden, n_hidden]))
        return w1.reshape(self.shape), b1, w2, b2[0]

    def predict(self, x):
        w1, b1, w2, b2 = self._parts()
        return np.maximum(x @ w1 + b1, 0.0) @ w2 + b2

    def learn(self, x, y):
        w1, b1, w2, _ = self._parts()
        error = self.predict(x) - y
        hidden = np.maximum(x @ w1 + b1, 0.0)
        back = error * w2 * (hidden > 0.0)
        gradient = np.concatenate([np.outer(x, back).ravel(), back, error * hidden, [error]])
        kept = self.options.kept
        self.utility = kept * self.utility + (1.0 - kept) * -gradient * self.weights
        self.age += 1
        corrected = self.utility / (1.0 - kept**self.age)
        gate = 1.0 / (1.0 + np.exp(-corrected / corrected.max()))
        noise = self.options.noise * self.draw.standard_normal(len(gradient))
        step = self.options.learning_rate
        self.weights *= 1.0 - step * self.options.decay
        self.weights -= step * (gradient + noise) * (1.0 - gate)
