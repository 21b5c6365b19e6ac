"""The command in a process of its own, which the fixture `processes` ends by its id."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.helpers.children import end_with_parent

SOAK = bool(os.environ.get("LOCO_SOAK"))
LOCO = [sys.executable, "-m", "loco_stream"]


def start(processes, *command):
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        preexec_fn=end_with_parent,
    )
    processes.append(process)
    return process


def serve(processes, address, folder, *options, mode="reliable"):
    """Start a service that reads from ZeroMQ."""
    source = f"zmq+{mode}://{address}"
    command = [*LOCO, "serve", "--source", source, "--checkpoint", str(folder), *options]
    return start(processes, *command)


def feed(processes, address, n):
    """Start a process that sends n rows."""
    script = Path(__file__).with_name("live_source.py")
    return start(processes, sys.executable, str(script), f"tcp://{address}", str(n))


def at_work(engine):
    """Wait until an engine is about to learn, and return it."""
    lines = []
    while "durability" not in (line := engine.stderr.readline()):
        lines.append(line)
        assert line, f"the engine ended: {lines}"
    return engine


def inspect(folder):
    """Return what `loco-stream inspect` prints about a checkpoint directory."""
    done = subprocess.run(
        [*LOCO, "inspect", str(folder), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def end(process):
    """Send SIGTERM, after which a process must end with exit code 0."""
    process.send_signal(signal.SIGTERM)
    # LLVM, if it is just compiling, cannot be interrupted
    _, errors = process.communicate(timeout=180)
    assert process.returncode == 0, errors
