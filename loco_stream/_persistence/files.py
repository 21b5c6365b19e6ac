"""Atomic writes of files, durable on disk.

A regular file is replaced in one step; a symbolic link stays and its target is replaced. A device
or a pipe is written to directly, and every other kind of path is refused.
"""

from __future__ import annotations

import errno
import glob
import os
import re
import secrets
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from loco_stream._numbers import shown
from loco_stream.errors import InputError

StrPath: TypeAlias = str | os.PathLike[str]

_REFUSED = {
    stat.S_IFDIR: (errno.EISDIR, "it is a folder; name a file"),
    stat.S_IFBLK: (errno.EINVAL, "it is a disk; name a file"),
    stat.S_IFSOCK: (errno.EINVAL, "it is a socket; name a file"),
}
_STALE_SECONDS = 3600.0  # no write takes that long


def path_name(path: object) -> str:
    """Return a path as text; raises `InputError` if it is none, or empty."""
    if not path or not isinstance(path, str | os.PathLike):
        raise InputError(f"`path` must be the path of a file, got {shown(path)}")
    return os.fspath(path)


def check_place(path: StrPath) -> None:
    """Refuse a path that `atomic_write` cannot write to; nothing is opened, created or changed.

    Raises `OSError` if the path is a folder, a disk or a socket, its folder is missing, or this
    user may not write there. Raises `InputError` if it is no path.

    Examples
    --------
    >>> check_place("report.json")
    >>> check_place(".")
    Traceback (most recent call last):
    IsADirectoryError: [Errno 21] it is a folder; name a file: '.'
    """
    name = path_name(path)
    kind = _kind(name)
    if kind in _REFUSED:
        number, text = _REFUSED[kind]
        raise OSError(number, text, name)
    folder = os.path.dirname(os.path.realpath(name))
    if not kind and not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, f"there is no folder {folder}", name)
    if not os.access(folder if kind in (0, stat.S_IFREG) else name, os.W_OK):
        raise PermissionError(errno.EACCES, "this user may not write there", name)


def atomic_write(path: StrPath, content: bytes, mode: int = 0o666) -> None:
    """Write a file completely and durably, or leave the old one.

    The steps are a temporary file, fsync, rename, and fsync of the folder.

    Raises `OSError` if `check_place` refuses the path, a pipe has no reader, or the operating
    system refuses.

    path: a new or a regular file, or a link to one; or a device, or a pipe with a reader, which is
        written to directly
    content: all bytes of the file
    mode: permissions of a new file, before the umask of the process; a replaced file keeps its own

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
    _remove_stale(target)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        _write_temporary(temporary, target, content, mode)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(target.parent)


def make_folder(folder: Path) -> list[Path]:
    """Make a folder and those above it that are missing; return those made, the folder first.

    A power cut does not undo it.

    Raises `OSError` if there is a file of this name, or the operating system refuses.
    """
    missing = [folder, *folder.parents]
    missing = missing[: next((i for i, one in enumerate(missing) if one.exists()), len(missing))]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise NotADirectoryError(errno.ENOTDIR, "it is a file", str(folder)) from None
    for one in missing:
        sync_folder(one.parent)
    return missing


def numbered_files(folder: Path, prefix: str, suffix: str) -> list[tuple[int, Path]]:
    """Return the files of a folder whose names are prefix, 12 digits and suffix, by number."""
    name = re.compile(rf"{re.escape(prefix)}(\d{{12}}){re.escape(suffix)}")
    found = ((name.fullmatch(path.name), path) for path in folder.glob(f"{prefix}*{suffix}"))
    return sorted((int(match[1]), path) for match, path in found if match is not None)


def sync_folder(folder: Path) -> None:
    """Make the entries of a folder durable; without it a power cut may undo a rename."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_temporary(temporary: Path, target: Path, content: bytes, mode: int) -> None:
    """Write and sync the temporary file, with the permissions of `target` if it exists."""
    # O_NOFOLLOW and O_EXCL: a link that somebody placed under this name is not followed
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    with open(os.open(temporary, flags, mode), "wb") as file:
        with suppress(FileNotFoundError):
            temporary.chmod(stat.S_IMODE(target.stat().st_mode))
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _kind(path: StrPath) -> int:
    """Return the type of the file at a path, a `stat.S_IF*` number; 0 if nothing is there."""
    try:
        return stat.S_IFMT(os.stat(path).st_mode)
    except FileNotFoundError:
        return 0


def _write_through(path: StrPath, content: bytes) -> None:
    # Without O_NONBLOCK, opening a pipe without a reader would wait for ever.
    flags = os.O_WRONLY | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "nobody reads from this pipe", os.fspath(path)) from error
        raise
    os.set_blocking(descriptor, True)
    with open(descriptor, "wb") as file:
        file.write(content)


def _remove_stale(target: Path) -> None:
    """Remove temporary files that a killed write of this file left."""
    for path in target.parent.glob(f".{glob.escape(target.name)}.*.tmp"):
        with suppress(FileNotFoundError, PermissionError):
            if time.time() - path.lstat().st_mtime > _STALE_SECONDS:
                path.unlink()
