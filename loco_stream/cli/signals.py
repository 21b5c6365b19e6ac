"""Signals end a run clean; a second one ends it at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

__all__ = ["Interrupt", "SignalHandler", "clean_end"]


class Interrupt(BaseException):
    """A signal came before there was an engine to stop."""


class SignalHandler:
    """Stops `engine` at the first signal, raises `Interrupt` while there is none, exits at the second signal."""

    def __init__(self) -> None:
        self.engine: Any = None
        self._signalled = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take one signal."""
        if self._signalled:
            os._exit(128 + number)
        self._signalled = True
        if self.engine is None:
            raise Interrupt
        self.engine.stop()


@contextmanager
def clean_end() -> Iterator[SignalHandler]:
    """Let SIGINT and SIGTERM stop the handler's `engine`, or raise `Interrupt` while there is none."""
    handler = SignalHandler()
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield handler
    finally:
        for number, old in before.items():
            signal.signal(number, old)
