"""Text that can be read once, and a thread that waits for it."""

from __future__ import annotations

import gzip
import io
import os
import queue
import select
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loco_stream.errors import SourceError

__all__ = ["Background", "is_stream", "open_stream", "refuse_stream"]

_TICK = 0.1  # seconds without looking whether the reader is still wanted
_AHEAD = 4096  # records read before they are asked for
_BATCH = 1024  # records handed out together


def is_stream(path: Path) -> bool:
    """Whether `path` can be read only once: ``-`` for standard input, a pipe or a FIFO."""
    try:
        return str(path) == "-" or stat.S_ISFIFO(path.stat().st_mode)
    except OSError:
        return False


def refuse_stream(path: Path, what: str) -> None:
    """Refuse a pipe where a file is read in no fixed order.

    Raises
    ------
    SourceError
        It is one.
    """
    if is_stream(path):
        raise SourceError(
            f"{path} is a pipe, and {what} is not read from front to back: write it to a file first"
        )


class _Pipe(io.RawIOBase):
    """Bytes of a descriptor; waits for them in slices, so that `stop` ends the wait."""

    def __init__(self, path: Path, stop: threading.Event) -> None:
        self._fd = os.dup(0) if str(path) == "-" else os.open(path, os.O_RDONLY)
        self._stop = stop

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
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


def open_stream(path: Path, stop: threading.Event, encoding: str = "utf-8-sig") -> io.TextIOWrapper:
    """Open what can be read only once, as text; a name that ends in ``.gz`` is unpacked.

    Raises
    ------
    SourceError
        It cannot be opened.
    """
    try:
        binary: Any = io.BufferedReader(_Pipe(path, stop))
    except OSError as e:
        raise SourceError(f"cannot read {path}: {e.strerror or e}") from None
    if path.suffix == ".gz":
        binary = gzip.GzipFile(fileobj=binary)
    return io.TextIOWrapper(binary, encoding=encoding, errors="surrogateescape", newline="")


class Background:
    """Runs an iterator that waits for its items in a thread of its own, and hands over what has come.

    Parameters
    ----------
    items
        The iterator.
    stop
        Set by `close`; an iterator that waits looks at it meanwhile.
    """

    def __init__(self, items: Iterator[Any], stop: threading.Event) -> None:
        self._stop = stop
        self._queue: queue.Queue[Any] = queue.Queue(_AHEAD)
        self._ended: BaseException | bool = False
        self._thread = threading.Thread(
            target=self._run, args=(items,), name="loco-stream input", daemon=True
        )
        self._thread.start()

    def _run(self, items: Iterator[Any]) -> None:
        end: Any = None
        try:
            for item in items:
                self._put((item,))
                if self._stop.is_set():
                    break
        except BaseException as error:  # raised again where the items are taken
            end = error
        self._put(end)

    def _put(self, item: Any) -> None:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=_TICK)
            except queue.Full:
                continue
            return

    def take(self) -> list[Any] | None:
        """Return what has come, an empty list if that is nothing within 0.1 s, None at the end.

        Raises what the iterator raised, when everything before it has been taken.
        """
        if self._ended:
            self._raise()
            return None
        taken: list[Any] = []
        try:
            while len(taken) < _BATCH:
                item = self._queue.get(not taken, _TICK)
                if not isinstance(item, tuple):
                    self._ended = item or True
                    return taken or self.take()
                taken.append(item[0])
        except queue.Empty:
            pass
        return taken

    def _raise(self) -> None:
        if isinstance(self._ended, BaseException):
            raise self._ended

    def close(self) -> None:
        """End the thread; what it read ahead is dropped."""
        self._stop.set()
        self._thread.join()
