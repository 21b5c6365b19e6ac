"""A text file that grows and is rotated, line by line, and where its reader stands."""

from __future__ import annotations

import os
import stat
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from loco_stream.errors import LocoStreamWarning

__all__ = ["FollowedFile", "Place", "first_line"]

_TICK = 0.1  # seconds between two looks at a file that does not grow
_CHUNK = 1 << 16
_HEAD = 1024  # first bytes, by which a file is recognised under another name
_PATIENCE = (
    10  # looks before a file counts as gone: it may be seen under no name while it is renamed
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where in which file a reader stands.

    Parameters
    ----------
    inode
        The file's number.
    offset
        Bytes of it that were handed out.
    head
        CRC-32 of the first of these bytes, at most 1024: by them a copy is recognised.
    after
        When the file before this one was written last, in nanoseconds since 1970: older ones are
        done with.
    """

    inode: int
    offset: int
    head: int
    after: int


def first_line(path: Path, limit: int, encoding: str = "utf-8-sig") -> str:
    """Return the first line of a file.

    Waits until there is one, and warns where there is no such file yet.
    """
    if not path.exists():
        warnings.warn(
            f"there is no file {path} yet: waiting for it", LocoStreamWarning, stacklevel=2
        )
    while True:
        try:
            with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
                line = file.readline(limit)
        except FileNotFoundError:
            line = ""
        if line.endswith("\n") or len(line) == limit:
            return line
        time.sleep(_TICK)


class FollowedFile:
    """Lines of a file that grows, through rotation by renaming or by copying and truncating.

    The next file is begun when it holds something and the one before is read to its end. Rotated
    files are looked for beside the file, under its name and a dot or a dash; compressed ones are
    not read.

    Parameters
    ----------
    path
        The file that is written to.
    stop
        Ends the wait for a line when it is set.
    place
        Where to go on; None begins at the start of `path`.
    header
        What each file may begin with, and what is not handed out.
    encoding
        Of the text; one in which a line ends with the byte 10.
    on_loss
        Called with a sentence when a file was gone before it was read to its end.

    Attributes
    ----------
    place
        Where to go on behind the lines that were used so far.
    """

    def __init__(
        self,
        path: Path,
        stop: threading.Event,
        place: Place | None = None,
        *,
        header: str = "",
        encoding: str = "utf-8",
        on_loss: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._stop = stop
        self._encoding = encoding
        self._header = header.strip()
        self._on_loss = on_loss
        self._fd = -1
        self._inode = 0
        self._offset = self._after = 0
        self._head = b""
        self._lines: deque[bytes] = deque()
        self._partial = b""
        self._start = self.place = place
        self._handed: deque[Place] = (
            deque()
        )  # the places behind the lines whose use is not known yet
        self._looks = 0  # in vain for the file to go on in
        self._following = 0  # the file that seemed to be the next one at the last look

    def use(self) -> None:
        """Move `place` behind the next of the lines that were handed out.

        It is known what it belongs to.
        """
        self.place = self._handed.popleft()

    def readline(self, limit: int) -> str:
        """Return the next line, or its first `limit` bytes.

        Waits for it, and returns nothing when stopped.
        """
        while True:
            while not self._lines:
                if len(self._partial) >= limit:
                    return self._partial[:limit].decode(self._encoding, "surrogateescape")
                if not self._fill() and self._stop.wait(_TICK):
                    return ""
            first = self._offset == 0
            raw = self._lines.popleft()
            self._offset += len(raw)
            line = raw.decode(self._encoding, "surrogateescape").removeprefix(
                "\ufeff" if first else ""
            )
            if not (first and line.strip() == self._header != ""):
                known = crc32(self._head[: self._offset])
                self._handed.append(Place(self._inode, self._offset, known, self._after))
                return line

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _fill(self) -> bool:
        """Read on, in the next file where this one is over; False while nothing is to be read."""
        if self._fd < 0:
            return self._begin()
        chunk = self._read()
        if chunk is None:
            return self._go_on_in_copy()
        if chunk:
            *lines, self._partial = (self._partial + chunk).split(b"\n")
            self._lines.extend(line + b"\n" for line in lines)
            return True
        following = self._next()
        if following is None:
            return False
        if self._partial:  # a file that is over ends its last line
            self._lines.append(self._partial)
            self._partial = b""
            return True
        return self._open(following, 0, os.fstat(self._fd).st_mtime_ns)

    def _read(self) -> bytes | None:
        """Return what follows in the open file.

        None where it is no longer the file that was read so far.
        """
        at = self._offset + len(self._partial)
        chunk = os.pread(self._fd, _CHUNK, at)
        # Compared after reading: what was read is then of the file it should be.
        if os.fstat(self._fd).st_size < at or os.pread(self._fd, len(self._head), 0) != self._head:
            return None
        if at == len(self._head):
            self._head += chunk[: _HEAD - at]
        return chunk

    def _open(self, path: Path, offset: int, after: int) -> bool:
        try:
            fd = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        self.close()
        self._fd, self._inode = fd, os.fstat(fd).st_ino
        self._head = os.pread(fd, min(offset, _HEAD), 0)
        self._offset = offset
        self._after = after
        self._looks = self._following = 0
        return True

    def _begin(self) -> bool:
        """Open the first file: where the place says, or the one at the path."""
        place = self._start
        if place is None:
            return self._open(self._path, 0, 0)
        files = self._files()
        same = [
            f for f in files if f.inode == place.inode and f.mtime >= place.after and f.has(place)
        ]
        copies = [f for f in files if f.mtime > place.after and f.has(place)]
        for file in same + copies:
            return self._open(file.path, place.offset, place.after)
        if not self._is_lost(f"the file that was read up to byte {place.offset} is gone"):
            return False
        files = [f for f in files if f.mtime > place.after]
        return self._open(files[0].path if files else self._path, 0, place.after)

    def _go_on_in_copy(self) -> bool:
        """Find the rest of the open file, which was truncated, in the copy that was made of it before."""
        at = self._offset + len(self._partial)
        place = Place(0, at, crc32(self._head), self._after)
        for file in self._files():
            if file.inode != self._inode and file.mtime > self._after and file.has(place):
                self._partial = b""
                return self._open(file.path, self._offset, self._after)
        if not self._is_lost(f"the file was truncated after byte {at}, and there is no copy of it"):
            return False
        self._partial = b""
        return self._open(self._path, 0, self._after)

    def _is_lost(self, what: str) -> bool:
        """Whether the file was looked for often enough; says so then."""
        self._looks += 1
        if self._looks < _PATIENCE:
            return False
        self._on_loss(f"{what}: rows of {self._path} may be missing")
        return True

    def _next(self) -> Path | None:
        """Return the file after the open one, if it was so at the last look.

        One that is renamed may be overlooked.
        """
        own = os.fstat(self._fd).st_mtime_ns
        files = self._files()
        if any(f.inode == self._inode and f.path == self._path for f in files):
            return None
        later = [
            f
            for f in files
            if f.inode != self._inode and f.size and (f.mtime > own or f.path == self._path)
        ]
        following = later[0] if later else None
        seen = self._following
        self._following = following.inode if following else 0
        return following.path if following is not None and seen == following.inode else None

    def _files(self) -> list[_File]:
        """Return the rotated files, the one written last at their end, and the file itself."""
        return sorted(_files(self._path), key=lambda file: (file.path == self._path, file.mtime))


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    inode: int
    size: int
    mtime: int

    def has(self, place: Place) -> bool:
        """Whether the file begins with what was read up to `place`."""
        if self.size < place.offset:
            return False
        try:
            with self.path.open("rb") as file:
                return crc32(file.read(min(place.offset, _HEAD))) == place.head
        except OSError:
            return False


def _files(path: Path) -> Iterator[_File]:
    for found in path.parent.iterdir():
        name = found.name
        if name != path.name and (
            not name.startswith((f"{path.name}.", f"{path.name}-")) or name.endswith(".gz")
        ):
            continue
        try:
            status = found.stat()
        except OSError:  # renamed meanwhile
            continue
        if stat.S_ISREG(status.st_mode):
            yield _File(found, status.st_ino, status.st_size, status.st_mtime_ns)
