from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from urllib.request import urlopen

import pytest
import zmq
from click.testing import CliRunner

from loco_stream import LOCOClassifier, load
from loco_stream._cli import main
from loco_stream._cli._network_options import NetworkOptions
from loco_stream._cli._service_ports import PortOptions
from loco_stream._cli._service_state import ServiceState
from loco_stream.connectors import ZMQSender, ZMQSource
from loco_stream.connectors._control import Control, make_token, read_token, send_command
from loco_stream.engine import StreamEngine
from loco_stream.engine import _source_reader as source_reader
from loco_stream.engine._source_reader import SourceReader
from loco_stream.engine._task import find_task
from loco_stream.errors import ConfigError, SourceError
from loco_stream.stream import Sample
from tests.helpers.engine_process import LOCO, SOAK, end, start
from tests.helpers.ports import free_address, free_port
from tests.helpers.serving import wait_until
from tests.helpers.standin import ListSource, Means

LOCAL = NetworkOptions("127.0.0.1", (), None)


@pytest.fixture
def control():
    served = Control("tcp://127.0.0.1:*", {"status": lambda: {"n_samples": 5}})
    yield served
    served.close()


def test_a_client_needs_only_json(control):
    context = zmq.Context()
    client = context.socket(zmq.REQ)
    client.connect(control.address)
    for sent, ok in (
        (b'{"do": "status"}', True),
        (b"\xff\x00", False),
        (b"[]", False),
        (b'{"do": "explode"}', False),
        (b"", False),
    ):
        client.send(sent)
        assert client.poll(60_000)
        assert json.loads(client.recv())["ok"] is ok
    client.close(linger=0)
    context.term()


def test_refusals_are_sentences(control):
    with pytest.raises(SourceError, match="no command 'explode'"):
        send_command(control.address, "explode")
    with pytest.raises(ConfigError, match=r"must be tcp://127\.0\.0\.1:PORT or ipc://PATH"):
        Control("tcp://0.0.0.0:5999", {})
    with pytest.raises(SourceError, match="in use"):
        Control(control.address, {})


@pytest.mark.parametrize("address", ["ipc:///nowhere/at/all", "tcp://127.0.0.1:9"])
def test_an_address_without_a_service_is_refused_before_the_answer_is_due(address):
    started = time.monotonic()
    with pytest.raises(SourceError, match=f"^no service can be reached at {address}$"):
        send_command(address, "confirm", timeout=35.0)
    assert time.monotonic() - started < 20.0


def test_over_tcp_all_commands_but_status_need_the_token(tmp_path):
    stopped = []
    handlers = {"status": dict, "stop": lambda: stopped.append(1) or {}}
    token = make_token(tmp_path / "token")
    for expected, given in ((None, ""), (token, ""), (token, token[:-1]), (token, "\u20ac")):
        served = Control("tcp://127.0.0.1:*", handlers, expected)
        send_command(served.address, "status")
        with pytest.raises(SourceError, match="'stop' needs the service's control token"):
            send_command(served.address, "stop", token=given)
        refused = CliRunner().invoke(main, ["control", served.address, "stop"])
        assert refused.stderr.endswith("control token; pass --token FILE\n")
        served.close()
    assert stopped == []
    served = Control("tcp://127.0.0.1:*", handlers, token)
    shown = CliRunner().invoke(
        main, ["control", served.address, "stop", "--token", str(tmp_path / "token")]
    )
    assert json.loads(shown.stdout) == {"ok": True}
    served.close()
    assert stopped == [1]


def test_a_token_file_is_created_once_with_mode_0600(tmp_path):
    path = tmp_path / "token"
    assert make_token(path) == make_token(path) == read_token(path)
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="can be read by others"):
        make_token(path)
    path.chmod(0o600)
    path.write_text("short\n")
    with pytest.raises(ConfigError, match="at least 16 characters, got 5"):
        read_token(path)
    with pytest.raises(ConfigError, match="No such file"):
        read_token(tmp_path / "none")


