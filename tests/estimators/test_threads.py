"""One model used by several threads: every answer is one that a single thread could have got."""

from __future__ import annotations

import copy
import os
import pickle
import sys
import threading
import time

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor, load, save
from tests.helpers.models import arrays_of, assert_same, blobs

SECONDS = 60.0 if os.environ.get("LOCO_SOAK") else 0.6
THREADS = 8


@pytest.fixture(autouse=True)
def frequent_switches():
    """Let Python switch threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def together(*jobs, seconds=SECONDS):
    """Repeat each job in its own thread for some seconds; raise the first error of any."""
    errors = []
    end = time.monotonic() + seconds

    def repeat(job):
        n = 0
        try:
            while time.monotonic() < end and not errors:
                job(n)
                n += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=repeat, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("make", [LOCOClassifier, LOCORegressor])
def test_threads_that_predict_get_the_answers_of_a_single_one(make):
    X, y = blobs(200)
    model = make(hidden_sizes=(8,), seed=1)
    model.learn_array(X[:100], y[:100])
    rows = [dict(enumerate(row)) for row in X]
    labels = [model.predict_one(x) for x in rows]
    block = model.predict_array(X)
    proba = [model.predict_proba_one(x) for x in rows] if make is LOCOClassifier else None

    def predict(k):
        def job(n):
            i = (n * 7 + k * 31) % len(rows)
            assert model.predict_one(rows[i]) == labels[i]
            if proba is not None:
                assert model.predict_proba_one(rows[i]) == proba[i]
            if n % 50 == 0:
                assert np.array_equal(model.predict_array(X), block)
            model.predict_one({"unknown": 1.0, i % 4: 2.0})

        return job

    before = arrays_of(model)
    together(*map(predict, range(THREADS)))
    assert_same(before, arrays_of(model))


def test_threads_with_new_features_and_classes_lose_no_row():
    model = LOCOClassifier(hidden_sizes=(4,), seed=1)
    learned = [0] * THREADS

    def learn(k):
        def job(n):
            if n % 3:
                model.learn_one({f"{k}.{n % 40}": float(n % 5), "all": float(k)}, f"{k}.{n % 3}")
                learned[k] += 1
            else:
                model.learn_array([[1.0, float(n % 7)]], [f"{k}"], features=["all", f"{k}"])
                learned[k] += 1
            label = model.predict_one({"all": 1.0, f"{k}.1": 2.0})
            assert label in model.classes
            assert abs(sum(model.predict_proba_one({"all": 1.0}).values()) - 1.0) < 1e-9

        return job

    together(*map(learn, range(THREADS)))
    assert model.n_seen == sum(learned)
    assert model.n_features_in == len(model.export_state()[0]["features"])
    assert len(set(model.classes)) == len(model.classes) == len(model._core.class_slots)
    LOCOClassifier.from_state(*model.export_state())  # counts and shapes fit each other


def test_copies_made_while_another_thread_learns_are_consistent(tmp_path):
    model = LOCOClassifier(hidden_sizes=(8,), seed=1)
    X, y = blobs(400, n_features=6)
    model.learn_array(X[:5], y[:5])
    lock = threading.Lock()
    by_rows = {}

    def learn(n):
        row = n % len(X)
        model.learn_one(dict(enumerate(X[row])) | {f"new {n % 30}": 1.0}, f"class {n % 17}")

    def copies(k):
        def job(n):
            path = tmp_path / f"{k}.loco"

            def by_file(model):
                save(model, path)
                return load(path)

            make = [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m)), by_file][
                (n + k) % 4
            ]
            other = make(model)
            config, arrays = other.export_state()
            found = (
                config["features"],
                config["classes"],
                {name: a.tobytes() for name, a in arrays.items()},
            )
            with lock:
                assert by_rows.setdefault(other.n_seen, found) == found
            other.learn_one(dict(enumerate(X[n % 400])), "mine")
            assert "mine" not in model.classes

        return job

    together(learn, *map(copies, range(THREADS - 1)), seconds=SECONDS)


def test_a_copy_shares_nothing_with_its_model():
    X, y = blobs(30)
    model = LOCOClassifier(hidden_sizes=(8,), seed=1)
    model.learn_array(X, y)
    before = model.export_state()
    other = copy.copy(model)
    other.learn_array(X, [f"new {label}" for label in y])
    after = model.export_state()
    assert before[0] == after[0]
    assert_same(before[1], after[1])
    model.learn_array(X, y)
    again = LOCOClassifier.from_state(*before)
    again.learn_array(X, y)
    assert_same(arrays_of(model), arrays_of(again))


def test_a_copy_judges_its_own_columns():
    model = LOCOClassifier(hidden_sizes=(8,), seed=1)
    model.learn_one({"a": 1.0}, "x")
    other = copy.copy(model)
    other.learn_one({"a": 1.0, "b": None}, "x")
    for _ in range(150):
        model.learn_one({"a": 1.0}, "x")
    assert model.export_state()[0]["features"] == ["a"]
