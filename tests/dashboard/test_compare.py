"""Two running pages on one: what the server reads of another page, and for whom."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from click.testing import CliRunner

from loco_stream import LOCOForecaster
from loco_stream._cli import main
from loco_stream.dashboard import Dashboard, _compared
from loco_stream.dashboard._engine_frames import changed_settings, score_columns
from loco_stream.errors import ConfigError
from tests.helpers.browser import Watched, needs_browser

SCORES = score_columns("classification")


def page_of(title, rows, accuracy, settings="", **options):
    page = Dashboard(0, title=title, **options)
    model = {"model": "LOCOClassifier", "settings": settings}
    page._buffer.publish({"title": title, **model, "task": "classification", "scores": SCORES})
    for n in (0, rows // 2, rows):
        page._buffer.publish({"rate": 10.0}, [n, None, accuracy, accuracy, 0.5, 0.5])
    return page


def read(url, token=None):
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as answer:
        return json.load(answer)


class Other:
    """A server that answers each request alike, and keeps what it was sent."""

    def __init__(self, status, body=b"", **headers):
        self.requests = requests = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                requests.append((self.path, self.headers.get("authorization")))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                """Print nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def test_the_state_of_another_page_is_read_with_the_token():
    with page_of("second", 400, 0.8, token="secret") as second:
        first = page_of("first", 200, 0.9, token="secret", compare=[second.url])
        with first:
            with pytest.raises(urllib.error.HTTPError, match="401"):
                read(first.url + "compared")
            (run,) = read(first.url + "compared", "secret")
            assert read(first.url + "state", "secret")["n_compared"] == 1
    assert (run["url"], run["title"], run["course"][-1][0]) == (second.url, "second", 400)
    assert set(run) == {
        *("url", "title", "model", "settings", "task", "scores", "course", "rate", "ended"),
        "tasks",
    }


def test_a_browser_cannot_choose_what_is_compared():
    with Other(200, b"{}") as other:
        with page_of("first", 200, 0.9) as first:
            assert read(f"{first.url}compared?url={other.url}&with={other.url}") == []
            assert read(f"{first.url}state?compare={other.url}")["n_compared"] == 0
        assert other.requests == []


def test_a_page_is_asked_at_most_once_a_second():
    with Other(200, b'{"title": "x"}') as other:
        with page_of("first", 200, 0.9, compare=[other.url]) as first:
            assert all(read(first.url + "compared")[0]["title"] == "x" for _ in range(5))
        assert len(other.requests) <= 2


def test_a_redirect_is_not_followed():
    with Other(200, b"{}") as aim, Other(302, Location=aim.url) as other:
        with page_of("first", 200, 0.9, token="secret", compare=[other.url]) as first:
            (run,) = read(first.url + "compared", "secret")
        assert "302" in run["error"]
        assert other.requests == [("/state", "Bearer secret")]
        assert aim.requests == []


NESTED = b'{"tasks": {"drifts": ' + b"[" * 10**5 + b"]" * 10**5 + b"}}"


@pytest.mark.parametrize(
    "body",
    [
        *(b"<html>", b"[]", b'{"course": "all"}', b'{"scores": [1]}', b""),
        *(b'{"title": "\xff"}', NESTED),
    ],
    ids=lambda body: repr(body[:20]),
)
def test_what_is_no_state_is_an_error_and_does_not_hide_others(body):
    with (
        Other(200, body) as other,
        Other(200, b'{"title": "x"}') as good,
        page_of("first", 200, 0.9, compare=[other.url, good.url, "http://a..b/"]) as first,
    ):
        run, shown, unknown = read(first.url + "compared")
    assert run.keys() == unknown.keys() == {"url", "error"}
    assert shown["title"] == "x"


class Dripping:
    """A server that begins each answer and then sends one byte at a time, for ever."""

    def __init__(self, start, drop):
        self._start = start
        self._drop = drop
        self._ended = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self):
        with suppress(OSError):  # the socket is shut down in the end
            while True:
                connection, _ = self._socket.accept()
                self._threads.append(threading.Thread(target=self._answer, args=[connection]))
                self._threads[-1].start()

    def _answer(self, connection):
        with connection, suppress(OSError):
            connection.recv(10_000)
            connection.sendall(self._start)
            while not self._ended.wait(0.02):
                connection.sendall(self._drop)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_headers_or_a_body_in_drops_are_given_up_and_do_not_hide_others(monkeypatch, start):
    monkeypatch.setattr(_compared, "_ANSWER_SECONDS", 0.3)
    with (
        Dripping(start, b"[") as slow,
        Other(200, b'{"title": "x"}') as good,
        page_of("first", 200, 0.9, compare=[slow.url, good.url]) as first,
    ):
        run, shown = read(first.url + "compared")
    assert run == {"url": slow.url, "error": "no complete answer within 0.3 s"}
    assert shown["title"] == "x"


