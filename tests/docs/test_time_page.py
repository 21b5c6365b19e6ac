"""What the page on rows in time shows runs, and gives what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "time.md"


@pytest.mark.skipif(not PAGE.exists(), reason="not run from a checkout")
def test_the_page_runs():
    names = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S):
        exec(block, names)
    assert names["model"].n_seen == 101
    assert names["gestures"].predict_sequence([[0.1], [0.4], [0.9]]) == "up"
