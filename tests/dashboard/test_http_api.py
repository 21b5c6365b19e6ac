"""The HTTP API: responses, durability, and hostile requests."""

from __future__ import annotations

import errno
import gc
import http.client
import json
import random
import select
import socket
import threading
import time

import pytest

from loco_stream import LOCOClassifier, LOCOForecaster, LOCORegressor, StreamEngine
from loco_stream._cli._service_state import ServiceState
from loco_stream._cli._warm_up import OF_DRIFTS, STEPS, warm_up
from loco_stream.connectors import RedisSource
from loco_stream.dashboard._http_api import HttpApi
from loco_stream.dashboard._server import listen
from loco_stream.engine._inbox import InboxSource
from loco_stream.errors import ConfigError
from loco_stream.stream import Sample, Sink
from tests.helpers import servers
from tests.helpers.engine_process import at_work, end, inspect, serve
from tests.helpers.ports import free_address, free_port
from tests.helpers.serving import wait_until
from tests.helpers.standin import ListSource

JSON = {"Content-Type": "application/json"}
EMPTY = "`x` must have at least one feature, got none"


@pytest.fixture(autouse=True, scope="module")
def compiled():
    """Compile first: a request waits for the learner for ten seconds only."""
    warm_up([STEPS["classification"], OF_DRIFTS])
    LOCORegressor(hidden_sizes=(8,), seed=1).learn_one({"a": 1.0}, 1.0)


def ask(port, method, path, body=None, headers=JSON, timeout=60):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        text = body if isinstance(body, (bytes, str, type(None))) else json.dumps(body)
        connection.request(method, path, text, headers)
        answer = connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content[:1] in (
            b"{",
            b"[",
        ) else content.decode()
    finally:
        connection.close()


class Service:
    """An engine in a thread, whose rows come from the HTTP API alone."""

    def __init__(self, checkpoint=None, token=None, model=None, source=None, **options):
        self.state = ServiceState()
        self.api = HttpApi(self.state, 0, token=token)
        self.port = int(self.api.url.rpartition(":")[2].strip("/"))
        source = InboxSource(source or ListSource([[]]), self.api.inbox)
        model = model or LOCOClassifier(hidden_sizes=(8,), seed=1)
        options = {"strict": False, "forever": True, "resume": None, **options}
        self.engine = StreamEngine(model, source, checkpoint=checkpoint, **options)
        self._thread = threading.Thread(target=self.engine.run)

    def __enter__(self):
        self.state.engine = self.engine
        self._thread.start()
        return self

    def __exit__(self, *_):
        self.engine.stop()
        self._thread.join()
        self.api.close()


def test_rows_are_learned_and_predicted():
    rows = [
        {"x": {"speed": float(i % 2), "place": "hall"}, "y": ("ok", "worn")[i % 2]}
        for i in range(100)
    ]
    with Service() as service:
        assert ask(service.port, "GET", "/health", headers={}) == (200, {"status": "ok"})
        assert ask(service.port, "POST", "/predict", {"x": {"speed": 1.0}}) == (
            200,
            {"prediction": None, "proba": {}},
        )
        assert ask(service.port, "POST", "/learn", {"x": {"speed": 0.0}, "y": "ok"}) == (
            200,
            learned(1),
        )
        assert ask(service.port, "POST", "/learn", {"rows": rows}) == (200, learned(100))
        status, answer = ask(
            service.port, "POST", "/predict", {"x": {"speed": 1.0, "place": "hall"}}
        )
        assert (status, answer["prediction"], set(answer["proba"])) == (200, "worn", {"ok", "worn"})
        both = ask(service.port, "POST", "/predict", {"rows": [{"speed": 0.0}, {"speed": 1.0}]})[1][
            "predictions"
        ]
        assert [one["prediction"] for one in both] == ["ok", "worn"]
        wait_until(lambda: ask(service.port, "GET", "/ready")[1].get("n_samples") == 101)


class Times(Sink):
    """A sink that keeps the event times of rows."""

    def __init__(self):
        self.times = []

    def write(self, prediction):
        self.times.append(prediction.t)

    def close(self, report):
        pass


