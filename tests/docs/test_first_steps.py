"""The script that times a newcomer's first steps prints them all."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.helpers.pages import ROOT

SCRIPT = ROOT / "docs" / "first_steps.py"
STEPS = [
    "first model",
    "first live row is predicted",
    "first alert of a drift",
    "first alarm without labels",
]


@pytest.mark.slow
@pytest.mark.skipif(not SCRIPT.is_file(), reason="not from a checkout")
def test_each_step_is_timed(tmp_path):
    program = tmp_path / "loco-stream"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m loco_stream "$@"\n')
    program.chmod(0o755)
    command = [sys.executable, str(SCRIPT), "--bin", str(tmp_path)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    lines = re.findall(r"^\| (.+) \| ([\d.]+) \| ([\d.]+) \|$", printed.stdout, re.M)
    assert [name for name, *_ in lines] == STEPS
    assert all(float(wall) > 0 and float(cpu) > 0 for _, wall, cpu in lines)
