from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loco_stream import LOCOClassifier
from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.allocate import grow
from loco_stream._learner.arrays.spec import flatten
from loco_stream._learner.readout import snapshots
from loco_stream._learner.readout.snapshots import CURRENT, FIRST, GUESS
from tests.helpers import naive
from tests.helpers.jitted import jitted_module, on_model
from tests.helpers.models import classifier, fresh_group, untrained

SnapshotState = snapshots.SnapshotState

keep_snapshot = snapshots.keep_snapshot


@kernel
def _keep_snapshot(settings, state, scratch, weights, slot):
    keep_snapshot(settings, state, weights, slot)


run_keep_snapshot = on_model(_keep_snapshot)
snapshots = jitted_module(snapshots)

SPACING = snapshots.SPACING
SEEDS = st.integers(0, 2**32 - 1)


def fresh(n_snapshots):
    """Return the state before anything is kept."""
    lengths = {"channels": 0, "first_layer": 0, "deep_layers": 0, "below": 0, "above": 0}
    state = fresh_group(
        SnapshotState,
        posteriors=FIRST + n_snapshots,
        snapshots=n_snapshots,
        inputs=0,
        classes=0,
        **lengths,
    )
    state.posterior[:FIRST] = 0.9, 0.1
    return state


def counters_of(state):
    counters = state.counters
    return counters.slot, counters.age, counters.n_kept, counters.eval_rows


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(0, 4), st.integers(1, 5), st.sampled_from([1.0, 0.2]), st.booleans())
def test_the_posterior_follows_bayes_rule_and_the_chain(
    seed, n_snapshots, n_classes, share, evaluated
):
    rng = np.random.default_rng(seed)
    posterior = rng.random(FIRST + n_snapshots) * np.r_[1, 1, rng.random(n_snapshots) < 0.7]
    if not evaluated:
        posterior[FIRST:] *= snapshots.MIN_WEIGHT / 5
    evaluated = evaluated and bool(posterior[FIRST:].sum())
    proba = rng.dirichlet(np.ones(n_classes))
    outputs = 3 * rng.normal(size=(n_snapshots, 6)).astype(np.float32)
    label = int(rng.integers(n_classes))
    of_snapshots = [naive.softmax(scores[:n_classes])[label] for scores in outputs]
    chances = np.array([proba[label], 1 / n_classes, *of_snapshots])
    floored = np.arange(len(chances)) != GUESS
    chances[floored] = np.maximum(chances[floored], snapshots.MIN_PROBABILITY)
    if not evaluated:  # a snapshot that is not evaluated counts as the current readout does
        chances[FIRST:] = chances[CURRENT]
    expected = naive.learn_posterior(
        posterior, chances**share, share * snapshots.SHARE, snapshots.RETURN
    )
    state = fresh(n_snapshots)
    state.posterior[:] = posterior
    state.counters.age = 0
    state.counters.eval_rows = 3 * evaluated
    before = rng.normal(size=len(posterior))
    state.recent_score[:] = before
    scored = (posterior > 0) & (np.arange(len(posterior)) > CURRENT) & evaluated
    rate = share * snapshots.SCORE_RATE
    moved = before + rate * (np.log(chances / chances[CURRENT]) - before)
    now = untrained(1, 1, hidden_sizes=1).model.scratch.now
    now = now._replace(mixed=proba, snapshots=outputs.ravel(), buffer=np.zeros(n_classes))
    snapshots.update_posterior(state, now, (label, n_classes, 6), share)
    is_right = label == proba.argmax()
    eval_rows = 2 * evaluated if is_right else snapshots.EVAL_ROWS
    assert counters_of(state) == (0, 0, 0, eval_rows)
    assert np.allclose(state.posterior, expected, rtol=1e-4)
    assert np.allclose(state.recent_score, np.where(scored, moved, before), rtol=1e-4, atol=1e-6)
    assert state.posterior.sum() == pytest.approx(1.0)


def test_snapshots_are_mixed_by_weight_and_the_guess_changes_nothing():
    rng = np.random.default_rng(0)
    proba = rng.dirichlet(np.ones(3))
    outputs = rng.normal(size=(2, 4)).astype(np.float32)
    posterior = np.array([0.2, 0.5, 0, 0.3])
    expected = (0.2 * proba + 0.3 * naive.softmax(outputs[1, :3])) / 0.5
    snapshots.mix_snapshots(posterior, outputs.ravel(), 3, 4, np.zeros(3), proba)
    assert np.allclose(proba, expected)
    assert proba.sum() == pytest.approx(1.0)


