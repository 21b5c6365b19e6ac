"""A forked process can use a model that another thread of its parent was using."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

from loco_stream import LOCOClassifier, _locks
from loco_stream._locks import fork_safe_lock
from tests.helpers.models import blobs

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform cannot fork"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


def in_child(function, seconds=20.0):
    """Run a function in a forked process; return its exit code, or None if it hangs."""
    child = os.fork()
    if child == 0:
        try:
            function()
        except BaseException:
            os._exit(1)
        os._exit(0)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return None


def test_children_predict_while_a_thread_learns():
    X, y = blobs(400)
    model = LOCOClassifier(hidden_sizes=(8,), seed=0)
    model.learn_array(X, y)
    over = threading.Event()

    def learn():
        while not over.is_set():
            model.learn_array(X, y)

    def predict():
        proba = model.predict_proba_array(X[:5])
        assert np.isfinite(proba).all()
        model.learn_array(X[:5], y[:5])

    thread = threading.Thread(target=learn)
    thread.start()
    try:
        assert [in_child(predict) for _ in range(8)] == [0] * 8
    finally:
        over.set()
        thread.join()
    model.learn_array(X, y)


def test_a_lock_that_stays_held_is_free_in_the_child(monkeypatch):
    monkeypatch.setattr(_locks, "_PATIENCE", 0.05)
    lock = fork_safe_lock()
    taken = threading.Event()
    over = threading.Event()

    def hold():
        with lock:
            taken.set()
            over.wait()

    def use():
        with lock:
            pass

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    try:
        assert in_child(use, 5.0) == 0
        assert not lock.acquire(0.0)
    finally:
        over.set()
        thread.join()
    assert lock.acquire(0.0)
    lock.release()
