"""ROC AUC and average precision by bins, against exact twins and scikit-learn."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from loco_stream import LOCOClassifier, StreamEngine
from loco_stream.errors import ConfigError
from loco_stream.metrics._ranking import _NONE, PRECISION, Ranking, _bins

CLASSES = ("a", "b", "c")


def stream(n, seed, share=(0.8, 0.15, 0.05)):
    rng = np.random.default_rng(seed)
    labels = rng.choice(CLASSES, n, p=share)
    scores = rng.normal(size=(n, 3)) + 1.5 * (labels[:, None] == np.array(CLASSES))
    proba = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return labels.tolist(), proba


def ranked(labels, proba, window=100):
    ranking = Ranking(window)
    for label, values in zip(labels, proba.tolist(), strict=True):
        ranking.update(label, dict(zip(CLASSES, values, strict=True)))
    return ranking


def bins_of(j, labels, proba):
    """The bins of a class, whose probability is 0 before its first row."""
    first = labels.index(CLASSES[j])
    return _bins(np.where(np.arange(len(labels)) >= first, proba[:, j], 0.0)).tolist()


def naive(label, labels, values):
    """Compare every pair of rows, and sort for the precision; values are those of the bins."""
    own = [v for y, v in zip(labels, values, strict=True) if y == label]
    others = [v for y, v in zip(labels, values, strict=True) if y != label]
    wins = sum((a > b) + 0.5 * (a == b) for a in own for b in others)
    average = 0.0
    best = 0.0
    before = 0.0
    for threshold in sorted(set(values), reverse=True):
        hits = sum(v >= threshold for v in own)
        precision = hits / (hits + sum(v >= threshold for v in others))
        recall = hits / len(own)
        average += (recall - before) * precision
        before = recall
        best = max(best, recall if precision >= PRECISION else 0.0)
    return wins / (len(own) * len(others)), average, best


def test_an_exported_state_stays_as_it_was():
    """A checkpoint is written by another thread while rows are counted."""
    labels, proba = stream(100, 0)
    ranking = ranked(labels, proba)
    state = ranking.export_state()
    before = json.dumps(state)
    ranking.update("a", {"a": 0.5, "b": 0.25, "c": 0.25})
    assert json.dumps(state) == before


@pytest.mark.parametrize("seed", range(3))
def test_the_scores_are_those_of_all_pairs(seed):
    labels, proba = stream(200, seed)
    found = ranked(labels, proba).per_class()
    for j, label in enumerate(CLASSES):
        expected = naive(label, labels, bins_of(j, labels, proba))
        assert list(found[label].values())[:3] == pytest.approx(expected, abs=1e-12)


def test_bins_cost_less_than_a_thousandth_of_auc_and_a_hundredth_of_precision():
    metrics = pytest.importorskip("sklearn.metrics")
    labels, proba = stream(5000, 1)
    labels[:3] = CLASSES
    found = ranked(labels, proba).per_class()
    for j, label in enumerate(CLASSES):
        truth = [y == label for y in labels]
        exact = metrics.roc_auc_score(truth, proba[:, j])
        assert found[label]["roc_auc"] == pytest.approx(exact, abs=1e-3)
        exact = metrics.average_precision_score(truth, proba[:, j])
        assert found[label]["average_precision"] == pytest.approx(exact, abs=1e-2)


def test_the_window_has_the_last_rows_alone():
    labels, proba = stream(300, 2, (0.4, 0.3, 0.3))
    whole = ranked(labels, proba, window=100)
    bins = [bins_of(j, labels, proba)[-100:] for j in range(3)]
    each = [naive(label, labels[-100:], bins[j])[0] for j, label in enumerate(CLASSES)]
    assert whole.means()["window_roc_auc"] == pytest.approx(sum(each) / 3, abs=1e-12)
    assert whole.means()["window_roc_auc"] != whole.means()["roc_auc"]


def test_fading_scores_weigh_rows_by_their_age():
    labels, proba = stream(2500, 5)
    whole = ranked(labels, proba)
    weights = 0.999 ** np.arange(len(labels) - 1, -1, -1)
    areas = []
    for j, label in enumerate(CLASSES):
        bins = np.array(bins_of(j, labels, proba))
        is_own = np.array(labels) == label
        own = weights * is_own
        others = weights * ~is_own
        below = [others[bins < at].sum() + 0.5 * others[bins == at].sum() for at in bins]
        areas.append((own * below).sum() / (own.sum() * others.sum()))
    assert whole.means()["fading_roc_auc"] == pytest.approx(np.mean(areas), abs=1e-9)
    assert whole.means()["fading_roc_auc"] != whole.means()["roc_auc"]


def test_a_class_that_comes_late_had_the_probability_0_before():
    ranking = Ranking()
    for _ in range(3):
        ranking.update("a", {"a": 1.0})
    ranking.update("b", {"a": 1.0})
    ranking.update("b", {"a": 0.2, "b": 0.8})
    auc = ranking.per_class()["b"]["roc_auc"]
    assert auc == pytest.approx((3 * 0.5 + 3) / 6)


def test_one_kind_of_rows_has_no_score():
    ranking = Ranking()
    assert math.isnan(ranking.means()["roc_auc"])
    ranking.update("a", {"a": 1.0})
    assert math.isnan(ranking.means()["roc_auc"])
    assert ranking.means()["average_precision"] == 1.0


def test_state_is_plain_and_continues():
    labels, proba = stream(300, 3)
    first = ranked(labels[:200], proba[:200])
    second = Ranking(7)
    second.restore_state(json.loads(json.dumps(first.export_state())))
    for label, values in zip(labels[200:], proba[200:].tolist(), strict=True):
        for ranking in (first, second):
            ranking.update(label, dict(zip(CLASSES, values, strict=True)))
    assert first.export_state() == second.export_state()
    assert first.means()["window_roc_auc"] == second.means()["window_roc_auc"]
    assert first.export_state() == ranked(labels, proba).export_state()


@pytest.mark.parametrize("window", [1, 7, 100, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_blocks_are_counted_as_single_rows(window, seed):
    rng = np.random.default_rng(seed)
    names = [f"label {i}" for i in range(40)]  # more than are ranked
    n = 500
    labels = [names[int(i)] for i in np.minimum(rng.integers(0, 40, n), np.arange(n) // 4)]
    proba = rng.dirichlet(np.ones(40), n)
    known = []
    seen = set()
    for label in labels:
        known.append(len(seen))
        seen.add(label)
    one = Ranking(window)
    many = Ranking(window)
    begin = 0
    while begin < n:
        end = min(n, begin + int(rng.integers(1, 60)))
        rows = slice(begin, end)
        many.update_block(labels[rows], proba[rows], names, known[rows])
        begin = end
    for label, values, n_known in zip(labels, proba.tolist(), known, strict=True):
        if n_known:
            one.update(label, dict(zip(names, values, strict=True)))
    assert many.export_state() == one.export_state()
    assert many.export_state() == naive_tables(labels[1:], proba[1:], names, window)
    assert repr(many.means()["window_roc_auc"]) == repr(
        one.means()["window_roc_auc"]
    )  # NaN with one row
    resumed = Ranking(window)
    resumed.restore_state(one.export_state())
    assert repr(resumed.means()["window_roc_auc"]) == repr(one.means()["window_roc_auc"])
    assert resumed.export_state() == one.export_state()


def naive_tables(labels, proba, names, window):
    """Count every row in lists."""
    ranked = list(dict.fromkeys(labels))[:30]
    bins = [
        [_bins(p[names.index(label)]) if i >= labels.index(label) else _NONE for label in ranked]
        for i, p in enumerate(proba)
    ]
    own, others = ([[0] * 512 for _ in ranked] for _ in range(2))
    faded = np.zeros((len(ranked), 2, 512))
    for i, (label, row) in enumerate(zip(labels, bins, strict=True)):
        for j, at in enumerate(row):
            (own if label == ranked[j] else others)[j][at] += 1
            faded[j, int(label == ranked[j]), at] += 0.999**-i
    places = [ranked.index(label) if label in ranked else -1 for label in labels]
    rows = [[place, list(map(int, row))] for place, row in zip(places, bins, strict=True)]
    return {
        "window": window,
        "n": len(labels),
        "labels": ranked,
        "own": own,
        "others": others,
        "rows": rows[-window:],
        "faded": [(i, pytest.approx(v)) for i, v in enumerate(faded.ravel().tolist()) if v],
    }


def test_more_labels_than_are_ranked_cost_no_memory():
    ranking = Ranking()
    for i in range(100):
        ranking.update(i, {i: 1.0})
    assert len(ranking.per_class()) == 30


def test_a_report_has_the_scores_whether_rows_come_alone_or_in_blocks():
    from loco_stream.engine._source_reader import PairSource
    from loco_stream.stream import Block

    rng = np.random.default_rng(4)
    X = rng.normal(size=(400, 2)).astype(np.float32)
    y = np.where(X[:, 0] > 0.5, "worn", "ok").tolist()
    reports = []
    for size in (1, 50):
        blocks = [
            Block(X[i : i + size], y[i : i + size], ("u", "v"), seq=i) for i in range(0, 400, size)
        ]
        model = LOCOClassifier(hidden_sizes=(4,), seed=1)
        reports.append(StreamEngine(model, PairSource(blocks)).run().to_dict())
    first, second = reports
    for key in ("roc_auc", "window_roc_auc", "average_precision", "per_class"):
        assert first[key] == second[key]
    assert first["roc_auc"] > 0.9
    assert set(first["per_class"]["worn"]) >= {"roc_auc", "recall_at_precision", "support"}


@pytest.mark.parametrize("at", [0.3, 0.6, 0.99])
def test_the_recall_is_that_at_the_chosen_precision(at):
    labels, proba = stream(900, 3)
    ranking = Ranking(300, at)
    for label, values in zip(labels, proba.tolist(), strict=True):
        ranking.update(label, dict(zip(CLASSES, values, strict=True)))
    averages = []
    for j, label in enumerate(CLASSES):
        found = ranking.per_class()[label]
        bins = bins_of(j, labels, proba)
        assert found["recall_at_precision"] == largest_recall(label, labels, bins, at)
        recent = labels[600:], bins[600:]
        assert found["window_recall_at_precision"] == largest_recall(label, *recent, at)
        averages.append(naive(label, *recent)[1])
    assert ranking.means()["window_average_precision"] == pytest.approx(
        np.mean(averages), abs=1e-12
    )


def largest_recall(label, labels, values, least):
    """Return the largest recall of a label at a precision of `least` or more."""
    found = [0.0]
    for threshold in set(values):
        hits = sum(v >= threshold for y, v in zip(labels, values, strict=True) if y == label)
        if hits / sum(v >= threshold for v in values) >= least:
            found.append(hits / labels.count(label))
    return max(found)


@pytest.mark.parametrize("at", [0.0, 1.1])
def test_a_precision_that_cannot_be_is_refused(at):
    with pytest.raises(ConfigError, match="`at_precision` must be above 0"):
        StreamEngine(LOCOClassifier(), [({"a": 1.0}, "ok")], at_precision=at)


def test_a_damaged_state_changes_nothing():
    ranking = Ranking()
    damaged = ranking.export_state() | {"labels": ["a", "b"], "faded": [(32_856, 1.0)]}
    with pytest.raises(IndexError):
        ranking.restore_state(damaged)
    assert ranking.per_class() == {}
