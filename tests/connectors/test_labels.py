"""Labels in messages of their own, from real brokers: never stuck, every row learned once."""

from __future__ import annotations

import json
import threading
from contextlib import closing, contextmanager

import pytest

from loco_stream import LOCOClassifier, StreamEngine
from loco_stream.connectors import JSONLSource, MQTTSource, RedisSource, ZMQSource, open_source
from loco_stream.connectors.ls1._limits import Limits
from loco_stream.connectors.ls1._messages import encode
from loco_stream.connectors.ls1._receiver import Receiver
from loco_stream.connectors.ls1._remote_source import RemoteSources
from loco_stream.connectors.ls1._wire import Kind, pack
from loco_stream.engine._source_reader import SourceReader
from loco_stream.engine._task import find_task
from loco_stream.errors import ConfigError
from loco_stream.stream import Labels, Sample
from tests.helpers.servers import Mosquitto, Redis, needs
from tests.helpers.serving import wait_until

N = 60  # three times what mosquitto has in flight by default


def row(i):
    return {"id": i, "a": i % 2, "b": i % 3, "press": f"P{i % 4}"}


def label(i):
    return {"id": i, "label": ("even", "odd")[i % 2]}


@contextmanager
def running(source):
    """Run an engine whose task no label has shown yet; yield it, and stop it at the end."""
    reader = SourceReader(source)
    assert find_task(reader, rows=2 * N, seconds=0.5) is None
    engine = StreamEngine(LOCOClassifier(hidden_sizes=(4,), seed=1), reader, task="classification")
    records = []
    engine.on("prediction", records.append)
    thread = threading.Thread(target=engine.run)
    thread.start()
    try:
        yield engine, records
    finally:
        engine.stop()
        thread.join()


def check(engine, records, send_label):
    """Send the labels once all rows wait for theirs; every row is then learned once."""
    wait_until(lambda: engine.status["n_rows"] == N)
    assert engine.status["waiting_for"].startswith(f"no label has come in {N} rows")
    for i in range(N):
        send_label(label(i))
    wait_until(lambda: engine.status["n_samples"] == N)
    assert engine.status["waiting_for"] == ""
    assert engine.status["n_pending"] == 0
    assert engine.model.features == ("a", "b", "press")
    assert [r["id"] for r in records if "label" not in r] == list(range(N))
    assert [r["id"] for r in records if "label" in r] == list(range(N))
    assert {r["keep"]["press"] for r in records} == {"P0", "P1", "P2", "P3"}
    assert all(r["label"] == label(r["id"])["label"] for r in records if "label" in r)
    assert [r["seq"] for r in records[:3]] == [0, 1, 2]


@needs("mosquitto", "mosquitto")
@pytest.mark.parametrize("labels", ["rows", "labels"])
def test_mqtt_delivers_labels_although_its_first_rows_have_none(tmp_path, labels):
    server = Mosquitto(tmp_path)
    other = None if labels == "rows" else labels
    source = MQTTSource(
        "127.0.0.1", "rows", port=server.port, id="id", labels=other, keep=["press"]
    )
    with server.publisher("rows") as send, server.publisher(labels) as send_label:
        for i in range(N):
            send(json.dumps(row(i)))
        with running(source) as (engine, records):
            check(engine, records, lambda message: send_label(json.dumps(message)))
    server.stop()


@needs("redis-server", "redis-server")
@pytest.mark.parametrize("group", [None, "engines"])
@pytest.mark.parametrize("labels", ["rows", "labels"])
def test_redis_delivers_labels_in_a_stream_of_their_own_or_in_the_same(tmp_path, labels, group):
    import redis

    server = Redis(tmp_path)
    other = None if labels == "rows" else labels
    source = RedisSource(
        "127.0.0.1", "rows", port=server.port, id="id", labels=other, group=group, keep=["press"]
    )
    with redis.Redis(port=server.port) as client:
        entries = [client.xadd("rows", row(i)).decode() for i in range(N)]
        with running(source) as (engine, records):
            check(engine, records, lambda message: client.xadd(labels, message))
        assert [r["entry"] for r in records if "label" not in r] == entries
        if group:
            wait_until(lambda: client.xpending("rows", group)["pending"] == 0)
            assert client.xpending(labels, group)["pending"] == 0
    server.stop()


OF_A_LABORATORY = [
    {"id": 7, "label": "ok", "by": "Anna", "x": "sample 3"},
    {"order": "8", "label": "worn", "id": 4711},
    {"order": 9, "y": "ok", "when": "today"},
    {"order": 10, "lable": "ok"},
    {"label": "ok"},
]


def labels_in(source, stats):
    """Return the labels in the messages of a laboratory; none of the others is a row."""
    found = []
    for events in source:
        assert not any(isinstance(event, Sample) for event in events), events
        found += [(str(*e.of), *e.y) for e in events if isinstance(e, Labels)]
        source.ack(source.position)
        if source.stats["messages"] == stats["messages"]:
            break
    source.close()
    assert found == [("7", "ok"), ("8", "worn"), ("9", "ok")]
    assert source.stats["malformed"] == stats["malformed"]


