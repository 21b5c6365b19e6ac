"""The prior of the discriminant."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import LOCOClassifier

POWER = 2.5  # mean square of a trace about the mean of its class


@pytest.mark.parametrize(
    ("n_features", "n_rows"), [(4, 30.0), (90, 30.0), (240, 96.0), (384, 245.76), (784, 320.0)]
)
def test_the_prior_grows_with_the_square_of_the_features(n_features, n_rows):
    model = LOCOClassifier(hidden_sizes=(4,), seed=1)
    rows = np.random.default_rng(0).normal(size=(2, n_features))
    model.learn_array(rows, ["a", "b"])  # the first row of a class adds nothing to the scatter
    own = model._core.state.experts.discriminant
    assert own.total[0] == pytest.approx(n_rows)
    assert own.precision[0, 0] == pytest.approx(1.0 / (POWER * n_rows))
    assert own.trace[0] == pytest.approx(len(own.precision) / (POWER * n_rows))
