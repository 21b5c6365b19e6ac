from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream import LOCOClassifier
from loco_stream.learner.arrays.allocate import allocate, grow
from loco_stream.learner.arrays.spec import flatten
from loco_stream.learner.readout import snapshots as recall
from loco_stream.options import ModelConfig
from tests.helpers import naive
from tests.helpers.doors import doors

SPACING = recall.SPACING
recall = doors(recall)

SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(0, 4), st.integers(1, 5), st.sampled_from([1.0, 0.2]), st.booleans())
def test_weights_follow_bayes_and_the_chain(seed, n_old, n_classes, share, heard):
    rng = np.random.default_rng(seed)
    weights = rng.random(2 + n_old) * np.r_[1, 1, rng.random(n_old) < 0.7]
    if not heard:
        weights[recall.FIRST :] *= recall.WHISPER / 5
    heard = heard and bool(weights[recall.FIRST :].sum())
    proba = rng.dirichlet(np.ones(n_classes))
    outs = 3 * rng.normal(size=(n_old, 6)).astype(np.float32)
    label = int(rng.integers(n_classes))
    chances = [
        proba[label],
        1 / n_classes,
        *(naive.softmax(said[:n_classes])[label] for said in outs),
    ]
    chances = np.array(chances)
    chances[np.arange(2 + n_old) != recall.GUESS] = np.maximum(
        np.delete(chances, recall.GUESS), recall.LEAST
    )
    clock = np.array([0, 0, 0, 3 * heard])
    if not heard:  # what it would have said tells neither for nor against a snapshot
        chances[recall.FIRST :] = chances[recall.STACK]
    expected = naive.recall_weights(weights, chances**share, share * recall.SHARE, recall.RETURN)
    fits = rng.normal(size=2 + n_old)
    judged = (weights > 0) & (np.arange(2 + n_old) > recall.STACK) & heard
    lately = np.where(
        judged, fits + share * recall.LATELY * (np.log(chances / chances[0]) - fits), fits
    )
    recall.weigh(
        weights, fits, clock, proba, outs.ravel(), n_classes, 6, label, np.zeros(n_classes), share
    )
    right = label == proba.argmax()
    assert clock.tolist() == [0, 0, 0, (2 * heard if right else recall.HEARD)]
    assert np.allclose(weights, expected, rtol=1e-4)
    assert np.allclose(fits, lately, rtol=1e-4, atol=1e-6)
    assert weights.sum() == pytest.approx(1.0)


def test_speaking_is_a_mean_of_probabilities_and_a_guess_says_nothing():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(3))
    outs = rng.normal(size=(2, 4)).astype(np.float32)
    weights = np.array([0.2, 0.5, 0, 0.3])
    expected = (0.2 * proba + 0.3 * naive.softmax(outs[1, :3])) / 0.5
    recall.speak(weights, outs.ravel(), 3, 4, np.zeros(3), proba)
    assert np.allclose(proba, expected)
    assert proba.sum() == pytest.approx(1.0)


def test_snapshots_are_heard_behind_a_mistake_and_while_they_have_much_to_say():
    quiet, loud, silent = (np.array([0.9, 0.1, said, 0.0]) for said in (0.01, 0.2, 0.0))
    at_rest = np.array([0, 0, 0, 0])
    behind_a_mistake = np.array([0, 0, 0, 1])
    assert recall.are_heard(loud, at_rest)
    assert recall.are_heard(quiet, behind_a_mistake)
    assert not recall.are_heard(quiet, at_rest)
    assert not recall.are_heard(silent, behind_a_mistake)


@pytest.mark.parametrize("leaks", [(0.0,), (0.0, 1e-3)])
@pytest.mark.parametrize("readout_layers", ["all", "hidden"])
@pytest.mark.parametrize("hidden_sizes", [(4,), (4, 3)])
def test_a_snapshot_is_the_hidden_weights_and_one_linear_map(hidden_sizes, readout_layers, leaks):
    config = ModelConfig(hidden_sizes=hidden_sizes, readout_layers=readout_layers, leaks=leaks)
    layout = config.layout_for(2)
    rng = np.random.default_rng(0)
    capacity = 4
    slot = 2
    model = config.settings(layout, regression=False, seed_key=0)
    state = allocate(layout, model, 2, capacity)
    for array in (*flatten(state.bank).values(), state.net.weights, state.net.deep_weights):
        array[...] = rng.normal(size=array.shape)
    weights = rng.normal(size=2 * (model.n_trace + model.n_linear))
    recall.keep(model, state.net, state.bank, weights, capacity, slot, state.recall)
    expected = naive.one_map(
        weights,
        state.bank.traces,
        state.bank.linear[:, : 2 * capacity * model.n_linear],
        capacity,
        model.n_hidden,
    )
    old = state.recall
    assert np.allclose(old.readouts[slot], expected, atol=1e-5)
    assert np.array_equal(old.weights[slot], state.net.weights)
    assert np.array_equal(old.deep_weights[slot], state.net.deep_weights)
    for kept in (old.readouts, old.weights, old.deep_weights):
        assert not np.any(np.delete(kept, slot, axis=0))


