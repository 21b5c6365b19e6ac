"""Every example of docs/probabilities.md runs and prints what it promises."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "probabilities.md"


def test_the_examples_run(capsys):
    if not PAGE.is_file():
        pytest.skip("not run from a checkout")
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        exec(compile(block, str(PAGE), "exec"), {})
    assert capsys.readouterr().out.split() == ["fault", "True"]
