"""`ZMQSource` with an engine and a model: the wire does not change what is learned."""

from __future__ import annotations

import errno
import math
import os
import threading
from contextlib import suppress

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor, StreamEngine
from loco_stream.connectors import NPYSource, ZMQSender, ZMQSource
from loco_stream.engine._codec import decode_commit, encode_commit
from loco_stream.engine._state import state_sha256
from loco_stream.errors import InputError, SourceError
from loco_stream.stream import Sample
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
    """An engine in a thread; it is stopped at the end of the block."""

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
    return ZMQSender(
        source.address, features=FEATURES, classes=CLASSES, timeout=60, linger=60, **settings
    )


@pytest.fixture(scope="module")
def expected():
    """State after the rows were learned one by one from memory."""
    X, y = rows(400)
    learner = model()
    for row, label in zip(X, y, strict=True):
        learner.learn_predict_array(row[None], [label], FEATURES)
    return state_sha256(*learner.export_state())


@pytest.mark.parametrize("mode", ["pull", "reliable", "reply"])
@pytest.mark.parametrize("size", [1, 37])
def test_the_state_equals_that_of_the_same_rows_from_memory(mode, size, expected):
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


def test_returned_predictions_were_made_before_learning():
    X, y = rows(120)
    twin = model()
    wanted = []
    for row, label in zip(X, y, strict=True):
        table = twin.predict_proba_array(row[None], FEATURES, in_stream=True)
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
    table = learner.predict_proba_array(X, FEATURES, in_stream=False)
    return np.array([_in_order(p, learner.classes) for p in table], np.float32)


def test_regression_over_the_wire():
    rng = np.random.default_rng(1)
    X = rng.normal(size=(200, 6)).astype(np.float32)
    y = X[:, 0].astype(np.float64).astype(np.float32)
    twin = LOCORegressor(hidden_sizes=(16,), seed=3)
    twin.learn_array(X, y.astype(float), FEATURES)
    source = ZMQSource(FREE, "reliable")
    with (
        Running(LOCORegressor(hidden_sizes=(16,), seed=3), source) as running,
        ZMQSender(
            source.address, features=FEATURES, task="regression", reliable=True, timeout=60
        ) as feed,
    ):
        feed.send(X, y)
        feed.flush()
        expected = twin.predict_array(X[:3], FEATURES, in_stream=False)
        assert feed.predict(X[:3]) == pytest.approx(expected, rel=1e-6)
    assert state_sha256(*running.engine.model.export_state()) == state_sha256(*twin.export_state())


def test_late_labels_are_assigned_to_their_rows():
    X, y = rows(60)
    source = ZMQSource(FREE, "reliable")
    with Running(model(), source) as running, sender(source, reliable=True) as feed:
        first = feed.send(X)
        feed.send_labels(list(range(first, first + 60)), y)
        feed.send_labels([9999], ["a"])
        feed.flush()
    assert running.report["n_samples"] == 60
    assert running.report["n_orphaned"] == 1


def test_a_recording_and_a_live_stream_give_the_same_state(tmp_path, expected):
    X, y = rows(400)
    np.savez(tmp_path / "rows.npz", X=X, y=np.array(y))
    source = NPYSource(tmp_path / "rows.npz", block=50)
    source._features = FEATURES  # a .npy file has no names
    engine = StreamEngine(model(), source)
    engine.run()
    assert state_sha256(*engine.model.export_state()) == expected


@pytest.mark.slow
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


def test_a_sender_is_told_that_the_disk_of_the_engine_is_full(tmp_path, monkeypatch):
    real = os.write
    is_full = threading.Event()

    def write(descriptor, data):
        if is_full.is_set() and bytes(data[:4]) == b"LREC":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    X, y = rows(40)
    source = ZMQSource(FREE, "reliable")
    with Running(model(), source, checkpoint=tmp_path) as running:
        with sender(source, name="first", reliable=True) as first:
            first.send(X[:20], y[:20])
            first.flush()
            is_full.set()
            first.send(X[20:30], y[20:30])  # which the log has no room for
            wait_until(lambda: running.engine.alarm)
            schema = {"features": FEATURES, "classes": CLASSES}
            second = ZMQSender(source.address, reliable=True, timeout=2.0, **schema)
            with pytest.raises(SourceError, match="No space left on device"):
                second.connect()
            is_full.clear()
            first.flush()
            second.close()
        with sender(source, name="third", reliable=True) as third:
            third.send(X[30:], y[30:])
    assert running.report["n_samples"] == 40


@pytest.mark.parametrize("mode", ["pull", "reliable"])
def test_texts_are_learned_as_from_memory(mode):
    own = model()
    source = ZMQSource(FREE, mode=mode, idle=20.0)
    with Running(model(), source) as running:
        with ZMQSender(
            source.address,
            classes=["in", "out"],
            timeout=60,
            linger=60,
            reliable=mode == "reliable",
        ) as link:
            for i, (x, y) in enumerate(colours(60)):
                x = {**x, "size": None} if i == 7 else x
                assert link.send(x, y) == i + 1
                own.learn_one(x, y)
        wait_until(lambda: running.engine.status["n_samples"] == 60)
    assert state_sha256(*running.engine.model.export_state()) == state_sha256(*own.export_state())
    assert running.report["categories"]["colour"]["distinct"] == 3
    assert running.report["transport"]["gaps"] == 0


