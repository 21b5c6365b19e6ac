"""Mounting of the file system of `power_loss`."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ctypes.util import find_library
from pathlib import Path


def is_possible() -> bool:
    """Tell whether this machine lets the user mount it."""
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return False
    return importlib.util.find_spec("mfusepy") is not None and find_library("fuse3") is not None


@contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """Mount an empty disk at a folder while the block runs."""
    folder.mkdir()
    command = [sys.executable, "-m", "tests.helpers.power_loss", str(folder)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while not folder.is_mount():
            assert process.poll() is None, "the file system ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield folder
    finally:
        subprocess.run(["fusermount3", "-u", "-z", str(folder)], check=False)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def cut_power(folder: Path) -> None:
    """Let the disk forget what was not synced."""
    with suppress(OSError):
        (folder / "cut-power").mkdir()


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)
