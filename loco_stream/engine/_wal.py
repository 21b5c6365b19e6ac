"""The write-ahead log: commits are on disk before they are learned and acknowledged.

A log is a folder of segments ``log-<number of its first commit>.wal``, and a file ``log-newest``
with the number of the last segment, so that its loss is detected. Each segment is a sequence of
records, little-endian::

    4 bytes  magic "LREC"
    u32      length of the payload
    u32      CRC-32 of commit number and payload
    u64      commit number, one more than in the record before
    payload  MessagePack of the commit (see `loco_stream.engine._codec`)
"""

from __future__ import annotations

import errno
import math
import os
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest
from pathlib import Path

from loco_stream._persistence.files import atomic_write, numbered_files
from loco_stream._text import counted, reason_of
from loco_stream.errors import CheckpointError, ConfigError

_HEAD = struct.Struct("<4sIIQ")
_MAGIC = b"LREC"
_MAX_PAYLOAD = 1 << 30
_MARKER = "log-newest"

DURABILITY = {
    "batch": "every commit is on disk before it is acknowledged: no acknowledged row is lost, not "
    "even in a power cut",
    "interval": "a killed process loses nothing; a power cut may lose the rows acknowledged in the "
    "last interval",
    "off": "no log: if the process ends, the rows learned since the last checkpoint are lost "
    "unless the source delivers them again",
}
"""What each mode of durability promises."""


def parse_durability(text: str) -> float | None:
    """Return the seconds between syncs: 0 for "batch", s for "interval:<s>s", None for "off".

    Examples
    --------
    >>> parse_durability("batch"), parse_durability("interval:0.5s"), parse_durability("off")
    (0.0, 0.5, None)
    """
    if text in ("batch", "off"):
        return 0.0 if text == "batch" else None
    kind, _, seconds = str(text).partition(":")
    try:
        interval = float(seconds.removesuffix("s")) if kind == "interval" else -1.0
    except ValueError:
        interval = -1.0
    if not 0.0 < interval <= 3600.0:
        raise ConfigError(
            "`durability` must be batch, interval:<seconds>s or off, for example interval:1s, "
            f"got {text!r}"
        )
    return interval


