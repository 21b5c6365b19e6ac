"""Signals: the first one ends a run after the rows at hand, the second one ends it at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from loco_stream.cli._logging import report_error

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine
    from loco_stream.fleet.partitions import PartitionedFleet
    from loco_stream.fleet.runner import FleetRunner


class Interrupt(BaseException):
    """A signal arrived before there was an engine to stop."""


class SignalHandler:
    """Stops `engine` at the first signal and ends the process at the second.

    `engine`: what the first signal stops. While it is None, the first signal raises `Interrupt`.
    """

    def __init__(self) -> None:
        self.engine: StreamEngine | FleetRunner | PartitionedFleet | None = None
        self._signalled = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle one signal."""
        if self._signalled:
            with suppress(Exception):  # whatever the signal interrupted, the process ends
                kept = "nothing was learned" if self.engine is None else self.engine.kept
                report_error(f"ended at once, without a report: {kept}")
            os._exit(128 + number)
        self._signalled = True
        if self.engine is None:
            raise Interrupt
        self.engine.stop()


@contextmanager
def stop_on_signal() -> Iterator[SignalHandler]:
    """Let SIGINT and SIGTERM stop the handler's `engine` while the block runs."""
    handler = SignalHandler()
    before = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield handler
    finally:
        for number, old in before.items():
            signal.signal(number, old)
