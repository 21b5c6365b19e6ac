"""Shared by all tests: the compile cache, and how examples are drawn."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path

import numba
import pytest
from hypothesis import HealthCheck, settings

from loco_stream._compiler.jit import digest
from tests.helpers.ports import free_address

# The same examples in every run, however busy the machine; the soak draws others.
settings.register_profile(
    "steady",
    deadline=None,
    derandomize=not os.environ.get("LOCO_SOAK"),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("steady")

# Kernels that a test calls by themselves are cached without knowing their callees: a cache for
# these very sources.
if "NUMBA_CACHE_DIR" not in os.environ:
    os.environ["NUMBA_CACHE_DIR"] = str(
        Path(tempfile.gettempdir()) / f"loco-stream-numba-{os.getuid()}" / digest()
    )
    numba.config.CACHE_DIR = os.environ["NUMBA_CACHE_DIR"]


def pytest_collection_modifyitems(items):
    """Let files with many slow tests run first, so that all workers end at about the same time."""
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture
def processes():
    """Processes that are ended by their id, whatever happens."""
    started = []
    yield started
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture
def address():
    return free_address()
