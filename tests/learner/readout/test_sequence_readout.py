"""The readouts of whole sequences."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream import AdvancedOptions, LOCOClassifier
from loco_stream._learner.readout import sequences
from loco_stream._learner.readout.sequence_readout import PRIORS, SequenceReadout, summary_of
from tests.helpers.jitted import jitted

forget = jitted(sequences.forget)
add_hidden = jitted(sequences.add_hidden)
add_fixed = jitted(sequences.add_fixed)


def naive_fading(outputs):
    """Return the fading traces of the outputs of the fixed layer, (rows, neurons), as formulas."""
    golden = (5.0**0.5 - 1.0) / 2.0
    fading = np.array(outputs, float)
    for i in range(1, fading.shape[1], 2):
        share = np.exp(-np.log(50.0) * ((i * golden) % 1.0))
        trace = 0.0
        for row in fading:
            trace = row[i] = (1.0 - share) * trace + share * row[i]
    return fading


def naive_summary(traces):
    return np.concatenate([[1.0], traces.mean(0), traces.std(0), traces.max(0)])


def evenly(n_given):
    """Return which of so many neurons are summarised."""
    n = min(n_given, 128)
    return [i * n_given // n for i in range(n)]


def scratch(n):
    rates = np.zeros(n, np.float32)
    sequences._spread_rates(rates, None)
    junk = np.full(n, 7.0, np.float32)
    sums = np.full((3, n), 7.0)
    return sequences.SequenceScratch(np.zeros(2), rates, junk, sums, sums.copy())


@pytest.mark.parametrize("n_given", [3, 128, 200, 512])
@pytest.mark.parametrize("n_rows", [1, 40])
def test_a_summary_is_that_of_traces(n_given, n_rows):
    rows = np.random.default_rng(n_given).random((n_rows, n_given + 2)).astype(np.float32)
    own = scratch(min(n_given, 128))
    forget(own)
    for row in rows:
        add_hidden(row, n_given, own)
        add_fixed(row, n_given, own)
    traces = rows[:, evenly(n_given)].astype(float)
    assert summary_of(own.hidden, n_rows) == pytest.approx(naive_summary(traces), abs=1e-3)
    fading = naive_summary(naive_fading(traces))
    assert summary_of(own.fixed, n_rows) == pytest.approx(fading, abs=1e-3)


def test_fading_traces_leave_no_subnormal_numbers():
    own = scratch(16)
    forget(own)
    add_fixed(np.ones(16, np.float32), 16, own)
    for _ in range(5000):
        add_fixed(np.zeros(16, np.float32), 16, own)
    assert own.fading.tolist() == [0.0] * 16


@pytest.mark.parametrize("memory", [None, (0.3, 50.0)])
@pytest.mark.parametrize("n_features", [2, 300])
def test_a_sequence_is_summarised_by_its_rows_alone(memory, n_features):
    """Not by rows that were observed before it, nor by those of a sequence before."""
    rng = np.random.default_rng(0)
    model = LOCOClassifier(memory=memory, seed=1)
    for label in range(6):
        X = rng.normal(size=(20, n_features)) + label % 2
        X[3, 1] = np.nan
        model.learn_sequence(X, label % 2)
    X = rng.normal(size=(30, n_features))
    X[5] = np.nan
    model.reset_context()
    core = model._core
    hidden = []
    fixed = []
    for row in X:
        model.observe_one(dict(enumerate(row)))
        hidden.append(core.scratch.clean.traces[evenly(core.settings.n_hidden)])
        fixed.append(core.scratch.fixed.traces[evenly(core.settings.n_fixed)])
    model.predict_sequence(X)
    sums = core.scratch.sequence
    expected = naive_summary(np.array(hidden, float))
    assert summary_of(sums.hidden, len(X)) == pytest.approx(expected, abs=1e-3)
    expected = naive_summary(naive_fading(fixed))
    assert summary_of(sums.fixed, len(X)) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("layer", ["hidden", "fixed"])
def test_the_readout_is_that_of_ridge_regression_on_all_sequences(layer):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 7))
    labels = rng.integers(0, 3, 50)
    readout = SequenceReadout.fresh(layer, 7)
    for row, label in zip(X, labels.tolist(), strict=True):
        readout.learn(row, label)
    gram = X.T @ X + np.eye(7) / PRIORS[layer]
    targets = np.eye(3)[labels]
    assert readout.weights == pytest.approx(np.linalg.solve(gram, X.T @ targets).T)
    assert readout.projector == pytest.approx(np.linalg.inv(gram))


def test_a_sequence_is_predicted_by_the_layer_that_knows_it():
    """The order of rows, which hidden layers without a memory do not see, is in fading traces."""
    model = LOCOClassifier(hidden_sizes=16, seed=1)
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(120):
        rises = bool(rng.integers(2))
        X = np.linspace(-1.0, 1.0, 10)[:, None] * (1.0 if rises else -1.0)
        X = X + 0.2 * rng.normal(size=X.shape)
        hits.append(model.predict_sequence(X) == rises)
        model.learn_sequence(X, rises)
    assert np.mean(hits[40:]) > 0.9


def test_a_model_without_a_fixed_layer_counts_sequences_alone():
    model = LOCOClassifier(hidden_sizes=8, seed=1, advanced=AdvancedOptions(fixed_neurons=0))
    for _ in range(5):
        model.learn_sequence([[0.0], [1.0]], "up")
    assert model._core.sequence_readouts["fixed"].projector.shape == (1, 1)
    assert model.predict_sequence([[0.0], [1.0]]) == "up"
