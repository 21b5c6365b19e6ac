"""Signals: the first one ends a run after the rows at hand, the second one ends it at once."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from loco_stream._cli._logging import LOGGER, report_error

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine
    from loco_stream.fleet._partitions import PartitionedFleet
    from loco_stream.fleet._runner import FleetRunner

_HANGUP = getattr(signal, "SIGHUP", None)  # of a terminal that is closed; Windows has none
_PAUSE = 0.05  # seconds until a signal is raised again
_PATIENCE = 2.0  # seconds until the log says what a stop waits for; new features can take that long
_STOPPING = (
    "still stopping: the rows at hand, the last checkpoint and undelivered records come first; "
    "a second signal ends the process at once"
)


class Interrupt(BaseException):
    """A signal arrived before there was an engine to stop; its number is the argument."""


class SignalHandler:
    """Stops `engine` at the first signal and ends the process at the second.

    `engine`: what the first signal stops. While it is None, the first signal raises `Interrupt`.
    """

    def __init__(self) -> None:
        self.engine: StreamEngine | FleetRunner | PartitionedFleet | None = None
        self._signalled = False
        self._timer: threading.Timer | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle one signal."""
        if self._signalled:
            if number == _HANGUP:  # a shell repeats the one of its terminal
                return
            with suppress(Exception):  # whatever the signal interrupted, the process ends
                kept = "nothing was learned" if self.engine is None else self.engine.kept
                report_error(f"ended at once, without a report: {kept}")
            os._exit(128 + number)
        self._signalled = True
        if self.engine is None:
            raise Interrupt(number)
        self.engine.stop()
        self._start_timer(_PATIENCE, LOGGER.info, _STOPPING)

    def raise_again(self, interrupt: Interrupt) -> None:
        """Repeat a signal soon: what it interrupted ignored the exception."""
        self._signalled = False
        main = threading.main_thread().ident
        self._start_timer(_PAUSE, signal.pthread_kill, main, interrupt.args[0])

    def _start_timer(self, seconds: float, function: Callable[..., object], *args: object) -> None:
        self._timer = threading.Timer(seconds, function, args)
        self._timer.daemon = True
        self._timer.start()

    def end(self) -> None:
        """Repeat no signal any more, and log none."""
        if self._timer is not None:
            self._timer.cancel()


@contextmanager
def ended_before_first_row() -> Iterator[None]:
    """End a block without an error if a signal comes before there is an engine to stop."""
    try:
        yield
    except Interrupt:
        LOGGER.info("ended before the first row")


@contextmanager
def stop_on_signal() -> Iterator[SignalHandler]:
    """Let SIGINT, SIGTERM and SIGHUP stop the handler's `engine` while the block runs.

    SIGHUP stays ignored if it is, as under nohup.

    Callbacks of C libraries, as LLVM has them while it compiles, and of the garbage collector
    ignore exceptions: a signal that one of them swallowed is repeated.
    """
    handler = SignalHandler()
    report = sys.unraisablehook

    def repeat(ignored: Any) -> None:
        if isinstance(ignored.exc_value, Interrupt):
            handler.raise_again(ignored.exc_value)
        else:
            report(ignored)

    numbers = [signal.SIGINT, signal.SIGTERM]
    if _HANGUP is not None and signal.getsignal(_HANGUP) == signal.SIG_DFL:
        numbers.append(_HANGUP)
    before = {number: signal.signal(number, handler) for number in numbers}
    sys.unraisablehook = repeat
    try:
        yield handler
    finally:
        sys.unraisablehook = report
        handler.end()
        for number, old in before.items():
            signal.signal(number, old)
