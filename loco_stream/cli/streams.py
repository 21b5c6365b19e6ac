"""Standard output and error that may be full, closed or left by their reader.

The engine goes on all the same.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["guarded"]


class _Stream(io.FileIO):
    """A descriptor whose first failure to write is kept, and nothing is written after it."""

    error: OSError | None = None

    def write(self, data: ReadableBuffer) -> int:
        """Write, or say so although nothing was: nobody above can do anything about it."""
        if self.error is None:
            try:
                return super().write(data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes


@contextmanager
def guarded() -> Iterator[None]:
    """Guard the process's standard streams.

    At the end, one sentence and exit code 1 if output was lost.

    Where a test or a program has put its own streams in their place, nothing is done.
    """
    if sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
        yield
        return
    _fill_gaps()
    out, sys.stdout = _guard(1)
    _, sys.stderr = _guard(2)
    try:
        yield
    finally:
        sys.stdout.flush()
        if out.error is not None:
            if out.error.errno != errno.EPIPE:  # `| head` has what it wanted
                print(
                    f"loco-stream: cannot write to standard output: {out.error.strerror}",
                    file=sys.stderr,
                )
            raise SystemExit(1)


def _fill_gaps() -> None:
    """Open what was closed at the start, or the next file opened would be taken for standard output."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


def _guard(number: int) -> tuple[_Stream, io.TextIOWrapper]:
    raw = _Stream(number, "w", closefd=False)
    line_buffering = number == 2 or os.isatty(number)
    encoding, errors = (
        ("utf-8", "surrogateescape") if number == 1 else ("utf-8", "backslashreplace")
    )
    old = sys.__stdout__ if number == 1 else sys.__stderr__
    if old is not None:
        encoding = old.encoding
        errors = old.errors or errors
    return raw, io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors, line_buffering=line_buffering
    )