def fresh(n_old):
    """Return weights, fits, clock and births before anything is kept."""
    return (
        np.r_[0.9, 0.1, np.zeros(n_old)],
        np.zeros(2 + n_old),
        np.array([0, -SPACING, 0, 0]),
        np.zeros(n_old, int),
    )


def test_copies_are_made_while_the_readout_is_trusted_and_the_last_one_is_kept_when_it_is_not():
    weights, fits, clock, births = fresh(2)
    due = [recall.tick(weights, fits, clock, births) for _ in range(2 * SPACING)]
    assert np.flatnonzero(due).tolist() == [SPACING - 1, 2 * SPACING - 1]
    weights[:2] = 0.1, 0.9
    assert not recall.tick(weights, fits, clock, births)
    assert weights[recall.FIRST :].tolist() == [recall.SHARE, 0.0]  # the copy has a say
    assert clock.tolist() == [1, -SPACING, 1, 0]  # the next one goes elsewhere
    assert not recall.tick(weights, fits, clock, births)  # nothing new to keep
    assert clock.tolist() == [1, -SPACING, 1, 0]
    weights[:] = 0.6, 0.1, 0.0, 0.3
    assert [recall.tick(weights, fits, clock, births) for _ in range(SPACING)][-1]
    assert weights.tolist() == pytest.approx([0.9, 0.1, 0.0, 0.0])  # what is overwritten is silent


def end_of_concept(weights, fits, clock, births, lately=()):
    """Let a concept end; `lately` says how well kept snapshots did on it.

    Return where its copy was kept.
    """
    weights[:2] = 0.9, 0.1
    for _ in range(SPACING):
        recall.tick(weights, fits, clock, births)
    slot = clock[recall.SLOT]
    weights[:2] = 0.1, 0.9
    fits[recall.GUESS] = -0.6
    for old, fit in dict(lately).items():
        fits[recall.FIRST + old] = fit
    recall.tick(weights, fits, clock, births)
    return slot


def test_a_concept_takes_the_place_of_its_own_snapshot_and_else_of_the_oldest():
    state = fresh(4)
    first = end_of_concept(*state)
    second = end_of_concept(*state, {first: -1.0})  # worse than a guess: another concept
    third = end_of_concept(
        *state, {first: -1.0, second: -0.05}
    )  # nearly as good as the readout: the same again
    assert len({first, second, third}) == 3
    assert end_of_concept(*state, {first: -1.0, third: -0.1}) == second
    assert (
        end_of_concept(*state, {first: -1.0, third: -1.0, second: -0.5}) == third
    )  # it was kept before `second`
    kept = [end_of_concept(*state, dict.fromkeys(range(4), -1.0)) for _ in range(5)]
    assert set(kept[1:]) == {0, 1, 2, 3}  # all strangers: each goes over the oldest in its turn


def flips(seed, n=400, visits="ABAB"):
    """Draw a blob on each side of a line; in B the labels are swapped."""
    rng = np.random.default_rng(seed)
    for visit in visits:
        side = rng.integers(0, 2, n)
        yield rng.normal(size=(n, 4)) + 2.5 * side[:, None], side ^ (visit == "B")


def first_answers(**options):
    """Return the accuracy on the first 30 samples of each visit."""
    model = LOCOClassifier(hidden_sizes=(16,), cluster_size=8, seed=0, **options)
    return model, [np.mean(model.learn_predict_array(X, y)[:30] == y[:30]) for X, y in flips(0)]


