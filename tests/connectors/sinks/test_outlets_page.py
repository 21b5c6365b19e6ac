"""The URLs and tables of the docs page on sinks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from loco_stream.connectors import open_sink
from loco_stream.connectors._registry import SINKS, connectors
from loco_stream.records import KINDS

PAGE = Path(__file__).parents[3] / "docs" / "outlets.md"


@pytest.fixture(scope="module")
def page():
    if not PAGE.is_file():
        pytest.skip("not run from a checkout")
    return PAGE.read_text()


def test_each_url_opens_a_sink_and_each_kind_has_a_url(page):
    urls = re.findall(r'--sink "([^"]+)"', page)
    for url in urls:
        if not url.startswith("exec:curl"):  # may not be installed
            sink = open_sink(url)
            sink.kinds = frozenset()  # the report is not sent
            sink.close({})
    assert {url.partition(":")[0].rstrip("s") for url in urls} >= {
        connector.scheme.rstrip("s") for connector in connectors(SINKS)
    }
    assert all(f"| `{kind}` |" in page for kind in KINDS)
    assert all(connector.secret in page for connector in connectors(SINKS))