def test_snapshots_are_evaluated_after_a_mistake_and_while_they_have_much_weight():
    little, much, none = (np.array([0.9, 0.1, weight, 0.0]) for weight in (0.01, 0.2, 0.0))
    assert snapshots.are_evaluated(much, 0)
    assert snapshots.are_evaluated(little, 1)
    assert not snapshots.are_evaluated(little, 0)
    assert not snapshots.are_evaluated(none, 1)


@pytest.mark.parametrize("leaks", [(0.0,), (0.0, 1e-3)])
@pytest.mark.parametrize("readout_layers", ["all", "hidden"])
@pytest.mark.parametrize("hidden_sizes", [(4,), (4, 3)])
def test_a_snapshot_is_the_hidden_weights_and_one_linear_map(hidden_sizes, readout_layers, leaks):
    capacity = 4
    slot = 2
    options = {"hidden_sizes": hidden_sizes, "readout_layers": readout_layers, "leaks": leaks}
    args = untrained(2, capacity, **options)
    settings, state, _ = args.model
    rng = np.random.default_rng(0)
    members = state.experts.least_squares
    for array in (*flatten(members).values(), state.net.weights, state.net.deep_weights):
        array[...] = rng.normal(size=array.shape)
    weights = rng.normal(size=2 * (settings.n_trace + settings.n_linear))
    run_keep_snapshot(args, weights, slot)
    linear = members.linear_weights[:, : 2 * capacity * settings.n_linear]
    expected = naive.linear_map(weights, members.weights, linear, capacity, settings.n_hidden)
    kept = state.snapshots
    assert np.allclose(kept.readouts[slot], expected, atol=1e-5)
    assert np.array_equal(kept.weights[slot], state.net.weights)
    assert np.array_equal(kept.deep_weights[slot], state.net.deep_weights)
    for array in (kept.readouts, kept.weights, kept.deep_weights):
        assert not np.any(np.delete(array, slot, axis=0))


def test_copies_are_made_while_the_readout_has_its_weight_and_kept_when_it_loses_it():
    state = fresh(2)
    due = [snapshots.tick(state) for _ in range(2 * SPACING)]
    assert np.flatnonzero(due).tolist() == [SPACING - 1, 2 * SPACING - 1]
    state.posterior[:FIRST] = 0.1, 0.9
    assert not snapshots.tick(state)
    assert state.posterior[FIRST:].tolist() == [snapshots.SHARE, 0.0]  # the copy has weight
    assert counters_of(state) == (1, -SPACING, 1, 0)  # the next copy goes elsewhere
    assert not snapshots.tick(state)  # there is nothing new to keep
    assert counters_of(state) == (1, -SPACING, 1, 0)
    state.posterior[:] = 0.6, 0.1, 0.0, 0.3
    assert [snapshots.tick(state) for _ in range(SPACING)][-1]
    overwritten = state.posterior.tolist()
    assert overwritten == pytest.approx([0.9, 0.1, 0.0, 0.0])


def end_of_concept(state, scores=()):
    """Let a concept end on which kept snapshots had these scores; return where its copy is kept."""
    state.posterior[:FIRST] = 0.9, 0.1
    for _ in range(SPACING):
        snapshots.tick(state)
    slot = state.counters.slot
    state.posterior[:FIRST] = 0.1, 0.9
    state.recent_score[GUESS] = -0.6
    for kept, score in dict(scores).items():
        state.recent_score[FIRST + kept] = score
    snapshots.tick(state)
    return slot


def test_a_copy_replaces_the_snapshot_of_its_concept_else_the_oldest():
    state = fresh(4)
    first = end_of_concept(state)
    second = end_of_concept(state, {first: -1.0})  # worse than a guess: another concept
    # Nearly as good as the readout: the same concept again.
    third = end_of_concept(state, {first: -1.0, second: -0.05})
    assert len({first, second, third}) == 3
    assert end_of_concept(state, {first: -1.0, third: -0.1}) == second
    # `third` was kept before `second`.
    assert end_of_concept(state, {first: -1.0, third: -1.0, second: -0.5}) == third
    kept = [end_of_concept(state, dict.fromkeys(range(4), -1.0)) for _ in range(5)]
    assert set(kept[1:]) == {0, 1, 2, 3}  # other concepts: each replaces the oldest in turn


def flips(seed, n=400, visits="ABAB"):
    """Draw a blob on each side of a line; in B the labels are swapped."""
    rng = np.random.default_rng(seed)
    for visit in visits:
        side = rng.integers(0, 2, n)
        yield rng.normal(size=(n, 4)) + 2.5 * side[:, None], side ^ (visit == "B")


