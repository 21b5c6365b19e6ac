"""Lines of a text file that grows and is rotated, and the cursor of its reader."""

from __future__ import annotations

import os
import stat
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

from loco_stream.errors import LocoStreamWarning

_TICK = 0.1  # seconds between two looks at a file that does not grow
_CHUNK = 1 << 16
_HEAD = 1024  # first bytes, by which a file is recognised under another name
_MAX_LOOKS = 10  # before a file counts as gone: while it is renamed it may be seen under no name


@dataclass(frozen=True, slots=True)
class FileCursor:
    """Position of a reader in a file.

    Parameters
    ----------
    inode
        Number of the file.
    offset
        Bytes of the file that were read.
    head
        CRC-32 of the first of these bytes, at most 1024; identifies a copy of the file.
    after
        Time of the last write to the previous file, in ns since 1970: older files are done.
    """

    inode: int
    offset: int
    head: int
    after: int


def start_of(path: Path) -> FileCursor | None:
    """Return the cursor at the start of a file; None if there is no file."""
    try:
        return FileCursor(path.stat().st_ino, offset=0, head=0, after=0)
    except FileNotFoundError:
        return None


def first_line(path: Path, limit: int, encoding: str = "utf-8-sig") -> str:
    """Return the first line of a file that is not blank; "" if it is not written yet.

    Warns if there is no file yet.
    """
    try:
        with path.open(encoding=encoding, errors="surrogateescape", newline="") as file:
            line = "\n"
            while line.endswith("\n") and not line.strip():
                line = file.readline(limit)
    except FileNotFoundError:
        message = f"there is no file {path} yet: waiting for it"
        warnings.warn(message, LocoStreamWarning, stacklevel=2)
        return ""
    return line if line.endswith("\n") or len(line) == limit else ""