def test_a_row_may_have_its_event_time():
    seen = Times()
    with Service(sinks=[seen]) as service:
        one = {"x": {"speed": 0.0}, "y": "ok"}
        many = {"rows": [{**one, "t": 7}, {**one, "t": "1970-01-02"}]}
        for body in ({**one, "t": 3.5}, many, one):
            assert ask(service.port, "POST", "/learn", body)[0] == 200
        assert seen.times[:3] == [3.5, 7.0, 86400.0]
        assert abs(seen.times[3] - time.time()) < 60
        for t, shown in (("noon", "'noon'"), ("nan", "'nan'"), (1e31, "1e+31")):
            status, answer = ask(service.port, "POST", "/learn", {**one, "t": t})
            wanted = "`t` must be seconds since 1970 or an ISO 8601 date"
            assert (status, answer["error"]) == (422, f"{wanted}, got {shown}")


def test_a_service_forecasts_a_series_without_features():
    model = LOCOForecaster(heads=3, hidden_sizes=8, seed=1)
    model.learn_forecast_array([0.0, 1.0, 0.0])  # compiled beforehand
    values = [float(i % 4) for i in range(40)]
    twin = LOCOForecaster(heads=3, hidden_sizes=8, seed=1)
    nothing = {"forecast": [None] * 3, "low": [None] * 3, "high": [None] * 3}
    with Service(model=LOCOForecaster(heads=3, hidden_sizes=8, seed=1)) as service:
        assert ask(service.port, "GET", "/forecast") == (200, {"history": [], **nothing})
        assert ask(service.port, "GET", "/forecast?horizon=0")[0] == 422
        assert ask(service.port, "POST", "/predict", {"x": {}}) == (200, {"prediction": None})
        rows = [{"x": {}, "y": value} for value in values]
        assert ask(service.port, "POST", "/learn", {"rows": rows}) == (200, learned(40))
        for value in values:
            twin.learn_one(value, t=0.0)  # rows of one request have one time, that of arrival
        status, fan = ask(service.port, "GET", "/forecast")
        assert (status, fan["history"]) == (200, values)
        assert fan["forecast"] == twin.forecast(3)
        assert list(zip(fan["low"], fan["high"], strict=True)) == twin.forecast_interval(3)
        status, fan = ask(service.port, "GET", "/forecast?horizon=5")
        assert (status, fan["forecast"]) == (200, twin.forecast(5))
        for horizon, shown in (("soon", "'soon'"), ("0", "0"), ("1001", "1001")):
            status, answer = ask(service.port, "GET", f"/forecast?horizon={horizon}")
            assert status == 422
            assert f"`horizon` must be an integer from 1 to 1000, got {shown}" in answer["error"]
        predicted = ask(service.port, "POST", "/predict", {"x": {}})
        assert predicted == (200, {"prediction": twin.forecast(1)[0]})
        wait_until(lambda: service.engine.status["n_asked"] == 2)


def test_a_classifier_has_no_forecast():
    with Service() as service:
        answer = ask(service.port, "GET", "/forecast")
        assert answer == (422, {"error": "a LOCOClassifier has no forecast"})


def test_unknown_and_missing_features_of_requests_are_counted():
    with Service() as service:
        ask(service.port, "POST", "/learn", {"x": {"speed": 0.0, "load": 1.0}, "y": "ok"})
        ask(service.port, "POST", "/predict", {"x": {"speed": 1.0, "laod": 1.0}})
        ask(
            service.port,
            "POST",
            "/predict",
            {"rows": [{"speed": 1.0, "load": 0.0}, {"speed": 1.0}]},
        )
    report = service.engine.report
    assert (report["n_asked"], report["unknown_features"], report["missing_features"]) == (
        3,
        {"laod": 1},
        {"load": 2},
    )
    assert "rows to predict had unknown features: 'laod' (1 row)" in report["unused"]


def test_nagles_algorithm_is_off():
    with socket.socket() as plain, listen("127.0.0.1", 0, "test") as listener:
        assert plain.proto == 0  # asyncio leaves the algorithm on for this one
        assert listener.proto == socket.IPPROTO_TCP


