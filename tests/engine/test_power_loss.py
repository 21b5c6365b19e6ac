"""The power is cut while rows arrive: what was acknowledged is on the disk.

The disk is a file system that forgets what was not synced. LOCO_SOAK=1 cuts it 20 times.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from contextlib import suppress

import pytest

from tests.engine.test_kill import uninterrupted
from tests.helpers import power_loss_mount as disk
from tests.helpers.engine_process import SOAK, at_work, end, feed, inspect, serve
from tests.helpers.live_source import EPOCH, NAME

N_ROWS, CUTS = (60_000, 20) if SOAK else (8_000, 3)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600 if SOAK else 600),
    pytest.mark.skipif(not disk.is_possible(), reason="needs /dev/fuse, libfuse3 and mfusepy"),
]


@pytest.fixture
def mounted(tmp_path):
    with disk.mounted(tmp_path / "disk") as folder:
        yield folder


def test_what_was_not_synced_is_forgotten(mounted):
    """The file system itself: a test on it can fail."""
    for name, synced in (("kept", True), ("lost", False)):
        with (mounted / name).open("wb") as file:
            file.write(b"first")
            file.flush()
            if synced:
                os.fsync(file.fileno())
            file.write(b" second")
    disk.sync_folder(mounted)
    (mounted / "unlinked later").touch()
    disk.cut_power(mounted)
    assert (mounted / "kept").read_bytes() == b"first"
    assert (mounted / "lost").read_bytes() == b""
    assert not (mounted / "unlinked later").exists()


def test_no_acknowledged_row_is_lost(mounted, processes, address):
    expected = uninterrupted(N_ROWS)
    folder = mounted / "state"
    options = ["--checkpoint-every", "2000", "--durability", "batch"]
    chance = random.Random(7)
    source = feed(processes, address, N_ROWS)
    engine = at_work(serve(processes, address, folder, *options))
    for _ in range(CUTS):
        time.sleep(chance.uniform(0.1, 1.2))
        assert source.poll() is None, source.stderr.read()
        engine.kill()
        engine.wait()
        disk.cut_power(mounted)
        engine = at_work(serve(processes, address, folder, *options))
    _, errors = source.communicate(timeout=1200 if SOAK else 240)
    assert source.returncode == 0, errors
    end(engine)
    found = inspect(folder)
    assert found["sources"] == {NAME: {str(EPOCH): N_ROWS}}
    assert found["state_sha256"] == expected


def test_without_durability_acknowledged_rows_are_lost(mounted, processes, address):
    """The control: the same cut costs rows if nothing is synced."""
    options = ["--checkpoint-every", "1000000", "--durability", "off"]
    source = feed(processes, address, 4000)
    engine = at_work(serve(processes, address, mounted / "state", *options))
    time.sleep(1.0)
    engine.kill()
    engine.wait()
    source.kill()
    disk.cut_power(mounted)
    learned = 0
    with suppress(subprocess.CalledProcessError):  # nothing to inspect is a loss too
        learned = inspect(mounted / "state")["n_samples"]
    assert learned == 0
