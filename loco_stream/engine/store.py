"""What outlives the process: checkpoints, and the log of what came after the last one."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from loco_stream.engine.checkpoint import CheckpointFolder, Writer, newest, strangers
from loco_stream.engine.codec import decode_commit, encode_commit
from loco_stream.engine.wal import Log, pack_record, parse_durability
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.persistence.format import Saved
from loco_stream.stream import Event

__all__ = ["Store"]

_CHECKPOINT_SECONDS = 60.0
_RETRY_SECONDS = 0.1


class Store:
    """The checkpoint folder of one running engine.

    Parameters
    ----------
    path
        The folder.
    resume
        False refuses a used folder, True an empty one, None takes either.
    every
        Rows between checkpoints.
    durability
        "batch", "interval:<seconds>s" or "off" for the write-ahead log.
    """

    def __init__(
        self, path: str | os.PathLike[str], resume: bool | None, every: int, durability: str
    ) -> None:
        interval = parse_durability(durability)
        self._folder = CheckpointFolder(path)
        self.used = self._folder.used
        self._log = None if interval is None else Log(self._folder.path, interval)
        self._replayed: tuple[int, bytes] = (0, b"")
        self._writer = Writer(self._folder, self._drop_log)
        self._every = every
        self._rows_since = 0
        self._saved_at = time.monotonic()
        self.log_alarm: str | None = None
        self.notes = strangers(self._folder.path)
        self.set_aside_commits = self._folder.set_aside_commits()
        if resume is not None and resume != self.used:
            self._folder.release()
            raise ConfigError(
                f"{path} holds an earlier run: resume it, or name another folder"
                if self.used
                else f"there is nothing to resume in {path}"
            )

    @property
    def alarm(self) -> str | None:
        """What keeps rows or state from becoming durable; None when all is well."""
        return self.log_alarm or (str(self._writer.error) if self._writer.error else None)

    @property
    def age(self) -> float:
        """Seconds since the last checkpoint became durable, or since the start."""
        return time.monotonic() - (self._writer.written_at or self._saved_at)

    def load(self, settings: Mapping[str, Any]) -> Saved:
        """Return the newest sound checkpoint; `notes` tells which were passed over.

        Raises
        ------
        CheckpointError
            None is sound.
        ConfigError
            It was begun with other settings.
        """
        _, saved, damage = newest(self._folder.path)
        self._note(f"{text}; an older checkpoint is used" for text in damage)
        stored = saved.config.get("settings", {})
        for name, value in settings.items():
            if name in stored and stored[name] != value:
                raise ConfigError(
                    f"{self._folder.path} was begun with {name} = {stored[name]!r}, so it cannot go on with {value!r}"
                )
        return saved

    def replay(self, after: int) -> Iterator[tuple[int, list[Event], dict[str, Any], float]]:
        """Yield the logged commits after a checkpoint: number, events, position, time."""
        log = Log(self._folder.path)
        for commit, payload in log.replay(after):
            self._replayed = (commit, payload)
            yield commit, *decode_commit(payload)
        self._note(log.notes)

    def set_aside(self, commit: int, error: Exception) -> None:
        """Put the commit that `replay` yielded last into a file of its own.

        It cannot be learned.
        """
        number, payload = self._replayed
        assert number == commit
        path = self._folder.put_aside(commit, pack_record(commit, payload))
        self.set_aside_commits.add(commit)
        self._note(
            [f"commit {commit} of the log cannot be learned ({error!r}); it is set aside in {path}"]
        )

    def _note(self, sentences: Iterable[str]) -> None:
        self.notes += [sentence for sentence in sentences if sentence not in self.notes]

    def record(
        self,
        commit: int,
        events: Sequence[Event],
        position: Mapping[str, Any],
        now: float,
        stopped: Callable[[], bool],
    ) -> bool:
        """Log a commit; while the disk refuses, raise the alarm and try again ten times a second.

        Returns False if the engine was stopped first: the commit must then not be learned.
        """
        if self._log is None:
            return True
        payload = encode_commit(events, position, now)
        while True:
            try:
                self._folder.check()
                self._log.append(commit, payload)
            except OSError as error:
                reason = error.strerror or error
                self.log_alarm = f"cannot write the log in {self._folder.path}, so nothing is acknowledged: {reason}"
                if stopped():
                    return False
                time.sleep(_RETRY_SECONDS)
            else:
                self.log_alarm = None
                return True

    def due(self, rows: int) -> bool:
        """Count rows; True when it is time for a checkpoint and the last one is written."""
        self._rows_since += rows
        if self._rows_since == 0 or self._writer.busy:
            return False
        return (
            self._rows_since >= self._every
            or time.monotonic() - self._saved_at >= _CHECKPOINT_SECONDS
        )

    def save(
        self, commit: int, config: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
    ) -> None:
        """Write a checkpoint in the background; the log goes on in a new segment."""
        if self._log is not None:
            try:
                self._log.rotate()
            except OSError as error:
                self.log_alarm = (
                    f"cannot sync the log in {self._folder.path}: {error.strerror or error}"
                )
        self._rows_since, self._saved_at = 0, time.monotonic()
        self._writer.submit(commit, config, arrays)

    def flush(self) -> None:
        """Wait until the last checkpoint is durable.

        Raises
        ------
        CheckpointError
            It could not be written.
        """
        self._writer.wait()
        if self._writer.error is not None:
            raise CheckpointError(str(self._writer.error))

    def finish(self) -> None:
        """Wait for the last checkpoint.

        Where the log holds everything after an older one, a failure is only noted.

        Raises
        ------
        CheckpointError
            It could not be written, and there is no log.
        """
        try:
            self.flush()
        except CheckpointError as error:
            if self._log is None:
                raise
            self.notes.append(f"{error}; the log holds what came after the last checkpoint")

    def close(self) -> None:
        """Let go of the folder; what is being written gets done."""
        self._writer.wait()
        try:
            if self._log is not None:
                self._log.close()
        finally:
            self._folder.release()

    def _drop_log(self, oldest: int) -> None:
        Log(self._folder.path).drop_before(oldest + 1)
