"""Writing files whole or not at all, and nothing in the place of what is no file.

A regular file is replaced in one step; a link leads to the file that is replaced. A device or a
pipe is written to as it is, and everything else is refused.
"""

from __future__ import annotations

import errno
import glob
import os
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["atomic_write", "check_place", "sync_folder"]

_REFUSED = {
    stat.S_IFDIR: (errno.EISDIR, "it is a folder; name a file"),
    stat.S_IFBLK: (errno.EINVAL, "it is a disk; name a file"),
    stat.S_IFSOCK: (errno.EINVAL, "it is a socket; name a file"),
}
_LEFT_OVER_SECONDS = 3600.0  # no write takes that long


def check_place(path: str | os.PathLike[str]) -> None:
    """Refuse a place that `atomic_write` cannot write to; nothing is opened, made or changed.

    Raises
    ------
    OSError
        A folder, a disk or a socket is there, its folder is missing, or this user may not write
        there.

    Examples
    --------
    >>> check_place("report.json")
    >>> check_place(".")
    Traceback (most recent call last):
    IsADirectoryError: [Errno 21] it is a folder; name a file: '.'
    """
    name = os.fspath(path)
    kind = _kind(name)
    if kind in _REFUSED:
        number, text = _REFUSED[kind]
        raise OSError(number, text, name)
    folder = os.path.dirname(os.path.realpath(name))
    if not kind and not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {folder}", name)
    if not os.access(folder if kind in (0, stat.S_IFREG) else name, os.W_OK):
        raise PermissionError(errno.EACCES, "this user may not write there", name)


def atomic_write(path: str | os.PathLike[str], content: bytes, mode: int = 0o666) -> None:
    """Write a file whole and durable, or leave the old one.

    Temporary file, fsync, rename, fsync of the folder.

    Parameters
    ----------
    path
        A new or a regular file, or a link to one. A device or a pipe with a reader is written
        through.
    content
        All of it.
    mode
        Permissions of a new file, before the process's umask; one that is replaced keeps its own.

    Raises
    ------
    OSError
        As `check_place` tells, a pipe without a reader, or the system refuses.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "notes.txt"
    >>> atomic_write(path, b"whole")
    >>> path.read_bytes()
    b'whole'
    """
    check_place(path)
    if _kind(path) not in (0, stat.S_IFREG):
        _write_through(path, content)
        return
    target = Path(os.path.realpath(path))
    _sweep(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    flags = (
        os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    )  # no link that somebody laid there
    try:
        with open(os.open(temporary, flags, mode), "wb") as file:
            with suppress(FileNotFoundError):
                temporary.chmod(stat.S_IMODE(target.stat().st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable; a rename alone may be lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _kind(path: str | os.PathLike[str]) -> int:
    """Return the type of what a path leads to, as `stat.S_IFMT` names it; 0 for nothing."""
    try:
        return stat.S_IFMT(os.stat(path).st_mode)
    except FileNotFoundError:
        return 0


def _write_through(path: str | os.PathLike[str], content: bytes) -> None:
    try:
        descriptor = os.open(
            path, os.O_WRONLY | getattr(os, "O_NONBLOCK", 0)
        )  # do not wait for a reader for ever
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "nobody reads from this pipe", os.fspath(path)) from error
        raise
    os.set_blocking(descriptor, True)
    with open(descriptor, "wb") as file:
        file.write(content)


def _sweep(target: Path) -> None:
    """Remove what a write of this file left over when it was killed."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with suppress(FileNotFoundError, PermissionError):
            if time.time() - path.lstat().st_mtime > _LEFT_OVER_SECONDS:
                path.unlink()
