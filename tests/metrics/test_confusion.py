"""Confusion counts and log-loss against scikit-learn and river."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import metrics as river_metrics
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from loco_stream.metrics import Prequential
from loco_stream.metrics.scores.confusion import Confusion

LABELS = st.sampled_from(["ok", "worn", "hot", "loose"])
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=60)


def counted(pairs):
    confusion = Confusion()
    for y_true, y_pred in pairs:
        confusion.update(y_true, y_pred)
    return confusion


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(PAIRS)
def test_equal_to_scikit_learn(pairs):
    y_true, y_pred = map(list, zip(*pairs, strict=True))
    confusion = counted(pairs)
    matrix = confusion.matrix()
    assert matrix["matrix"] == confusion_matrix(y_true, y_pred, labels=matrix["labels"]).tolist()
    expected = precision_recall_fscore_support(
        y_true, y_pred, labels=matrix["labels"], zero_division=np.nan
    )
    for column, score in enumerate(("precision", "recall", "f1", "support")):
        found = [confusion.per_class()[label][score] for label in matrix["labels"]]
        np.testing.assert_allclose(found, np.array(expected[column], float))


@given(PAIRS, PAIRS)
def test_state_survives_json(before, after):
    confusion = counted(before)
    twin = Confusion()
    twin.restore_state(json.loads(json.dumps(confusion.export_state())))
    for pair in after:
        confusion.update(*pair)
        twin.update(*pair)
    assert json.dumps([twin.per_class(), twin.matrix()]) == json.dumps(
        [confusion.per_class(), confusion.matrix()]
    )


def test_memory_and_report_are_bounded():
    labels = list(range(500))
    confusion = counted([(label, (7 * label) % 500) for label in labels for _ in range(2)])
    matrix = confusion.matrix()
    assert len(matrix["labels"]) == len(matrix["matrix"]) == 31
    assert matrix["labels"][-1] == "(others)"
    assert sum(map(sum, matrix["matrix"])) == 1000
    assert len(confusion.per_class()) == 100
    assert len(confusion.export_state()["pairs"]) <= 101 * 101


def test_labels_with_the_same_text_get_distinct_names():
    assert list(counted([(1, "1"), ("1", 1)]).per_class()) == ["1", "'1' #1"]


@given(st.lists(st.tuples(LABELS, st.floats(0.0, 1.0)), min_size=1, max_size=40))
def test_log_loss_equals_river(rows):
    score = Prequential()
    reference = river_metrics.LogLoss()
    for label, p in rows:
        score.update(label, label, p)
        reference.update(True, {True: max(p, 1e-6)})
    assert score.report()["log_loss"] == pytest.approx(reference.get(), abs=1e-9)


def test_rows_without_probability_do_not_count_for_log_loss():
    score = Prequential()
    score.update("a", None, None)
    score.update("a", "b", None)
    assert math.isnan(score.report()["log_loss"])
    score.update("a", "b", 0.25)
    assert score.report()["log_loss"] == pytest.approx(math.log(4.0))
    twin = Prequential()
    twin.restore_state(json.loads(json.dumps(score.export_state())))
    assert twin.report()["log_loss"] == score.report()["log_loss"]
    assert json.dumps(twin.classes()) == json.dumps(score.classes())


def test_a_regression_has_no_classes():
    assert Prequential("regression").classes() == {}
