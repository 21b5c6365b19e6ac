"""Which class follows which: a bounded number of followers, whatever the number of classes."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream._learner.readout.experts import transitions
from tests.helpers.jitted import jitted
from tests.helpers.models import fresh_group, untrained
from tests.helpers.naive_fixed import Followers

SUCCESSORS = transitions.SUCCESSORS

count_successor = jitted(transitions.count_successor)
write_scores = jitted(transitions.write_scores)


def fresh(n_classes):
    return fresh_group(transitions.State, successors=SUCCESSORS, classes=n_classes)


def learn(own, last, label, share=1.0):
    if last is not None:
        count_successor(own, last, label, share)
    own.n_labels[label] += share


def scores_of(own, last, known):
    scores = np.full(len(own.n_labels), 9.0, np.float32)
    write_scores(own, -1 if last is None else last, known, scores)
    return scores


@pytest.mark.parametrize("n_classes", [1, 3, SUCCESSORS])
def test_until_the_places_are_full_the_counts_equal_those_of_a_dict(n_classes):
    rng = np.random.default_rng(n_classes)
    own = fresh(n_classes + 1)
    twin = Followers(n_classes)
    last = None
    for _ in range(400):
        label = int(rng.integers(n_classes) * rng.random())  # some are more frequent
        share = float(rng.choice([1.0, 0.05]))
        learn(own, last, label, share)
        twin.learn(last, label, share)
        last = label
    for after in [None, *range(n_classes)]:
        scores = scores_of(own, after, n_classes)
        assert np.allclose(scores[:-1], twin.scores(after, n_classes)[1], atol=1e-5)
        assert scores[-1] == 0.0


def test_a_follower_stands_in_one_place():
    own = fresh(3)
    for label in (1, 2, 1, 1, 2):
        count_successor(own, 0, label, 1.0)
    assert own.followers[:3, 0].tolist() == [1, 2, -1]
    assert not own.counts[2:, 0].any()
    assert (own.followers[:, 1:] == -1).all()


def test_ten_thousand_classes_stay_sparse():
    n_classes = 10_000
    own = fresh(n_classes)
    assert own.followers.shape == own.counts.shape == (SUCCESSORS, n_classes)
    rng = np.random.default_rng(0)
    for label in rng.integers(0, n_classes, 5000).tolist():
        count_successor(own, 7, label, 1.0)
    followers = own.followers[:, 7]
    assert len(set(followers.tolist())) == SUCCESSORS
    assert (scores_of(own, 7, n_classes) > np.log(transitions.FLOOR)).sum() == SUCCESSORS


def test_a_frequent_follower_keeps_its_place_among_many_rare_ones():
    own = fresh(2000)
    rare = iter(range(10, 2000))
    for _ in range(300):
        count_successor(own, 0, 1, 1.0)
        count_successor(own, 0, next(rare), 1.0)
    scores = scores_of(own, 0, 2000)
    assert scores.argmax() == 1
    assert own.counts[:, 0].max() == pytest.approx(200.0, rel=0.2)  # of 300, fading
    assert (own.counts[:, 0] <= 1.0).sum() == SUCCESSORS - 1


def test_counts_of_a_class_fade_whenever_it_is_followed():
    own = fresh(4)
    count_successor(own, 0, 1, 1.0)
    count_successor(own, 2, 1, 1.0)
    for _ in range(100):
        count_successor(own, 0, 3, 1.0)
    assert own.counts[0, 0] == pytest.approx(transitions.DECAY**100)
    assert own.counts[0, 2] == 1.0


def test_a_sequence_of_late_labels_counts_as_the_observations_that_it_is():
    own = fresh(3)
    for label in [1] * 40 + [2] * 20:
        learn(own, 0, label, 0.05)
    assert own.counts[:2, 0] == pytest.approx([2.0, 1.0], rel=0.01)
    assert own.n_labels == pytest.approx([0.0, 2.0, 1.0])


def test_a_class_that_is_as_frequent_after_the_last_label_as_ever_has_no_advantage():
    own = fresh(2)
    rng = np.random.default_rng(0)
    last = None
    for label in (rng.random(4000) < 0.2).astype(int).tolist():
        learn(own, last, label)
        last = label
    alternating = fresh(2)
    for i in range(4000):
        learn(alternating, None if i == 0 else (i + 1) % 2, i % 2)
    by_chance = np.diff(scores_of(own, 0, 2))[0]
    assert abs(by_chance) < 0.25
    assert np.diff(scores_of(alternating, 0, 2))[0] > 5.0


def test_a_follower_that_is_no_class_is_refused():
    model = untrained(2, 3, hidden_sizes=4).model
    transitions.check(model.settings, model.state, 3)
    model.state.experts.transitions.followers[0, 0] = 3
    with pytest.raises(ValueError, match="`followers` of 'transitions' must"):
        transitions.check(model.settings, model.state, 3)


def test_a_model_without_a_fixed_layer_has_no_places():
    own = untrained(2, 3, hidden_sizes=4, fixed_neurons=0).model.state.experts.transitions
    assert own.followers.shape[0] == own.counts.shape[0] == 0