def test_before_the_first_row_the_phase_is_reported():
    state = ServiceState()
    state.phase = "waiting for the first row"
    api = HttpApi(state, 0)
    port = int(api.url.rpartition(":")[2].strip("/"))
    try:
        assert ask(port, "GET", "/health")[0] == 200
        assert ask(port, "GET", "/ready") == (503, {"error": "waiting for the first row"})
        assert ask(port, "POST", "/predict", {"x": {"a": 1}})[0] == 503
    finally:
        api.close()


@servers.needs("redis-server", "redis-server")
def test_a_service_whose_broker_is_away_is_alive_and_not_ready(tmp_path):
    broker = servers.Redis(tmp_path)
    try:
        source = RedisSource("127.0.0.1", "rows", port=broker.port)
        with Service(source=source) as service:
            wait_until(lambda: ask(service.port, "GET", "/ready")[0] == 200)
            broker.kill()
            wait_until(lambda: ask(service.port, "GET", "/ready")[0] == 503)
            reason = ask(service.port, "GET", "/ready")[1]["error"]
            assert reason.startswith(f"redis://127.0.0.1:{broker.port}/rows: no rows come: ")
            assert ask(service.port, "GET", "/health")[0] == 200
            broker.start()
            wait_until(lambda: ask(service.port, "GET", "/ready")[0] == 200)
    finally:
        broker.stop()


def test_the_openapi_document_describes_each_path():
    with Service() as service:
        document = ask(service.port, "GET", "/openapi.json")[1]
    assert document["openapi"].startswith("3.1")
    assert set(document["paths"]) == {
        "/predict",
        "/learn",
        "/label",
        "/decision",
        "/forecast",
        "/write",
        "/api/v2/write",
        "/health",
        "/ready",
    }
    text = json.dumps(document)
    names = {name.split('"')[0] for name in text.split("#/components/schemas/")[1:]}
    assert names == set(document["components"]["schemas"])


@pytest.mark.parametrize(
    ("body", "headers", "status", "sentence"),
    [
        ({"x": {"a": 1}}, {"Content-Type": "text/plain"}, 415, "Content-Type: application/json"),
        (
            {"x": {"a": 1}},
            {**JSON, "Origin": "http://evil.example"},
            403,
            "pages of a browser may not use this API",
        ),
        ({"x": {"a": 1}}, {**JSON, "Host": "evil.example"}, 400, "Invalid host"),
        (b"{", JSON, 400, "the body must be JSON: it ends too early"),
        (b'{"z":', JSON, 400, "the body must be JSON: it ends too early"),
        ([1], JSON, 400, "the body must be a map, got a list"),
        ({"rows": 3}, JSON, 400, "`rows` must be a list or null, got 3"),
        (b'{"x":{"b":1,"a":1e400}}', JSON, 400, "`x['a']` holds a number out of range"),
        (b'{"x":{"b":1,"a":1e400},', JSON, 400, "`x[...]` holds a number out of range"),
        (b'{"rows":[{"a":1e400}]}', JSON, 400, "`rows[0]['a']` holds a number out of range"),
        (b'{"x":{"a":"\\ud800"}}', JSON, 400, "or in the middle of a pair of surrogates"),
        (b"[" * 100_000, JSON, 400, "the body must not be nested so deeply"),
        (b"\xff\xfe", JSON, 400, ""),
        ({"x": {"b": 1, "a": [1]}}, JSON, 400, "`x['a']` must be"),
        ({"rows": [{"a": 1}, {"a": {}}]}, JSON, 400, "`rows[1]['a']` must be a text, a number,"),
        ({"rows": [{}, 7]}, JSON, 400, "`rows[1]` must be a map, got 7"),
        ({"x": {}, "in_stream": 3}, JSON, 400, "`in_stream` must be true or false or null, got 3"),
        (b'{"x": {"a": [1], "a": 1}}', JSON, 400, "`x[...]` must be"),
        (b'{"x": {"a": [1]}, "x": 3}', JSON, 400, "`x[...]` must be"),
        (
            {"z": 1},
            JSON,
            400,
            "the body must not have the field `z`; it may have x, rows, in_stream",
        ),
        ({}, JSON, 400, "one row as x, or several as rows"),
        ({"x": {"a": 1e300}}, JSON, 422, "feature 'a' must be a number from -1e+30 to"),
        ({"rows": [{}] * 257}, JSON, 413, "at most 256 entries"),
        (b" " * (1 << 20) + b"{}", JSON, 413, "at most 1048576 bytes"),
    ],
)
def test_invalid_requests_are_refused_in_a_sentence(body, headers, status, sentence):
    with Service() as service:
        answer = ask(service.port, "POST", "/predict", body, headers)
        assert answer[0] == status
        assert sentence in str(answer[1])
        assert ask(service.port, "POST", "/learn", {"x": {"a": 1}})[0] == 422
        assert ask(service.port, "POST", "/learn", {"x": {"a": 1}, "y": 1e300})[0] == 422
        assert ask(service.port, "POST", "/learn", {"x": {"a": 1}, "y": ""})[0] == 422
        assert ask(service.port, "POST", "/learn", {"x": {}, "y": 1}) == (422, {"error": EMPTY})
        assert ask(service.port, "POST", "/predict", {"x": {}}) == (422, {"error": EMPTY})
        none = {"error": "`rows` must have 1 to 256 entries, got 0"}
        assert ask(service.port, "POST", "/learn", {"rows": []}) == (422, none)
        wrong_method = ask(service.port, "GET", "/predict")
        assert wrong_method[0] == 405
        paths = "there are POST /predict, POST /learn, POST /label, GET and POST /decision"
        assert paths in wrong_method[1]["error"]
        assert ask(service.port, "GET", "/../../etc/passwd")[0] == 404
        assert service.engine.status["n_rejected"] == 0


