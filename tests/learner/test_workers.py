"""Worker threads: the same bytes with any number of them."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

from loco_stream import LOCOClassifier
from loco_stream._compiler.packing import PACKED
from loco_stream._learner import workers as module
from loco_stream._learner.arrays.spec import flatten
from loco_stream._learner.jobs import IS_OVER, N_LEFT, N_READY
from loco_stream._learner.workers import workers
from loco_stream.errors import ConfigError

N_FEATURES = 300
needs_machine_code = pytest.mark.skipif(not PACKED, reason="no workers without packed arguments")


@pytest.fixture(autouse=True)
def _four_processors(monkeypatch):
    monkeypatch.setattr(module, "n_processors", lambda: 4)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 5, 400)
    centers = rng.normal(size=(5, N_FEATURES))
    return centers[labels] + rng.normal(size=(400, N_FEATURES)), labels


def learned(rows, n_threads, **options):
    X, y = rows
    model = LOCOClassifier(hidden_sizes=(40,), seed=2, **options)
    model.set_threads(n_threads)
    proba = [model.learn_predict_proba_array(X[i : i + 100], y[i : i + 100]) for i in (0, 100, 200)]
    return model, proba


@needs_machine_code
@pytest.mark.parametrize("n_threads", [2, 4])
def test_the_same_bytes_with_any_number_of_threads(rows, n_threads):
    alone, expected = learned(rows, 1)
    together, found = learned(rows, n_threads)
    counts = together._core.scratch.jobs.counts
    assert (counts[N_READY], counts[IS_OVER]) == (n_threads - 1, 1)
    assert alone._core.scratch.jobs.counts[N_READY] == 0
    for one, other in zip(expected, found, strict=True):
        assert one.tobytes() == other.tobytes()
    arrays = flatten(together._core.state)
    for name, array in flatten(alone._core.state).items():
        assert array.tobytes() == arrays[name].tobytes(), name


@needs_machine_code
def test_workers_do_parts_of_their_own(rows):
    """A job whose learning thread does nothing gets done all the same."""
    model, _ = learned(rows, 1)
    args = model._core._args
    jobs = args.model.scratch.jobs
    jobs.job.kind = 0
    jobs.job.n_vectors = 2
    jobs.job.has_room = 1
    jobs.products.fill(np.nan)
    own = model._core.state.experts.least_squares
    with workers(args, 1):
        jobs.counts[N_LEFT] = 4
        for _ in range(1000):
            if jobs.counts[N_LEFT] <= 0 and np.isfinite(jobs.products[:, :2, :41]).all():
                break
            threading.Event().wait(0.01)
    matrix = np.triu(own.projectors[0][:, :41])
    matrix += np.triu(matrix, 1).T
    products = jobs.products[:, :2, :41].sum(axis=0)
    np.testing.assert_allclose(products, own.waiting[:2] @ matrix, rtol=1e-4, atol=1e-6)


@needs_machine_code
def test_workers_end_with_an_error(rows):
    model, _ = learned(rows, 1)
    before = threading.active_count()

    def fail():
        with workers(model._core._args, 2):
            assert threading.active_count() == before + 2
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert threading.active_count() == before


def test_no_more_threads_than_processors(rows, monkeypatch):
    monkeypatch.setattr(module, "n_processors", lambda: 1)
    model, _ = learned(rows, 4)
    assert model._core.scratch.jobs.counts[N_READY] == 0
    assert (model.n_threads, model.n_threads_used) == (4, 1)


@needs_machine_code
def test_a_thread_that_cannot_start_is_done_without(rows, monkeypatch):
    expected = learned(rows, 1)[1]
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == "worker 2":
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    model, found = learned(rows, 4)
    assert model.n_threads_used == 2
    assert np.array(found).tobytes() == np.array(expected).tobytes()


@needs_machine_code
def test_only_blocks_that_learn_have_workers(rows):
    X, y = rows
    model = LOCOClassifier(hidden_sizes=(40,), seed=2)
    model.set_threads(2)
    model.learn_array(X[:15], y[:15])
    model.predict_array(X)
    assert model.n_threads_used == 1
    model.learn_array(X[15:31], y[15:31])
    assert model.n_threads_used == 2


def test_the_number_of_threads():
    model = LOCOClassifier(hidden_sizes=(8,), seed=1)
    assert model.n_threads == 1
    model.set_threads(2)
    assert model.n_threads == 2
    assert pickle.loads(pickle.dumps(model)).n_threads == 1
    for wrong in (0, 3, 5, 1.0, "2", True):
        with pytest.raises(ConfigError, match="`n_threads` must be 1, 2 or 4, got"):
            model.set_threads(wrong)
