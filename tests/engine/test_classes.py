"""Scores per label for rows, blocks and late labels."""

from __future__ import annotations

import json
import logging
import math

import numpy as np
import pytest
from river import dummy, linear_model, naive_bayes

from loco_stream import LOCOClassifier, LOCORegressor, StreamEngine, TaskMonitor
from loco_stream.stream import Block, Sample, Source
from tests.helpers.models import blobs

FEATURES = ("a", "b", "c", "d")


class Rows(Source):
    """Rows of an array, one by one or in blocks."""

    name = "rows"

    def __init__(self, X, y, block=0):
        self.X = np.asarray(X, np.float32)
        self.y = y
        self.block = block
        self.at = 0

    @property
    def position(self):
        return {"row": self.at}

    def seek(self, position):
        self.at = position["row"]

    def __iter__(self):
        while self.at < len(self.y):
            start = self.at
            self.at = min(self.at + max(self.block, 1), len(self.y))
            if self.block:
                yield Block(self.X[start : self.at], self.y[start : self.at], FEATURES, start)
            else:
                yield Sample(
                    dict(zip(FEATURES, self.X[start].tolist(), strict=True)), self.y[start], start
                )


def rows(n=300, share=None):
    X, y = blobs(n, n_features=4, n_classes=3, seed=2)
    labels = ["ok" if label else "fault" for label in y]
    if share is not None:
        labels = ["fault" if i % share == 0 else "ok" for i in range(n)]
    return X, labels


def small():
    return LOCOClassifier(hidden_sizes=(8,), seed=1)


def expected(X, y):
    """Return log-loss and pairs of a plain loop."""
    model = small()
    losses = []
    pairs = []
    for row, label in zip(np.asarray(X, np.float32).tolist(), y, strict=True):
        x = dict(zip(FEATURES, row, strict=True))
        proba = model.predict_proba_one(x)
        if proba:
            losses.append(-math.log(max(proba.get(label, 0.0), 1e-6)))
            pairs.append((label, model.predict_one(x)))
        model.learn_one(x, label)
    return math.fsum(losses) / len(losses), pairs


@pytest.mark.parametrize("block", [0, 7, 300])
@pytest.mark.parametrize("holds_out", [False, True])
def test_rows_blocks_and_late_labels_give_the_same_counts(block, holds_out):
    X, y = rows()
    monitor = TaskMonitor(share=0.05) if holds_out else None
    report = StreamEngine(small(), Rows(X, y, block), monitor=monitor).run()
    loss, pairs = expected(X, y)
    found = sum(label == answer == "fault" for label, answer in pairs)
    faults = sum(label == "fault" for label, _ in pairs)
    if not holds_out:
        assert report["log_loss"] == pytest.approx(loss, rel=1e-12)
        assert report["per_class"]["fault"]["recall"] == found / faults
    assert report["per_class"]["fault"]["support"] == faults
    assert sum(map(sum, report["confusion"]["matrix"])) == len(pairs)
    json.dumps(report.to_dict(), allow_nan=False)


def test_a_resumed_run_counts_all_rows(tmp_path):
    X, y = rows()
    whole = StreamEngine(small(), Rows(X, y)).run()
    StreamEngine(small(), Rows(X, y), checkpoint=tmp_path).run(max_samples=130)
    rest = StreamEngine(small(), Rows(X, y), checkpoint=tmp_path, resume=True).run()
    for name in ("log_loss", "per_class", "confusion"):
        assert rest[name] == whole[name]


def test_the_table_shows_a_class_that_is_never_predicted():
    X, y = rows(share=50)
    text = str(StreamEngine(dummy.PriorClassifier(), Rows(X[1:], y[1:])).run())
    assert "label fault: 5 rows" in text
    assert "recall 0.0%, no precision" in text


def test_of_many_labels_those_with_the_lowest_recall_are_shown():
    X, _ = blobs(400, n_features=4, n_classes=3, seed=2)
    report = StreamEngine(small(), Rows(X, [f"kind {i % 25}" for i in range(400)])).run()
    text = str(report)
    assert text.count("label kind") == 10
    assert "15 more labels" in text


class LabelsAlone(linear_model.PAClassifier):
    """A classifier that gives no probabilities, as some of river's."""

    def predict_proba_one(self, x):
        raise NotImplementedError

    def predict_one(self, x):
        return max(super().predict_proba_one(x).items(), key=lambda item: item[1])[0]


