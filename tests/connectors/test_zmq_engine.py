"""Live sources with the real engine and the real model: the wire changes nothing of what is learned."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor, StreamEngine
from loco_stream.connectors import NPYSource, ZMQSender, ZMQSource
from loco_stream.engine.state import state_sha256
from loco_stream.errors import InputError
from tests.helpers.hostile import damaged, honest
from tests.helpers.serving import wait_until
from tests.helpers.tables import colours

FREE = "tcp://127.0.0.1:*"
FEATURES = tuple(f"f{j}" for j in range(6))
CLASSES = ("a", "b", "c")


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, n)
    X = (rng.normal(size=(n, 6)) + 2 * y[:, None]).astype(np.float32)
    X[rng.random(X.shape) < 0.02] = np.nan
    return X, [CLASSES[label] for label in y]


def model(**settings):
    return LOCOClassifier(hidden_sizes=(16,), seed=3, **settings)


class Running:
    """An engine in a thread of its own; stopped and joined when left."""

    def __init__(self, learner, source, **settings):
        self.engine = StreamEngine(learner, source, **settings)
        self.report = self.error = None
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            self.report = self.engine.run().to_dict()
        except BaseException as error:
            self.error = error

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.engine.stop()
        self._thread.join()
        assert self.error is None


def sender(source, **settings):
    return ZMQSender(source.address, features=FEATURES, classes=CLASSES, timeout=60, linger=60, **settings)


@pytest.fixture(scope="module")
def expected():
    """The state after the rows were learned one by one from memory."""
    X, y = rows(400)
    learner = model()
    for row, label in zip(X, y, strict=True):
        learner.learn_predict_array(row[None], [label], FEATURES)
    return state_sha256(*learner.export_state())


@pytest.mark.parametrize("mode", ["pull", "reliable", "reply"])
@pytest.mark.parametrize("size", [1, 37])
def test_the_state_is_that_of_the_same_rows_from_memory(mode, size, expected):
    X, y = rows(400)
    source = ZMQSource(FREE, mode)
    with Running(model(), source) as running:
        with sender(source, reliable=mode != "pull") as feed:
            for a in range(0, 400, size):
                feed.send(X[a : a + size], y[a : a + size])
            feed.flush()
        if mode == "pull":
            running._thread.join()  # the end of stream ends it
    assert state_sha256(*running.engine.model.export_state()) == expected
    assert running.report["n_samples"] == 400
    assert running.report["transport"]["rows"] == 400
    assert running.report["transport"]["gaps"] == 0


def test_predictions_that_come_back_were_made_before_learning():
    X, y = rows(120)
    twin, wanted = model(), []
    for row, label in zip(X, y, strict=True):
        table = twin.predict_proba_array(row[None], FEATURES)
        wanted.append(_in_order(table[0], twin.classes))
        twin.learn_array(row[None], [label], FEATURES)
    source = ZMQSource(FREE, "reliable")
    with Running(model(), source), sender(source, reliable=True, predict=True) as feed:
        for a in range(0, 120, 30):
            feed.send(X[a : a + 30], y[a : a + 30])
        feed.flush()
        got = feed.take_predictions()
        np.testing.assert_array_equal(feed.predict_proba(X[:5]), _all_in_order(twin, X[:5]))
        assert feed.predict(dict(zip(FEATURES, X[0].tolist(), strict=True))) in CLASSES
    assert [seq for seq, _ in got] == [1, 31, 61, 91]
    table = np.vstack([t for _, t in got])
    np.testing.assert_allclose(table[0], 1 / 3)  # before any class is learned
    np.testing.assert_array_equal(table[1:], np.array(wanted[1:], np.float32))


def _in_order(proba, classes):
    known = dict(zip(classes, proba.tolist(), strict=True))
    return [known.get(c, 0.0) for c in CLASSES]


def _all_in_order(learner, X):
    return np.array([_in_order(p, learner.classes) for p in learner.predict_proba_array(X, FEATURES)], np.float32)


def test_regression_over_the_wire():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 6)).astype(np.float32)
    y = X[:, 0].astype(np.float64).astype(np.float32)
    twin = LOCORegressor(hidden_sizes=(16,), seed=3)
    twin.learn_array(X, y.astype(float), FEATURES)
    source = ZMQSource(FREE, "reliable")
    with (
        Running(LOCORegressor(hidden_sizes=(16,), seed=3), source) as running,
        ZMQSender(source.address, features=FEATURES, task="regression", reliable=True, timeout=60) as feed,
    ):
        feed.send(X, y)
        feed.flush()
        assert feed.predict(X[:3]) == pytest.approx(twin.predict_array(X[:3], FEATURES), rel=1e-6)
    assert state_sha256(*running.engine.model.export_state()) == state_sha256(*twin.export_state())


def test_late_labels_find_their_rows():
    X, y = rows(60)
    source = ZMQSource(FREE, "reliable")
    with Running(model(), source) as running, sender(source, reliable=True) as feed:
        first = feed.send(X)
        feed.send_labels(list(range(first, first + 60)), y)
        feed.send_labels([9999], ["a"])
        feed.flush()
    assert running.report["n_samples"] == 60
    assert running.report["n_orphaned"] == 1


def test_a_run_from_a_recording_equals_the_live_one(tmp_path, expected):
    X, y = rows(400)
    np.savez(tmp_path / "rows.npz", X=X, y=np.array(y))
    source = NPYSource(tmp_path / "rows.npz", block=50)
    source._features = FEATURES  # a .npy file has no names
    engine = StreamEngine(model(), source)
    engine.run()
    assert state_sha256(*engine.model.export_state()) == expected


def test_10_000_mutated_messages_leave_the_engine_learning():
    import zmq

    from tests.helpers import foreign

    rng = np.random.default_rng(4)
    X, y = rows(100)
    source = ZMQSource(FREE, "reliable")
    with Running(model(), source, strict=False) as running, zmq.Context() as context:
        hostile = foreign.Client(context, source.address)
        messages = honest()
        for i in range(10_000):
            hostile.send(damaged(rng, messages[i % len(messages)]) or [b""])
            if i % 100 == 0:
                hostile.answers()
        wait_until(lambda: source.stats["malformed"] > 5000)
        with sender(source, reliable=True) as feed:
            feed.send(X, y)
            feed.flush()
        hostile.socket.close()
    assert running.report["n_samples"] >= 100


def test_texts_travel_and_are_learned_as_if_they_had_come_from_here():
    own, source = model(), ZMQSource(FREE, idle=20.0)
    with Running(model(), source) as running:
        with ZMQSender(source.address, classes=["in", "out"], timeout=60, linger=60) as link:
            for i, (x, y) in enumerate(colours(60)):
                x = {**x, "size": None} if i == 7 else x
                assert link.send(x, y) == i + 1
                own.learn_one(x, y)
        wait_until(lambda: running.engine.status["n_samples"] == 60)
    assert state_sha256(*running.engine.model.export_state()) == state_sha256(*own.export_state())
    assert running.report["categories"]["colour"]["distinct"] == 3
    assert running.report["transport"]["gaps"] == 0


def test_a_reliable_sender_says_that_it_carries_no_text():
    source = ZMQSource(FREE, mode="reliable", idle=20.0)
    link = ZMQSender(source.address, features=["colour"], reliable=True, linger=0.0)
    with pytest.raises(InputError, match=r"'colour' is the text 'red': a reliable sender .* carry numbers; a push"):
        link.send({"colour": "red"}, "in")
    link.close()
    source.close()
