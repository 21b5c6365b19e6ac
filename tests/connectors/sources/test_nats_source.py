"""`NATSSource` and `NATSSink` against a real server with JetStream."""

from __future__ import annotations

import gc
import json
import socket
import struct
import threading
import time

import pytest

from loco_stream.connectors import NATSSink, NATSSource, open_sink, open_source
from loco_stream.connectors.sources import nats_source
from loco_stream.errors import SourceError
from loco_stream.stream import Labels, Prediction
from loco_stream.testing import check_sink, check_source
from tests.helpers import foreign
from tests.helpers.ports import free_port
from tests.helpers.servers import NATS
from tests.helpers.serving import drain

# nats-py leaves its transport to the garbage collector after the loop is closed.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def collected():
    """Collect what a test leaves before the next one, which may not expect it."""
    yield
    gc.collect()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = NATS(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


def source_of(server, subject, **options):
    return NATSSource("127.0.0.1", subject, port=server.port, **options)


def row(i, **more):
    return json.dumps({"a": i, "y": i % 2, **more}).encode()


def test_rows_in_every_form(server):
    server.add_stream("forms", "forms.>")
    schema = foreign.schema("s", ["a"], ["n", "p"])
    block = foreign.rows("s", 1, [[2.0]], [1])
    bodies = [row(1), b"7.5", schema[1] + schema[2], block[1] + block[2], b"nonsense"]
    server.publish("forms.press", *bodies)
    source = open_source(f"nats://127.0.0.1:{server.port}/forms.>?keep=a&idle=0.5")
    first, second, third = drain(source, lambda _: False)
    assert (first.x, first.y, first.source, first.seq) == ({"a": 1}, 1, "forms.press", 0)
    assert first.extra == {"entry": "1", "keep": {"a": 1}}
    assert first.t > 1.7e9
    assert second.x == {"value": 7.5}
    assert third.y == ["p"]
    assert source.stats["malformed"] == 1
    source.close()


def test_resumes_from_the_sequence_number(server):
    server.add_stream("places", "places", "answers")
    server.publish("places", *(row(i, b=1) for i in range(5)))
    server.publish("answers", json.dumps({"id": 3, "label": "ok"}).encode())
    options = {"labels": "answers", "id": "a"}
    source = source_of(server, "places", idle=1.0, **options)
    events = drain(source, lambda _: False)
    position = json.loads(json.dumps(source.position))
    source.close()
    assert [e.id for e in events if not isinstance(e, Labels)] == list(range(5))
    assert [e.of for e in events if isinstance(e, Labels)] == [[3]]
    assert (position["seq"], position["labels"]) == (5, 6)
    server.publish("places", row(5, b=1))
    source = source_of(server, "places", max=1, **options)
    source.seek(position)
    (event,) = drain(source, lambda _: False)
    assert (event.id, event.seq) == (5, 5)
    source.close()


def test_the_lifecycle_of_a_source(server):
    server.add_stream("cycle", "cycle")
    server.publish("cycle", *map(row, range(30)))
    check_source(lambda: source_of(server, "cycle"), n_rows=30)


def test_a_stream_that_was_made_anew_is_refused(server):
    server.add_stream("again", "again")
    server.publish("again", row(1))
    source = source_of(server, "again")
    with pytest.raises(SourceError, match="must hold an integer under 'seq', got 'x'"):
        source.seek({"seq": "x", "rows": {}})
    source.seek({"seq": 9, "rows": {}})
    with pytest.raises(SourceError, match="ends at message 1 and was read up to 9"):
        next(iter(source))
    source.close()


def test_survives_a_restart_of_the_server(tmp_path):
    server = NATS(tmp_path)
    server.add_stream("rows", "rows")
    server.publish("rows", *map(row, range(3)))
    source = source_of(server, "rows")
    seen = drain(source, lambda events: len(events) == 3)
    server.kill()
    drain(source, lambda _: source.outage)
    server.start()
    server.publish("rows", *map(row, range(3, 6)))
    seen += drain(source, lambda events: len(events) == 3)
    assert [event.x["a"] for event in seen] == list(range(6))
    drain(source, lambda _: not source.outage)
    source.close()
    server.stop()


def test_errors_are_one_sentence(server):
    with pytest.raises(SourceError, match=r"cannot reach the NATS server 127.0.0.1:\d+: "):
        NATSSource("127.0.0.1", "rows", port=free_port())
    with pytest.raises(SourceError, match=r"has no stream for the subject 'nowhere'$"):
        source_of(server, "nowhere")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["-js", "--user", "a", "--pass", "b"], "cannot reach .*: nats: 'Authorization Violation'"),
        ([], r"has no JetStream: start it with -js$"),
    ],
)
def test_a_server_that_refuses_the_client_says_why(tmp_path, monkeypatch, options, reason):
    monkeypatch.setattr(nats_source, "CONNECT_SECONDS", 3.0)
    command = NATS.command
    plain = lambda self: [*(word for word in command(self) if word != "-js"), *options]  # noqa: E731
    monkeypatch.setattr(NATS, "command", plain)
    server = NATS(tmp_path)
    with pytest.raises(SourceError, match=reason):
        source_of(server, "rows")
    server.stop()