@pytest.mark.parametrize(
    "model", [naive_bayes.GaussianNB(), LabelsAlone()], ids=["GaussianNB", "labels alone"]
)
def test_models_of_river_are_scored_with_or_without_probabilities(model):
    X, y = rows()
    report = StreamEngine(model, Rows(X, [label == "fault" for label in y])).run()
    assert math.isnan(report["log_loss"]) == isinstance(model, LabelsAlone)
    assert set(report["per_class"]) == {"True", "False"}
    assert report["confusion"]["labels"] in (["True", "False"], ["False", "True"])


@pytest.mark.parametrize("block", [0, 7, 300])
def test_intervals_are_scored_for_rows_blocks_and_late_labels(block, tmp_path):
    X, _ = rows()
    y = (X.sum(axis=1) + np.random.default_rng(0).normal(size=len(X))).tolist()

    def model():
        return LOCORegressor(hidden_sizes=(8,), seed=1)

    whole = StreamEngine(model(), Rows(X, y, block)).run()
    values, bounds = model().learn_predict_interval_array(X.astype(np.float32), y)
    bounds = bounds[np.isfinite(bounds[:, 0])], np.array(y)[np.isfinite(bounds[:, 0])]
    inside = (bounds[0][:, 0] <= bounds[1]) & (bounds[1] <= bounds[0][:, 1])
    assert whole["interval_coverage"] == inside.mean()
    errors = np.abs(values - y)[1:]  # the first answer came before any label
    assert whole["mae"] == pytest.approx(errors.mean())
    assert "coverage of the 90 % interval" in str(whole)
    options = {"checkpoint": tmp_path, "delay": 3}
    StreamEngine(model(), Rows(X, y, block), **options).run(max_samples=130)
    rest = StreamEngine(model(), Rows(X, y, block), resume=True, **options).run()
    at_once = StreamEngine(model(), Rows(X, y, block), delay=3).run()
    assert (rest["interval_coverage"], rest["mae"]) == (
        at_once["interval_coverage"],
        at_once["mae"],
    )


@pytest.mark.parametrize("n", [100, 101])
def test_more_than_a_hundred_classes_that_are_numbers_are_noted_and_logged_once(n, caplog):
    X = np.zeros((3 * n, len(FEATURES)))
    labels = ["ok", *(20 + i % n / 10 for i in range(3 * n - 1))]  # values behind a first text
    with caplog.at_level(logging.WARNING, "loco_stream.engine"):
        report = StreamEngine(small(), Rows(X, labels, block=10)).run()
    noted = [note for note in report["notes"] if "classes are numbers" in note]
    warned = [r.getMessage() for r in caplog.records if "classes are numbers" in r.getMessage()]
    assert len(noted) == len(warned) == (n > 100)
    assert all("`task` must be regression" in note for note in noted + warned)


def test_a_note_on_spellings_does_not_keep_one_on_numbers_out_of_the_log(caplog, monkeypatch):
    for period in ("_SLOW_SECONDS", "_STATUS_SECONDS"):
        monkeypatch.setattr(f"loco_stream.engine._status.{period}", 0.0)
    X = np.zeros((300, len(FEATURES)))
    labels = [*["ok", "OK"] * 50, *np.arange(200.0).tolist()]
    with caplog.at_level(logging.WARNING, "loco_stream.engine"):
        StreamEngine(small(), Rows(X, labels, block=10)).run()
    notes = [r.getMessage() for r in caplog.records if "classes" in r.getMessage()]
    assert [note.partition(" classes")[0] for note in notes] == [
        "'ok' and 'OK' are two",
        "more than 100",
    ]


@pytest.mark.parametrize("is_live", [True, False])
def test_a_class_that_a_live_source_brings_late_is_logged(is_live, caplog, monkeypatch):
    """A mistyped label became a class without a word."""
    for period in ("_SLOW_SECONDS", "_STATUS_SECONDS"):
        monkeypatch.setattr(f"loco_stream.engine._status.{period}", 0.0)
    labels = [*["hot", "cold"] * 500, *["hot", "hto"] * 50]
    source = Rows(np.zeros((1100, len(FEATURES))), labels, block=10)
    source.is_live = is_live
    with caplog.at_level(logging.WARNING, "loco_stream.engine"):
        StreamEngine(small(), source).run()
    late = [r.getMessage() for r in caplog.records if "new class" in r.getMessage()]
    expected = "new class 'hto' after about 1,010 rows; did you mean 'hot'?"
    assert late == [expected] * is_live


@pytest.mark.parametrize(
    ("labels", "noted"), [(["ok", "OK "], True), ([1, "1"], True), (["ok", "o k"], False)]
)
def test_classes_that_are_spelled_in_two_ways_are_noted(labels, noted):
    X = np.zeros((20, len(FEATURES)))
    report = StreamEngine(small(), Rows(X, labels * 10, block=10)).run()
    assert any("are two classes" in note for note in report["notes"]) == noted