def with_say(model, say, hearing):
    """Return a copy whose first snapshot has so much say, and whose snapshots are heard for so many rows."""
    other = copy.copy(model)
    old = other._state.recall
    old.speakers[:] = 0.0
    old.speakers[[recall.STACK, recall.FIRST]] = 1.0 - say, say
    old.clock[recall.HEARING] = hearing
    return other


def test_what_is_not_heard_says_nothing():
    model, _ = first_answers()
    X, _ = next(flips(1, n=20))
    quiet, behind_a_mistake, alone = (
        with_say(model, say, hearing).predict_proba_array(X)
        for say, hearing in ((0.04, 0), (0.04, 1), (0.0, 0))
    )
    np.testing.assert_array_equal(quiet, alone)
    assert np.abs(behind_a_mistake - alone).max() > 0.01


def test_a_late_label_judges_a_snapshot_that_was_not_asked_by_what_it_says_now():
    model, _ = first_answers()
    row, other, mistaken = (dict(enumerate(at)) for at in ([2.5] * 4, [0.0] * 4, [2.4] * 4))
    learned = []
    for asked_before in (False, True):
        each = with_say(model, 0.01, 8)
        if asked_before:
            each.predict_one(other)
        each._state.recall.clock[recall.HEARING] = 0
        ticket = each.observe_one(row)
        each.learn_one(mistaken, 1 - each.predict_one(mistaken))
        assert recall.are_heard(each._state.recall.speakers, each._state.recall.clock)
        each.learn_one(ticket, ticket.prediction)
        learned.append(each.export_state()[1])
    for name in ("recall.speakers", "recall.fits"):
        assert learned[0][name].tobytes() == learned[1][name].tobytes(), name


def test_a_concept_that_returns_is_recalled_and_without_retention_it_is_not():
    model, known = first_answers()
    assert min(known[2:]) > 0.75
    assert model.export_state()[1]["recall.speakers"].sum() == pytest.approx(1.0, abs=2e-3)
    assert model.export_state()[1]["recall.births"].max() > 0
    forgetful, relearned = first_answers(retention=0.0)
    assert np.mean(known[2:]) > np.mean(relearned[2:]) + 0.1
    assert forgetful.export_state()[1]["recall.readouts"].size == 0


def test_a_model_says_which_readout_speaks():
    model = LOCOClassifier(hidden_sizes=(16,), cluster_size=8, seed=0)
    assert model.recalled == (0, 0)
    said = []
    for X, y in flips(0, visits="ABA"):
        model.learn_array(X[:60], y[:60])
        said.append(model.recalled)
        model.learn_array(X[60:], y[60:])
    assert said == [(0, 0), (1, 0), (2, 1)]  # in the third visit the copy of the first speaks
    assert LOCOClassifier(retention=0.0).recalled == (0, 0)


def test_recall_speaks_but_never_teaches():
    (model, _), (forgetful, _) = first_answers(), first_answers(retention=0.0)
    ours = model.export_state()[1]
    theirs = forgetful.export_state()[1]
    assert np.any(ours["recall.readouts"])
    for name in theirs:
        if name.startswith(("net.", "bank.", "clusters.")):
            assert ours[name].tobytes() == theirs[name].tobytes(), name


def test_snapshots_keep_their_place_when_classes_and_features_are_added():
    model, _ = first_answers()
    old = model._state.recall
    new = grow(model._layout, model._settings, model._state, 16, 5).recall
    for before, after in ((old.readouts, new.readouts), (old.weights, new.weights)):
        n, inputs, columns = before.shape
        assert np.any(before)
        assert np.array_equal(after[:n, :inputs, :columns], before)
        assert not np.any(after[:, :, columns:])
    assert not np.any(new.readouts[:, old.readouts.shape[1] :])


def by_state(model):
    return LOCOClassifier.from_state(*model.export_state())


def by_pickle(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("road", [by_state, by_pickle])
def test_a_copy_made_while_a_snapshot_speaks_goes_on_to_the_bit(road):
    model, _ = first_answers()
    assert recall.are_heard(model._state.recall.speakers, model._state.recall.clock)
    copy = road(model)
    for X, y in flips(1):
        assert model.predict_proba_array(X).tobytes() == copy.predict_proba_array(X).tobytes()
        assert model.learn_predict_array(X, y).tolist() == copy.learn_predict_array(X, y).tolist()
    assert (
        model.export_state()[1]["recall.speakers"].tobytes()
        == copy.export_state()[1]["recall.speakers"].tobytes()
    )