def first_answers(**options):
    """Return a model, and its accuracy on the first 30 rows of each visit."""
    model = classifier(hidden_sizes=(16,), cluster_size=8, seed=0, **options)
    return model, [np.mean(model.learn_predict_array(X, y)[:30] == y[:30]) for X, y in flips(0)]


def snapshots_of(model):
    return model._core.state.snapshots


def are_evaluated(model):
    own = snapshots_of(model)
    return snapshots.are_evaluated(own.posterior, own.counters.eval_rows)


def with_weight(model, weight, eval_rows):
    """Return a copy whose first snapshot has so much weight, evaluated for so many rows."""
    other = copy.copy(model)
    own = snapshots_of(other)
    own.posterior[:] = 0.0
    own.posterior[CURRENT] = 1.0 - weight
    own.posterior[FIRST] = weight
    own.counters.eval_rows = eval_rows
    return other


def test_a_snapshot_that_is_not_evaluated_changes_no_answer():
    model, _ = first_answers()
    X, _ = next(flips(1, n=20))
    idle, after_a_mistake, alone = (
        with_weight(model, weight, eval_rows).predict_proba_array(X)
        for weight, eval_rows in ((0.04, 0), (0.04, 1), (0.0, 0))
    )
    np.testing.assert_array_equal(idle, alone)
    assert np.abs(after_a_mistake - alone).max() > 0.01


def test_a_late_label_scores_a_snapshot_that_was_not_evaluated_by_its_present_output():
    model, _ = first_answers()
    row, other, mistaken = (dict(enumerate(at)) for at in ([2.5] * 4, [0.0] * 4, [2.4] * 4))
    learned = []
    for predicted_before in (False, True):
        each = with_weight(model, 0.01, 8)
        if predicted_before:
            each.predict_one(other)
        snapshots_of(each).counters.eval_rows = 0
        ticket = each.observe_one(row)
        each.learn_one(mistaken, 1 - each.predict_one(mistaken))
        assert are_evaluated(each)
        each.learn_one(ticket, ticket.prediction)
        learned.append(each.export_state()[1])
    for name in ("snapshots.posterior", "snapshots.recent_score"):
        assert learned[0][name].tobytes() == learned[1][name].tobytes(), name


def test_a_concept_that_returns_is_recalled_and_without_retention_it_is_not():
    model, known = first_answers()
    assert min(known[2:]) > 0.75
    arrays = model.export_state()[1]
    assert arrays["snapshots.posterior"].sum() == pytest.approx(1.0, abs=2e-3)
    assert arrays["snapshots.ids"].max() > 0
    forgetful, relearned = first_answers(retention=0.0)
    assert np.mean(known[2:]) > np.mean(relearned[2:]) + 0.1
    assert forgetful.export_state()[1]["snapshots.readouts"].size == 0


def test_recalled_names_the_snapshot_in_use():
    model = classifier(hidden_sizes=(16,), cluster_size=8, seed=0)
    assert model.recalled == (0, 0)
    recalled = []
    for X, y in flips(0, visits="ABA"):
        model.learn_array(X[:60], y[:60])
        recalled.append(model.recalled)
        model.learn_array(X[60:], y[60:])
    assert recalled == [(0, 0), (1, 0), (2, 1)]  # in the third visit the copy of the first
    assert LOCOClassifier(retention=0.0).recalled == (0, 0)


def test_snapshots_change_nothing_of_what_is_learned():
    (model, _), (forgetful, _) = first_answers(), first_answers(retention=0.0)
    ours = model.export_state()[1]
    theirs = forgetful.export_state()[1]
    assert np.any(ours["snapshots.readouts"])
    groups = ("net.", "experts.", "stacks.", "mixture.", "projections.")
    names = [name for name in theirs if name.startswith(groups)]
    assert len(names) > 20
    for name in names:
        assert ours[name].tobytes() == theirs[name].tobytes(), name


def test_snapshots_keep_their_place_when_classes_and_features_are_added():
    core = first_answers()[0]._core
    old = core.state.snapshots
    new = grow(core.layout, core.settings, core.state, 16, 5).snapshots
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


@pytest.mark.parametrize("restored", [by_state, by_pickle])
def test_a_copy_made_while_a_snapshot_is_in_use_continues_identically(restored):
    model, _ = first_answers()
    assert are_evaluated(model)
    other = restored(model)
    for X, y in flips(1):
        assert model.predict_proba_array(X).tobytes() == other.predict_proba_array(X).tobytes()
        assert model.learn_predict_array(X, y).tolist() == other.learn_predict_array(X, y).tolist()
    posterior, other_posterior = (snapshots_of(each).posterior for each in (model, other))
    assert posterior.tobytes() == other_posterior.tobytes()
