"""Beside each hostile peer, an honest source keeps half of its rate and memory stays bounded.

With LOCO_SOAK=1 each attack lasts a minute.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from loco_stream.connectors import ZMQSender
from tests.helpers.attacks import ATTACKS
from tests.helpers.engine_process import SOAK, at_work, end, inspect, start
from tests.helpers.live_source import CLASSES, EPOCH, FEATURES, NAME, table

SECONDS = 60.0 if SOAK else 6.0
BLOCK = 64
FILES = {"bare_connections": 64}  # file descriptors of the engine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc"),
]


def resident_bytes(process):
    return int(Path(f"/proc/{process.pid}/statm").read_text().split()[1]) * os.sysconf(
        "SC_PAGE_SIZE"
    )


def serve(processes, address, folder, files=None):
    def limit_files():
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    command = [sys.executable, "-m", "loco_stream", "serve", "--task", "classification"]
    command += ["--source", f"zmq+reliable://{address}", "--checkpoint", str(folder)]
    engine = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=limit_files)
    processes.append(engine)
    return at_work(engine)


def rows_per_second(feed, X, y, seconds, watch=lambda: None):
    """Send and flush block by block; return the rate and the number of rows."""
    sent = 0
    begin = time.monotonic()
    while (elapsed := time.monotonic() - begin) < seconds:
        at = sent % (len(X) - 8 * BLOCK)
        feed.send(X[at : at + 8 * BLOCK], y[at : at + 8 * BLOCK])
        feed.flush(60)
        sent += 8 * BLOCK
        watch()
    return sent / elapsed, sent


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_honest_source_keeps_half_of_its_rate(attack, tmp_path, processes, address):
    engine = serve(processes, address, tmp_path, FILES.get(attack))
    here = f"tcp://{address}"
    X, y = table(20_000)
    peak = []
    settings = {
        "features": FEATURES,
        "classes": CLASSES,
        "reliable": True,
        "epoch": EPOCH,
        "timeout": 60.0,
    }
    with ZMQSender(here, name=NAME, **settings) as feed:
        rows_per_second(feed, X, y, 1.0)
        alone, _ = rows_per_second(feed, X, y, SECONDS / 2)
        attacker = [
            "nice",
            "-n",
            "19",
            sys.executable,
            "-m",
            "tests.helpers.attacks",
        ]
        hostile = start(processes, *attacker, attack, here, "3600")
        time.sleep(2.0)
        beside, _ = rows_per_second(
            feed, X, y, SECONDS, lambda: peak.append(resident_bytes(engine))
        )
        hostile.kill()
        after, _ = rows_per_second(feed, X, y, 1.0)
        acked = feed.acked
    end(engine)
    assert inspect(tmp_path)["sources"][NAME] == {str(EPOCH): acked}
    megabytes = max(peak) / 1e6
    print(
        f"{attack}: {alone:,.0f} rows/s alone, {beside:,.0f} beside, {after:,.0f} after, "
        f"{megabytes:,.0f} MB"
    )
    assert max(peak) < 1e9
    assert beside >= 0.5 * min(alone, after)  # other tests use the cores as well
