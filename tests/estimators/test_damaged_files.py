"""Model files with valid checksums and impossible content."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import mutants

COUNT = 100_000 if os.environ.get("LOCO_SOAK") else 2_000


@pytest.mark.slow
@pytest.mark.timeout(7200)  # of the soak form; the short one takes half a minute
def test_files_with_valid_checksums_and_impossible_content_work_or_are_refused():
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # stacks of threads count as memory
    command = [sys.executable, "-X", "faulthandler", "-m", mutants.__name__, "0", str(COUNT)]
    run = subprocess.run(
        command, capture_output=True, text=True, env=environment, cwd=Path(__file__).parents[2]
    )
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]
    assert f"{COUNT} mutants" in run.stdout
