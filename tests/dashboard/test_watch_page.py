"""What the page shows of a stream without labels."""

from __future__ import annotations

import json

import numpy as np
import pytest

from loco_stream import LOCODetector, StreamEngine
from loco_stream.dashboard import Dashboard
from loco_stream.dashboard._engine_frames import EngineFrames
from loco_stream.metrics._keys import problem_of
from loco_stream.stream import Sample
from tests.helpers.browser import Watched, findings, needs_browser


def test_a_frame_holds_columns_bands_and_alarms():
    X = np.random.default_rng(0).normal(size=(500, 2))
    X[480, 1] = 15.0
    rows = [
        Sample({"flow": a, "heat": b, "mode": "on"}, None, i) for i, (a, b) in enumerate(X.tolist())
    ]
    engine = StreamEngine(LOCODetector(seed=1), rows)
    engine.run()
    frames = EngineFrames([])
    assert problem_of(engine.status) == "watching"
    watch = frames.frame(engine)["watch"]
    assert "watch" not in frames.frame(engine)  # at most twice a second
    json.dumps(watch, allow_nan=False)
    assert watch["at"] == list(range(300, 500))
    assert [column[0] for column in watch["columns"]] == ["flow", "heat", "mode"]
    _, values, low, high = watch["columns"][1]
    assert values[180] == 15.0
    assert low[180] < high[180] < 15.0
    assert watch["columns"][2][1] == [None] * 200
    assert watch["alarm"][180]
    assert watch["blame"][180] == "heat"
    assert watch["alarms"][-1]["column"] == "heat"
    assert frames.point(engine)[0] == 500


def test_of_many_columns_those_with_alarms_have_charts():
    X = np.random.default_rng(0).normal(size=(1500, 40))
    X[1480:, 33] += 30.0
    engine = StreamEngine(LOCODetector(seed=1), [Sample(dict(enumerate(x)), None) for x in X])
    engine.run()
    watch = EngineFrames([]).frame(engine)["watch"]
    assert watch["n_columns"] == 40
    charted = [int(column[0]) for column in watch["columns"]]
    assert len(charted) == 12
    assert charted == sorted(charted)  # in the order of the columns
    alarmed = [int(alarm["column"]) for alarm in reversed(watch["alarms"])]
    assert set(list(dict.fromkeys(alarmed))[:12]) <= set(charted)
    assert 33 in charted
    assert len(watch["unusual"]) == 20


def test_an_alarm_of_a_missing_value_says_so():
    X = np.random.default_rng(0).normal(size=(900, 2))
    rows = [Sample({"flow": a, "heat": b}, None, i) for i, (a, b) in enumerate(X.tolist())]
    rows[880] = Sample({"flow": 0.0, "heat": None}, None, 880)
    engine = StreamEngine(LOCODetector(seed=1), rows)
    engine.run()
    (alarm,) = (a for a in EngineFrames([]).frame(engine)["watch"]["alarms"] if a["at"] == 880)
    assert (alarm["column"], alarm["value"]) == ("heat", "missing")


def test_the_last_frame_of_a_run_has_everything():
    engine = StreamEngine(
        LOCODetector(seed=1), [Sample({"a": float(i)}, None, i) for i in range(9)]
    )
    engine.run()
    with Dashboard(0) as page:
        engine.stream_ended = False
        page(engine)
        engine.watcher.n_alarms = 7  # within half a second of the frame before
        page(engine)
        assert json.loads(page._buffer.state())["watch"]["n_alarms"] == 0
        engine.stream_ended = True
        page(engine)
        assert json.loads(page._buffer.state())["watch"]["n_alarms"] == 7
        assert json.loads(page._buffer.state())["ended"]


class Pump:
    """A detector and its page: a flow that collapses, a text, and a sensor that sticks."""

    def __init__(self, n=2200):
        draws = np.random.default_rng(0)
        heat = draws.normal(40, 1, n)
        heat[1900:] = heat[1899]
        flow = draws.normal(12, 0.2, n)
        flow[2100:] -= 6
        rows = [
            Sample({"heat": a, "flow": b, "mode": "on"}, None, i)
            for i, (a, b) in enumerate(zip(heat.tolist(), flow.tolist(), strict=True))
        ]
        self.page = Dashboard(0, title="a pump")
        StreamEngine(LOCODetector(seed=1), rows, watchers=[self.page]).run()

    def __enter__(self):
        return self.page

    def __exit__(self, *error):
        self.page.close()


@needs_browser
@pytest.mark.slow
def test_a_page_without_labels_shows_nothing_of_labels(browser):
    with Pump() as page:
        seen = Watched(browser, page.url, viewport={"width": 1366, "height": 768})
        seen.wait("state.watch && watchCharts.size === 3")
        shown = seen.page.locator("main").inner_text()
        for word in ("ccuracy", "label", "forgotten", "Without a model", "errors rose", "class"):
            assert word not in shown
        assert seen.page.locator("#samples").inner_text() == "2,200"
        assert seen.page.locator("#alarm-sub").inner_text() == "last at row 2,100 in flow"
        columns = seen.page.locator("#watch-columns h3").all_inner_texts()
        assert columns == ["flow", "heat", "mode"]
        heads = seen.page.locator(".column-head").all_inner_texts()
        assert "expected" in heads[0]
        assert "holds texts" in heads[2]
        assert seen.page.locator("#watch-columns .uplot:visible").count() == 2
        marks = seen.page.evaluate("watchCharts.get('flow')[0].alarms.map(mark => mark.at)")
        assert 2100 in marks
        assert seen.page.locator("#state-text").inner_text().startswith("State of the stream: new")
        assert "flow" in seen.page.locator("#blame").inner_text()
        assert seen.page.evaluate("unusualChart.data[0].length") > 100
        assert "heat is stuck" in seen.page.locator("#events").inner_text()
        # a change has the same mark in its list and in the chart, another one than alarms have
        assert seen.page.locator("#events .key.task").count() > 0
        assert seen.page.locator("#events .key.drift").count() == 0
        assert "flow\ntoo low" in seen.page.locator("#alarms").inner_text()
        assert "score above 2" in seen.page.locator("#blame-box").inner_text()
        words = seen.page.evaluate(
            "[[2.5, [1, 2]], [0.5, [1, 2]], [1.5, [1, 2]], ['missing', [1, 2]], ['on', null]]"
            ".map(([value, expected]) => alarmWords({ value: String(value), expected }))"
        )
        assert words == ["too high", "too low", "new course", "no value", ""]
        for box in ("unusual", "columns", "state"):
            seen.page.locator(f"#{box}-values summary").click()
        seen.wait("document.querySelectorAll('#columns-values tr').length > 40")
        lines = [
            line.split("\t")
            for line in seen.page.locator("#columns-values").inner_text().split("\n")
        ]
        newest = [line for line in lines if line[1:2] == ["2,199"]]
        assert [line[0] for line in newest] == ["flow", "heat"]  # a column of texts has no line
        assert all(len(line) == 5 for line in newest)
        seen.wait("document.querySelectorAll('#state-values tr').length > 20")
        seen.wait("document.querySelectorAll('#unusual-values tr').length > 10")
        assert findings(seen) == []
        assert seen.own_errors() == []
        phone = Watched(browser, page.url, viewport={"width": 390, "height": 844})
        phone.wait("watchCharts.size === 3")
        assert phone.page.evaluate("document.documentElement.scrollWidth") <= 390
        table, box = phone.page.evaluate("[alarms.scrollWidth, alarms.parentElement.clientWidth]")
        assert table <= box  # the score is not cut off
        for each in (seen, phone):
            each.context.close()
