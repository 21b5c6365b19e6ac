"""The live page; tests of what it shows need Chromium."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import shutil
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
from loco_stream.dashboard._engine_frames import score_columns
from loco_stream.dashboard._frame_buffer import FrameBuffer
from loco_stream.errors import ConfigError
from loco_stream.metrics import forgetting
from loco_stream.stream import Sample, Source
from tests.helpers.ports import free_address, free_port

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"),
    reason="Chromium is not installed",
)
AXE = Path(__file__).parents[1] / "data" / "axe"
PICTURES = Path(os.environ.get("LOCO_PICTURES", "out/pages"))


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


@pytest.mark.parametrize("identity", ["", "other-3", "run-99", "run-x", "run--1", "run"])
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


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    assert CHROMIUM is not None, "CI must have a Chromium"
    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
    ]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


class Watched:
    """A page whose requests and errors are recorded."""

    def __init__(self, browser, url, **options):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.requests = []
        self.errors = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on(
            "console",
            lambda message: message.type == "error" and self.errors.append(message.text),
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)

    def wait(self, expression, seconds=120):
        """Wait until an expression is true; the page's policy forbids playwright's own waiting."""
        deadline = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, (
                f"{expression} did not become true; errors: {self.errors}"
            )
            self.page.wait_for_timeout(100)

    def own_errors(self):
        """Return errors of the page itself, without those about a server that has ended."""
        return [text for text in self.errors if "net::ERR_" not in text]

    def picture(self, name):
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


@pytest.fixture
def watch(browser):
    opened = []

    def open_(url, **options):
        opened.append(Watched(browser, url, **options))
        return opened[-1]

    yield open_
    for watched in opened:
        watched.context.close()


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
        assert labels == [score["label"] for score in score_columns("classification")]
        assert seen.page.evaluate(INKED, "#raster") > 50
        assert seen.page.locator("#spikes dt").all_inner_texts() == ["layer 1", "layer 2"]
        before = seen.page.evaluate("state.tasks.drifts.length")
        rows = seen.page.locator("#matrix tr").count()
        seen.page.keyboard.press("1")  # the first button
        seen.wait(f"state.tasks.drifts.length > {before}")
        seen.wait(f"document.querySelectorAll('#matrix tr').length > {rows}")
        assert "concept drift" in seen.page.locator("#events").inner_text()
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
    seen.wait("document.querySelector('#link').textContent === 'waiting for the engine'")
    learned = first.engine.status["n_samples"]
    with Run(tmp_path / "state", port=port) as second:
        seen.wait("document.querySelector('#link').textContent === 'live'")
        seen.wait(f"state.score && state.score[0] > {learned}")
        assert second.engine.status["n_samples"] > learned
        assert seen.page.evaluate("course[0][0]") < 50  # the course includes the first run
    assert seen.own_errors() == []


def serious(seen):
    """Return serious and critical findings of axe-core."""
    seen.page.evaluate((AXE / "axe.min.js").read_text())
    passed, found = seen.page.evaluate(
        "axe.run().then(result => [result.passes.length, result.violations])"
    )
    assert passed > 20
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
        if rule["impact"] in ("serious", "critical")
    ]


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
                assert serious(seen) == []
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
        assert (
            lines[0] == "sample,window_accuracy,accuracy,no_change_accuracy,majority_accuracy,time"
        )
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
def test_members_have_labels_and_show_their_names_on_hover(watch):
    with Run() as run:
        seen = watch(run.page.url)
        seen.wait("document.querySelectorAll('#mixture dt').length > 2")
        names = seen.page.locator("#mixture dt").all_inner_texts()
        assert "least squares, last 10,000 rows" in names
        assert not [name for name in names if "leak" in name]
        terms = seen.page.evaluate(
            "[...document.querySelectorAll('#mixture dt')].map(dt => dt.title)"
        )
        assert "leak 0.0001 per row" in terms
        assert seen.page.evaluate("detectorWords('energy')[1]").startswith("energy distance")


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
    seen.wait("document.body.dataset.link === 'lost'")
    assert (
        float(seen.page.evaluate("getComputedStyle(document.querySelector('main')).opacity")) < 0.6
    )


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