HEAD = b"POST /learn HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"


def test_a_body_of_a_terabyte_is_refused_before_it_comes():
    with Service() as service, socket.create_connection(("127.0.0.1", service.port), 3) as peer:
        peer.sendall(HEAD + b"Content-Length: 1000000000000\r\n\r\n")
        assert peer.recv(100).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_some_megabytes_is_read_to_its_end_before_it_is_refused():
    with Service() as service, socket.create_connection(("127.0.0.1", service.port), 3) as peer:
        peer.sendall(HEAD + b"Content-Length: 3000000\r\n\r\n" + b" " * 2_000_000)
        assert select.select([peer], [], [], 0.5)[0] == []
        peer.sendall(b" " * 1_000_000)
        assert peer.recv(100).startswith(b"HTTP/1.1 413 ")


def test_an_address_beyond_this_machine_needs_a_token():
    with pytest.raises(ConfigError, match="`token` must be given"):
        HttpApi(ServiceState(), 0, "0.0.0.0")
    with Service(token="a long enough token") as service:
        assert ask(service.port, "POST", "/learn", {"x": {"a": 1}, "y": 1})[0] == 401
        assert (
            ask(
                service.port,
                "POST",
                "/predict",
                {"x": {"a": 1}},
                {**JSON, "Authorization": "Bearer no"},
            )[0]
            == 401
        )
        right = {**JSON, "Authorization": "Bearer a long enough token"}
        assert ask(service.port, "POST", "/learn", {"x": {"a": 1}, "y": 1}, right) == (
            200,
            learned(1),
        )
        assert ask(service.port, "GET", "/health", headers={})[0] == 200


def hostile(port, rng):
    """Send one hostile request; the connection may stay open."""
    peer = socket.create_connection(("127.0.0.1", port), 60)
    kind = rng.randrange(8)
    head = b"POST /learn HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    good = b'{"x":{"a":1},"y":"b"}'
    texts = [
        head + b"Content-Length: 1000000000000\r\n\r\n" + b"x" * 100,
        head + b"Transfer-Encoding: chunked\r\n\r\n" + b"ffffffff\r\n" + b"x" * 5000,
        head + b"Content-Length: -5\r\n\r\n" + good,
        head,  # and never the rest
        bytes(rng.randrange(256) for _ in range(300)),
        b"GET /" + b"../" * rng.randrange(5000) + b"etc/passwd HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
        head + b"X: " + b"y" * 70_000 + b"\r\n\r\n",
        head + b"Content-Length: 12\r\nContent-Length: 30\r\n\r\n" + good,
    ]
    text = texts[kind]
    try:
        cut = rng.randrange(len(text) + 1)
        peer.sendall(text[:cut])
        peer.sendall(text[cut:])
    except OSError:
        pass  # the server closed the connection
    return peer