def test_ipc_replaces_no_file_and_no_running_service(tmp_path):
    file = tmp_path / "notes.txt"
    place = tmp_path / "control"
    file.write_text("mine")
    with pytest.raises(SourceError, match="not a socket, and is not replaced"):
        Control(f"ipc://{file}", {})
    assert file.read_text() == "mine"
    first = Control(f"ipc://{place}", {"status": lambda: {"n": 1}})
    assert place.stat().st_mode & 0o777 == 0o600
    with pytest.raises(SourceError, match="address already in use"):
        Control(f"ipc://{place}", {})
    assert send_command(f"ipc://{place}", "status")["n"] == 1
    first.close()
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left"))  # as a killed service leaves it
    Control(f"ipc://{tmp_path / 'left'}", {}).close()


def scraped(port):
    """Return the page of metrics."""
    return urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60).read().decode()


def test_a_running_engine_accepts_commands_and_serves_metrics(tmp_path):
    pytest.importorskip("prometheus_client")
    port = free_port()

    def endless():
        i = 0
        while True:
            yield Sample({"a": float(i % 3)}, f"c{i % 3}", i, t=1.0) if i < 300 else []
            i += 1

    class Live(ListSource):
        stats = {"rows": 7, "gaps": 1}  # noqa: RUF012

        def __iter__(self):
            return endless()

    address = f"ipc://{tmp_path}/c"
    engine = StreamEngine(Means(), Live([]), checkpoint=tmp_path / "state")
    runner = threading.Thread(target=engine.run)
    state = ServiceState()
    ports = PortOptions(port, address, None, None)
    with ports.open(state, LOCAL):
        assert "loco_rows_learned_total 0.0" in scraped(port)
        state.engine = engine
        assert "loco_rows_learned_total 0.0" in scraped(port)
        runner.start()
        wait_until(lambda: engine.status.get("n_samples", 0) == 300)
        shown = CliRunner().invoke(main, ["control", address, "status"])
        assert json.loads(shown.stdout)["n_samples"] == 300
        text = scraped(port)
        assert "loco_rows_learned_total 300.0" in text
        assert 'loco_transport_total{what="gaps"} 1.0' in text
        assert "loco_latency_seconds_count 300.0" in text
        assert "loco_lag_seconds" in text
        assert "loco_checkpoint_age_seconds" in text
        send_command(address, "checkpoint")
        wait_until(lambda: list((tmp_path / "state").glob("checkpoint-*00[1-9]*.loco")))
        with (
            pytest.raises(ConfigError, match=f"127.0.0.1:{port}"),
            PortOptions(port, None, None, None).open(state, LOCAL),
        ):
            pass
        send_command(address, "stop")
        runner.join(timeout=60)
    assert not runner.is_alive()


