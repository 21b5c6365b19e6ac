"""What the README promises beside its blocks, which `tests/docs/test_pages.py` runs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
pytestmark = pytest.mark.skipif(not README.exists(), reason="not run from a checkout")


def test_it_is_short():
    assert len(README.read_text().splitlines()) < 120


@pytest.mark.slow
def test_make_demo_ends_by_itself_with_a_report_and_a_picture(tmp_path):
    assert "\nmake demo " in README.read_text()
    recipe = ["make", "-f", str(README.with_name("Makefile")), "demo"]
    # what is to be tested is installed here
    here = [f"BIN={Path(sys.executable).parent}", "-o", ".venv/.installed"]
    done = subprocess.run(
        [*recipe, *here], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "2,310 samples" in done.stdout
    assert "browser" not in done.stdout  # nobody sits here
    assert "demo machine` shows a demo live. Its page is http://127.0.0.1:8765/." in done.stdout
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"report.json", "report.png"}


def test_both_commands_stand_side_by_side():
    lines = README.read_text().splitlines()
    demo = next(i for i, line in enumerate(lines) if line.startswith("make demo "))
    assert lines[demo + 1].startswith("make test ")


def test_the_first_paragraph_says_what_loco_stands_for():
    paragraph = " ".join(README.read_text().split("\n\n")[1].split())
    assert "low-rank cluster-orthogonal weight modification" in paragraph


def test_figures_of_the_readme_stand_in_the_results():
    rows = re.findall(
        r"^\| \*{0,2}([\w ()]+?)\*{0,2} \| ([\d.]+) \| ([\d.]+) \|$",
        README.read_text(),
        re.M,
    )
    assert len(rows) == 5
    results = (README.parent / "docs" / "results.md").read_text()
    cells = {f"{float(cell):.1f}" for cell in re.findall(r"\| (\d+\.\d+)(?= \|)", results)}
    for name, *figures in rows:
        assert cells >= set(figures), name