class WriteAheadLog:
    """Appends commits, syncs them, and reads them back after a crash.

    folder: folder of the segments
    interval: seconds between syncs; 0 syncs every commit, infinity leaves `sync` and `check` to the
        caller

    Its attributes:
    notes: a sentence per part of the log that `replay` passed over
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
        """Append one commit, and sync it if the interval is over.

        After an error nothing of the commit stays in the log, and the next call starts a new
        segment: a failed fsync may have dropped pages that a second one would report as safe.

        Raises `OSError` if the disk is full or broken, or the segment was deleted: the commit must
        not be learned.
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
        """Make everything appended durable."""
        if self._file is not None:
            _datasync(self._file)
        self._synced_at = time.monotonic()

    def check(self) -> None:
        """Raise `FileNotFoundError` if the open segment was deleted or moved."""
        if self._file is not None and not os.path.samestat(
            os.stat(self._path), os.fstat(self._file)
        ):
            raise FileNotFoundError(
                errno.ENOENT, "the open segment was replaced by another file", os.fspath(self._path)
            )

    def rotate(self) -> None:
        """Start a new segment with the next commit: a checkpoint was taken here."""
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

        A record that was incomplete when the process ended is truncated. Any other unreadable end
        is moved to a file of its own, with a note.

        Raises `CheckpointError` if a commit is missing or damaged, but later ones are there: it was
        acknowledged, so it must not be skipped. Also if a segment cannot be read or truncated.
        """
        try:
            yield from self._replay(after)
        except OSError as error:
            place = error.filename or self._folder
            raise CheckpointError(
                f"cannot read the log: {os.fspath(place)}: {reason_of(error)}"
            ) from error

    def _replay(self, after: int) -> Iterator[tuple[int, bytes]]:
        expected = after + 1
        segments = [segment for segment in self._segments() if not self._is_copy(*segment)]
        self._require_newest(after, segments)
        following = [first for first, _ in segments[1:]]
        for (first, path), next_first in zip_longest(segments, following):
            if next_first is not None and next_first <= expected:
                continue
            if first > expected:
                raise CheckpointError(
                    f"{self._folder} lacks the commits {expected} to {first - 1} before "
                    f"{path.name}; {self._ways_on(path, expected)}"
                )
            for commit, payload in self._records_from(path, expected):
                yield commit, payload
                expected = commit + 1

    def close(self) -> None:
        """Sync and close the open segment."""
        self.rotate()

    def _records_from(self, path: Path, expected: int) -> Iterator[tuple[int, bytes]]:
        """Yield the records of a segment from a commit on, none of which may be missing."""
        begin = expected
        for commit, payload in self._records(path):
            if commit > expected:
                raise CheckpointError(
                    f"{path} is damaged: the acknowledged commit {expected} cannot be read; "
                    f"{self._ways_on(path, begin)}"
                )
            if commit == expected:
                yield commit, payload
                expected += 1

    def _ways_on(self, path: Path, lost: int) -> str:
        """Return what an operator can do about a segment that cannot be learned."""
        later = " and the later ones" if path != self._segments()[-1][1] else ""
        return (
            f"restore the log from a backup, or move {path.name}{later} and {_MARKER} away to "
            f"continue without the commits from {lost} on"
        )

    def _records(self, path: Path) -> Iterator[tuple[int, bytes]]:
        content = path.read_bytes()
        offset = 0
        while offset < len(content):
            record = _record(content, offset)
            if record is not None:
                yield record
                offset += _HEAD.size + len(record[1])
            elif (following := _next_record(content, offset + 1)) is not None:
                offset = following  # damage between records: `replay` checks whether it matters
            else:
                if not _is_torn(content[offset:]):
                    self._move_tail(path, offset, content[offset:])
                _truncate(path, offset)
                return

    def _segments(self) -> list[tuple[int, Path]]:
        return numbered_files(self._folder, "log-", ".wal")

    def _is_copy(self, number: int, path: Path) -> bool:
        """Return whether a segment begins with another commit than that of its name."""
        record = _record(path.read_bytes(), 0)
        if record is None or record[0] == number:
            return False
        self.notes.append(
            f"{path} begins with commit {record[0]}: it is a copy under a wrong name, and not read"
        )
        return True

    def _require_newest(self, after: int, segments: Sequence[tuple[int, Path]]) -> None:
        """Raise if the segment that was begun last is gone; gaps reveal the loss of others."""
        marker = self._folder / _MARKER
        try:
            newest = int(marker.read_text())
        except (OSError, ValueError):  # no segment was begun
            return
        if newest > after and all(number < newest for number, _ in segments):
            raise CheckpointError(
                f"{self._folder} lacks log-{newest:012d}.wal with the acknowledged commits from "
                f"{newest} on; put it back, or delete {marker} to continue without them"
            )

    def _move_tail(self, path: Path, offset: int, tail: bytes) -> None:
        """Copy an unreadable end of a segment to a file of its own."""
        kept = path.with_name(f"{path.name}.{offset}.damaged")
        atomic_write(kept, tail, mode=0o600)
        commits = counted(max(1, tail.count(_MAGIC)), "commit")
        self.notes.append(
            f"the last {len(tail):,} bytes of {path}, about {commits}, cannot be read and are kept "
            f"in {kept}; acknowledged rows in them are not learned"
        )

    def _open(self, commit: int) -> None:
        path = self._folder / f"log-{commit:012d}.wal"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        self._file = os.open(path, flags, 0o600)
        self._path = path
        self._good = 0
        # syncs the folder, and so makes the name of the segment durable too
        atomic_write(self._folder / _MARKER, b"%d\n" % commit, mode=0o600)

    def _write(self, record: bytes) -> None:
        assert self._file is not None
        written = os.write(self._file, record)
        while written < len(record):
            written += os.write(self._file, record[written:])

    def _abandon(self) -> None:
        """Keep only complete records in the segment; truncating works on a full disk too."""
        if self._file is None:
            return
        try:
            os.ftruncate(self._file, self._good)
            _datasync(self._file)
        except OSError:
            pass  # `replay` truncates the incomplete end
        os.close(self._file)
        self._file = None


def pack_record(commit: int, payload: bytes) -> bytes:
    """Return the record of a commit."""
    crc = zlib.crc32(payload, zlib.crc32(commit.to_bytes(8, "little")))
    return _HEAD.pack(_MAGIC, len(payload), crc, commit) + payload


def _is_torn(tail: bytes) -> bool:
    """Return whether a tail is the beginning of one record, as a killed process leaves it."""
    if len(tail) < _HEAD.size:
        return tail.startswith(_MAGIC[: len(tail)])
    magic, length, _, _ = _HEAD.unpack_from(tail)
    whole = _HEAD.size + min(length, _MAX_PAYLOAD)
    return bool(magic == _MAGIC) and len(tail) < whole and tail.count(_MAGIC) == 1


def _record(content: bytes, offset: int) -> tuple[int, bytes] | None:
    """Return the commit at `offset`; None if there is no complete, intact one."""
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
    """Return the offset of the next intact record."""
    while (offset := content.find(_MAGIC, offset)) >= 0:
        if _record(content, offset) is not None:
            return offset
        offset += 1
    return None


def _truncate(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def _datasync(descriptor: int) -> None:
    getattr(os, "fdatasync", os.fsync)(descriptor)  # macOS has no fdatasync