def test_a_reset_does_not_hide_why_a_server_refuses(monkeypatch):
    def serve():
        for answer in (b"", b"-ERR 'Authorization Violation'\r\n", b""):
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b'INFO {"version":"2.10.0","max_payload":1048576}\r\n')
                connection.recv(4096)
                connection.sendall(answer)
                time.sleep(0.1)
                if not answer:
                    linger = struct.pack("ii", 1, 0)
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    monkeypatch.setattr(nats_source, "CONNECT_SECONDS", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve)
        thread.start()
        port = listening.getsockname()[1]
        with pytest.raises(SourceError, match=r"cannot reach .*: nats: 'Authorization Violation'"):
            NATSSource("127.0.0.1", "rows", port=port)
        thread.join()


def test_a_stream_that_was_deleted_is_an_outage(tmp_path):
    server = NATS(tmp_path)
    server.add_stream("S", "rows")
    server.publish("rows", row(0))
    source = source_of(server, "rows")
    drain(source, lambda events: len(events) == 1)
    server.do(lambda stream: stream.delete_stream("S"))
    drain(source, lambda _: source.outage == "the server has no stream 'S'")
    source.close()
    server.stop()


def test_the_sink_publishes_each_record_once(server):
    server.add_stream("out", "out.>")
    sink = open_sink(f"nats://127.0.0.1:{server.port}/out?only=prediction")
    again = NATSSink("127.0.0.1", "out", port=server.port, only="prediction")
    for each in (sink, again):  # as an engine does that was killed before it had stored the sending
        each.write(Prediction(7, "ok", source="rows", id="A7"))
        each.write(Prediction(7, "ok", "ok", source="rows", id="A7"))
        each.close({})
    info = server.do(lambda stream: stream.stream_info("out"))
    assert info.state.messages == 2


def test_the_lifecycle_of_a_sink(tmp_path):
    server = NATS(tmp_path)
    server.add_stream("sunk", "sunk.>")
    read = 0

    def received():
        nonlocal read

        async def work(stream):
            info = await stream.stream_info("sunk")
            found = range(read + 1, info.state.last_seq + 1)
            return [json.loads((await stream.get_msg("sunk", seq)).data) for seq in found]

        new = server.do(work)
        read += len(new)
        return new

    check_sink(lambda: NATSSink("127.0.0.1", "sunk", port=server.port))
    assert received()
    server.stop()
    sink = NATSSink("127.0.0.1", "sunk", port=server.port, timeout=0.5, linger=0.5)
    sink.write(Prediction(7, "ok", source="rows"))
    sink.close({})
    assert sink.notes
