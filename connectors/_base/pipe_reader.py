"""Text that can be read only once, and a thread that reads it."""

from __future__ import annotations

import io
import os
import queue
import select
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

from loco_stream._text import reason_of
from loco_stream.connectors._base.lines import GzipText, shown_path
from loco_stream.errors import SourceError

_TICK = 0.1  # seconds after which a wait looks for a stop
_AHEAD = 4096  # items read before they are taken
_BATCH = 1024  # items returned together

T = TypeVar("T")


def is_pipe(path: Path) -> bool:
    """Whether `path` is ``-`` (standard input), a pipe or a FIFO."""
    try:
        return str(path) == "-" or stat.S_ISFIFO(path.stat().st_mode)
    except OSError:
        return False


def refuse_pipe(path: Path, what: str) -> None:
    """Refuse a pipe where random access is needed.

    Raises
    ------
    SourceError
        The path is a pipe.
    """
    if is_pipe(path):
        raise SourceError(
            f"{shown_path(path)} must be a file, as {what} is not read from front to back, "
            "got a pipe"
        )


class _Pipe(io.RawIOBase):
    """Bytes of a descriptor; waits for them in slices, so that `stop` ends the wait."""

    def __init__(self, path: Path, stop: threading.Event) -> None:
        self._fd = os.dup(0) if str(path) == "-" else os.open(path, os.O_RDONLY)
        self._stop = stop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override] # called by io alone
        while not select.select([self._fd], [], [], _TICK)[0]:
            if self._stop.is_set():
                return 0
        content = os.read(self._fd, len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed:
            os.close(self._fd)
        super().close()


def open_pipe(path: Path, stop: threading.Event, encoding: str) -> io.TextIOWrapper:
    """Open a pipe as text; one whose name ends in ``.gz`` is decompressed.

    Raises
    ------
    SourceError
        It cannot be opened.
    """
    try:
        pipe = io.BufferedReader(_Pipe(path, stop))
    except OSError as e:
        raise SourceError(f"cannot read {shown_path(path)}: {reason_of(e)}") from None
    binary = GzipText(fileobj=pipe) if path.suffix == ".gz" else pipe
    return io.TextIOWrapper(binary, encoding=encoding, errors="surrogateescape", newline="")


class BackgroundIterator(Generic[T]):
    """Runs an iterator that waits for its items in a thread, and returns what has arrived.

    Parameters
    ----------
    items
        The iterator.
    stop
        Set by `close`; the iterator looks at it while it waits.
    """

    def __init__(self, items: Iterator[T], stop: threading.Event) -> None:
        self._stop = stop
        # Each item in a tuple; then the exception that the iterator raised, or None.
        self._queue: queue.Queue[tuple[T] | BaseException | None] = queue.Queue(_AHEAD)
        self._ended = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._run, args=(items,), name="loco-stream input", daemon=True
        )
        self._thread.start()

    def _run(self, items: Iterator[T]) -> None:
        error: BaseException | None = None
        try:
            for item in items:
                self._put((item,))
                if self._stop.is_set():
                    break
        except BaseException as e:  # raised again by `take`
            error = e
        self._put(error)

    def _put(self, item: tuple[T] | BaseException | None) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_TICK)
            except queue.Full:
                continue
            return

    def take(self) -> list[T] | None:
        """Return what has arrived: an empty list if nothing does within 0.1 s, None at the end.

        An exception of the iterator is raised after the items before it.
        """
        if self._ended:
            if self._error is not None:
                raise self._error
            return None
        taken: list[T] = []
        try:
            while len(taken) < _BATCH:
                item = self._queue.get(not taken, _TICK)
                if not isinstance(item, tuple):
                    self._ended = True
                    self._error = item
                    return taken or self.take()
                taken.append(item[0])
        except queue.Empty:
            pass
        return taken

    def close(self) -> None:
        """End the thread; items read ahead are dropped."""
        self._stop.set()
        self._thread.join()