def test_labels_of_a_running_engine_are_chosen_by_another_rule(tmp_path):
    address = f"ipc://{tmp_path}/c"

    class Live(ListSource):
        def __iter__(self):
            for i in itertools.count():
                yield Sample({"a": float(i % 2)}, f"c{i % 2}", i) if i < 60 else []

    def decide(*words):
        done = CliRunner().invoke(main, ["control", address, "decide", *words])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    model = LOCOClassifier(hidden_sizes=(8,), seed=1)
    engine = StreamEngine(model, Live([]), checkpoint=tmp_path / "state")
    runner = threading.Thread(target=engine.run)
    state = ServiceState()
    with PortOptions(None, address, None, None).open(state, LOCAL):
        with pytest.raises(SourceError, match="there is no model yet: the service is starting"):
            send_command(address, "rule")
        state.engine = engine
        runner.start()
        wait_until(lambda: engine.status.get("n_samples", 0) == 60)
        assert decide()["rule"] == {"thresholds": [], "costs": []}
        assert decide("--threshold", "c1=0.2") == {"ok": True}
        assert decide()["rule"]["thresholds"] == [{"label": "c1", "probability": 0.2}]
        with pytest.raises(SourceError, match="a command must contain a rule"):
            send_command(address, "decide", rule={"thresholds": 7})
        with pytest.raises(SourceError, match="no source of --http has sent numbered rows as 'x'"):
            send_command(address, "forget", source="x")
        with pytest.raises(SourceError, match="the command 'forget' cannot take"):
            send_command(address, "forget", key="x")
        refused = CliRunner().invoke(main, ["control", address, "confirm", "7"])
        assert refused.stderr.endswith("got None; start the service with --watch\n")
        refused = CliRunner().invoke(main, ["control", address, "stop", "--clear"])
        assert "need the command decide" in refused.stderr
        send_command(address, "stop")
        runner.join(timeout=60)
    assert load(newest(tmp_path / "state")).decision == {"thresholds": {"c1": 0.2}}


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (["confirm", "7"], {"t0": 7.0, "t1": 7.0}),
        (["dismiss", "1970-01-02", "90000.5"], {"t0": 86400.0, "t1": 90000.5}),
        (["forget", "press"], {"source": "press"}),
        (["stop"], {}),
        (["confirm"], "the command confirm takes FIRST [LAST], got nothing"),
        (["confirm", "1", "2", "3"], "the command confirm takes FIRST [LAST], got 1 2 3"),
        (["forget"], "the command forget takes SOURCE, got nothing"),
        (["status", "press"], "the command status takes no argument, got press"),
        (
            ["dismiss", "noon"],
            "`FIRST` and `LAST` must be numbers or ISO 8601 dates, got 'noon' and 'noon'",
        ),
    ],
)
def test_the_arguments_of_a_command(words, sent, monkeypatch):
    given = []
    monkeypatch.setattr(
        "loco_stream.connectors._control.send_command",
        lambda address, name, timeout, token, **arguments: given.append(arguments) or {},
    )
    result = CliRunner().invoke(main, ["control", "ipc:///c", *words])
    if isinstance(sent, str):
        assert (result.exit_code, result.stderr) == (2, f"loco-stream: {sent}\n")
    else:
        assert (result.exit_code, given) == (0, [sent])


def test_a_service_that_has_ended_refuses_another_rule_at_once(tmp_path):
    address = f"ipc://{tmp_path}/c"
    rows = [({"a": float(i % 2)}, f"c{i % 2}") for i in range(20)]
    engine = StreamEngine(LOCOClassifier(hidden_sizes=(8,), seed=1), rows)
    engine.run()
    state = ServiceState()
    state.engine = engine
    with (
        PortOptions(None, address, None, None).open(state, LOCAL),
        pytest.raises(SourceError, match="the service ends; nothing was changed"),
    ):
        send_command(address, "decide", 20.0, rule={"thresholds": [["c1", 0.2]], "costs": []})
    assert engine.model.decision is None


def test_a_client_waits_for_a_rule_as_long_as_the_service(monkeypatch):
    waited = {}

    def answer(address, name, timeout, token, **arguments):
        waited[name] = timeout
        return {"ok": True}

    monkeypatch.setattr("loco_stream.connectors._control.send_command", answer)
    for words in (["decide"], ["decide", "--clear"], ["status"], ["confirm", "7"]):
        assert CliRunner().invoke(main, ["control", "ipc:///c", *words]).exit_code == 0
    assert waited == {"rule": 35.0, "decide": 35.0, "status": 5.0, "confirm": 35.0}


def newest(folder):
    return max(folder.glob("checkpoint-*.loco"))


