"""A folder of checkpoints: three are kept, a damaged one is passed over."""

from __future__ import annotations

import errno
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.persistence import format as persist

__all__ = ["KEPT", "CheckpointFolder", "Writer", "newest", "strangers"]

KEPT = 3


class CheckpointFolder:
    """Checkpoints of one engine, numbered by the commit they hold.

    Parameters
    ----------
    path
        The folder; it is made if needed and belongs to one engine at a time.

    Raises
    ------
    ConfigError
        Another engine works in it, or it cannot be made.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(
                f"cannot use the checkpoint folder {self.path}: {error.strerror or error}"
            ) from error
        try:
            _lock(self._lock, self.path)
        except ConfigError:
            os.close(self._lock)
            raise
        for left_over in self.path.glob(".checkpoint-*.tmp"):  # a killed engine was writing it
            left_over.unlink()

    @property
    def used(self) -> bool:
        """Whether an engine has left anything here."""
        return bool(_numbered(self.path)) or any(self.path.glob("log-*.wal"))

    def check(self) -> None:
        """Raise `FileNotFoundError` if the folder is not the one that was opened.

        What is written would be lost.
        """
        try:
            there = os.path.samestat(os.stat(self.path / "lock"), os.fstat(self._lock))
        except OSError:
            there = False
        if not there:
            raise FileNotFoundError(
                errno.ENOENT,
                "it was deleted, moved or replaced while the engine runs; put it back, or stop the engine",
            )

    def write(
        self, number: int, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> int:
        """Write a checkpoint and remove the oldest beyond three.

        Returns the oldest number that is left.
        """
        self.check()
        persist.write(
            self.path / f"checkpoint-{number:012d}.loco", "checkpoint", config, arrays, mode=0o600
        )
        files = [
            file for file in _numbered(self.path) if file[0] <= number
        ]  # not a stray copy that claims more
        for _, path in files[:-KEPT]:
            path.unlink()
        return files[-KEPT:][0][0]

    def put_aside(self, commit: int, record: bytes) -> Path:
        """Keep a commit that cannot be learned in a file, in the format of the log."""
        path = self.path / f"commit-{commit:012d}.refused"
        persist.atomic_write(path, record, mode=0o600)
        return path

    def set_aside_commits(self) -> set[int]:
        """Return the numbers of the commits that were put aside."""
        names = (
            re.fullmatch(r"commit-(\d{12})\.refused", file.name)
            for file in self.path.glob("commit-*.refused")
        )
        return {int(match[1]) for match in names if match is not None}

    def release(self) -> None:
        """Let another engine use the folder."""
        os.close(self._lock)


def newest(path: str | os.PathLike[str]) -> tuple[Path, persist.Saved, list[str]]:
    """Return the newest sound checkpoint of a folder, and a sentence for each damaged one passed over.

    Raises
    ------
    CheckpointError
        There is none.
    """
    damage: list[str] = []
    for number, file in reversed(_numbered(Path(path))):
        try:
            saved = persist.read(file)
        except CheckpointError as error:
            damage.append(str(error))
            continue
        if saved.config.get("commit", number) == number:
            return file, saved, damage
        damage.append(
            f"{file} holds commit {saved.config['commit']}: it is a copy under a wrong name"
        )
    if damage:
        raise CheckpointError(f"no checkpoint in {os.fspath(path)} is sound: {damage[0]}")
    alone = "; a log alone cannot be learned: put the checkpoint it began from back, or name an empty folder"
    has_log = any(Path(path).glob("log-*.wal"))
    raise CheckpointError(f"there is no checkpoint in {os.fspath(path)}{alone if has_log else ''}")


class Writer:
    """Writes checkpoints in a thread, so that learning goes on meanwhile.

    Parameters
    ----------
    folder
        Where to.
    written
        Called in that thread with the oldest number left, once a checkpoint is durable.
    """

    def __init__(self, folder: CheckpointFolder, written: Callable[[int], None]) -> None:
        self._folder = folder
        self._written = written
        self._thread: threading.Thread | None = None
        self.error: CheckpointError | None = None
        self.written_at: float | None = None

    @property
    def busy(self) -> bool:
        """Whether the last checkpoint is still being written."""
        return self._thread is not None and self._thread.is_alive()

    def submit(
        self, number: int, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """Write in the background what nobody else will change; waits for the one before."""
        self.wait()
        self._thread = threading.Thread(
            target=self._run, args=(number, config, arrays), name="checkpoint", daemon=True
        )
        self._thread.start()

    def wait(self) -> None:
        """Return when nothing is being written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(
        self, number: int, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        try:
            self._written(self._folder.write(number, config, arrays))
        except (CheckpointError, OSError) as error:
            self.error = CheckpointError(str(error))
        else:
            self.error, self.written_at = None, time.monotonic()


def strangers(path: Path) -> list[str]:
    """Return a sentence for each file that looks like one of the engine's and is none."""
    own = re.compile(r"(checkpoint-\d{12}\.loco|log-\d{12}\.wal(\.\d+\.damaged)?)")
    files = sorted([*path.glob("checkpoint-*"), *path.glob("log-*.wal*")])
    return [
        f"{file} is not a file of the engine and is not read"
        for file in files
        if not own.fullmatch(file.name)
    ]


def _numbered(path: Path) -> list[tuple[int, Path]]:
    files = (
        (re.fullmatch(r"checkpoint-(\d{12})\.loco", file.name), file)
        for file in path.glob("checkpoint-*.loco")
    )
    return sorted((int(match[1]), file) for match, file in files if match is not None)


def _lock(descriptor: int, folder: Path) -> None:
    """Keep other engines out until the descriptor is closed, by whatever ends the process."""
    try:
        import fcntl
    except ImportError:
        raise ConfigError(
            f"a checkpoint folder needs file locks, which {sys.platform} lacks: run without"
        ) from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ConfigError(
            f"the checkpoint folder {folder} is in use by another engine; give each its own"
        ) from None
