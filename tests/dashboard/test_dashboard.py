"""The live page; tests of what it shows need Chromium."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest

from loco_stream import LOCOClassifier, LOCORegressor, StreamEngine, TaskMonitor
from loco_stream.dashboard import Dashboard
from loco_stream.dashboard._engine_frames import EngineFrames, score_columns
from loco_stream.dashboard._frame_buffer import FrameBuffer
from loco_stream.errors import ConfigError
from loco_stream.metrics import forgetting
from loco_stream.stream import Sample, Source
from tests.helpers.browser import AXE, PICTURES, findings, needs_browser
from tests.helpers.ports import free_address, free_port


class Stream(Source):
    """A live stream at a fixed rate, whose concept changes with `swap`."""

    name = "a tap"
    guarantee = "the rows of this test"
    is_live = True

    def __init__(self, pace=0.002):
        self.swap = self.over = False
        self.row = 0
        self.pace = pace
        self.stats = {"gaps": 0}

    @property
    def position(self):
        return {"row": self.row}

    def __iter__(self):
        while not self.over:
            time.sleep(self.pace)
            x = np.random.default_rng(self.row).normal(size=4)
            y = bool(x[0] + x[1] > 0) != self.swap
            self.row += 1
            yield Sample(
                {name: float(value) for name, value in zip("abcd", x, strict=True)},
                "no" if y else "yes",
                self.row - 1,
                time.time(),
                self.name,
            )

    def seek(self, position):
        self.row = position["row"]


class Run:
    """An engine in a thread, with its page."""

    def __init__(self, folder=None, port=0, actions=None):
        self.tap = Stream()
        self.page = Dashboard(port, actions=actions)
        monitor = TaskMonitor(holdout=20, share=0.2, min_segment=100)
        model = LOCOClassifier(hidden_sizes=(32, 16), seed=1)
        self.engine = StreamEngine(
            model, self.tap, monitor=monitor, checkpoint=folder, resume=None, watchers=[self.page]
        )
        self.thread = threading.Thread(target=self.engine.run)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.tap.over = True
        self.thread.join()
        self.page.close()


class Numbers(Stream):
    """A stream with numbers as labels."""

    def __iter__(self):
        for sample in super().__iter__():
            x = sample.x
            yield replace(sample, y=10 * x["a"] - 4 * x["b"] + 3 * x["c"] * (x["d"] > 0))


class Regression(Run):
    """An engine of a regression, with its page."""

    def __init__(self):
        self.tap = Numbers()
        self.page = Dashboard(0, note="Simulated: a number that depends on four others.")
        model = LOCORegressor(hidden_sizes=(32,), seed=1)
        self.engine = StreamEngine(model, self.tap, watchers=[self.page], task="regression")
        self.thread = threading.Thread(target=self.engine.run)
        self.thread.start()


def ask(url, path="/", method="GET", **headers):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=120)
    connection.request(method, path, headers=headers)
    return connection, connection.getresponse()


def answer(url, path="/", method="GET", **headers):
    """Return (status, headers, body)."""
    connection, response = ask(url, path, method, **headers)
    body = response.read()
    connection.close()
    return response.status, response.headers, body


def read_event(response):
    """Return (name, id, data) of the next server-sent event."""
    fields = {}
    while True:
        line = response.readline().decode().rstrip("\n")
        if not line and "data" in fields:
            return fields["event"], fields["id"], json.loads(fields["data"])
        name, _, value = line.partition(": ")
        fields[name] = value


# ---- without a browser ----


def test_a_page_that_fell_behind_the_buffer_receives_the_whole_state():
    buffer = FrameBuffer("run", frames=4)
    buffer.publish({"rate": 3.0}, [1, 0.5])
    content, number = buffer.start("")
    assert content.startswith(b"event: state\nid: run-1\n")
    for n in range(2, 5):
        buffer.publish({}, [n, 0.5])
    content, after = buffer.since(number)
    assert content.count(b"event: frame") == 3
    assert after == 4
    for n in range(5, 12):
        buffer.publish({}, [n, 0.5])
    content, after = buffer.since(number)
    assert content.count(b"event: state") == 1
    assert json.loads(content.split(b"data: ")[1])["rate"] == 3.0
    assert after == 11


def test_a_page_receives_no_frame_twice(monkeypatch):
    buffer = FrameBuffer("run")
    writer = threading.Thread(target=buffer.publish, args=({}, [1, 0.5]))
    state = buffer.state

    def meanwhile():
        writer.start()
        writer.join(0.2)
        return state()

    monkeypatch.setattr(buffer, "state", meanwhile)
    content, number = buffer.start("")
    writer.join()
    assert json.loads(content.split(b"data: ")[1])["event"] == f"run-{number}"
    assert buffer.since(number)[0].count(b"event: frame") == 1


@pytest.mark.parametrize(
    "identity", ["", "other-3", "run-99", "run-x", "run--1", "run", f"run-{'9' * 5000}"]
)
def test_only_a_page_of_this_run_continues_after_its_last_frame(identity):
    buffer = FrameBuffer("run", frames=4)
    for n in range(1, 4):
        buffer.publish({}, [n, 0.5])
    assert buffer.start("run-2") == (b"", 2)
    assert buffer.start(identity)[0].startswith(b"event: state")


def test_events_resume_after_the_last_one_seen():
    with Run() as run:
        connection, response = ask(run.page.url, "/events")
        assert response.headers["content-type"].startswith("text/event-stream")
        assert read_event(response)[0] == "state"
        seen = [read_event(response) for _ in range(3)]
        assert [name for name, _, _ in seen] == ["frame"] * 3
        connection.close()
        again, response = ask(run.page.url, "/events", **{"Last-Event-ID": seen[-1][1]})
        name, identity, _ = read_event(response)
        assert name == "frame"
        assert int(identity.rpartition("-")[2]) == int(seen[-1][1].rpartition("-")[2]) + 1
        again.close()


def test_a_frame_holds_what_the_engine_measures():
    with Run() as run:
        connection, response = ask(run.page.url, "/events")
        name = ""
        frame = {}
        while name != "frame" or frame.get("score", [0])[0] < 50:
            name, _, frame = read_event(response)
        connection.close()
        assert len(frame["score"]) == 6
        assert abs(frame["score"][1] - time.time()) < 60
        assert dict(frame["last"]["x"]).keys() == set("abcd")
        assert frame["last"]["y"] in ("yes", "no")
        assert sum(p for _, p in frame["last"]["proba"]) == pytest.approx(1.0)
        assert frame["raster"]["rows"] == 16
        assert len(frame["raster"]["t"]) == len(frame["raster"]["i"])
        assert all(0 <= i < 16 for i in frame["raster"]["i"])
        assert len(frame["spikes"]) == 2
        assert frame["gaps"] == 0
        assert 0 <= frame["lag"] < 60


def test_foreign_hosts_origins_and_unknown_buttons_are_refused():
    pressed = []
    with Dashboard(0, actions={"do it": lambda: pressed.append(1)}) as page:
        own = page.url.rstrip("/")
        assert answer(page.url, Host="evil.example")[0] == 400
        assert answer(page.url, "/actions/do%20it", "POST")[0] == 403
        assert answer(page.url, "/actions/do%20it", "POST", Origin="http://evil.example")[0] == 403
        assert answer(page.url, "/actions/other", "POST", Origin=own)[0] == 404
        assert answer(page.url, "/static/../server.py")[0] == 404
        assert pressed == []
        assert answer(page.url, "/actions/do%20it", "POST", Origin=own)[0] == 204
        assert pressed == [1]
        headers = answer(page.url)[1]
        assert headers["content-security-policy"].startswith("default-src 'self'")


def test_the_page_does_not_change_what_is_learned():
    from river import datasets

    def state(watchers):
        model = LOCOClassifier(hidden_sizes=(32,), seed=3)
        StreamEngine(model, datasets.ImageSegments(), watchers=watchers).run(max_samples=600)
        return {name: array.tobytes() for name, array in model.export_state()[1].items()}

    with Dashboard(0) as page:
        connection, response = ask(page.url, "/events")
        assert read_event(response)[0] == "state"  # from now on a page is open
        watched = state([page])
        connection.close()
    assert watched == state([])


def test_a_port_in_use_and_a_page_without_accepted_hosts_are_refused():
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{port}.*another port"):
            Dashboard(port)
    with pytest.raises(ConfigError, match="`allowed_hosts` must name a Host header"):
        Dashboard(0, host="0.0.0.0")


def test_a_missing_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(ConfigError, match=r"pip install 'loco-stream\[dashboard\]'"):
        Dashboard(0)


def test_the_vendored_chart_library_is_the_published_one():
    folder = resources.files("loco_stream.dashboard") / "static" / "uplot"
    sums = dict(reversed(line.split()) for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert set(sums) == {"uPlot.iife.min.js", "uPlot.min.css", "LICENSE"}
    for name, digest in sums.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert "MIT License" in (folder / "LICENSE").read_text()


def test_the_page_is_light():
    static = resources.files("loco_stream.dashboard") / "static"
    sizes = [
        path.stat().st_size
        for path in Path(str(static)).rglob("*")
        if path.suffix in (".js", ".css", ".html")
    ]
    assert sum(sizes) < 200_000


def test_the_accessibility_checker_is_the_published_one():
    sums = dict(reversed(line.split()) for line in (AXE / "SHA256SUMS").read_text().splitlines())
    for name, digest in sums.items():
        assert hashlib.sha256((AXE / name).read_bytes()).hexdigest() == digest


@pytest.fixture
def spawn(tmp_path):
    """Return a function that starts the command and returns the process and the page's URL."""
    started = []

    def start(*words):
        process = subprocess.Popen(
            [sys.executable, "-m", "loco_stream", *map(str, words)],
            cwd=tmp_path,
            stderr=subprocess.STDOUT,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        output = ""
        while "live page" not in output:
            line = process.stdout.readline()
            assert line, output
            output += line
        return process, re.search(r"http://\S+", output).group()

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def rows(tmp_path):
    lines = "\n".join(f"{i % 7},{(i * 3) % 5},{'ab'[i % 7 > 3]}" for i in range(200))
    (tmp_path / "rows.csv").write_text(f"u,v,kind\n{lines}\n")
    return "csv:rows.csv?target=kind"


def shown_until(url, n):
    """Return the page's state once it has seen n rows."""
    deadline = time.monotonic() + 120
    shown = {"course": []}
    while [point[0] for point in shown["course"][-1:]] != [n] and time.monotonic() < deadline:
        time.sleep(0.2)
        shown = json.loads(answer(url, "/state")[2])
    return shown


@pytest.mark.slow
def test_run_keeps_the_page_until_a_signal(spawn, rows):
    words = ["--dashboard", "--dashboard-port", 0, "--stay", "--set", "hidden_sizes=16"]
    process, url = spawn("run", rows, *words)
    shown = shown_until(url, 200)
    process.terminate()
    output, _ = process.communicate(timeout=60)
    assert shown["course"][-1][0] == 200
    assert shown["title"].startswith("csv")
    assert "200 samples" in output
    assert process.returncode == 0


@pytest.mark.slow
def test_run_serves_the_page_until_the_stream_ends(spawn, rows):
    process, url = spawn("run", f"{rows}&rate=40", "--dashboard", "--dashboard-port", 0)
    status, _, page = answer(url)
    assert status == 200
    assert b"static/page.js" in page
    connection, response = ask(url, "/events")
    assert read_event(response)[0] == "state"
    frames = [read_event(response)[2] for _ in range(5)]
    assert frames[-1]["score"][0] > frames[1]["score"][0]
    response.read()  # the server ends the stream of events with the run
    connection.close()
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "200 samples" in output


@pytest.mark.slow
def test_serve_ends_cleanly_while_a_page_is_open(spawn, tmp_path):
    from loco_stream.connectors import ZMQSender

    address = free_address()
    words = ["--checkpoint", tmp_path / "state", "--dashboard", "--dashboard-port", 0]
    process, url = spawn("serve", "--source", f"zmq+reliable://{address}", *words)
    connection, response = ask(url, "/events")
    assert read_event(response)[0] == "state"
    X = np.arange(600, dtype=np.float32).reshape(300, 2) % 7
    with ZMQSender(
        f"tcp://{address}",
        features=["u", "v"],
        classes=["a", "b"],
        reliable=True,
        timeout=120.0,
        linger=60.0,
    ) as sender:
        sender.send(X, ["ab"[int(x > 3)] for x, _ in X])
        sender.flush()
    shown = shown_until(url, 300)
    assert shown["score"][0] == 300
    assert shown["title"].startswith("zmq")
    process.terminate()
    output, _ = process.communicate(timeout=60)
    connection.close()
    assert process.returncode == 0, output
    assert "ended: 300 samples" in output


# ---- with a browser ----


INKED = """id => {
  const canvas = document.querySelector(id), ink = canvas.getContext("2d");
  const data = ink.getImageData(0, 0, canvas.width, canvas.height).data;
  let inked = 0;
  for (let i = 3; i < data.length; i += 4) inked += data[i] > 0;
  return inked;
}"""


@needs_browser
@pytest.mark.slow
def test_charts_fill_drifts_are_marked_and_the_matrix_grows(watch):
    swap = {}
    with Run(actions={"swap the labels": lambda: swap["now"]()}) as run:
        swap["now"] = lambda: setattr(run.tap, "swap", not run.tap.swap)
        seen = watch(run.page.url, viewport={"width": 1280, "height": 900})
        seen.wait("document.querySelector('#link').textContent === 'live'")
        seen.wait("course.length > 20 && course[course.length - 1][0] > 300")
        seen.wait("document.querySelectorAll('#matrix tr').length >= 2")
        assert seen.page.evaluate(INKED, "#score canvas") > 1000
        labels = seen.page.evaluate("chart.series.slice(1).map(line => line.label)")
        assert labels == [
            "recent rows",
            "whole stream",
            "repeating the last label",
            "most frequent label",
        ]
        assert len(labels) == len(score_columns("classification"))
        assert seen.page.evaluate(INKED, "#raster") > 50
        assert seen.page.locator("#spikes dt").all_inner_texts() == ["layer 1", "layer 2"]
        before = seen.page.evaluate("state.tasks.drifts.length")
        rows = seen.page.locator("#matrix tr").count()
        seen.page.keyboard.press("1")  # the first button
        seen.wait(f"state.tasks.drifts.length > {before}")
        seen.wait(f"document.querySelectorAll('#matrix tr').length > {rows}")
        seen.wait("document.querySelector('#events').textContent.includes('errors rose')")
        drift_count = "document.querySelector('#drift-count').textContent"
        seen.wait(f"{drift_count} === String(state.tasks.drifts.length)")
        seen.picture("laptop-light")
        seen.page.keyboard.press("t")
        seen.wait("document.documentElement.dataset.theme === 'dark'")
        seen.picture("laptop-dark")
        assert {urlsplit(url).netloc for url in seen.requests} == {urlsplit(run.page.url).netloc}
        assert seen.errors == []


@needs_browser
@pytest.mark.slow
def test_the_page_reconnects_to_a_restarted_engine_and_keeps_the_course(watch, tmp_path):
    port = free_port()
    with Run(tmp_path / "state", port=port) as first:
        seen = watch(first.page.url)
        seen.wait("course.length > 10")
    seen.wait("document.querySelector('#link').textContent === 'ended'")
    learned = first.engine.status["n_samples"]
    with Run(tmp_path / "state", port=port) as second:
        seen.wait("document.querySelector('#link').textContent === 'live'")
        seen.wait(f"state.score && state.score[0] > {learned}")
        assert second.engine.status["n_samples"] > learned
        assert seen.page.evaluate("course[0][0]") < 50  # the course includes the first run
    assert seen.own_errors() == []


@needs_browser
@pytest.mark.slow
def test_the_page_is_accessible(watch):
    with Run(actions={"swap the labels": lambda: None}) as run, Regression() as numbers:
        looks = [
            ("light", 1280, 900),
            ("dark", 1280, 900),
            ("light", 390, 844),
            ("light", 1920, 1080),
        ]
        for theme, width, height in looks:
            for url, name in ((run.page.url, "classes"), (numbers.page.url, "numbers")):
                seen = watch(url, color_scheme=theme, viewport={"width": width, "height": height})
                seen.wait("course.length > 20 && state.last")
                seen.wait("document.querySelector('#link').textContent === 'live'")
                seen.picture(f"{name}-{width}-{theme}")
                assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
                assert findings(seen) == []
                assert seen.errors == []


@needs_browser
@pytest.mark.slow
def test_the_chosen_span_and_scale_survive_redraws_and_reloads(watch):
    with Run() as run:
        seen = watch(run.page.url)
        seen.wait("course.length > 20 && course[course.length - 1][0] > 1200")
        seen.page.select_option("#scale", "upper")
        seen.page.select_option("#span", "1000")
        for _ in range(2):
            before = seen.page.evaluate("state.score[0]")
            seen.wait(f"state.score[0] > {before} + 100")
            assert seen.page.evaluate("[chart.scales.y.min, chart.scales.y.max]") == [0.5, 1]
            span = "chart.data[0][chart.data[0].length - 1] - chart.scales.x.min"
            assert seen.page.evaluate(span) == 1000
            seen.page.reload()
            seen.wait("course.length > 20 && chart")
            assert seen.page.locator("#span").input_value() == "1000"
        box = seen.page.locator("#score .u-over").bounding_box()
        seen.page.mouse.move(box["x"] + 100, box["y"] + 50)
        seen.page.mouse.down()
        seen.page.mouse.move(box["x"] + 200, box["y"] + 60, steps=4)
        seen.page.mouse.up()
        seen.wait("view.zoom")
        zoom = seen.page.evaluate("view.zoom")
        before = seen.page.evaluate("state.score[0]")
        seen.wait(f"state.score[0] > {before} + 100")
        assert seen.page.evaluate("[chart.scales.x.min, chart.scales.x.max]") == zoom
        seen.page.select_option("#span", "60s")  # spans of time need rows with times
        seen.wait("!view.zoom && view.span === '60s'")
        assert seen.errors == []


@needs_browser
@pytest.mark.slow
def test_the_course_is_exported_as_csv_and_png(watch):
    with Run() as run:
        seen = watch(run.page.url)
        seen.wait("course.length > 20")
        with seen.page.expect_download() as download:
            seen.page.click("#csv")
        lines = download.value.path().read_text().splitlines()
        assert lines[0] == "row,window_accuracy,accuracy,no_change_accuracy,majority_accuracy,time"
        assert len(lines) > 20
        names = "[['=1+1', 0], ['@a', 1], ['b,\"c', 1]]"
        text = seen.page.evaluate(f"courseAsCsv([[1, 2]], {names})")
        assert text == '\'=1+1,\'@a,"b,""c"\n1,2,2\n'  # no spreadsheet obeys a name
        with seen.page.expect_download() as download:
            seen.page.click("#picture")
        assert download.value.suggested_filename == "loco_stream-a-tap.png"
        assert download.value.path().read_bytes().startswith(b"\x89PNG")
        PICTURES.mkdir(parents=True, exist_ok=True)
        download.value.save_as(PICTURES / "chart.png")
        assert seen.errors == []


@needs_browser
@pytest.mark.slow
def test_returning_tasks_have_names_of_their_own_and_forgetting_adds_up(watch):
    with Run() as run:
        seen = watch(run.page.url)
        seen.wait("state.tasks")
        tasks = [{"task": name} for name in ("task 0", "task 1", "task 0", "task 0")]
        assert seen.page.evaluate("taskNames", tasks) == [
            "task 0",
            "task 1",
            "task 0, again",
            "task 0, again (3)",
        ]
        R = [[0.9, None, None], [0.95, 0.9, None], [0.5, 0.8, 0.9]]
        falls = [seen.page.evaluate("([R, j]) => forgettingOf(R, j)", [R, j]) for j in range(3)]
        assert falls == ["45.0", "10.0", ""]
        assert sum(map(float, falls[:2])) / 2 == pytest.approx(100 * forgetting(np.array(R, float)))


@needs_browser
@pytest.mark.slow
def test_the_page_has_no_names_of_the_code(watch):
    with Run() as run:
        seen = watch(run.page.url)
        seen.wait("Object.keys(state.mixture || {}).length > 2 && state.last")
        seen.wait("document.querySelectorAll('#matrix td').length > 0")
        names = seen.page.evaluate("Object.keys(state.mixture).map(memberWords)")
        assert "least squares on spikes, last 10,000 rows" in names
        said = "\n".join(
            name for name in names if name in seen.page.locator("#mixture-box").inner_text()
        )
        assert "least squares" in said
        words = seen.page.evaluate(
            "document.body.innerText + [...document.querySelectorAll('[title]')].map(e => e.title)"
        )
        for internal in ("leak", "HDDMA", "energy", "\\ on", "mixture", "stack"):
            assert internal not in words
        alarm = {"kind": "input", "detector": "energy", "features": ["load", "heat"]}
        assert seen.page.evaluate("changeWords", alarm)[0] == "inputs changed: load, heat"
        stuck = {"kind": "input", "detector": "stuck", "features": ["heat"]}
        assert seen.page.evaluate("changeWords", stuck)[0] == "heat is stuck"
        for detector in ("HDDMA", "ADWIN"):
            words = seen.page.evaluate("changeWords", {"kind": "concept", "detector": detector})
            assert words == ["errors rose", "the model is wrong more often than before"]


class Held:
    """A page that shows one state, of an engine that has not begun or no longer runs."""

    def __init__(self, state, course=()):
        self.page = Dashboard(0)
        for point in course:
            self.page._buffer.add_point(point)
        self.page._buffer.publish(state)

    def __enter__(self):
        return self.page

    def __exit__(self, *error):
        self.page.close()


CLASSES = {
    "title": "a </script><b>tap</b>",
    "model": "LOCOClassifier",
    "task": "classification",
    "scores": score_columns("classification"),
    "score": [1234, None, 0.75, 0.5, 0.3, 0.4],
    "rate": 40.0,
    "latency": {"p50": 250.0, "p99": 900.0},
    "n_unused": 0,
    "n_masked": 0,
}
AT_START = """document.addEventListener("DOMContentLoaded", () => {
  window.atStart = document.querySelector("#samples").textContent;
});"""
COURSE = [[n, None, 0.7, 0.5, 0.3, 0.4] for n in (0, 600, 1234)]


@needs_browser
@pytest.mark.slow
def test_the_first_picture_has_the_values(browser):
    with Held(CLASSES, COURSE) as page:
        context = browser.new_context()
        context.add_init_script(AT_START)
        shown = context.new_page()
        shown.route("**/events*", lambda route: route.abort())  # without any live update
        shown.goto(page.url)
        assert shown.locator("#title").inner_text() == CLASSES["title"]  # as text, not as markup
        assert shown.evaluate("atStart") == "1,234"  # before anything is painted
        assert shown.locator("#samples").inner_text() == "1,234"
        assert shown.locator("#window").inner_text() == "75.0 %"
        assert (
            shown.locator("#score .u-legend").inner_text().startswith("row1,234recent rows70.0 %")
        )
        assert shown.locator("#raster-box").is_hidden()
        context.close()


def test_the_state_in_the_page_cannot_end_its_element():
    with Held({"title": "</script><script>alert(1)</script>"}) as page:
        content = answer(page.url)[2]
    assert b"</script><script>" not in content
    assert b"\\u003c/script>" in content


def numbers(n):
    draws = np.random.default_rng(0).normal(size=(n, 2)).tolist()
    return [Sample({"a": a, "b": b}, 10 + a - b, i) for i, (a, b) in enumerate(draws)]


def test_the_state_has_the_latest_predictions_of_numbers():
    with Dashboard(0) as page:
        for n in (20, 40, 60):
            engine = StreamEngine(LOCORegressor(seed=1), numbers(n), task="regression")
            engine.run()
            page._due = 0.0  # the second after the last frame has passed
            page(engine)
            page._due = 0.0
            page(engine)  # no row since
        shown = json.loads(answer(page.url, "/state")[2])["predictions"]
    assert [line[0] for line in shown] == [20, 40, 60]
    assert all(len(line) == 5 for line in shown)


@needs_browser
@pytest.mark.slow
def test_a_first_row_without_prediction_leaves_the_chart_its_scale(watch):
    first = StreamEngine(LOCORegressor(seed=1), numbers(1), task="regression")
    first.run()
    row = EngineFrames([]).frame(first)["last"]
    assert row["y_pred"] == "none yet"
    row = json.loads(json.dumps({**row, "interval": [None, None], "t": None}))
    state = {**CLASSES, "task": "regression", "scores": score_columns("regression")}
    with Held({**state, "last": row, "score": [1, None, 3.0, 3.0, 4.0]}) as page:
        seen = watch(page.url)
        seen.wait("stream.readyState === EventSource.OPEN")
        later = {**row, "y_pred": "9.5", "interval": [8.0, 11.0]}
        for n in (2, 3):
            page._buffer.publish({"last": later}, [n, None, 3.0, 3.0, 4.0])
        page._buffer.publish({"last": row}, [4, None, 3.0, 3.0, 4.0])
        seen.wait("predictions.length === 3")
        seen.wait("predictionChart && Number.isFinite(predictionChart.scales.y.min)")
        assert "\u2013" in seen.page.locator("#last").inner_text()  # no error without prediction
        assert seen.own_errors() == []


@needs_browser
@pytest.mark.slow
def test_parts_explain_their_marks(watch):
    with Run() as run:
        seen = watch(run.page.url)
        seen.wait("document.querySelectorAll('#matrix td').length > 0 && raster.length > 3")
        assert "one change to the next" in seen.page.locator("#matrix-note").inner_text()
        assert "alternating colours" in seen.page.locator("#raster-note").inner_text()
        assert seen.page.locator("#spikes-rate").is_visible()
        assert "since the start" in seen.page.locator("#classes-note").inner_text()
        said = [
            seen.page.evaluate(
                "([a, b]) => { state.mixture = { 'leak 0': a, 'leak 0.1': b }; showExperts();"
                " return document.querySelector('#mixture-note').textContent; }",
                weights,
            )
            for weights in ([0.4, 0.6], [1.4, -0.4])
        ]
        assert ["Hatched" in text for text in said] == [False, True]


def test_a_page_opened_after_the_end_has_the_last_values():
    from river import datasets, naive_bayes

    with Dashboard(0) as page:
        StreamEngine(naive_bayes.GaussianNB(), datasets.Phishing(), watchers=[page]).run()
        shown = json.loads(answer(page.url, "/state")[2])
    assert shown["score"][0] == 1250
    assert shown["latency"]["p50"] > 0
    assert shown["event"].startswith(shown["run"])


@needs_browser
@pytest.mark.slow
def test_empty_parts_say_what_they_wait_for(watch):
    tasks = {"drifts": [], "tasks": [{"task": "task 0", "start": 0}], "accuracy_matrix": [[None]]}
    state = {name: CLASSES[name] for name in ("title", "model", "task", "scores")}
    with Held({}) as page:
        seen = watch(page.url)
        assert "Waiting for the first row" in seen.page.locator("#empty").inner_text()
        assert seen.page.locator("section:visible").count() == 1
    classes = {"per_class": {}, "confusion": {"labels": [], "matrix": []}}
    empty = {**state, "tasks": {**tasks, "forgetting": None}, "classes": classes, "n_unused": 0}
    with Held(empty) as page:
        seen = watch(page.url)
        assert "Waiting for the first labelled row" in seen.page.locator("#score-box").inner_text()
        assert "None so far" in seen.page.locator("#events-box").inner_text()
        assert "No label so far" in seen.page.locator("#classes-box").inner_text()
        assert "kept for testing" in seen.page.locator("#matrix-box").inner_text()
        assert seen.page.locator("#measures").is_hidden()
        assert seen.page.locator("#window").inner_text() == "\u2013"
        assert seen.page.locator("#classes-note").is_hidden()
        assert seen.own_errors() == []
    silent = {"t": [], "i": [], "rows": 64, "size": 128, "spikes": 0, "window": 20.0}
    with Held({**empty, "raster": silent, "spikes": [0.0]}) as page:
        box = watch(page.url).page.locator("#raster-box")
        assert box.inner_text().split("\n")[-1] == "Spikes appear with the first row."
    with Held({**empty, "tasks": {**tasks, "accuracy_matrix": []}}) as page:
        assert watch(page.url).page.locator("#matrix-box").is_hidden()  # it never fills


@needs_browser
@pytest.mark.slow
def test_each_panel_has_a_title_a_help_mark_and_each_chart_a_table(watch):
    with Run() as run, Regression() as numbers:
        for url, n_charts in ((run.page.url, 2), (numbers.page.url, 3)):
            seen = watch(url)
            seen.wait("course.length > 5 && state.last && chart")
            for section in seen.page.locator("section[data-panel]:visible").all():
                assert section.locator("h2").text_content()
                mark = section.locator(".help summary")
                assert mark.get_attribute("aria-label").startswith("Help: ")
                box = mark.bounding_box()
                assert min(box["width"], box["height"]) >= 24  # WCAG 2.2, target size
                mark.click()
                said = section.locator(".help p").inner_text()
                assert said.endswith("More")
                assert len(said) < 150
            assert seen.page.locator(".help[open]").count() == 1  # the others closed
            seen.page.keyboard.press("Escape")
            assert seen.page.locator(".help[open]").count() == 0
            charts = seen.page.locator("section:visible [role=img]:visible")
            assert charts.count() == n_charts  # scores, spikes, and for numbers predictions
            for chart in charts.all():
                box = chart.locator("xpath=..")
                box.locator("details.values summary").first.click()
                seen.wait(
                    f"document.querySelectorAll('#{box.get_attribute('id')} .values tr').length > 3"
                )
            assert seen.own_errors() == []


@needs_browser
@pytest.mark.slow
def test_the_guide_of_the_page_explains_each_panel(watch):
    with Held(CLASSES) as page:
        seen = watch(page.url + "guide#forgetting")
        panels = seen.page.evaluate("PANELS.map(panel => panel.id)")
        assert seen.page.locator("section h2").count() == len(panels)
        assert findings(seen) == []
        index = watch(page.url)
        used = index.page.evaluate("PANEL_BOXES.map(box => box.dataset.panel)")
        assert set(panels) - set(used) == {"worst", "drifted", "device"}  # of a fleet's page
        assert seen.own_errors() == []


@needs_browser
@pytest.mark.slow
def test_a_page_in_print_is_light_and_whole(watch):
    with Run() as run:
        seen = watch(run.page.url, color_scheme="dark")
        seen.wait("course.length > 5 && chart")
        themes = seen.page.evaluate(
            "() => { const seen = []; for (const name of ['beforeprint', 'afterprint']) {"
            " dispatchEvent(new Event(name)); seen.push(document.documentElement.dataset.theme); }"
            " return seen; }"
        )
        assert themes == ["light", "dark"]
        seen.page.emulate_media(media="print")
        assert seen.page.locator("#pause").is_hidden()
        assert seen.page.locator("#score").is_visible()
        assert (
            seen.page.evaluate("getComputedStyle(document.querySelector('.scroll')).maxHeight")
            == "none"
        )


@needs_browser
@pytest.mark.slow
def test_on_a_phone_mistakes_come_before_the_matrix(watch):
    labels = [f"label {i}" for i in range(12)]
    matrix = [[(i * j) % 7 + 90 * (i == j) for j in range(12)] for i in range(12)]
    scores = {name: {"support": 99, "precision": 0.9, "recall": 0.9, "f1": 0.9} for name in labels}
    classes = {"per_class": scores, "confusion": {"labels": labels, "matrix": matrix}}
    with Held({**CLASSES, "classes": classes}, COURSE) as page:
        phone = watch(page.url, viewport={"width": 390, "height": 844})
        assert phone.page.locator("#mistakes tr").count() == 7  # the head and six pairs
        assert phone.page.locator("#mistakes tr").nth(1).locator("td").nth(1).inner_text() == "6"
        assert phone.page.locator("#confusion").is_hidden()
        phone.page.locator("#confusion-all summary").click()
        assert phone.page.locator("#confusion").is_visible()
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
        desk = watch(page.url, viewport={"width": 1366, "height": 768})
        assert desk.page.locator("#confusion").is_visible()


@needs_browser
@pytest.mark.slow
def test_the_page_shows_an_ended_and_a_missing_engine(watch):
    from river import datasets, naive_bayes

    with Dashboard(0) as page:
        engine = StreamEngine(
            naive_bayes.GaussianNB(), datasets.Phishing().take(50), watchers=[page], forever=True
        )
        thread = threading.Thread(target=engine.run)
        thread.start()
        seen = watch(page.url)
        seen.wait("document.querySelector('#link').textContent === 'ended'")
        green = seen.page.evaluate(
            "getComputedStyle(document.documentElement).getPropertyValue('--likely')"
        )
        shown = seen.page.evaluate("getComputedStyle(document.querySelector('#link')).color")
        assert shown != f"rgb{tuple(bytes.fromhex(green.strip()[1:]))}"
        engine.stop()
        thread.join()
    seen.wait("stream.readyState !== EventSource.OPEN")
    assert seen.page.locator("#link").inner_text() == "ended"
    assert seen.page.locator("#stale").is_hidden()


@needs_browser
@pytest.mark.slow
def test_a_lost_engine_is_reported_and_the_values_stay(watch):
    with Held(CLASSES, COURSE) as page:
        seen = watch(page.url)
        seen.wait("document.body.dataset.link === 'live'")
        page._pages.closed = True  # as if the process was killed: nothing says that it ended
        page._server.close()
        seen.wait("document.body.dataset.link === 'lost'")
        assert seen.page.locator("#link").inner_text() == "no connection"
        assert seen.page.locator("#stale").inner_text().startswith("No connection since ")
        assert seen.page.locator("#samples").inner_text() == "1,234"
        filtered = seen.page.evaluate("getComputedStyle(document.querySelector('main')).filter")
        assert filtered == "grayscale(1)"


# Every text whose contrast with its background is below 4.5 (WCAG 2, level AA).
PALE = """() => {
  const parse = (text) => {
    const numbers = text.match(/[\\d.]+/g).map(Number);
    return numbers.length < 4 ? [...numbers, 1] : numbers;
  };
  const behind = (element) => {
    if (!element) return [255, 255, 255];
    const [r, g, b, a] = parse(getComputedStyle(element).backgroundColor);
    if (a === 1) return [r, g, b];
    return behind(element.parentElement).map((c, i) => a * [r, g, b][i] + (1 - a) * c);
  };
  const light = (colour) => colour.slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const pale = [];
  for (const element of document.querySelectorAll("body *")) {
    const nodes = [...element.childNodes].filter((n) => n.nodeType === 3);
    const text = nodes.map((n) => n.data.trim()).join("");
    if (!text || !element.getClientRects().length) continue;
    const own = light(parse(getComputedStyle(element).color));
    const both = [own, light(behind(element))].sort((a, b) => b - a);
    const contrast = (both[0] + 0.05) / (both[1] + 0.05);
    if (contrast < 4.5) pale.push(`${text.slice(0, 20)} ${contrast.toFixed(2)}`);
  }
  return pale;
}"""


@needs_browser
@pytest.mark.slow
def test_every_text_has_enough_contrast_in_both_themes(watch):
    cells = [index / 20 for index in range(21)]  # all shades of the heat map
    with Run() as run:
        for theme in ("light", "dark"):
            seen = watch(run.page.url, color_scheme=theme)
            seen.wait("course.length > 5 && document.querySelectorAll('#matrix tr').length >= 2")
            seen.page.evaluate(
                f"drawMatrix(document.querySelector('#matrix'), [{cells}], [{{task: 'a task'}}])"
            )
            assert seen.page.evaluate(PALE) == []


@needs_browser
@pytest.mark.slow
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_works_on_a_phone_and_with_a_keyboard(watch, theme):
    with Run(actions={"swap the labels": lambda: None}) as run:
        phone = {
            "viewport": {"width": 390, "height": 844},
            "color_scheme": theme,
            "device_scale_factor": 2,
        }
        seen = watch(run.page.url, **phone)
        seen.wait("course.length > 5 && document.querySelector('#actions').children.length === 1")
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert seen.page.evaluate("document.documentElement.dataset.theme") == theme
        reached = []
        for _ in range(5):
            seen.page.keyboard.press("Tab")
            reached.append(seen.page.evaluate("document.activeElement.textContent.trim()"))
        assert reached[:4] == ["Skip to the charts", "swap the labels", "Pause", "Light / dark"]
        seen.page.keyboard.press("p")
        frozen = seen.page.locator("#samples").inner_text()
        time.sleep(0.5)
        assert seen.page.locator("#samples").inner_text() == frozen
        seen.picture(f"phone-{theme}")
        assert seen.errors == []


@needs_browser
@pytest.mark.slow
def test_the_machine_demo_shows_drift_and_forgetting(watch, spawn):
    process, url = spawn("demo", "machine", "--port", 0, "--seconds", 15)
    seen = watch(url, viewport={"width": 1280, "height": 900})
    seen.wait("state.score && state.score[0] > 14000")
    drifts = seen.page.evaluate("state.tasks.drifts.map(drift => drift.at)")
    assert any(5000 <= at < 5500 for at in drifts)
    assert seen.page.locator("#matrix tr").count() >= 4  # head and three tasks
    assert seen.page.locator("#actions button").all_inner_texts() == ["overhaul", "old regime"]
    assert seen.page.locator(".u-value").all_inner_texts()[1].endswith(" %")  # the newest values
    seen.picture("machine")
    assert seen.own_errors() == []
    output, _ = process.communicate(timeout=60)  # it ends by itself
    assert process.returncode == 0, output
    assert "15,000 rows" in output


@needs_browser
@pytest.mark.slow
def test_the_recurring_demo_draws_the_rivals(watch, spawn):
    _, url = spawn("demo", "recurring", "--port", 0, "--seconds", 20)
    seen = watch(url, viewport={"width": 1920, "height": 1080})
    seen.wait("chart && course.length > 20 && state.score[0] > 300")
    assert seen.page.evaluate("state.rivals.length") == 3
    assert seen.page.evaluate("state.score.length") == 9
    assert all(0.2 < score <= 1 for score in seen.page.evaluate("state.score.slice(6)"))
    assert "adaptive random forest, 10 trees" in seen.page.locator(".u-legend").inner_text()
    assert "A-B-A-B" in seen.page.locator("#note").inner_text()
    seen.picture("recurring")
    assert seen.own_errors() == []
