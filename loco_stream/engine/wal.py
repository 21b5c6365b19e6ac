"""The write-ahead log: what was acknowledged is on disk before it is learned.

A log is a folder of segments ``log-<number of its first commit>.wal``, and ``log-newest`` with the number of the last
one begun, so that one that is gone is missed. Each segment is a row of records, little-endian::

    4 bytes  magic "LREC"
    u32      length of the payload
    u32      CRC-32 of commit number and payload
    u64      commit number, +1 a record
    payload  MessagePack of the commit (see `loco_stream.engine.codec`)
"""

from __future__ import annotations

import errno
import math
import os
import re
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.persistence.files import atomic_write

__all__ = ["DURABILITY", "Log", "pack_record", "parse_durability"]

_HEAD = struct.Struct("<4sIIQ")
_MAGIC = b"LREC"
_MAX_PAYLOAD = 1 << 30
_MARKER = "log-newest"

DURABILITY = {
    "batch": "every commit is on disk before it is acknowledged: nothing acknowledged is lost, not even by a power cut",
    "interval": "a killed process loses nothing; a power cut may lose the acknowledged rows of the last interval",
    "off": "no log: whatever ends the process loses the rows learned since the last checkpoint",
}


def parse_durability(text: str) -> float | None:
    """Seconds between syncs: 0 for "batch", s for "interval:<s>s", None for "off".

    Examples
    --------
    >>> parse_durability("batch"), parse_durability("interval:0.5s"), parse_durability("off")
    (0.0, 0.5, None)
    """
    if text in ("batch", "off"):
        return 0.0 if text == "batch" else None
    kind, _, seconds = text.partition(":")
    try:
        interval = float(seconds.removesuffix("s")) if kind == "interval" else -1.0
    except ValueError:
        interval = -1.0
    if not 0.0 < interval <= 3600.0:
        raise ConfigError(
            f"durability must be batch, interval:<seconds>s or off, for example interval:1s, not {text!r}"
        )
    return interval


