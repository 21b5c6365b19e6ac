"""The folder of checkpoints: the last three are kept, and a damaged one is passed over."""

from __future__ import annotations

import errno
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from loco_stream._arrays import Array
from loco_stream._persistence import format as persist
from loco_stream._persistence.content import Saved, State
from loco_stream._persistence.files import StrPath, atomic_write, make_folder, numbered_files
from loco_stream._text import reason_of
from loco_stream.errors import CheckpointError, ConfigError

KEPT = 3
FLEET_HEADER = "fleet.json"  # file in the folder of a fleet

_log = logging.getLogger("loco_stream.engine.checkpoint")


class CheckpointFolder(os.PathLike[str]):
    """Checkpoints of one engine, numbered by the commit that they hold.

    It stands for its path, so that the folder can be locked before there is an engine. If a `with`
    block fails that left it empty, it is removed unless it was there before.

    Raises `ConfigError` if another engine works in the folder, or it cannot be created.

    `path`: the folder. It is created if needed, and locked: one engine at a time works in it.
    """

    def __init__(self, path: StrPath) -> None:
        if not path or not isinstance(path, str | os.PathLike):
            raise ConfigError(f"`checkpoint` must be the path of a folder, got {path!r:.60}")
        self.path = Path(path)
        try:
            self._made = make_folder(self.path)
            lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise ConfigError(
                f"cannot use the checkpoint folder {self.path}: {reason_of(error)}"
            ) from error
        try:
            _lock(lock, self.path)
        except ConfigError:
            os.close(lock)
            raise
        self._lock: int | None = lock
        for stale in self.path.glob(".checkpoint-*.tmp"):  # of an engine that was killed
            with suppress(OSError):  # it costs nothing but its bytes
                stale.unlink()

    def __fspath__(self) -> str:
        return os.fspath(self.path)

    def __enter__(self) -> CheckpointFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None:
            self.give_up()
        self.release()

    def _remove_if_empty(self) -> None:
        if self._made and os.listdir(self.path) == ["lock"]:
            (self.path / "lock").unlink()
            for folder in self._made:
                folder.rmdir()

    @property
    def is_locked(self) -> bool:
        """Whether it was not released."""
        return self._lock is not None

    @property
    def is_used(self) -> bool:
        """Whether an engine has left files here."""
        return bool(_numbered(self.path)) or any(self.path.glob("log-*.wal"))

    @property
    def is_in_place(self) -> bool:
        """Whether its path still leads to the folder that was locked."""
        assert self._lock is not None
        try:
            return os.path.samestat(os.stat(self.path / "lock"), os.fstat(self._lock))
        except OSError:
            return False

    def check(self) -> None:
        """Raise `FileNotFoundError` if the folder was replaced: writes to it would be lost."""
        if not self.is_in_place:
            raise FileNotFoundError(
                errno.ENOENT,
                "the folder was deleted, moved or replaced while the engine runs; put it back, or "
                "stop the engine",
            )

    def write(self, number: int, config: State, arrays: Mapping[str, Array]) -> int:
        """Write a checkpoint and remove the oldest beyond three; return the oldest number left."""
        self.check()
        path = self.path / f"checkpoint-{number:012d}.loco"
        persist.write(path, "checkpoint", config, arrays, mode=0o600)
        files = [file for file in _numbered(self.path) if file[0] <= number]  # no stray copies
        for _, old in files[:-KEPT]:
            old.unlink()
        return files[-KEPT:][0][0]

    def set_aside(self, commit: int, record: bytes) -> Path:
        """Keep a commit that cannot be learned in a file of its own, in the format of the log."""
        path = self.path / f"commit-{commit:012d}.refused"
        atomic_write(path, record, mode=0o600)
        return path

    def set_aside_commits(self) -> set[int]:
        """Return the numbers of the commits that were set aside."""
        return {number for number, _ in numbered_files(self.path, "commit-", ".refused")}

    def give_up(self) -> None:
        """Unlock the folder after an error, and remove it if it is empty and was not there."""
        if self._lock is not None:
            with suppress(OSError):  # others use it
                self._remove_if_empty()
        self.release()

    def release(self) -> None:
        """Unlock the folder for another engine."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def locked(path: StrPath) -> CheckpointFolder:
    """Return a folder that is locked already, and else lock it."""
    if isinstance(path, CheckpointFolder) and path.is_locked:
        return path
    return CheckpointFolder(path)


def newest(path: StrPath) -> tuple[Path, Saved, list[str]]:
    """Return the newest intact checkpoint of a folder, and a sentence per damaged one.

    Raises `CheckpointError` if there is none.
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
    raise CheckpointError(_no_checkpoint(path, damage))


def _no_checkpoint(path: StrPath, damage: list[str]) -> str:
    if damage:
        return f"no checkpoint in {os.fspath(path)} is intact: {damage[0]}"
    text = f"there is no checkpoint in {os.fspath(path)}"
    if not any(Path(path).glob("log-*.wal")):
        return text
    return (
        f"{text}; a log alone cannot be learned: put back the checkpoint that it began from, or "
        "name an empty folder"
    )


class CheckpointWriter:
    """Writes checkpoints in a thread, so that learning continues meanwhile.

    folder: where the checkpoints are
    written: called in that thread, once a checkpoint is durable, with the oldest number left

    Its attributes:
    error: why the last checkpoint could not be written, or None
    written_at: monotonic time of the last durable checkpoint, or None
    written_rows: rows learned up to the last durable checkpoint, or None
    """

    def __init__(self, folder: CheckpointFolder, written: Callable[[int], None]) -> None:
        self._folder = folder
        self._written = written
        self._thread: threading.Thread | None = None
        self.error: CheckpointError | None = None
        self.written_at: float | None = None
        self.written_rows: int | None = None

    @property
    def is_busy(self) -> bool:
        """Whether the last checkpoint is still being written."""
        return self._thread is not None and self._thread.is_alive()

    def submit(self, number: int, config: State, arrays: Mapping[str, Array]) -> None:
        """Write a checkpoint in the background, after the one before; nothing may change it."""
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

    def _run(self, number: int, config: State, arrays: Mapping[str, Array]) -> None:
        began = time.monotonic()
        try:
            self._written(self._folder.write(number, config, arrays))
        except (CheckpointError, OSError) as error:
            reason = reason_of(error)
            self.error = CheckpointError(reason)
            _log.warning("checkpoint %d could not be written: %s", number, reason)
        else:
            self.error = None
            self.written_at = time.monotonic()
            self.written_rows = config.get("n_samples")
            seconds = self.written_at - began
            _log.info("checkpoint %d in %s took %.2f s", number, self._folder.path, seconds)


def foreign_files(path: Path) -> list[str]:
    """Return a sentence per file whose name resembles one of the engine's."""
    own = re.compile(r"(checkpoint-\d{12}\.loco|log-\d{12}\.wal(\.\d+\.damaged)?)")
    files = sorted([*path.glob("checkpoint-*"), *path.glob("log-*.wal*")])
    return [
        f"{file} is not a file of the engine and is not read"
        for file in files
        if not own.fullmatch(file.name)
    ]


def _numbered(path: Path) -> list[tuple[int, Path]]:
    return numbered_files(path, "checkpoint-", ".loco")


def _lock(descriptor: int, folder: Path) -> None:
    """Lock a folder until the descriptor is closed, also by the end of the process."""
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
