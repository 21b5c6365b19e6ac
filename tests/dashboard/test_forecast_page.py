"""What the page shows of a forecaster."""

from __future__ import annotations

import math
import threading

import pytest

from loco_stream import Fleet, LOCOForecaster, StreamEngine
from loco_stream.dashboard import Dashboard
from loco_stream.dashboard._fleet_page import FleetPage
from loco_stream.engine._source_reader import SourceReader
from loco_stream.fleet._runner import FleetRunner
from loco_stream.stream import Sample
from tests.helpers.browser import Watched, findings, needs_browser
from tests.helpers.live_pairs import LivePairs


@needs_browser
@pytest.mark.slow
def test_the_chart_of_a_forecast_has_a_table_of_its_values(browser):
    hours = [({"hour": h % 24}, 50.0 + 20.0 * math.sin(h * math.pi / 12)) for h in range(300)]
    with Dashboard(0) as page:
        StreamEngine(LOCOForecaster(heads=6, seed=1), hours, watchers=[page]).run()
        seen = Watched(browser, page.url, viewport={"width": 1366, "height": 768})
        seen.wait("state.fan && fanChart")
        charts = seen.page.locator("section:visible [role=img]:visible")
        for chart in charts.all():
            assert chart.locator("xpath=..").locator("details.values").count() > 0
        seen.page.locator("#fan-values summary").click()
        seen.wait("document.querySelectorAll('#fan-values tr').length > 20")
        text = seen.page.locator("#fan-values table").inner_text()
        lines = [line.split("\t") for line in text.split("\n")]
        assert lines[0] == ["row", "value", "forecast", "90 % band from", "to"]
        history = [line for line in lines[1:] if line[2] == "\u2013"]
        forecast = [line for line in lines[1:] if line[1] == "\u2013"]
        assert history[-1][0] == "299"
        assert [line[0] for line in forecast] == [str(row) for row in range(300, 306)]
        assert len(history) + len(forecast) == len(lines) - 1
        assert seen.page.locator("#horizons tr").count() > 2
        assert findings(seen) == []
        assert seen.own_errors() == []
        seen.context.close()


@needs_browser
@pytest.mark.slow
def test_the_page_of_a_fleet_shows_the_forecast_of_the_device_that_is_chosen(tmp_path, browser):
    ended = threading.Event()

    def rows():
        for i in range(400):
            device = f"press {i % 2}"
            hour = i // 2
            load = (
                None if hour == 150 else (1 + i % 2) * (50.0 + 20.0 * math.sin(hour * math.pi / 12))
            )
            yield Sample({"device": device}, load, i, source="s")
        while not ended.is_set():
            yield []

    model = LOCOForecaster(heads=6, seed=1)
    with FleetPage(0) as page, Fleet(model, tmp_path) as fleet:
        runner = FleetRunner(fleet, SourceReader(LivePairs(rows)), "device", watchers=[page])
        thread = threading.Thread(target=runner.run)
        thread.start()
        try:
            for theme, width in (("light", 1366), ("dark", 390)):
                options = {"color_scheme": theme, "viewport": {"width": width, "height": 800}}
                seen = Watched(browser, page.url, **options)
                seen.wait(
                    "document.getElementById('counts').textContent.startsWith('398 rows of 2')"
                )
                assert seen.page.locator("#fan-box").is_hidden()
                check_forecast(seen, "press 0", (30.0, 70.0))
                check_forecast(seen, "press 1", (60.0, 140.0))
                assert seen.page.locator("#horizons tr").count() == 1 + 6
                assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
                seen.picture(f"fleet-forecast-{width}-{theme}")
                assert findings(seen) == []
                assert seen.own_errors() == []
                check_late_answer(seen)
                seen.page.locator("#text").fill("nobody")
                seen.page.locator("#text").press("Enter")
                seen.wait("document.getElementById('error').textContent !== ''")
                assert seen.page.locator("#fan-box").is_hidden()
                seen.context.close()
        finally:
            ended.set()
            thread.join()


def check_late_answer(seen):
    """Choose two devices in a row: what comes late for the first one is not shown."""
    held = []
    seen.page.route("**/forecast?key=press%200", lambda route: held.append(route))
    for device in ("press 0", "press 1"):
        seen.page.locator("#text").fill(device)
        seen.page.locator("#text").press("Enter")
    note = "document.getElementById('fan-note').textContent"
    seen.wait(f"{note}.startsWith('Device press 1,')")
    while not held:
        seen.page.wait_for_timeout(20)
    with seen.page.expect_response("**/forecast?key=press%200"):
        held[0].continue_()
    seen.page.wait_for_timeout(200)
    assert seen.page.evaluate(note).startswith("Device press 1,")
    seen.page.unroute("**/forecast?key=press%200")


def check_forecast(seen, device, bounds):
    """Choose a device: chart and table have its values, 200 so far, of which one is missing."""
    seen.page.locator("#text").fill(device)
    seen.page.locator("#text").press("Enter")
    seen.wait(f"document.getElementById('fan-note').textContent.startsWith('Device {device},')")
    assert seen.page.locator("#fan canvas").is_visible()
    at, shown = seen.page.evaluate("fanChart.data.slice(0, 2)")
    assert at == list(range(200 - 120, 206))
    assert shown[150 - 80] is None
    assert all(bounds[0] - 1 < value < bounds[1] + 1 for value in shown if value is not None)
    if not seen.page.evaluate("document.getElementById('fan-values').open"):
        seen.page.locator("#fan-values summary").click()
    seen.wait("document.querySelectorAll('#fan-values tr').length > 20")
    last = seen.page.locator("#fan-values tr").last.inner_text().split("\t")
    assert last[:2] == ["205", "\u2013"]
    assert bounds[0] - 20 < float(last[2]) < bounds[1] + 20
