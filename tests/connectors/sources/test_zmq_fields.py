"""`keep`, `drop` and `use` of rows over ZeroMQ: in blocks, single rows and requests."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest
import zmq

from loco_stream import LOCOClassifier, StreamEngine
from loco_stream.connectors import ZMQSender, ZMQSource, open_source
from loco_stream.errors import ConfigError
from loco_stream.stream import Block, Sample
from tests.helpers.serving import FREE, drain, wait_until

FEATURES = ["order", "speed", "load"]
ROWS = np.array([[7.0, 0.5, 1.0], [8.0, 0.25, np.nan], [9.0, 0.75, 3.0]], np.float32)
LABELS = ["ok", "worn", "ok"]


def received(source, n=3):
    with ZMQSender(source.address, features=FEATURES, classes=["ok", "worn"]) as sender:
        sender.send(ROWS, LABELS)
        events = drain(source, lambda events: sum(map(size, events)) >= n)
    source.close()
    return events


def size(event):
    return len(event.X) if isinstance(event, Block) else 1


@pytest.mark.parametrize("options", [{"drop": ["order"]}, {"use": ["speed", "load"]}], ids=str)
def test_columns_that_are_no_features_are_left_out_of_blocks(options):
    (block,) = received(ZMQSource(FREE, **options))
    assert block.features == ("speed", "load")
    np.testing.assert_array_equal(block.X, ROWS[:, 1:])
    assert list(block.y) == LABELS


def test_kept_fields_are_in_the_record_of_each_row():
    events = received(ZMQSource(FREE, keep=["order"], drop=["order"]))
    assert [event.extra for event in events] == [{"keep": {"order": i}} for i in (7.0, 8.0, 9.0)]
    assert [set(event.x) for event in events] == [{"speed", "load"}] * 3
    assert [(event.y, event.seq) for event in events] == [("ok", 1), ("worn", 2), ("ok", 3)]


def test_rows_by_name_have_the_roles_too():
    url = FREE.replace("tcp://", "zmq+pull://")
    source = open_source(f"{url}?keep=order&use=speed&task=classification&idle=1")
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.connect(source.address)
        message = {"x": {"order": "A7", "speed": 0.4, "load": 1.0}, "y": "ok", "id": 3}
        socket.send_multipart([b"press", json.dumps(message).encode()])
        (row,) = drain(source, lambda events: len(events) == 1)
    assert isinstance(row, Sample)
    assert (row.x, row.y, row.id, row.extra) == ({"speed": 0.4}, "ok", 3, {"keep": {"order": "A7"}})
    source.close()


@pytest.mark.parametrize("options", [{"drop": ["order"]}, {"drop": ["order"], "keep": ["order"]}])
def test_predictions_of_reliable_senders_see_the_features_alone(options, tmp_path):
    source = ZMQSource(FREE, "reliable", **options)
    model = LOCOClassifier(hidden_sizes=(4,), seed=1)
    engine = StreamEngine(model, source, checkpoint=tmp_path)
    records = []
    engine.on("prediction", records.append)
    with Running(engine):
        sender = ZMQSender(source.address, features=FEATURES, classes=["ok", "worn"], reliable=True)
        with sender:
            sender.send(ROWS, LABELS)
            sender.flush(60)
            wait_until(lambda: engine.status["n_samples"] == 3)
            proba = sender.predict_proba(ROWS)
    assert set(engine.model.features) == {"speed", "load"}
    expected = engine.model.predict_proba_array(ROWS[:, 1:], ("speed", "load"), in_stream=False)
    np.testing.assert_allclose(proba, expected, rtol=1e-6)
    kept = [record.get("keep") for record in records]
    assert kept == ([{"order": i} for i in (7.0, 8.0, 9.0)] if "keep" in options else [None] * 3)


class Running:
    """Runs an engine in a thread while a block runs."""

    def __init__(self, engine):
        self._engine = engine
        self._thread = threading.Thread(target=engine.run)

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._engine.stop()
        self._thread.join()


def test_a_field_is_not_both_used_and_dropped():
    with pytest.raises(ConfigError, match="`use` and `drop` must not have a field in common"):
        ZMQSource(FREE, use=["a"], drop=["a"])