class FileFollower:
    """Lines of a file that grows, through rotation by renaming or by copying and truncating.

    The next file is opened when it is not empty and the previous one was read to its end. Rotated
    files are searched in the same folder, under the name of the file and a dot or dash; compressed
    ones are not read.

    Parameters
    ----------
    path
        The file that is written to.
    stop
        Ends the wait for a line when it is set.
    cursor
        Where to continue; None starts at the beginning of `path`.
    encoding
        Of the text; a line must end with the byte 10 in it.
    on_loss
        Called with a sentence when a file was gone before it was read to its end.

    Attributes
    ----------
    cursor
        Where to continue after the lines that were used so far.
    """

    def __init__(
        self,
        path: Path,
        stop: threading.Event,
        cursor: FileCursor | None = None,
        *,
        encoding: str = "utf-8",
        on_loss: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._path = path
        self._stop = stop
        self._encoding = encoding
        self._on_loss = on_loss
        self._fd = -1
        self._inode = 0
        self._offset = 0
        self._after = 0
        self._head = b""
        self._lines: deque[bytes] = deque()
        self._partial = b""
        self._start = cursor
        self.cursor = cursor
        self._unused: deque[FileCursor] = deque()  # cursors after lines that were read and not used
        self._n_looks = 0  # in vain, for the file to continue in
        self._candidate = 0  # inode of what looked like the next file the last time

    def use(self) -> None:
        """Move `cursor` after the next of the lines that were read."""
        self.cursor = self._unused.popleft()

    def readline(self, limit: int) -> str:
        """Wait for the next line and return it, or its first `limit` bytes; "" when stopped."""
        while not self._lines:
            if len(self._partial) >= limit:
                return self._partial[:limit].decode(self._encoding, "surrogateescape")
            if not self._fill() and self._stop.wait(_TICK):
                return ""
        return self._next_line()

    def _next_line(self) -> str:
        """Return the next line of the file, the first one without a byte order mark."""
        is_first = self._offset == 0
        raw = self._lines.popleft()
        self._offset += len(raw)
        line = raw.decode(self._encoding, "surrogateescape")
        if is_first:
            line = line.removeprefix("\ufeff")
        head = crc32(self._head[: self._offset])
        self._unused.append(FileCursor(self._inode, self._offset, head, self._after))
        return line

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _fill(self) -> bool:
        """Read more, from the next file if this one is finished; False if there is nothing."""
        if self._fd < 0:
            return self._open_first()
        chunk = self._read()
        if chunk is None:
            return self._continue_in_copy()
        if chunk:
            *lines, self._partial = (self._partial + chunk).split(b"\n")
            self._lines.extend(line + b"\n" for line in lines)
            return True
        following = self._next_file()
        if following is None:
            return False
        if self._partial:  # the end of a finished file ends its last line
            self._lines.append(self._partial)
            self._partial = b""
            return True
        return self._open(following, 0, os.fstat(self._fd).st_mtime_ns)

    def _read(self) -> bytes | None:
        """Return the next bytes; None if the open file is not the one that was read so far."""
        at = self._offset + len(self._partial)
        chunk = os.pread(self._fd, _CHUNK, at)
        # Compared after reading, so that the bytes read are those of the right file.
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
        self._fd = fd
        self._inode = os.fstat(fd).st_ino
        self._head = os.pread(fd, min(offset, _HEAD), 0)
        self._offset = offset
        self._after = after
        self._n_looks = 0
        self._candidate = 0
        return True

    def _open_first(self) -> bool:
        """Open the file of the cursor, or `path` without a cursor."""
        cursor = self._start
        if cursor is None:
            return self._open(self._path, 0, 0)
        files = [file for file in self._files() if file.has(cursor)]
        same = [f for f in files if f.inode == cursor.inode and f.mtime >= cursor.after]
        # before the first byte is read, any file looks like a copy
        copies = [f for f in files if f.mtime > cursor.after] if cursor.offset else []
        for file in same + copies:
            return self._open(file.path, cursor.offset, cursor.after)
        if not self._is_lost(f"the file that was read up to byte {cursor.offset} is gone"):
            return False
        newer = [file for file in self._files() if file.mtime > cursor.after]
        return self._open(newer[0].path if newer else self._path, 0, cursor.after)

    def _continue_in_copy(self) -> bool:
        """Find the rest of the open file, which was truncated, in the copy made of it before."""
        at = self._offset + len(self._partial)
        cursor = FileCursor(0, at, crc32(self._head), self._after)
        for file in self._files():
            if file.inode != self._inode and file.mtime > self._after and file.has(cursor):
                self._partial = b""
                return self._open(file.path, self._offset, self._after)
        if not self._is_lost(f"the file was truncated after byte {at}, and there is no copy of it"):
            return False
        self._partial = b""
        return self._open(self._path, 0, self._after)

    def _is_lost(self, what: str) -> bool:
        """Whether the file was searched often enough; `on_loss` is then called."""
        self._n_looks += 1
        if self._n_looks < _MAX_LOOKS:
            return False
        self._on_loss(f"{what}: rows of {self._path} may be missing")
        return True

    def _next_file(self) -> Path | None:
        """Return the file after the open one, once two looks in a row agree on it.

        A single look may miss a file that is being renamed.
        """
        own = os.fstat(self._fd).st_mtime_ns
        files = self._files()
        if any(f.inode == self._inode and f.path == self._path for f in files):
            return None
        later = [
            file
            for file in files
            if file.inode != self._inode
            and file.size
            and (file.mtime > own or file.path == self._path)
        ]
        seen = self._candidate
        self._candidate = later[0].inode if later else 0
        return later[0].path if later and seen == self._candidate else None

    def _files(self) -> list[_File]:
        """Return the rotated files in order of their last write, then the file itself."""
        return sorted(
            _find_files(self._path), key=lambda file: (file.path == self._path, file.mtime)
        )


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    inode: int
    size: int
    mtime: int

    def has(self, cursor: FileCursor) -> bool:
        """Whether the file begins with what was read up to `cursor`."""
        if self.size < cursor.offset:
            return False
        try:
            with self.path.open("rb") as file:
                return crc32(file.read(min(cursor.offset, _HEAD))) == cursor.head
        except OSError:
            return False


def _find_files(path: Path) -> Iterator[_File]:
    for found in path.parent.iterdir():
        name = found.name
        is_rotated = name.startswith((f"{path.name}.", f"{path.name}-"))
        if name != path.name and (not is_rotated or name.endswith(".gz")):
            continue
        try:
            status = found.stat()
        except OSError:  # renamed meanwhile
            continue
        if stat.S_ISREG(status.st_mode):
            yield _File(found, status.st_ino, status.st_size, status.st_mtime_ns)
