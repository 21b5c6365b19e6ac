"""A file system that forgets what was not synced, as a disk does when its power is cut.

Usage: python -m tests.helpers.power_loss MOUNTPOINT

It keeps everything in memory, and beside each file the content of its last fsync, beside each
folder the names of its last fsync. Making the folder `cut-power` cuts the power: files and folders
go back to that. A file that was created, renamed or removed without an fsync of its folder is as it
was before.
"""

from __future__ import annotations

import errno
import itertools
import stat
import sys
import threading
import time
from typing import Any

import mfusepy as fuse

CUT = "cut-power"


class File:
    """A file: its content, and the content that is on the disk."""

    def __init__(self, mode: int) -> None:
        self.mode = mode
        self.content = bytearray()
        self.synced = b""

    def cut(self) -> None:
        self.content = bytearray(self.synced)


class Folder:
    """A folder: its entries, and those on the disk."""

    def __init__(self, mode: int) -> None:
        self.mode = mode
        self.content: dict[str, File | Folder] = {}
        self.synced: dict[str, File | Folder] = {}

    def cut(self) -> None:
        self.content = dict(self.synced)
        for entry in self.content.values():
            entry.cut()


class ForgetfulFileSystem(fuse.Operations):
    """Files in memory; see the module."""

    use_ns = True

    def __init__(self) -> None:
        self._root = Folder(stat.S_IFDIR | 0o755)
        self._open: dict[int, File] = {}
        self._handles = itertools.count(1)
        self._lock = threading.RLock()

    def _find(self, path: str) -> File | Folder:
        entry: File | Folder = self._root
        for name in filter(None, path.split("/")):
            if not isinstance(entry, Folder) or name not in entry.content:
                raise fuse.FuseOSError(errno.ENOENT)
            entry = entry.content[name]
        return entry

    def _parent(self, path: str) -> tuple[Folder, str]:
        above, _, name = path.rpartition("/")
        folder = self._find(above)
        if not isinstance(folder, Folder):
            raise fuse.FuseOSError(errno.ENOTDIR)
        return folder, name

    def _file(self, path: str, handle: int | None) -> File:
        entry = self._open.get(handle or 0) or self._find(path)
        if not isinstance(entry, File):
            raise fuse.FuseOSError(errno.EISDIR)
        return entry

    # What libfuse calls

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        with self._lock:
            entry = self._open.get(fh or 0) or self._find(path)
            size = len(entry.content) if isinstance(entry, File) else 0
            now = time.time_ns()
            times = dict.fromkeys(("st_mtime", "st_atime", "st_ctime"), now)
            return {"st_mode": entry.mode, "st_nlink": 1, "st_size": size, **times}

    def readdir(self, path: str, fh: int) -> list[str]:
        with self._lock:
            folder = self._find(path)
            assert isinstance(folder, Folder)
            return [".", "..", *folder.content]

    def mkdir(self, path: str, mode: int) -> int:
        with self._lock:
            folder, name = self._parent(path)
            if name == CUT:
                self._root.cut()
                raise fuse.FuseOSError(errno.EIO)
            if name in folder.content:
                raise fuse.FuseOSError(errno.EEXIST)
            folder.content[name] = Folder(stat.S_IFDIR | mode)
        return 0

    def rmdir(self, path: str) -> int:
        return self.unlink(path)

    def unlink(self, path: str) -> int:
        with self._lock:
            folder, name = self._parent(path)
            if folder.content.pop(name, None) is None:
                raise fuse.FuseOSError(errno.ENOENT)
        return 0

    def rename(self, old: str, new: str) -> int:
        with self._lock:
            (source, name), (target, renamed) = self._parent(old), self._parent(new)
            if name not in source.content:
                raise fuse.FuseOSError(errno.ENOENT)
            target.content[renamed] = source.content.pop(name)
        return 0

    def create(self, path: str, mode: int, fi: object = None) -> int:
        with self._lock:
            folder, name = self._parent(path)
            folder.content[name] = File(stat.S_IFREG | mode)
            return self.open(path, 0)

    def open(self, path: str, flags: int) -> int:
        with self._lock:
            handle = next(self._handles)
            self._open[handle] = self._file(path, None)
            return handle

    def release(self, path: str, fh: int) -> int:
        with self._lock:
            self._open.pop(fh, None)
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        with self._lock:
            return bytes(self._file(path, fh).content[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        with self._lock:
            content = self._file(path, fh).content
            content.extend(bytes(max(0, offset - len(content))))
            content[offset : offset + len(data)] = data
            return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        with self._lock:
            content = self._file(path, fh).content
            content.extend(bytes(max(0, length - len(content))))
            del content[length:]
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        with self._lock:
            file = self._file(path, fh)
            file.synced = bytes(file.content)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        with self._lock:
            folder = self._find(path)
            assert isinstance(folder, Folder)
            folder.synced = dict(folder.content)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        with self._lock:
            entry = self._find(path)
            entry.mode = stat.S_IFMT(entry.mode) | mode
        return 0

    def utimens(self, path: str, times: object = None) -> int:
        return 0

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": 4096, "f_blocks": 1 << 20, "f_bavail": 1 << 19, "f_bfree": 1 << 19}


if __name__ == "__main__":
    uncached = {"attr_timeout": 0, "entry_timeout": 0, "negative_timeout": 0}
    fuse.FUSE(ForgetfulFileSystem(), sys.argv[1], foreground=True, **uncached)
