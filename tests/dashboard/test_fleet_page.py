"""The page of a fleet, requested as by a browser."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest

from loco_stream import Fleet
from loco_stream.dashboard.fleet_page import FleetPage
from loco_stream.engine.source_reader import PairSource, SourceReader
from loco_stream.fleet.runner import FleetRunner
from loco_stream.stream import Sample
from tests.helpers.fleet_process import template


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

        class Live(PairSource):
            is_live = True

            def __iter__(self):
                return rows()

        FleetRunner(fleet, SourceReader(Live(())), "device", watchers=[page]).run()
    assert b"fleet.js" in received["index"]
    assert {row["key"] for row in received["fleet"]["worst"]} == {"press 7", "press 8"}
    assert received["found"] == ["press 7", "press 8"]
    assert (received["device"]["key"], received["device"]["n_samples"]) == ("press 7", 1)
