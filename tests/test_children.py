"""Servers and services of the tests end with the tests, also when these are killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.serving import wait_until

CODE = """
import os, signal, subprocess
from tests.helpers.children import end_with_parent
child = subprocess.Popen(["sleep", "600"], preexec_fn=end_with_parent)
print(child.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kernel does it on Linux")
def test_a_server_ends_with_the_process_that_started_it():
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    status = Path(f"/proc/{int(done.stdout)}/stat")

    def has_ended():
        try:
            return status.read_text().split(") ")[1][0] == "Z"  # ended, and nobody asked
        except FileNotFoundError:
            return True

    wait_until(has_ended)
