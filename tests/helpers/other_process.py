"""Runs of a small net in another process, to see what is compiled, kept and warned of."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import loco_stream

ROOT = Path(loco_stream.__file__).parents[1]
SPIKES = "[1.0, 2.0, 2.0, 3.0] [1, 0, 1, 0]"
_RUN = """
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from loco_stream import Network
    net = Network.from_weights([[[0.6, 1.2], [0.7, 0.1]]])
    record = net.run([1.0, 2.0, 2.0, 3.0], [0, 0, 1, 1], 5.0)
print(record.times.tolist(), record.indices.tolist())
print(*[str(warning.message) for warning in caught], sep="\\n")
"""


class Ran(NamedTuple):
    """Result of a run: its spikes and its warnings."""

    spikes: str
    warnings: list[str]


def run_net(before="", cwd=ROOT, as_user=(), without=(), **environment):
    """Run a small net in another process.

    Parameters
    ----------
    before
        Code that runs first.
    as_user
        Words of a command that changes the user.
    without, environment
        Variables that the process does not have, and has.
    """
    kept = {name: value for name, value in os.environ.items() if name not in without}
    done = subprocess.run(
        [*as_user, sys.executable, "-B", "-c", f"{before}\n{_RUN}"],
        cwd=cwd,
        env=kept | environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    spikes, *warned = done.stdout.splitlines()
    return Ran(spikes, [text for text in warned if text])
