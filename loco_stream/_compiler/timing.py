"""How long numba has compiled in this process, and whether it does now.

The first run on a machine takes seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numba.core import event

__all__ = ["COMPILING", "compile_seconds", "is_compiling", "say_when_compiling"]

COMPILING = "compiling, once, some ten seconds"


class _Clock(event.Listener):
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


class _Teller(event.Listener):
    """Calls a function when the first compilation starts."""

    def __init__(self, say: Callable[[], object]) -> None:
        self._say = say
        self._said = False

    def on_start(self, event: object) -> None:
        if not self._said:
            self._said = True
            self._say()

    def on_end(self, event: object) -> None:
        """Nothing: it may not have been the last."""


_CLOCK = _Clock()
event.register("numba:compile", _CLOCK)  # not told of code that comes from the cache


def compile_seconds() -> float:
    """Return the seconds that numba has compiled since this module was imported."""
    return _CLOCK.seconds


def is_compiling() -> bool:
    """Return whether numba compiles now."""
    return _CLOCK.depth > 0


@contextmanager
def say_when_compiling(say: Callable[[], object]) -> Iterator[None]:
    """Call `say` once if anything is compiled before the block ends."""
    with event.install_listener("numba:compile", _Teller(say)):
        yield
