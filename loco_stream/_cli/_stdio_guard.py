"""Standard output and error that may be full, closed, or a pipe without a reader.

The engine continues in all three cases.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from loco_stream._cli._logging import report_error

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Stream(io.FileIO):
    """A descriptor that keeps its first write error and discards everything after it."""

    error: OSError | None = None

    def write(self, data: ReadableBuffer) -> int:
        """Write, and report success after an error too: no caller could handle it."""
        if self.error is None:
            try:
                return super().write(data)
            except OSError as error:
                self.error = error
        return memoryview(data).nbytes


@contextmanager
def guarded() -> Iterator[None]:
    """Guard the standard streams of the process while the block runs.

    If output was lost, one sentence is printed at the end and the exit code is 1. Streams that a
    test or a program has replaced are left alone.
    """
    if sys.stdout is not sys.__stdout__ or sys.stderr is not sys.__stderr__:
        yield
        return
    _open_missing()
    out, sys.stdout = _guard(1)
    _, sys.stderr = _guard(2)
    try:
        yield
    finally:
        sys.stdout.flush()
        if out.error is not None:
            if out.error.errno != errno.EPIPE:  # the reader, for example `| head`, is done
                report_error(f"cannot write to standard output: {out.error.strerror}")
            raise SystemExit(1)


def _open_missing() -> None:
    """Open descriptors that were closed at the start, so that no file gets their numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            with suppress(OSError):
                os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


def _guard(number: int) -> tuple[_Stream, io.TextIOWrapper]:
    raw = _Stream(number, "w", closefd=False)
    line_buffering = number == 2 or os.isatty(number)
    encoding = "utf-8"
    errors = "surrogateescape" if number == 1 else "backslashreplace"
    old = sys.__stdout__ if number == 1 else sys.__stderr__
    if old is not None:
        encoding = old.encoding
        errors = old.errors or errors
    return raw, io.TextIOWrapper(
        io.BufferedWriter(raw), encoding, errors, line_buffering=line_buffering
    )