@pytest.mark.parametrize("mode", ["pull", "reliable"])
def test_texts_in_tables_are_learned_as_from_memory(mode):
    own = model()
    source = ZMQSource(FREE, mode=mode, idle=20.0)
    pairs = list(colours(60))
    names = list(pairs[0][0])
    X = [[x[name] for name in names] for x, _ in pairs]
    y = [label for _, label in pairs]
    with Running(model(), source) as running:
        with ZMQSender(
            source.address,
            features=names,
            classes=["in", "out"],
            timeout=60,
            linger=60,
            reliable=mode == "reliable",
        ) as link:
            assert link.send(X[0], y[0]) == 1
            assert link.send(X[1:40], y[1:40], [float(i) for i in range(39)]) == 2
            assert link.send(np.array(X[40:], object), y[40:]) == 41
        for row, label in zip(X, y, strict=True):
            own.learn_one(dict(zip(names, row, strict=True)), label)
        wait_until(lambda: running.engine.status["n_samples"] == 60)
    assert state_sha256(*running.engine.model.export_state()) == state_sha256(*own.export_state())


@pytest.mark.parametrize("mode", ["reliable", "reply"])
def test_rows_with_texts_are_predicted(mode):
    source = ZMQSource(FREE, mode=mode, idle=20.0)
    pairs = list(colours(60))
    learner = model()
    for x, y in pairs:
        learner.learn_one(x, y)
    expected = [learner.predict_one(x, in_stream=False) for x, _ in pairs]
    with (
        Running(learner, source) as running,
        ZMQSender(
            source.address,
            classes=["in", "out"],
            name="s",
            timeout=60,
            linger=60,
            reliable=True,
            predict=True,
        ) as link,
    ):
        assert [link.predict(x) for x, _ in pairs] == expected
        table = [list(x.values()) for x, _ in pairs]
        assert link.predict(table) == expected
        assert link.predict_proba(pairs[0][0]) == pytest.approx(
            learner.predict_proba_one(pairs[0][0], in_stream=False), abs=1e-6
        )
        proba = learner.predict_proba_one(pairs[3][0], in_stream=True)
        link.send(pairs[3][0], pairs[3][1])
        ((seq, answer),) = link.take_predictions(60.0)  # made before it was learned
        assert (seq, answer[0].tolist()) == (
            1,
            pytest.approx([proba["in"], proba["out"]], abs=1e-6),
        )
        late = link.send(pairs[4][0])
        link.send_labels([late], [pairs[4][1]])
        link.flush()
        wait_until(lambda: running.engine.status["n_samples"] == 2)
    assert running.report["n_orphaned"] == 0
    assert running.report["n_asked"] >= 121  # a slow reply is requested again


def test_rows_with_texts_are_logged_with_their_epoch(tmp_path):
    """A resumed engine needs it to find the row of a late label."""
    events = [
        Sample({"colour": "red", "size": 1.0}, None, 1, 2.5, "s", epoch=77),
        Sample({"colour": "red"}, "in", 2, sequence="run 1", source="s"),
    ]
    found, *_ = decode_commit(encode_commit(events, {}, 0.0))
    assert found[0] == events[0]
    assert (found[1].sequence, found[1].epoch) == ("run 1", 0)


@pytest.mark.parametrize(
    ("x", "text"),
    [
        ([["red", 1.0], ["blue"]], "`colour` must be a finite number"),
        ([[1.0, 2.0], [3.0]], "`x` must be a dict, a row or a table"),
        ([["red", 1.0, 2.0]], "`x` must have 2 values per row, as the schema has, got 3"),
        ([object(), 1.0], "`x` must be a dict, a row or a table of numbers and texts"),
        ({"colour": "red", "run": None, "size": object()}, "`size` must be a finite number"),
    ],
)
def test_rows_that_no_message_can_hold_are_refused_by_the_sender(x, text):
    with (
        ZMQSender(
            "tcp://127.0.0.1:*", features=["colour", "size"], reliable=True, bind=True, linger=0.0
        ) as link,
        pytest.raises(InputError, match=text),
    ):
        link.send(x, ["in"])


def test_row_times_are_sent():
    """One time per row, or that of the first row."""
    source = ZMQSource(FREE, mode="reliable", idle=5.0)
    taken = []
    with ZMQSender(source.address, features=["a"], name="s", reliable=True, linger=0.0) as link:
        link.send(np.zeros((130, 1)), t=5.0)
        link.send(np.zeros((3, 1)), t=[6.0, 6.5, math.nan])
        with pytest.raises(InputError, match="`t` must have 3 times, got 2"):
            link.send(np.zeros((3, 1)), t=[1.0, 2.0])
        with pytest.raises(InputError, match=r"`t` must be seconds .* got 'noon'"):
            link.send([1.0], t="noon")
        for events in source:
            link.take_predictions()  # sends on
            taken += [t for event in events for t in event.row_times.tolist()]
            if len(taken) == 133:
                break
        with suppress(SourceError):
            link.close()
    source.close()
    known = {i: t for i, t in enumerate(taken) if t == t}
    assert known == {0: 5.0, 130: 6.0, 131: 6.5}


@pytest.mark.parametrize("run", [math.nan, 2.5, 2**24 + 1, None])
def test_a_sequence_id_that_float32_does_not_represent_is_refused(run):
    with (
        ZMQSender(
            "tcp://127.0.0.1:*", features=["a", "run"], sequence="run", bind=True, linger=0.0
        ) as link,
        pytest.raises(
            InputError,
            match=r"the sequence id must be a text or a whole number up to 16777216 in every row",
        ),
    ):
        link.send([[1.0, 3], [1.0, run]])