@pytest.mark.slow
def test_two_thousand_hostile_requests_do_not_stop_the_service():
    rng = random.Random(3)
    open_ones = []
    with Service() as service:
        for i in range(2000):
            open_ones.append(hostile(service.port, rng))
            if len(open_ones) > 30:  # some connections stay free
                open_ones.pop(0).close()
            if i % 200 == 0:
                wait_until(lambda: ask(service.port, "GET", "/health")[0] == 200)
        # refused until the server notices that the others have gone
        row = {"x": {"a": 1.0}, "y": "b"}
        wait_until(lambda: ask(service.port, "POST", "/learn", row) == (200, learned(1)))
        crowd = [socket.create_connection(("127.0.0.1", service.port), 60) for _ in range(200)]
        # silent connections are closed after 5 s
        wait_until(lambda: ask(service.port, "GET", "/health")[0] == 200)
        for one in [*crowd, *open_ones]:
            one.close()
        assert ask(service.port, "POST", "/predict", {"x": {"a": 1.0}})[1]["prediction"] == "b"
        assert service.engine.status["n_samples"] == 1


@pytest.mark.filterwarnings("ignore:none of the features")
def test_unknown_features_are_named_in_the_response():
    with Service() as service:
        ask(service.port, "POST", "/learn", {"x": {"speed": 0.0, "load": 1.0}, "y": "ok"})
        wait_until(lambda: service.engine.status["n_samples"] == 1)
        assert (
            "unknown_features"
            not in ask(service.port, "POST", "/predict", {"x": {"speed": 1.0}})[1]
        )
        answer = ask(service.port, "POST", "/predict", {"x": {"sped": 1.0, "load": 0.5}})[1]
        assert answer["unknown_features"] == ["sped"]
        both = ask(service.port, "POST", "/predict", {"rows": [{"load": 1.0}, {"velocity": 1.0}]})[
            1
        ]["predictions"]
        assert [one.get("unknown_features") for one in both] == [None, ["velocity"]]


def learned(n=0, repeated=0):
    """Return the answer to rows of which the first ones were learned before."""
    rows = [{"status": "repeated"}] * repeated + [{"status": "learned"}] * n
    return {"learned": n, "waiting": 0, "repeated": repeated, "refused": 0, "rows": rows}


def numbered(seq, n=1, source="press"):
    rows = [{"x": {"a": float(i)}, "y": "ok"} for i in range(n)]
    return {"source": source, "seq": seq, "rows": rows}


def test_a_row_with_source_and_seq_is_learned_once():
    with Service() as service:
        assert ask(service.port, "POST", "/learn", numbered(1)) == (
            200,
            learned(1, 0),
        )
        assert ask(service.port, "POST", "/learn", numbered(1)) == (
            200,
            learned(0, 1),
        )
        assert ask(service.port, "POST", "/learn", numbered(1, source="other")) == (
            200,
            learned(1, 0),
        )
        assert ask(service.port, "POST", "/learn", numbered(1, 5)) == (
            200,
            learned(4, 1),
        )
        assert ask(service.port, "POST", "/learn", numbered(200, 2)) == (
            200,
            learned(2, 0),
        )
        assert ask(service.port, "POST", "/learn", numbered(199)) == (
            200,
            learned(1, 0),
        )
        assert ask(service.port, "POST", "/learn", numbered(6)) == (200, learned(1))
        for wrong in (
            {"source": "press"},
            {"seq": 3},
            {"source": "", "seq": 3},
            {"source": "press", "seq": -1},
        ):
            assert ask(service.port, "POST", "/learn", {"x": {"a": 1}, "y": 1} | wrong)[0] == 400
        assert ask(service.port, "POST", "/learn", numbered(2**63 - 1, 2))[0] == 422
        assert ask(service.port, "POST", "/learn", {"rows": []})[0] == 422
        wait_until(lambda: service.engine.status["n_samples"] == 10)


