"""Streams of two classes with a rare class 1; every seed draws new ones.

Two Gaussian clouds of ten features, the rare one shifted along the diagonal, are separated best by
a linear boundary. Agrawal and SEA, of which most rows of class 1 are left out, are not.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.data import Arrays

__all__ = ["RARE", "load"]

_FEATURES = 10
_DIAGONAL = np.full(_FEATURES, _FEATURES**-0.5)


def _labels(draw: np.random.Generator, n: int, share: float) -> NDArray[np.int64]:
    return (draw.random(n) < share).astype(np.int64)


def _gaussians(share: float, shift: float, n: int, seed: int) -> Arrays:
    """Return two unit Gaussians with means `shift` apart."""
    draw = np.random.default_rng(seed)  # data, not the model
    y = _labels(draw, n, share)
    return draw.normal(size=(n, _FEATURES)) + shift * y[:, None] * _DIAGONAL, y


def _drifting(n: int, seed: int) -> Arrays:
    """Return 1 % at a distance of 3; its direction makes half a turn over the stream."""
    draw = np.random.default_rng(seed)
    y = _labels(draw, n, 0.01)
    across = _DIAGONAL * np.where(np.arange(_FEATURES) % 2, 1.0, -1.0)
    angle = np.linspace(0.0, np.pi, n)[:, None]
    means = 3.0 * (np.cos(angle) * _DIAGONAL + np.sin(angle) * across)
    return draw.normal(size=(n, _FEATURES)) + y[:, None] * means, y


def _late(n: int, seed: int) -> Arrays:
    """Return 1 % at a distance of 3, none of it in the first half."""
    draw = np.random.default_rng(seed)
    y = _labels(draw, n, 0.01) * (np.arange(n) >= n // 2)
    return draw.normal(size=(n, _FEATURES)) + 3.0 * y[:, None] * _DIAGONAL, y


def _subsampled(make: Callable[[int], Any], n: int, seed: int) -> Arrays:
    """Return a river stream, leaving out rows of class 1 until about 1 % remains."""
    draw = np.random.default_rng(seed)
    probe = [int(y) for _, y in islice(make(seed), 2000)]
    common = 1.0 - sum(probe) / len(probe)
    keep = 0.01 / 0.99 * common / (1.0 - common)
    rows = []
    labels = []
    for x, y in make(seed + 1000):
        if not y or draw.random() < keep:
            rows.append([float(x[key]) for key in sorted(x)])
            labels.append(int(y))
        if len(rows) == n:
            break
    return np.array(rows), np.array(labels, dtype=np.int64)


def _agrawal(seed: int) -> Any:
    from river.datasets import synth

    return synth.Agrawal(classification_function=4, seed=seed)


def _sea(seed: int) -> Any:
    from river.datasets import synth

    return synth.SEA(variant=0, seed=seed)


RARE: dict[str, Callable[[int, int], Arrays]] = {
    **{
        f"{share:g} % shift {shift:g}": partial(_gaussians, share / 100.0, shift)
        for shift in (2.0, 5.0)
        for share in (1.0, 0.2, 0.1)
    },
    "drifting": _drifting,
    "late": _late,
    "Agrawal 1 %": partial(_subsampled, _agrawal),
    "SEA 1 %": partial(_subsampled, _sea),
}


def load(name: str, n: int, seed: int) -> Arrays:
    """Return `n` rows of one of `RARE`: X (n, n_features) float64, y (n,) codes, 1 the rare class.

    Examples
    --------
    >>> X, y = load("1 % shift 2", 20_000, 0)
    >>> X.shape, 150 < y.sum() < 250
    ((20000, 10), True)
    """
    return RARE[name](n, seed)
