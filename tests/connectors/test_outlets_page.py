"""The page on sinks: its URLs are understood."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loco_stream.connectors import open_sink
from loco_stream.connectors.sink_url import SINKS
from loco_stream.records import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "outlets.md"


@pytest.fixture(scope="module")
def page():
    if not PAGE.is_file():
        pytest.skip("not run from a checkout")
    return PAGE.read_text()


def test_each_url_opens_a_sink_and_each_kind_of_sink_is_there(page):
    urls = re.findall(r'--sink "([^"]+)"', page)
    for url in urls:
        if not url.startswith("exec:curl"):  # not every machine has it
            sink = open_sink(url)
            sink.kinds = frozenset()  # no report: nothing is sent
            sink.close({})
    assert {url.partition(":")[0].rstrip("s") for url in urls} >= {
        kind.rstrip("s") for kind in SINKS
    }
    assert all(f"| `{kind}` |" in page for kind in KINDS)
    assert all(form.secret in page for form in SINKS.values())
