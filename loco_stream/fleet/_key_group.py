"""A key group on disk: its evicted models and the log of rows learned since the last checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from loco_stream._text import reason_of
from loco_stream.engine._checkpoint import CheckpointFolder
from loco_stream.engine._wal import WriteAheadLog, pack_record
from loco_stream.errors import CheckpointError
from loco_stream.fleet._model_store import ModelStore
from loco_stream.fleet._rows import Key, KeyRows


class KeyGroup:
    """One directory, which one process at a time works in.

    Raises `ConfigError` if another process works in the directory. Raises `CheckpointError` if its
    files are damaged.

    path: the directory; it is created if absent
    number: number of the group

    Its attributes:
    commit: number of the last commit in the log
    rows_since: rows logged since the last checkpoint
    """

    def __init__(self, path: Path, number: int = 0) -> None:
        self.number = number
        self._folder = CheckpointFolder(path)
        try:
            self._models = ModelStore(path / "models.db")
        except BaseException:
            self._folder.release()
            raise
        self.get = self._models.get
        self.put = self._models.put
        self.keys = self._models.keys
        self.count = self._models.count
        self._log = WriteAheadLog(path, math.inf)  # the shard syncs it, once for all rows of a call
        self.commit = self._models.commit_number
        self.rows_since = 0
        self.saved_at = time.monotonic()
        self._refused = self._folder.set_aside_commits()
        self.notes = self._log.notes

    def replay(self) -> Iterator[KeyRows]:
        """Yield the rows logged after the last checkpoint."""
        for commit, payload in self._log.replay(self.commit):
            rows = KeyRows.decode(payload)
            self.commit = commit
            self.rows_since += max(len(rows), 1)  # a reset has no row, but changes a model
            if commit not in self._refused:
                yield rows

    def set_aside(self, rows: KeyRows, error: Exception) -> str:
        """Move the rows appended or replayed last, which raised `error`, into a file of their own.

        Returns a sentence about it.
        """
        path = self._folder.set_aside(self.commit, pack_record(self.commit, rows.encode()))
        return (
            f"rows of key {rows.key!r} cannot be learned ({error!r}); they are set aside in {path}"
        )

    def append(self, rows: int, payload: bytes) -> None:
        """Log rows before they are learned.

        Raises `CheckpointError` if the log cannot be written; the rows must not be learned.
        """
        try:
            self._log.append(self.commit + 1, payload)
        except OSError as error:
            raise self._disk_error(error) from error
        self.commit += 1
        self.rows_since += rows

    def sync(self) -> None:
        """Make everything appended durable.

        Raises `CheckpointError` if the log cannot be written, or the directory is gone.
        """
        try:
            self._folder.check()
            self._log.sync()
            self._log.check()
        except OSError as error:
            raise self._disk_error(error) from error

    def checkpoint(self, models: Iterable[tuple[Key, bytes]]) -> None:
        """Store the models that changed, and drop the log before them."""
        self.sync()
        self._models.checkpoint(self.commit, models)
        try:
            self._log.rotate()
            self._log.drop_before(self.commit + 1)
        except OSError as error:
            raise self._disk_error(error) from error
        self.rows_since = 0
        self.saved_at = time.monotonic()

    def close(self) -> None:
        """Sync the log and release the directory."""
        try:
            self._log.close()
        finally:
            self._models.close()
            self._folder.release()

    def _disk_error(self, error: OSError) -> CheckpointError:
        return CheckpointError(f"cannot write the log in {self._folder.path}: {reason_of(error)}")