@needs("mosquitto", "mosquitto")
def test_a_topic_of_labels_has_labels_whatever_other_fields_they_have(tmp_path):
    server = Mosquitto(tmp_path)
    source = MQTTSource("127.0.0.1", "rows/#", port=server.port, id="order", labels="lab/+")
    with server.publisher("lab/3") as send:
        for message in OF_A_LABORATORY:
            send(json.dumps(message))
        send("23.5")
    labels_in(source, {"messages": 6, "malformed": 3})
    assert source.last_error == "'lab/3': a label must be a map with 'id' and 'label', got 23.5"
    server.stop()


@needs("redis-server", "redis-server")
def test_a_stream_of_labels_has_labels_whatever_other_fields_they_have(tmp_path):
    import redis

    server = Redis(tmp_path)
    source = RedisSource("127.0.0.1", "rows", port=server.port, id="order", labels="lab")
    with redis.Redis(port=server.port) as client:
        for message in OF_A_LABORATORY:
            client.xadd("lab", message)
    labels_in(source, {"messages": 5, "malformed": 2})
    assert source.last_error == (
        "a label must be a map with 'id' and 'label', got one with the fields 'label'"
    )
    server.stop()


@needs("redis-server", "redis-server")
def test_a_misspelled_target_is_named_with_the_fields_that_there_are(tmp_path):
    import redis

    server = Redis(tmp_path)
    with redis.Redis(port=server.port) as client:
        for i in range(N):
            client.xadd("rows", {"a": i, "kind": "ok"})
        source = RedisSource("127.0.0.1", "rows", port=server.port, target="knid")
        with running(source) as (engine, _):
            wait_until(lambda: engine.status["n_rows"] == N)
            assert engine.status["waiting_for"] == (
                f"no label has come in {N} rows; the rows have the fields a, kind; labels are "
                "expected in the field 'knid'"
            )
    server.stop()


# ZeroMQ, JSON lines, and the forms of a message


def taken(*bodies):
    receiver = Receiver(RemoteSources(Limits()))
    return [receiver.take([b"press", json.dumps(body).encode()]) for body in bodies]


def test_the_readable_message_of_zeromq_may_be_a_label():
    first, second, third = taken(
        {"x": {"a": 1.0}, "id": "A7"},
        {"id": "A7", "label": "ok"},
        {"x": {"a": 2.0}, "id": 8, "y": "ok"},
    )
    assert isinstance(first, Sample)
    assert (first.id, first.seq, first.y) == ("A7", 0, None)
    assert isinstance(second, Labels)
    assert (second.of, second.y, second.by_id) == (
        ["A7"],
        ["ok"],
        True,
    )
    assert isinstance(third, Sample)
    assert (third.id, third.seq) == (8, 1)


@pytest.mark.parametrize(
    "body",
    [{"id": True, "label": "ok"}, {"id": 7, "label": [1]}, {"id": "", "label": "ok"}, {"id": 7}],
)
def test_a_bad_label_is_malformed_and_never_a_row(body):
    assert taken(body) == [None]


def test_reliable_labels_take_a_seq():
    source = ZMQSource("tcp://127.0.0.1:*", "reliable")
    with closing(source):
        check_reliable(source)


def check_reliable(source):
    session = source._session
    schema = {"schema_id": 1, "task": "classification", "features": ["a"], "classes": ["ok"]}

    def control(kind, payload):
        session.take(b"peer", pack("press", kind, encode(payload)), "")

    control(Kind.HELLO, {"source": "press", "epoch": 3})
    control(Kind.SCHEMA, schema)
    send = lambda body: session.take(b"peer", [b"press", json.dumps(body).encode()], "")  # noqa: E731
    first = send({"x": {"a": 1.0}, "id": 7, "seq": 1})
    second = send({"id": 7, "label": "ok", "seq": 2})
    assert (first.id, second.of, second.y, second.seq) == (7, [7], ["ok"], 2)
    assert send({"id": 7, "label": "ok", "seq": 2}) is None
    assert source.stats["duplicates"] == 1


def test_lines_with_an_id_and_a_label_are_labels(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(m) for m in [row(1), label(1), row(2)]) + "\n")
    first, second, third = JSONLSource(path, target="", id="id", keep=["press"], drop=["press"])
    assert (first.x, first.id, first.extra) == ({"a": 1, "b": 1}, 1, {"keep": {"press": "P1"}})
    assert (second.of, second.y, second.by_id) == ([1], ["odd"], True)
    assert third.seq == 2


def test_columns_of_tables_have_the_same_roles(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("order,a,b,c,kind\n7,1,2,3,ok\n8,1,2,3,ok\n")
    (first, _) = open_source(f"csv:{path}?target=kind&id=order&use=a,b&keep=c")
    assert (first.x, first.id, first.extra) == ({"a": 1, "b": 2}, "7", {"keep": {"c": 3}})


def test_use_and_drop_exclude_each_other():
    with pytest.raises(ConfigError, match="`use` and `drop` must not have a field in common"):
        open_source("serial:/dev/null?use=a&drop=a")
