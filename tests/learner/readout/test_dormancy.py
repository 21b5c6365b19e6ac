"""Which classes are dormant, and how a dormant one answers."""

from __future__ import annotations

import numpy as np
import pytest

from loco_stream._learner.readout import dormancy
from tests.helpers import naive
from tests.helpers.jitted import jitted_module
from tests.helpers.models import fresh_group
from tests.helpers.naive_fixed import Dormancy

ClassState = dormancy.ClassState
LeadState = dormancy.LeadState

dormancy = jitted_module(dormancy)


def classes_of(n):
    return fresh_group(ClassState, classes=n)


def marks_of(classes, n_classes, n_seen):
    """Return whether a class is dormant, and which."""
    marks = np.full(len(classes.n_rows), 9.0)
    found = dormancy.mark_dormant(classes, n_classes, n_seen, marks)
    return found, marks


def test_gaps_patience_and_marks_equal_the_twin():
    rng = np.random.default_rng(0)
    n_classes = 5
    classes = classes_of(n_classes)
    twin = Dormancy(n_classes)
    counts = np.zeros(n_classes)
    last = np.zeros(n_classes)
    n_marked = 0
    for n_seen in range(1500):
        known = n_classes - 1
        found, marks = marks_of(classes, known, n_seen)
        expected = twin.marks(counts[:known], n_seen - last[:known])
        assert marks[:known].tolist() == expected.tolist()
        assert found == expected.any()
        assert marks[known:].tolist() == [9.0]
        n_marked += found
        frequent = (n_seen // 300) % 2  # classes 0 and 1 alternate as the frequent one
        label = frequent if rng.random() < 0.97 else int(rng.integers(2, n_classes))
        dormancy.count_label(classes, label, n_seen)
        twin.count(label, counts[label], n_seen - last[label])
        counts[label] += 1
        last[label] = n_seen
        assert np.allclose(classes.log_gap, twin.gaps)
        assert np.allclose(classes.patience, twin.patience)
    assert classes.n_rows.tolist() == counts.tolist()
    assert classes.last_seen.tolist() == last.tolist()
    assert 0 < n_marked < 1500


def test_a_class_is_dormant_after_its_patience_and_until_it_comes():
    classes = classes_of(2)
    for n_seen in range(10):
        dormancy.count_label(classes, 0, n_seen)
    patience = dormancy.TIMES  # of a class that came with every row
    assert not marks_of(classes, 2, 9 + patience)[0]
    found, marks = marks_of(classes, 2, 10 + patience)
    assert found
    assert marks.tolist() == [1.0, 0.0]  # a class that never came is not dormant
    dormancy.count_label(classes, 0, 10 + int(patience))
    assert not marks_of(classes, 2, 11 + patience)[0]


def test_a_class_of_a_single_row_is_never_dormant():
    classes = classes_of(2)
    dormancy.count_label(classes, 1, 0)
    for n_seen in range(1, 10):
        dormancy.count_label(classes, 0, n_seen)
    found, marks = marks_of(classes, 2, 1_000_000)
    assert found
    assert marks.tolist() == [1.0, 0.0]


def test_a_rare_class_is_dormant_later():
    classes = classes_of(1)
    for n_seen in range(0, 2000, 50):
        dormancy.count_label(classes, 0, n_seen)
    patience = dormancy.TIMES * 50.0
    assert classes.patience[0] == pytest.approx(patience)
    assert not marks_of(classes, 1, 1950 + patience - 1)[0]
    assert marks_of(classes, 1, 1950 + patience + 1)[0]


@pytest.mark.parametrize("behind", [0.0, 12.0])
@pytest.mark.parametrize("retention", [0.0, 0.7, 1.0])
def test_leads_and_answers_equal_the_twin(retention, behind):
    rng = np.random.default_rng(0)
    n = 4
    dormant = np.array([1.0, 0.0, 1.0, 0.0])
    twin = Dormancy(n)
    moments = fresh_group(LeadState).moments
    n_changed = 0
    for _ in range(300):
        scores = (4.0 * rng.normal(size=n)).astype(np.float32)
        label = int(rng.choice(n, p=[0.02, 0.48, 0.02, 0.48]))
        scores[dormant > 0] -= np.float32(behind)
        scores[label] += 60.0 * dormant[label]
        proba = rng.dirichlet(np.ones(n))
        for returns in (retention, None):
            answer = proba.copy()
            marks = (dormant, np.zeros(n))
            if returns is None:
                dormancy.blend_anywhere(scores, n, 0.5, marks, answer)
            else:
                dormancy.blend_by_evidence(moments, scores, n, 0.5, marks, 1.0 - retention, answer)
            expected = twin.blend(proba, scores.astype(float), dormant > 0, 0.5, returns)
            assert np.allclose(answer, expected, atol=1e-6)
            assert answer.sum() == pytest.approx(1.0)
            n_changed += returns is not None and not np.allclose(answer, proba, atol=0.1)
        dormancy.learn_lead(moments, scores, n, dormant, label)
        twin.learn(scores.astype(float), dormant > 0, label)
        assert list(moments.item()) == pytest.approx(
            [*twin.moments, len(twin.leads), twin.n_returns], rel=1e-5
        )
    assert 0 < n_changed < 300


def test_before_leads_are_known_and_where_all_are_dormant_nothing_changes():
    proba = np.array([0.3, 0.7])
    scores = np.array([90.0, 0.0], np.float32)
    moments = fresh_group(LeadState).moments
    for dormant in ([1.0, 0.0], [1.0, 1.0]):
        answer = proba.copy()
        marks = (np.array(dormant), np.zeros(2))
        dormancy.blend_by_evidence(moments, scores, 2, 1.0, marks, 0.0, answer)
        assert answer.tolist() == proba.tolist()
        moments.n_leads = dormancy.MIN_LEADS


def test_anywhere_the_discriminant_divides_between_dormant_and_present_classes():
    scores = np.array([2.0, 0.0, 1.0], np.float32)
    answer = np.array([0.0, 0.75, 0.25])
    dormancy.blend_anywhere(scores, 3, 1.0, (np.array([1.0, 0.0, 0.0]), np.zeros(3)), answer)
    share = naive.softmax(scores.astype(float))[0]
    assert answer == pytest.approx([share, 0.75 * (1 - share), 0.25 * (1 - share)])
