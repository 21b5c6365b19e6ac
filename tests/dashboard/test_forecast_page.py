"""What the page shows of a forecaster."""

from __future__ import annotations

import math

import pytest

from loco_stream import LOCOForecaster, StreamEngine
from loco_stream.dashboard import Dashboard
from tests.helpers.browser import Watched, findings, needs_browser


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
