"""The real command in a process of its own, ended by its id whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

SOAK = bool(os.environ.get("LOCO_SOAK"))
LOCO = [sys.executable, "-m", "loco_stream"]


def start(processes, *command):
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    processes.append(process)
    return process


def serve(processes, address, folder, *options, mode="reliable"):
    source = f"zmq+{mode}://{address}"
    return start(
        processes,
        *LOCO,
        "serve",
        "--source",
        source,
        "--checkpoint",
        str(folder),
        "--quiet",
        *options,
    )


def feed(processes, address, n):
    return start(
        processes,
        sys.executable,
        str(Path(__file__).with_name("live_source.py")),
        f"tcp://{address}",
        str(n),
    )


def at_work(engine):
    """Return an engine that has told what it keeps and begins to learn."""
    told = []
    while "durability" not in (line := engine.stderr.readline()):
        told.append(line)
        assert line, f"the engine ended by itself: {told}"
    return engine


def inspect(folder):
    done = subprocess.run(
        [*LOCO, "inspect", str(folder), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def end(process):
    """SIGTERM must end clean."""
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
