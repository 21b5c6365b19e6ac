"""A folder of checkpoints: three are kept, a damaged one is passed over."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.persistence import format as persist

__all__ = ["KEPT", "CheckpointFolder", "Writer", "newest"]

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
            raise ConfigError(f"cannot use the checkpoint folder {self.path}: {error.strerror or error}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise ConfigError(
                f"the checkpoint folder {self.path} is in use by another engine; give each its own"
            ) from None

    @property
    def used(self) -> bool:
        """Whether an engine has left anything here."""
        return bool(_numbered(self.path)) or any(self.path.glob("log-*.wal"))

    def write(self, number: int, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> int:
        """Write a checkpoint and remove the oldest beyond three; returns the oldest number that is left."""
        persist.write(self.path / f"checkpoint-{number:012d}.loco", "checkpoint", config, arrays)
        files = _numbered(self.path)
        for _, path in files[:-KEPT]:
            path.unlink()
        return files[-KEPT:][0][0]

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
    for _, file in reversed(_numbered(Path(path))):
        try:
            return file, persist.read(file), damage
        except CheckpointError as error:
            damage.append(str(error))
    if damage:
        raise CheckpointError(f"no checkpoint in {os.fspath(path)} is sound: {damage[0]}")
    raise CheckpointError(f"there is no checkpoint in {os.fspath(path)}")


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
        self._folder, self._written = folder, written
        self._thread: threading.Thread | None = None
        self.error: CheckpointError | None = None
        self.written_at: float | None = None

    @property
    def busy(self) -> bool:
        """Whether the last checkpoint is still being written."""
        return self._thread is not None and self._thread.is_alive()

    def submit(self, number: int, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write in the background what nobody else will change; waits for the one before."""
        self.wait()
        self._thread = threading.Thread(target=self._run, args=(number, config, arrays), name="checkpoint", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return when nothing is being written."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self, number: int, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> None:
        try:
            self._written(self._folder.write(number, config, arrays))
        except (CheckpointError, OSError) as error:
            self.error = CheckpointError(str(error))
        else:
            self.error, self.written_at = None, time.monotonic()


def _numbered(path: Path) -> list[tuple[int, Path]]:
    files = ((file.stem.removeprefix("checkpoint-"), file) for file in path.glob("checkpoint-*.loco"))
    return sorted((int(number), file) for number, file in files if number.isdecimal())
