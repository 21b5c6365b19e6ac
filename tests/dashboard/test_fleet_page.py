"""The page of a fleet, requested as by a browser."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from loco_stream import Fleet
from loco_stream.dashboard._fleet_page import FleetPage
from loco_stream.engine._source_reader import SourceReader
from loco_stream.fleet._runner import FleetRunner
from loco_stream.stream import Sample
from tests.helpers.browser import Watched, findings, needs_browser
from tests.helpers.fleet_process import template
from tests.helpers.live_pairs import LivePairs


def get(page, path, host=None):
    request = urllib.request.Request(
        page.url + path, headers={} if host is None else {"Host": host}
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()


def test_the_page_shows_the_fleet_and_one_key(tmp_path):
    with (
        FleetPage(0) as page,
        ThreadPoolExecutor(1) as browser,
        Fleet(template(), tmp_path) as fleet,
    ):
        received = {}

        def browse():
            received["index"] = get(page, "")
            received["fleet"] = json.loads(get(page, "fleet"))
            received["found"] = json.loads(get(page, "search?text=ress"))
            received["device"] = json.loads(get(page, "device?key=press%207"))
            with pytest.raises(urllib.error.HTTPError, match="404"):
                get(page, "device?key=nobody")
            with pytest.raises(urllib.error.HTTPError, match="400"):
                get(page, "fleet", host="evil.example")

        def rows():
            for i in range(2):
                yield Sample({"device": f"press {7 + i}", "a": float(i)}, "ok", i, source="s")
            visit = browser.submit(browse)
            while not visit.done():
                yield []  # no rows
            visit.result()

        FleetRunner(fleet, SourceReader(LivePairs(rows)), "device", watchers=[page]).run()
    assert b"fleet.js" in received["index"]
    assert {row["key"] for row in received["fleet"]["worst"]} == {"press 7", "press 8"}
    assert received["found"] == ["press 7", "press 8"]
    assert (received["device"]["key"], received["device"]["n_samples"]) == ("press 7", 1)


@needs_browser
@pytest.mark.slow
def test_the_page_of_a_fleet_is_accessible_and_works_with_the_keyboard(tmp_path, browser):
    ended = threading.Event()

    def rows():
        for i in range(40):
            yield Sample({"device": f"press {i % 2}", "a": float(i % 5)}, "ok", i, source="s")
        while not ended.is_set():
            yield []

    with FleetPage(0) as page, Fleet(template(), tmp_path) as fleet:
        runner = FleetRunner(fleet, SourceReader(LivePairs(rows)), "device", watchers=[page])
        thread = threading.Thread(target=runner.run)
        thread.start()
        for theme, width in (("light", 1366), ("dark", 390)):
            options = {"color_scheme": theme, "viewport": {"width": width, "height": 800}}
            seen = Watched(browser, page.url, **options)
            seen.wait("document.querySelectorAll('#worst tr').length === 3")
            assert "40 rows of 2 devices" in seen.page.locator("#counts").inner_text()
            seen.page.locator("#worst button").first.focus()
            seen.page.keyboard.press("Enter")
            assert seen.page.locator(".help:visible").count() == 3
            seen.page.locator(".help summary").nth(1).click()
            assert "changed last" in seen.page.locator(".help[open] p").inner_text()
            assert seen.page.locator(".help[open] a").get_attribute("href") == "guide#drifted"
            assert b"guide.js" in get(page, "guide")
            seen.page.keyboard.press("Escape")
            assert seen.page.locator(".help[open]").count() == 0
            seen.wait("document.querySelectorAll('#device dt').length > 0", 20)
            facts = seen.page.locator("#device").inner_text()
            assert facts.startswith("rows\n20")
            for internal in ("null", "{", "n_", "HDDMA", "kappa"):
                assert internal not in facts
            assert seen.page.locator("#device-empty").is_hidden()
            seen.page.locator("#device-report summary").click()
            assert '"n_samples": 20' in seen.page.locator("#device-report pre").inner_text()
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
            assert seen.page.evaluate("document.documentElement.dataset.theme") == theme
            seen.picture(f"fleet-{width}-{theme}")
            assert findings(seen) == []
            assert seen.own_errors() == []
            seen.context.close()
        ended.set()
        thread.join()


@needs_browser
@pytest.mark.slow
def test_the_page_of_a_fleet_of_detectors_lists_alarms(tmp_path, browser):
    answers = {
        "n_samples": 900,
        "n_keys": 2,
        "n_resident": 2,
        "n_alarmed_keys": 1,
        "worst": [{"key": "pump 1", "state": 3.2, "n_samples": 450, "alarm": {"at": 400}}],
        "drifted_lately": [],
        "alarmed_lately": [{"key": "pump 1", "state": 3.2, "n_samples": 450, "alarm": {"at": 400}}],
    }
    with FleetPage(0) as page:
        context = browser.new_context()
        shown = context.new_page()
        shown.route("**/fleet", lambda route: route.fulfill(json=answers))
        shown.goto(page.url)
        shown.locator("#worst button").wait_for()
        device = {
            "key": "pump 1",
            "state": 3.2,
            "n_samples": 450,
            "alarms": [{"at": 400, "column": "flow", "value": None, "score": 4.25}],
            "drifts": [{"at": 410, "kind": "input", "detector": "stuck", "features": ["flow"]}],
            "forgetting": None,
        }
        shown.evaluate("showDevice", device)
        words = shown.locator("#device-tables").inner_text()
        assert "410\tflow is stuck" in words
        assert "400\tflow\tmissing\t4.3" in words
        assert shown.locator("#device dt").all_inner_texts() == ["rows", "state score"]
        assert shown.locator("#drifted-title").inner_text() == "Latest alarms"
        assert shown.locator("#counts").inner_text().endswith("1 with an alarm")
        assert shown.locator("#drifted tr").nth(1).inner_text().split("\t") == [
            *("pump 1", "450", "3.2", "400")
        ]
        shown.unroute("**/fleet")
        shown.route("**/fleet", lambda route: route.abort())
        shown.evaluate("refresh()")
        shown.get_by_text("No connection. These are the values of").wait_for()
        context.close()
