"""Closed-form continual learners.

They are streaming LDA, recursive least squares on the row or on random ReLU features of it, and the
nearest class mean. All never forget, and need neither epochs nor stored samples.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks.learner import WIDE, CompiledLearner
from loco_stream._rng import derive_key, normals

__all__ = ["SLDA", "NearestMean", "RandomFeaturesRLS", "Ridge"]

Floats: TypeAlias = NDArray[np.float64]
Codes: TypeAlias = NDArray[np.int64]


@njit(cache=True)
def _slda_run(
    X: Floats,
    y: Codes,
    predict: bool,
    learn: bool,
    counts: Floats,
    means: Floats,
    precision: Floats,
    projected: Floats,
    result: Codes,
) -> None:
    """Streaming LDA over rows.

    `precision` is (ridge I + scatter)^-1, `projected[k]` = precision @ means[k].
    """
    d = X.shape[1]
    k = np.empty(d)
    v = np.empty(d)
    for t in range(X.shape[0]):
        x = X[t]
        total = counts.sum()
        if predict and total > 0.0:
            best = -np.inf
            for c in range(counts.size):
                if counts[c] > 0.0:
                    score = total * (np.dot(x, projected[c]) - 0.5 * np.dot(means[c], projected[c]))
                    if score > best:
                        best = score
                        result[t] = c
        if not learn:
            continue
        n = counts[y[t]]
        for i in range(d):
            v[i] = x[i] - means[y[t], i]
        if n > 0.0:
            # scatter += n / (n + 1) v v^T (Welford), so the inverse changes by Sherman-Morrison
            for i in range(d):
                k[i] = np.dot(precision[i], v)
            gain = n / (n + 1.0)
            shrink = gain / (1.0 + gain * np.dot(v, k))
            for i in range(d):
                precision[i] -= (shrink * k[i]) * k
            for c in range(counts.size):
                if counts[c] > 0.0:
                    projected[c] -= (shrink * np.dot(k, means[c])) * k
        means[y[t]] += v / (n + 1.0)
        counts[y[t]] += 1.0
        for i in range(d):
            projected[y[t], i] = np.dot(precision[i], means[y[t]])


@njit(cache=True)
def _expand(
    x: Floats, n: float, mean: Floats, m2: Floats, projection: Floats, bias: Floats, phi: Floats
) -> None:
    """Fill `phi` with random ReLU features of the scaled `x`, and a 1 at the end.

    Nothing is scaled if there are no moments. Without a projection the features are `x` itself.
    """
    if projection.shape[0] == 0:
        phi[: x.size] = x
        phi[x.size] = 1.0
        return
    n_hidden = bias.size
    phi[:n_hidden] = bias
    phi[n_hidden] = 1.0
    for j in range(x.size):
        z = x[j]
        if mean.size > 0:
            spread = np.sqrt(m2[j] / n)
            z = (x[j] - mean[j]) / spread if spread > 0.0 else 0.0
        if z != 0.0:
            phi[:n_hidden] += z * projection[j]
    for i in range(n_hidden):
        phi[i] = max(phi[i], 0.0)


@njit(cache=True)
def _rls_run(
    X: Floats,
    y: Codes,
    predict: bool,
    learn: bool,
    seen: Floats,
    mean: Floats,
    m2: Floats,
    projection: Floats,
    bias: Floats,
    p: Floats,
    w: Floats,
    result: Codes,
) -> None:
    """Recursive least squares on one-hot targets over the expanded rows."""
    phi = np.empty(p.shape[0])
    k = np.empty(p.shape[0])
    out = np.empty(w.shape[0])
    for t in range(X.shape[0]):
        if predict and seen[0] > 0.0:
            _expand(X[t], seen[0], mean, m2, projection, bias, phi)
            best = -np.inf
            for c in range(out.size):
                score = np.dot(w[c], phi)
                if score > best:
                    best = score
                    result[t] = c
        if learn:
            seen[0] += 1.0
            for j in range(mean.size):
                step = X[t, j] - mean[j]
                mean[j] += step / seen[0]
                m2[j] += step * (X[t, j] - mean[j])
            _expand(X[t], seen[0], mean, m2, projection, bias, phi)
            for i in range(k.size):
                k[i] = np.dot(p[i], phi)
            scale = 1.0 / (1.0 + np.dot(phi, k))
            for c in range(out.size):
                error = (1.0 if c == y[t] else 0.0) - np.dot(w[c], phi)
                w[c] += (error * scale) * k
            for i in range(k.size):
                p[i] -= (scale * k[i]) * k


class SLDA(CompiledLearner):
    """Streaming linear discriminant analysis on the raw features (Hayes & Kanan, CVPR-W 2020).

    Each sample updates the class means and the inverse of the shared covariance (Sherman-Morrison).

    Parameters
    ----------
    n_features, n_classes
        Widths of input and output; labels are codes 0..n_classes-1.
    ridge
        Added to the scatter matrix, so that its inverse exists from the first sample on.
    """

    def __init__(self, n_features: int, n_classes: int, ridge: float = 1.0) -> None:
        self._state = (
            np.zeros(n_classes),
            np.zeros((n_classes, n_features)),
            np.eye(n_features) / ridge,
            np.zeros((n_classes, n_features)),
        )

    def _run(self, X: Floats, y: Codes, predict: bool, learn: bool, result: Codes) -> None:
        _slda_run(X, y, predict, learn, *self._state, result)


class RandomFeaturesRLS(CompiledLearner):
    """Recursive least squares without leak on random ReLU features of the scaled input.

    Parameters
    ----------
    n_features, n_classes
        Widths of input and output; labels are codes 0..n_classes-1.
    n_hidden
        Random features; each is the ReLU of a normal projection with unit variance and a normal
        bias.
    prior
        The projector starts as `prior` times the identity (its inverse is the ridge).
    standardise
        As in `benchmarks.mlp.BackpropMLP`.
    seed
        Draws the features.
    """

    def __init__(
        self,
        n_features: int,
        n_classes: int,
        n_hidden: int = 256,
        prior: float = 0.1,
        standardise: bool | None = None,
        seed: int = 0,
    ) -> None:
        n_scaled = n_features * (n_features <= WIDE if standardise is None else standardise)
        draw = normals(derive_key(seed, 1), 0, (n_features + 1) * n_hidden).reshape(
            n_features + 1, n_hidden
        )
        self._state = (
            np.zeros(1),
            np.zeros(n_scaled),
            np.zeros(n_scaled),
            # unit variance before the ReLU: standardised features have mean square 1, pixels in [0,
            # 1] about .1
            draw[:-1] / np.sqrt(n_features if n_scaled else 0.1 * n_features),
            draw[-1].copy(),
            np.eye(n_hidden + 1) * prior,
            np.zeros((n_classes, n_hidden + 1)),
        )

    def _run(self, X: Floats, y: Codes, predict: bool, learn: bool, result: Codes) -> None:
        _rls_run(X, y, predict, learn, *self._state, result)


class Ridge(CompiledLearner):
    """Recursive least squares without leak on the row itself and a constant.

    Parameters
    ----------
    n_features, n_classes
        Widths of input and output; labels are codes 0..n_classes-1.
    ridge
        Penalty of the squared weights.
    """

    def __init__(self, n_features: int, n_classes: int, ridge: float = 1.0) -> None:
        nothing = np.zeros(0)
        self._state = (
            np.zeros(1),
            nothing,
            nothing,
            np.zeros((0, n_features)),
            nothing,
            np.eye(n_features + 1) / ridge,
            np.zeros((n_classes, n_features + 1)),
        )

    def _run(self, X: Floats, y: Codes, predict: bool, learn: bool, result: Codes) -> None:
        _rls_run(X, y, predict, learn, *self._state, result)


class NearestMean(CompiledLearner):
    """The class whose mean is the nearest, by Euclidean distance.

    Parameters
    ----------
    n_features, n_classes
        Widths of input and output; labels are codes 0..n_classes-1.
    """

    def __init__(self, n_features: int, n_classes: int) -> None:
        self._counts = np.zeros(n_classes)
        self._means = np.zeros((n_classes, n_features))

    def _run(self, X: Floats, y: Codes, predict: bool, learn: bool, result: Codes) -> None:
        for t, x in enumerate(X):
            if predict and self._counts.any():
                distances = ((self._means - x) ** 2).sum(axis=1)
                result[t] = np.argmin(np.where(self._counts > 0.0, distances, np.inf))
            if learn:
                label = y[t]
                self._counts[label] += 1.0
                self._means[label] += (x - self._means[label]) / self._counts[label]
