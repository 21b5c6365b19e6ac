"""An honest source keeps at least half of its rate, and the engine its memory, beside each hostile peer.

LOCO_SOAK=1 lets each attack last a minute.
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
FILES = {"bare_connections": 64}  # descriptors the engine may have

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
    def narrow():
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    command = [sys.executable, "-m", "loco_stream", "serve", "--task", "classification"]
    command += ["--source", f"zmq+reliable://{address}", "--checkpoint", str(folder)]
    engine = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, preexec_fn=narrow)
    processes.append(engine)
    return at_work(engine)


def rows_a_second(feed, X, y, seconds, watch=lambda: None):
    """Send and flush block by block; return the rate and the rows sent."""
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
def test_an_honest_source_keeps_half_its_rate_beside(attack, tmp_path, processes, address):
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
        rows_a_second(feed, X, y, 1.0)
        alone, _ = rows_a_second(feed, X, y, SECONDS / 2)
        attacker = [
            "nice",
            "-n",
            "19",
            sys.executable,
            "-m",
            "tests.helpers.attacks",
        ]  # it has no core of its own here
        hostile = start(processes, *attacker, attack, here, "3600")
        time.sleep(2.0)
        beside, _ = rows_a_second(feed, X, y, SECONDS, lambda: peak.append(resident_bytes(engine)))
        hostile.kill()
        after, _ = rows_a_second(feed, X, y, 1.0)
        acked = feed.acked
    end(engine)
    assert inspect(tmp_path)["sources"][NAME] == {str(EPOCH): acked}
    megabytes = max(peak) / 1e6
    print(
        f"{attack}: {alone:,.0f} rows/s alone, {beside:,.0f} beside, {after:,.0f} after, {megabytes:,.0f} MB"
    )
    assert max(peak) < 1e9
    assert beside >= 0.5 * min(
        alone, after
    )  # other tests take their share of the cores when they like
