from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream import LOCOClassifier
from loco_stream._learner.readout import mixture
from loco_stream._learner.readout.experts.naive_bayes import LOG_PRIOR
from tests.helpers import naive
from tests.helpers.jitted import jitted_module

MixtureState = mixture.MixtureState

mixture = jitted_module(mixture)


def mixture_of(n, log_priors=None):
    """Return the state of a mixture of `n` opinions that has learned nothing."""
    priors = np.zeros(n) if log_priors is None else log_priors
    return MixtureState(np.zeros(n), priors)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 6),
    st.integers(1, 5),
    st.sampled_from([1.0, 0.2]),
)
def test_the_mixture_is_bayes_rule(seed, n_opinions, n_classes, share):
    rng = np.random.default_rng(seed)
    opinions = rng.dirichlet(np.ones(n_classes + 1), n_opinions)
    opinions[0, 0] = 1e-12  # no opinion is ruled out for ever
    log_priors = np.where(np.arange(n_opinions) == n_opinions - 1, LOG_PRIOR, 0.0)
    state = mixture_of(n_opinions, log_priors)
    expected = np.zeros(n_opinions)
    proba = np.full(n_classes + 1, -1.0)
    weights = np.zeros(n_opinions)
    for n_seen, label in enumerate(rng.integers(0, n_classes, 5)):
        mixture.learn_mixture(state, opinions, label, n_seen, share)
        expected = naive.learn_mixture(expected, opinions, label, n_seen, share, log_priors)
    assert np.allclose(state.log_weights, expected)
    mixture.mix(state.log_weights, opinions, n_classes, weights, proba)
    mean = naive.mix(expected, opinions)[:-1]
    assert np.allclose(proba[:-1], mean / mean.sum())
    assert np.allclose(weights, naive.softmax(expected))
    assert proba[-1] == -1.0


def test_the_opinion_that_was_right_recently_has_the_weight():
    state = mixture_of(2)
    proba = np.zeros(2)
    weights = np.zeros(2)
    opinions = np.array([[0.9, 0.1], [0.5, 0.5]])
    for n_seen in range(100):
        mixture.learn_mixture(state, opinions, 0, n_seen, 1.0)
    mixture.mix(state.log_weights, opinions, 2, weights, proba)
    assert proba[0] == pytest.approx(0.9, abs=1e-6)
    for n_seen in range(100, 160):
        mixture.learn_mixture(state, opinions, 1, n_seen, 1.0)
    mixture.mix(state.log_weights, opinions, 2, weights, proba)
    assert proba[0] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize("n_seen", [0, 5, 40])
def test_the_first_rows_count_less_with_every_row_after_them(n_seen):
    state = mixture_of(2)
    state.log_weights[0] = 40.0
    mixture.learn_mixture(state, np.full((2, 2), 0.5), 0, n_seen, 1.0)
    ahead = state.log_weights[0] - state.log_weights[1]
    assert ahead == pytest.approx(40.0 * (n_seen + 1) / (n_seen + 1 + mixture.EARLY))


@pytest.mark.parametrize("n_classes", [1, 2, 3])
def test_no_probability_is_above_one_even_by_rounding(n_classes):
    draw = np.random.default_rng(n_classes)
    model = LOCOClassifier(seed=1)
    for _ in range(300):
        x = {"a": float(draw.normal() * 10.0 ** draw.integers(-2, 3)), "b": float(draw.normal())}
        proba = model.predict_proba_one(x).values()
        assert all(0.0 <= p <= 1.0 for p in proba)
        assert not proba or sum(proba) == pytest.approx(1.0, abs=1e-12)
        model.learn_one(x, int(draw.integers(0, n_classes)))