class Log:
    """Append commits, sync them, read them back after a crash.

    Parameters
    ----------
    folder
        Where the segments are.
    interval
        Seconds between syncs; 0 syncs every commit, infinity leaves `sync` and `check` to the
        caller.

    Attributes
    ----------
    notes
        A sentence for each thing that `replay` found and went past.
    """

    def __init__(self, folder: Path, interval: float = 0.0) -> None:
        self._folder = folder
        self._interval = interval
        self._file: int | None = None
        self._good = 0  # bytes of the open segment that belong to complete records
        self._path = folder
        self._synced_at = time.monotonic()
        self.notes: list[str] = []

    def append(self, commit: int, payload: bytes) -> None:
        """Put one commit on disk as durably as the interval says.

        After an error nothing of the commit stays in the log and the next call starts a new
        segment: a failed fsync may have dropped pages that a second one would call safe.

        Raises
        ------
        OSError
            The disk is full or broken, or the segment was deleted meanwhile; the commit must not be
            learned.
        """
        record = pack_record(commit, payload)
        try:
            if self._file is None:
                self._open(commit)
            self._write(record)
            if self._interval < math.inf:
                if time.monotonic() - self._synced_at >= self._interval:
                    self.sync()
                self.check()
        except OSError:
            self._abandon()
            raise
        self._good += len(record)

    def sync(self) -> None:
        """Make everything appended so far durable."""
        if self._file is not None:
            _datasync(self._file)
        self._synced_at = time.monotonic()

    def check(self) -> None:
        """Raise `FileNotFoundError` if the open segment was deleted or moved.

        What is written to it is not kept.
        """
        if self._file is not None and not os.path.samestat(
            os.stat(self._path), os.fstat(self._file)
        ):
            raise FileNotFoundError(
                errno.ENOENT, "the open segment was replaced by another file", os.fspath(self._path)
            )

    def rotate(self) -> None:
        """Let the next commit start a new segment; a checkpoint was taken here."""
        if self._file is not None:
            self.sync()
            os.close(self._file)
            self._file = None

    def drop_before(self, commit: int) -> None:
        """Remove the segments that hold only commits before this one."""
        segments = self._segments()
        for (_, path), (following, _) in pairwise(segments):
            if following <= commit:
                path.unlink()

    def replay(self, after: int) -> Iterator[tuple[int, bytes]]:
        """Yield the commits after `after`.

        The end of a record that was being written when the process died is cut off. Any other
        unreadable end is put aside in a file, and `notes` says so.

        Raises
        ------
        CheckpointError
            A commit is missing or damaged though later ones were there: it was acknowledged, so it
            must not be skipped in silence.
        """
        expected = after + 1
        segments = [segment for segment in self._segments() if not self._is_copy(*segment)]
        self._require_newest(after, segments)
        for i, (first, path) in enumerate(segments):
            if i + 1 < len(segments) and segments[i + 1][0] <= expected:
                continue
            if first > expected:
                raise CheckpointError(
                    f"{self._folder} lacks the commits {expected} to {first - 1} before {path.name}"
                )
            for commit, payload in self._records(path):
                if commit > expected:
                    raise CheckpointError(
                        f"{path} is damaged: the acknowledged commit {expected} cannot be read"
                    )
                if commit == expected:
                    yield commit, payload
                    expected += 1

    def close(self) -> None:
        """Sync and let go of the open segment."""
        self.rotate()

    def _records(self, path: Path) -> Iterator[tuple[int, bytes]]:
        content = path.read_bytes()
        offset = 0
        while offset < len(content):
            record = _record(content, offset)
            if record is not None:
                yield record
                offset += _HEAD.size + len(record[1])
            elif (following := _next_record(content, offset + 1)) is not None:
                offset = (
                    following  # damage amid records: `replay` tells whether it needs what is lost
                )
            else:
                if not _is_torn(content[offset:]):
                    self._put_aside(path, offset, content[offset:])
                _cut(path, offset)
                return

    def _segments(self) -> list[tuple[int, Path]]:
        names = (
            (re.fullmatch(r"log-(\d{12})\.wal", path.name), path)
            for path in self._folder.glob("log-*.wal")
        )
        return sorted((int(match[1]), path) for match, path in names if match is not None)

    def _is_copy(self, number: int, path: Path) -> bool:
        """Whether a segment begins with another commit than its name says."""
        record = _record(path.read_bytes(), 0)
        if record is None or record[0] == number:
            return False
        self.notes.append(
            f"{path} begins with commit {record[0]}: it is a copy under a wrong name, and is not read"
        )
        return True

    def _require_newest(self, after: int, segments: Sequence[tuple[int, Path]]) -> None:
        """Miss the segment that was begun last; an older one is missed by the commits it lacks."""
        marker = self._folder / _MARKER
        try:
            newest = int(marker.read_text())
        except (OSError, ValueError):  # a log of version 0.1, or one that never began
            return
        if newest > after and all(number < newest for number, _ in segments):
            raise CheckpointError(
                f"{self._folder} lacks log-{newest:012d}.wal with the acknowledged commits from {newest} on; "
                f"put it back, or delete {marker} to go on without them"
            )

    def _put_aside(self, path: Path, offset: int, tail: bytes) -> None:
        aside = path.with_name(f"{path.name}.{offset}.damaged")
        atomic_write(aside, tail, mode=0o600)
        self.notes.append(
            f"the last {len(tail):,} bytes of {path}, about {max(1, tail.count(_MAGIC))} commits, cannot be read "
            f"and are kept in {aside}; rows in them that were acknowledged are lost to the model"
        )

    def _open(self, commit: int) -> None:
        path = self._folder / f"log-{commit:012d}.wal"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        self._file = os.open(path, flags, 0o600)
        self._path = path
        self._good = 0
        atomic_write(
            self._folder / _MARKER, b"%d\n" % commit, mode=0o600
        )  # makes the segment's name durable too

    def _write(self, record: bytes) -> None:
        assert self._file is not None
        written = os.write(self._file, record)
        while written < len(record):
            written += os.write(self._file, record[written:])

    def _abandon(self) -> None:
        """Leave only complete records in the segment; shrinking works on a full disk too."""
        if self._file is None:
            return
        try:
            os.ftruncate(self._file, self._good)
            _datasync(self._file)
        except OSError:
            pass  # the broken end is cut when the log is read
        os.close(self._file)
        self._file = None


def pack_record(commit: int, payload: bytes) -> bytes:
    """Return a commit as it stands in the log."""
    crc = zlib.crc32(payload, zlib.crc32(commit.to_bytes(8, "little")))
    return _HEAD.pack(_MAGIC, len(payload), crc, commit) + payload


def _is_torn(tail: bytes) -> bool:
    """Whether a tail is the beginning of one record: all that a killed process leaves."""
    if len(tail) < _HEAD.size:
        return tail.startswith(_MAGIC[: len(tail)])
    magic, length, _, _ = _HEAD.unpack_from(tail)
    whole = _HEAD.size + min(length, _MAX_PAYLOAD)
    return bool(magic == _MAGIC) and len(tail) < whole and tail.count(_MAGIC) == 1


def _record(content: bytes, offset: int) -> tuple[int, bytes] | None:
    """Return the commit at `offset`, or None if there is no whole, sound one."""
    if offset + _HEAD.size > len(content):
        return None
    magic, length, crc, commit = _HEAD.unpack_from(content, offset)
    begin = offset + _HEAD.size
    payload = content[begin : begin + length]
    if magic != _MAGIC or length > _MAX_PAYLOAD or len(payload) != length:
        return None
    if zlib.crc32(payload, zlib.crc32(commit.to_bytes(8, "little"))) != crc:
        return None
    return commit, payload


def _next_record(content: bytes, offset: int) -> int | None:
    """Return where the next sound record begins."""
    while (offset := content.find(_MAGIC, offset)) >= 0:
        if _record(content, offset) is not None:
            return offset
        offset += 1
    return None


def _cut(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def _datasync(descriptor: int) -> None:
    getattr(os, "fdatasync", os.fsync)(descriptor)  # macOS has no fdatasync