@pytest.mark.slow
def test_a_service_answers_and_locks_its_folder_before_its_first_row(tmp_path, processes):
    pytest.importorskip("prometheus_client")
    port = free_port()
    address = f"ipc://{tmp_path}/control"
    folder = tmp_path / "state"
    command = [
        *LOCO,
        "serve",
        "--source",
        f"zmq+reliable://127.0.0.1:{free_port()}",
        "--checkpoint",
        str(folder),
        "--control",
        address,
        "--metrics-port",
        str(port),
        "--report",
        str(tmp_path / "report.json"),
    ]
    service = start(processes, *command)
    try:
        wait_until(lambda: (tmp_path / "control").exists())
        phases = {send_command(address, "status")["phase"]}
        wait_until(
            lambda: (
                phases.add(send_command(address, "status")["phase"])
                or "waiting for the first row" in phases
            )
        )
        page = scraped(port)
        assert "loco_rows_learned_total 0.0" in page
        other = [*LOCO, "serve", "--http", str(free_port()), "--checkpoint", str(folder)]
        second = start(processes, *other)
        _, errors = second.communicate(timeout=60)
        assert f"the checkpoint folder {folder} is in use by another engine" in errors
        assert send_command(address, "checkpoint") == {"ok": True}
        assert send_command(address, "stop") == {"ok": True}
        _, errors = service.communicate(timeout=60)
        assert (service.returncode, "ended before the first row" in errors) == (0, True), errors
        assert phases <= {"starting", "compiling", "waiting for the first row"}
        assert json.loads((tmp_path / "report.json").read_text())["n_samples"] == 0
    finally:
        service.kill()
        service.wait()


def test_a_sender_connects_while_the_service_compiles():
    source = ZMQSource("tcp://127.0.0.1:*", mode="reliable")
    feed = SourceReader(source)
    with ZMQSender(
        source.address, features=["a"], classes=["x"], reliable=True, timeout=60, linger=60
    ) as sender:
        with feed.reading_ahead():
            assert sender.connect() == 0
            sender.send([1.0], "x")
            wait_until(lambda: sender.take_predictions() == [] and len(feed.ahead) == 1)
            assert sender.acked == 0
        events, position = feed.next()
        assert events[0].X.tolist() == [[1.0]]
        feed.ack(position)
        sender.flush()
    source.close()


@pytest.mark.slow
@pytest.mark.skipif(not SOAK, reason="LOCO_SOAK=1 compiles everything once more")
@pytest.mark.filterwarnings("ignore:no answer from")
def test_rows_sent_during_compilation_are_learned(tmp_path, processes, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "empty"))
    at = f"tcp://{free_address()}"
    address = f"ipc://{tmp_path}/control"
    service = start(
        processes,
        *LOCO,
        "serve",
        "--source",
        at.replace("tcp", "zmq+reliable"),
        "--checkpoint",
        str(tmp_path / "state"),
        "--control",
        address,
    )
    with ZMQSender(
        at, features=["a"], classes=["x", "y"], reliable=True, timeout=300, linger=300
    ) as sender:
        assert sender.connect() == 0
        assert send_command(address, "status", timeout=60.0)["phase"] == "compiling"
        for i in range(200):
            sender.send([float(i % 2)], "xy"[i % 2])
        assert send_command(address, "status")["phase"] == "compiling"
        assert sender.acked == 0
        sender.flush()
        assert sender.acked == 200
        wait_until(lambda: send_command(address, "status")["n_samples"] == 200)
    end(service)


def test_reading_ahead_is_bounded_and_shows_the_task(monkeypatch):
    monkeypatch.setattr(source_reader, "_MAX_VALUES_AHEAD", 10)
    commits = [[Sample({"a": 1.0}, i + 0.5, i)] for i in range(100)]
    feed = SourceReader(ListSource(commits))
    assert find_task(feed, waits=False) is None
    with feed.reading_ahead():
        wait_until(lambda: len(feed.ahead) == 10)
        assert find_task(feed, waits=False) == "regression"
    assert find_task(feed) == "regression"
    assert [feed.next()[0][0].seq for _ in range(100)] == list(range(100))

    class Broken(ListSource):
        def __iter__(self):
            raise SourceError("it is broken")

    with pytest.raises(SourceError, match="it is broken"), SourceReader(Broken([])).reading_ahead():
        pass