def test_rows_sent_by_several_clients_at_once_are_learned_once():
    answers = []
    with Service() as service:
        senders = [
            threading.Thread(
                target=lambda: answers.extend(
                    ask(service.port, "POST", "/learn", numbered(i)) for i in range(30)
                )
            )
            for _ in range(4)
        ]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join()
        wait_until(lambda: service.engine.status["n_samples"] == 30)
    assert {status for status, _ in answers} == {200}
    assert sum(answer["learned"] for _, answer in answers) == 30
    assert sum(answer["repeated"] for _, answer in answers) == 90


@pytest.mark.slow
def test_numbers_survive_a_run_without_the_api(tmp_path):
    with Service(checkpoint=tmp_path) as service:
        assert ask(service.port, "POST", "/learn", numbered(7))[1] == learned(1, 0)
    source = ListSource([[], [Sample({"a": 1.0}, "ok")]], needs_log=True)
    StreamEngine(
        LOCOClassifier(hidden_sizes=(8,), seed=1), source, checkpoint=tmp_path, resume=True
    ).run()
    assert inspect(tmp_path)["sources"]["beside"] == {"press": 7}
    with Service(checkpoint=tmp_path) as service:
        assert ask(service.port, "POST", "/learn", numbered(7))[1] == learned(0, 1)
        assert ask(service.port, "POST", "/learn", numbered(8))[1] == learned(1, 0)


@pytest.mark.slow
def test_learned_rows_survive_a_kill(tmp_path, processes):
    port = free_port()
    options = ("--task", "classification", "--http")
    address = free_address()
    n_learned = 0
    for _ in range(3):
        engine = at_work(serve(processes, address, tmp_path, *options, str(port)))
        for _ in range(20):
            row = {
                "source": "press",
                "seq": n_learned,
                "x": {"a": float(n_learned)},
                "y": n_learned % 2,
            }
            assert ask(port, "POST", "/learn", row) == (200, learned(1, 0))
            n_learned += 1
        if n_learned > 20:
            first = {**row, "seq": n_learned - 21}  # learned before the last kill
            assert ask(port, "POST", "/learn", first) == (200, learned(0, 1))
        engine.kill()
        engine.wait()
    engine = at_work(serve(processes, address, tmp_path, *options, str(port)))
    wait_until(lambda: ask(port, "GET", "/ready")[1].get("n_samples") == n_learned)
    end(engine)
    assert inspect(tmp_path)["n_samples"] == n_learned


def test_values_that_stand_for_a_missing_one():
    rows = [{"x": {"a": float(i % 5), "b": 1.0}, "y": float(i % 3)} for i in range(40)]
    with Service(
        model=LOCORegressor(hidden_sizes=(8,), seed=1), missing_values=[-9999, 9.96921e36]
    ) as service:
        assert ask(service.port, "POST", "/learn", {"rows": rows})[1]["learned"] == 40
        answers = [
            ask(service.port, "POST", "/predict", {"x": {"a": value, "b": 1.0}})[1]
            for value in (None, -9999, 9.96921e36)
        ]
        assert answers[0] == answers[1] == answers[2]
        given = {"rows": [{"x": {"a": -9999, "b": 1.0}, "y": 1.0}, {"x": {"a": 1.0}, "y": -9999.0}]}
        _, answer = ask(service.port, "POST", "/learn", given)
        assert [row["status"] for row in answer["rows"]] == ["learned", "waiting"]
        assert (answer["learned"], answer["waiting"]) == (1, 1)
    report = service.engine.report
    assert (report["n_fill_values"], report["n_samples"]) == (4, 41)


def test_an_error_after_the_timeout_of_a_request_is_not_logged(tmp_path, monkeypatch, caplog):
    def full(log, commit, payload):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("loco_stream.dashboard._http_routes.TIMEOUT", 0.3)
    with Service(tmp_path / "state", durability="batch") as service:
        monkeypatch.setattr("loco_stream.engine._wal.WriteAheadLog.append", full)
        status, answer = ask(service.port, "POST", "/learn", {"x": {"a": 1}, "y": 1})
        assert (status, "No space left" in answer["error"]) == (503, True)
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []
