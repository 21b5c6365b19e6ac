"""`RedisSource` against a real server: entries, ids, groups, trimming, restarts, passwords."""

from __future__ import annotations

import json
import subprocess
import sys

import msgspec
import pytest
import redis

from loco_stream.connectors import RedisSource, open_source
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Source
from loco_stream.testing import check_source
from tests.helpers import foreign
from tests.helpers.ports import free_port
from tests.helpers.servers import Redis, needs
from tests.helpers.serving import drain

pytestmark = needs("redis-server", "redis-server")


@pytest.fixture
def server(tmp_path):
    server = Redis(tmp_path)
    yield server
    server.stop()


@pytest.fixture
def client(server):
    with redis.Redis(port=server.port) as client:
        yield client


def source_of(server, **options):
    return RedisSource("127.0.0.1", "rows", port=server.port, **options)


def values(events):
    return [event.x["a"] for event in events]


def add(client, *numbers):
    for n in numbers:
        client.xadd("rows", {"a": n, "y": n % 2})


def test_rows_by_fields_and_by_payload(server, client):
    client.xadd("rows", {"speed": "0.5", "load": "", "colour": "red", "kind": "ok", "when": "5"})
    client.xadd("rows", {"data": json.dumps({"speed": 1, "kind": "worn"})})
    client.xadd("rows", {"data": msgspec.msgpack.encode({"x": {"speed": 2.5}, "y": "ok"})})
    client.xadd("rows", {"data": json.dumps({"speed": 3}), "kind": 4})
    client.xadd("rows", {"data": b"nonsense"})
    client.xadd("rows", {"speed": b"\xff"})
    source = open_source(f"redis://127.0.0.1:{server.port}/rows?target=kind&time=when&idle=0.5")
    assert isinstance(source, Source)
    assert "exactly once" in source.guarantee
    events = drain(source, lambda _: False)
    assert [(e.source, dict(e.x), e.y) for e in events] == [
        ("rows", {"speed": 0.5, "load": None, "colour": "red"}, "ok"),
        ("rows", {"speed": 1}, "worn"),
        ("rows", {"speed": 2.5}, "ok"),
        ("rows", {"speed": 3}, 4),
    ]
    assert events[0].t == 5.0
    assert events[1].t > 1.7e9  # time of the server
    assert source.stats["malformed"] == 2
    assert "must be UTF-8" in source.last_error
    source.close()


def test_ls1_blocks(server, client):
    for frames in (
        foreign.schema("rows", ["a"], ["n", "y"]),
        foreign.rows("rows", 1, [[1], [2]], [1, 0]),
        foreign.rows("rows", 3, [[3]], [1]),
        foreign.frames("rows", 5, seq=3),
    ):
        client.xadd("rows", {"data": frames[1] + frames[2]})
    source = source_of(server)
    (block,) = drain(source, lambda _: False)  # the end of stream ends it
    assert (block.X.tolist(), block.y) == ([[1.0], [2.0], [3.0]], ["y", "n", "y"])
    source.close()


def test_resumes_from_the_entry_id(server, client):
    add(client, 1, 2, 3)
    source = source_of(server, idle=0.5)
    assert values(drain(source, lambda _: False)) == [1, 2, 3]
    position = json.loads(json.dumps(source.position))
    source.close()
    add(client, 4)
    source = source_of(server, idle=0.5)
    source.seek(position)
    (event,) = drain(source, lambda _: False)
    assert (event.x["a"], event.seq) == (4, 3)
    with pytest.raises(SourceError, match=r"`position` of .* must be"):
        source.seek({"row": 3})
    for wrong, what in (({"id": "x"}, "the id of an entry"), ({"read": "x"}, "an integer")):
        with pytest.raises(SourceError, match=f"`position` of .* must hold {what} under .* 'x'"):
            source.seek({**position, **wrong})
    source.close()


def test_a_group_shares_entries_and_repeats_those_that_were_not_acked(server, client):
    add(client, *range(10))
    first = source_of(server, group="g", consumer="one")
    assert first.needs_log
    rounds = iter(first)
    assert values(next(rounds) or next(rounds)) == list(range(10))
    position = first.position  # logged, and not acked
    first.close()
    add(client, 10, 11)
    again = source_of(server, group="g", consumer="one", idle=0.5)  # it died before the log
    assert values(drain(again, lambda _: False)) == list(range(12))
    again.close()
    assert client.xpending("rows", "g")["pending"] == 0
    add(client, 12)
    third = source_of(server, group="g", consumer="one", idle=0.5)
    third.seek(position)
    other = source_of(server, group="g", consumer="two", idle=0.5)
    assert values(drain(third, lambda _: False)) == [12]
    assert drain(other, lambda _: False) == []
    third.close()
    other.close()


def test_known_entries_of_a_group_are_acked_and_not_learned_again(server, client):
    add(client, 1, 2)
    first = source_of(server, group="g")
    rounds = iter(first)
    assert values(next(rounds) or next(rounds)) == [1, 2]
    position = first.position
    first.close()
    add(client, 3)
    second = source_of(server, group="g", idle=0.5)
    second.seek(position)
    assert values(drain(second, lambda _: False)) == [3]
    second.close()
    assert client.xpending("rows", "g")["pending"] == 0


def test_trimmed_entries_are_counted(server, client):
    add(client, *range(10))
    client.xtrim("rows", maxlen=7, approximate=False)
    source = source_of(server, idle=0.5)
    assert values(drain(source, lambda _: False)) == list(range(3, 10))
    assert source.stats["gaps"] == 3
    position = source.position
    client.xtrim("rows", maxlen=0, approximate=False)
    add(client, 10)
    source.seek(position)
    assert values(drain(source, lambda _: False)) == [10]
    assert source.stats["gaps"] == 3  # entries that were read may be trimmed
    source.close()


def test_continues_after_the_server_was_killed_and_restarted(server, client, caplog):
    caplog.set_level("INFO", "loco_stream")
    source = source_of(server)
    add(client, 1)
    assert values(drain(source, lambda e: len(e) == 1)) == [1]
    server.kill()
    rounds = iter(source)
    assert [next(rounds) for _ in range(3)] == [[]] * 3
    assert source.outage
    server.start()
    add(client, 2)
    assert values(drain(source, lambda e: len(e) == 1)) == [2]
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0].startswith(f"{source.name}: no rows come: ")
    assert lines[-1] == f"{source.name}: connected again"
    assert source.outage == ""
    source.close()


def test_passwords_come_from_the_environment_or_a_file(tmp_path, monkeypatch):
    server = Redis(tmp_path, "--requirepass", "sesame")
    try:
        with pytest.raises(SourceError, match="refuses the client: "):
            source_of(server)
        monkeypatch.setenv("LOCO_STREAM_REDIS_PASSWORD", "sesame")
        source_of(server).close()
        monkeypatch.delenv("LOCO_STREAM_REDIS_PASSWORD")
        (tmp_path / "secret").write_text("sesame\n")
        monkeypatch.setenv("LOCO_STREAM_REDIS_PASSWORD_FILE", str(tmp_path / "secret"))
        (tmp_path / "secret").chmod(0o644)
        with pytest.raises(ConfigError, match=r"PASSWORD_FILE .* can be read by others: chmod"):
            source_of(server)
        (tmp_path / "secret").chmod(0o600)
        source_of(server).close()
        monkeypatch.setenv("LOCO_STREAM_REDIS_PASSWORD_FILE", str(tmp_path / "none"))
        with pytest.raises(ConfigError, match=r"cannot read .*none: No such file"):
            source_of(server)
    finally:
        server.stop()


def test_a_missing_server_and_another_type_are_refused(server, client):
    port = free_port()
    with pytest.raises(
        SourceError, match=rf"cannot reach the Redis server 127\.0\.0\.1:{port}: Connection refused"
    ):
        RedisSource("127.0.0.1", "rows", port=port)
    client.set("rows", "text")
    with pytest.raises(SourceError, match=r"rows at .* must be a stream, got a string"):
        source_of(server)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://127.0.0.1:6379", "the URL must be redis://127.0.0.1:6379/STREAM, got"),
        ("redis://:secret@127.0.0.1/rows", "LOCO_STREAM_REDIS_PASSWORD"),
        ("redis://127.0.0.1/rows?group=", "`group` must not be empty"),
        ("redis://127.0.0.1/rows?idle=0", "`idle` must be a number above 0"),
    ],
)
def test_bad_urls_are_refused(url, text):
    with pytest.raises((SourceError, ConfigError), match=text) as caught:
        open_source(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("RedisSource", "redis", "redis"),
        ("KafkaSource", "confluent_kafka", "kafka"),
        ("SerialSource", "serial", "serial"),
    ],
)
def test_a_missing_extra_is_named_when_it_is_used(name, module, extra):
    arguments = ("rows",) if extra == "serial" else ("127.0.0.1", "rows")
    code = f"""
import sys
sys.modules[{module!r}] = None
from loco_stream.connectors import {name}
from loco_stream.errors import SourceError
try:
    {name}(*{arguments!r})
except SourceError as e:
    print(e)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert f"pip install 'loco-stream[{extra}]'" in done.stdout


def test_the_lifecycle_of_a_stream(server, client):
    add(client, *range(20))
    check_source(lambda: source_of(server), n_rows=20)


def test_the_lifecycle_of_a_group(server, client):
    add(client, *range(20))
    names = iter(range(100))
    check_source(lambda: source_of(server, group=f"g{next(names)}"), n_rows=20, resumes=False)