def test_a_page_that_does_not_answer_is_an_error():
    with page_of("second", 400, 0.8) as second:
        url = second.url
    with page_of("first", 200, 0.9, compare=[url]) as first:
        assert "refused" in read(first.url + "compared")[0]["error"]


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "127.0.0.1:8765",
        "ftp://host/",
        "http://",
        "http://user:password@host/",
        "http://host/other",
        "http://host/?x=1",
        "http://[::1",
        "http://host:port/",
        "http://host:99999/",
    ],
)
def test_only_an_address_of_a_page_can_be_compared(url):
    with pytest.raises(ConfigError, match="`compare` must be the address of a page"):
        Dashboard(0, compare=[url])


def test_the_command_refuses_what_is_no_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("x,y\n1,a\n2,b\n")
    words = ["run", "csv:rows.csv?target=y", "--set", "hidden_sizes=4", "--compare", "file:///x"]
    alone = CliRunner().invoke(main, words)
    assert alone.stderr == "loco-stream: `--compare` needs --dashboard\n"
    refused = CliRunner().invoke(main, [*words, "--dashboard", "--dashboard-port", "0"])
    assert refused.exit_code == 2
    assert "`compare` must be the address of a page" in refused.stderr


@needs_browser
@pytest.mark.slow
def test_both_runs_are_drawn_and_listed(browser):
    with page_of("second", 400, 0.8, "rule='frozen'") as second, Other(500) as broken:
        first = page_of("first", 200, 0.9, compare=[second.url, broken.url])
        with first:
            seen = Watched(browser, first.url)
            seen.wait("compared.length === 2 && chart && chart.series.length === 6")
            host = second.url.removeprefix("http://").rstrip("/")
            assert seen.page.evaluate("chart.series[5].label") == f"second at {host}"
            assert seen.page.evaluate("chart.scales.x.max") == 400
            seen.wait("document.querySelectorAll('#compared tr').length === 4")
            lines = seen.page.locator("#compared tr").all_inner_texts()
            assert "at row 200" in lines[0]  # where both have been
            assert lines[2].startswith(f"second at {host}, LOCOClassifier(rule='frozen')\t")
            assert lines[1].split("\t")[2:4] == ["200", "90.0 %"]
            assert lines[2].split("\t")[2:4] == ["400", "80.0 %"]
            assert "does not answer: HTTP Error 500" in lines[3]
            assert seen.own_errors() == []
            seen.context.close()


@needs_browser
@pytest.mark.slow
def test_a_run_without_a_score_over_recent_rows_has_no_line(browser):
    overall = {"name": "accuracy", "label": "accuracy", "role": "overall"}
    course = [[n, 1.7e9, 0.8] for n in (0, 200)]
    state = {"task": "classification", "scores": [overall], "course": course}
    with (
        Other(200, json.dumps(state).encode()) as other,
        page_of("first", 200, 0.9, compare=[other.url]) as first,
    ):
        seen = Watched(browser, first.url)
        seen.wait("compared.length === 1 && chart")
        seen.wait("document.querySelectorAll('#compared tr').length === 3")
        line = seen.page.locator("#compared tr").all_inner_texts()[2].split("\t")
        assert line[1:5] == ["live", "200", "\N{EN DASH}", "80.0 %"]
        assert seen.page.evaluate("chart.series.length") == 5
        assert seen.own_errors() == []
        seen.context.close()


@needs_browser
@pytest.mark.slow
def test_the_page_asks_again_when_no_answer_comes(browser):
    asked = []

    def leave_the_first_unanswered(route):
        asked.append(route)
        if len(asked) > 1:
            route.continue_()

    with (
        page_of("second", 400, 0.8) as second,
        page_of("first", 200, 0.9, compare=[second.url]) as first,
    ):
        seen = Watched(browser, "about:blank")
        seen.page.add_init_script(
            "const timeout = AbortSignal.timeout.bind(AbortSignal);"
            "AbortSignal.timeout = () => timeout(200)"
        )
        seen.page.route("**/compared", leave_the_first_unanswered)
        seen.page.goto(first.url)
        seen.wait("compared.length === 1", seconds=30)
        assert len(asked) > 1
        seen.context.close()


def test_settings_of_a_foreign_model_are_not_read():
    class Foreign:
        def get_params(self):
            raise AssertionError

    assert changed_settings(Foreign()) == ""
    assert changed_settings(LOCOForecaster(seed=3)) == "seed=3"
