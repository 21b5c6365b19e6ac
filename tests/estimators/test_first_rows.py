"""The first rows of a regression: not far behind the last value, nor behind the mean so far."""

import numpy as np
import pytest

from loco_stream import LOCOMultiTargetRegressor, LOCORegressor

SEEDS = 20
FIRST = slice(4, 40)


def walks(rng, n):
    return np.cumsum(rng.normal(size=(40, n)), axis=0)


def levels(rng, n):
    return 5.0 + 0.1 * rng.normal(size=(40, n))


def drifting(rng, n):
    return walks(rng, n) + 0.5 * np.arange(40)[:, None]


@pytest.mark.parametrize("draw", [walks, drifting, levels])
@pytest.mark.parametrize("n", [1, 3])
def test_first_rows(draw, n):
    errors = np.zeros(3)
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(40, 3))
        Y = draw(rng, n)
        if n == 1:
            predicted = LOCORegressor(seed=seed).learn_predict_array(X, Y[:, 0])[:, None]
        else:
            predicted = LOCOMultiTargetRegressor(seed=seed).learn_predict_array(X, Y)
        means = np.cumsum(Y, axis=0) / np.arange(1, 41)[:, None]
        rivals = np.array([predicted[1:], Y[:-1], means[:-1]], dtype=float)
        errors += np.abs(rivals - Y[1:])[:, FIRST.start - 1 :].mean(axis=(1, 2))
    assert errors[0] < 1.12 * errors[1:].min()
