"""An adapter without its library names the extra that installs it."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("library", "needs"),
    [
        ("avalanche", "the strategy for Avalanche needs Avalanche"),
        ("capymoa", "learners for CapyMOA need CapyMOA"),
    ],
)
def test_the_error_names_the_extra(library, needs):
    code = f"import sys; sys.modules[{library!r}] = None; import loco_stream.adapters.{library}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1] == (
        f"loco_stream.errors.ConfigError: {needs}: pip install 'loco-stream[{library}]'"
    )
