"""Compilation time in this process, and whether something is being compiled.

The first run on a machine takes seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numba.core import event

COMPILING = "compiling once, takes 25 to 40 s of CPU time"


class _Timer(event.Listener):
    """Adds up the time from the outermost start of a compilation to its end.

    Numba compiles in one thread at a time.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.depth = 0
        self._began = 0.0

    def on_start(self, event: object) -> None:
        if self.depth == 0:
            self._began = time.perf_counter()
        self.depth += 1

    def on_end(self, event: object) -> None:
        self.depth -= 1
        if self.depth == 0:
            self.seconds += time.perf_counter() - self._began


class _FirstStart(event.Listener):
    """Calls a function when the first compilation starts."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback = callback
        self._called = False

    def on_start(self, event: object) -> None:
        if not self._called:
            self._called = True
            self._callback()

    def on_end(self, event: object) -> None:
        """Do nothing: other compilations may follow."""


_TIMER = _Timer()
event.register("numba:compile", _TIMER)  # does not count code that comes from the cache


def compile_seconds() -> float:
    """Return the seconds that numba has compiled since this module was imported."""
    return _TIMER.seconds


def is_compiling() -> bool:
    """Return whether numba is compiling."""
    return _TIMER.depth > 0


@contextmanager
def notify_when_compiling(callback: Callable[[], object]) -> Iterator[None]:
    """Call `callback` once if anything is compiled before the block ends."""
    with event.install_listener("numba:compile", _FirstStart(callback)):
        yield
