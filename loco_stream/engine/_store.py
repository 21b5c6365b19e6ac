"""The durable state of an engine: checkpoints, and the log of the commits after the last one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from loco_stream._arrays import Array
from loco_stream._persistence.content import Config, Saved, State
from loco_stream._persistence.files import StrPath
from loco_stream._text import reason_of
from loco_stream.engine._checkpoint import (
    FLEET_HEADER,
    CheckpointWriter,
    foreign_files,
    locked,
    newest,
)
from loco_stream.engine._codec import decode_commit
from loco_stream.engine._wal import WriteAheadLog, pack_record, parse_durability
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.stream import Event

_CHECKPOINT_SECONDS = 60.0
_RETRY_SECONDS = 0.1

_log = logging.getLogger("loco_stream.engine.store")


class Store:
    """The checkpoint folder of a running engine.

    Raises `ConfigError` if the folder is in use, or does not fit `resume`.

    path: the folder; a `CheckpointFolder` is locked already
    resume: False refuses a used folder, True an empty one, None takes either
    every: rows between checkpoints
    durability: "batch", "interval:<seconds>s" or "off" for the write-ahead log

    Its attributes:
    is_used: whether an earlier run left files in the folder
    notes: a sentence per file or commit that was passed over
    set_aside_commits: numbers of the commits that cannot be learned
    """

    def __init__(self, path: StrPath, resume: bool | None, every: int, durability: str) -> None:
        interval = parse_durability(durability)
        self._folder = locked(path)
        self.is_used = self._folder.is_used
        try:
            self._check_content(resume)
        except ConfigError:
            if self._folder is not path:  # else whoever has locked it unlocks it
                self._folder.give_up()
            raise
        self._wal = None if interval is None else WriteAheadLog(self._folder.path, interval)
        self._writer = CheckpointWriter(self._folder, self._drop_log)
        self._replayed: tuple[int, bytes] = (0, b"")  # the last commit of `replay`
        self._every = every
        self._rows_since = 0
        self._saved_at = time.monotonic()
        self._log_alarm: str | None = None
        self.notes: list[str] = []
        self.note(foreign_files(self._folder.path))
        self.set_aside_commits = self._folder.set_aside_commits()

    def _check_content(self, resume: bool | None) -> None:
        path = self._folder.path
        is_fleet = not self.is_used and (path / FLEET_HEADER).exists()
        if not is_fleet and (resume is None or resume == self.is_used):
            return
        if is_fleet:
            raise ConfigError(f"{path} holds a fleet; an engine needs a folder of its own")
        if self.is_used:
            raise ConfigError(
                f"`resume` must be True or None for {path}, which holds an earlier run, got False",
                option="resume",
            )
        raise ConfigError(f"there is nothing to resume in {path}")

    @property
    def has_log(self) -> bool:
        """Whether commits are logged."""
        return self._wal is not None

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path

    @property
    def alarm(self) -> str | None:
        """Why rows or checkpoints are not durable at the moment; None if they are."""
        return self._log_alarm or (str(self._writer.error) if self._writer.error else None)

    @property
    def kept(self) -> str:
        """What is kept if the process ends now, in one clause."""
        rows = self._writer.written_rows
        if self._wal is not None:
            return "the checkpoints and the log are kept"
        if rows is None:
            return "no checkpoint was written"
        return f"nothing after the last checkpoint, at row {rows:,}, was kept"

    @property
    def age(self) -> float:
        """Seconds since the last checkpoint became durable, or since the start."""
        return time.monotonic() - (self._writer.written_at or self._saved_at)

    def load(self, settings: State) -> Saved:
        """Return the newest intact checkpoint; `notes` names those that were passed over.

        Raises `CheckpointError` if none is intact. Raises `ConfigError` if the run was begun with
        other settings.
        """
        file, saved, damage = newest(self._folder.path)
        self.note(f"{text}; an older checkpoint is used" for text in damage)
        stored = saved.config.get("settings", {})
        for name, value in settings.items():
            if name in stored and stored[name] != value:
                raise ConfigError(
                    f"{self._folder.path} was begun with {name} = {stored[name]!r}, so it cannot "
                    f"continue with {value!r}"
                )
        _log.info("resuming from %s", file)
        self._writer.written_rows = saved.config.get("n_samples")
        return saved

    def replay(self, after: int) -> Iterator[tuple[int, list[Event], Config, float]]:
        """Yield the logged commits after a checkpoint: number, events, cursor, time."""
        wal = WriteAheadLog(self._folder.path)
        for commit, payload in wal.replay(after):
            self._replayed = (commit, payload)
            yield commit, *decode_commit(payload)
        self.note(wal.notes)

    def set_aside(self, commit: int, error: Exception) -> None:
        """Move the commit that `replay` yielded last, which cannot be learned, to its own file."""
        number, payload = self._replayed
        assert number == commit
        path = self._folder.set_aside(commit, pack_record(commit, payload))
        self.set_aside_commits.add(commit)
        self.note(
            [f"commit {commit} of the log cannot be learned ({error!r}); it is set aside in {path}"]
        )

    def note(self, sentences: Iterable[str]) -> None:
        """Log sentences, and keep them for the report."""
        for sentence in sentences:
            if sentence not in self.notes:
                _log.warning("%s", sentence)
                self.notes.append(sentence)

    def log(
        self,
        commit: int,
        payload: bytes,
        hold: Callable[[float, str], bool],
    ) -> bool:
        """Log a commit; while the disk refuses, raise the alarm and retry ten times per second.

        `hold` gets the alarm, waits, and returns False if the engine was stopped. Then this
        returns False too, and the commit must not be learned.
        """
        if self._wal is None:
            return True
        while not self._try_to_log(self._wal, commit, payload):
            if not hold(_RETRY_SECONDS, self._log_alarm or ""):
                return False
        return True

    def _try_to_log(self, wal: WriteAheadLog, commit: int, payload: bytes) -> bool:
        try:
            self._folder.check()
            wal.append(commit, payload)
        except OSError as error:
            self._set_alarm(
                f"cannot write the log in {self._folder.path}, so nothing is acknowledged: "
                f"{reason_of(error)}"
            )
            return False
        if self._log_alarm is not None:
            _log.warning("the log in %s can be written again", self._folder.path)
            self._log_alarm = None
        return True

    def _set_alarm(self, alarm: str) -> None:
        if alarm != self._log_alarm:
            _log.error("%s", alarm)
        self._log_alarm = alarm

    def is_due(self, rows: int) -> bool:
        """Count rows; return whether it is time for a checkpoint and the last one is written."""
        self._rows_since += rows
        if self._rows_since == 0 or self._writer.is_busy:
            return False
        seconds = time.monotonic() - self._saved_at
        return self._rows_since >= self._every or seconds >= _CHECKPOINT_SECONDS

    def save(self, commit: int, config: State, arrays: Mapping[str, Array]) -> None:
        """Write a checkpoint in the background; the log continues in a new segment."""
        if self._wal is not None:
            try:
                self._wal.rotate()
            except OSError as error:
                self._set_alarm(f"cannot sync the log in {self._folder.path}: {reason_of(error)}")
        self._rows_since = 0
        self._saved_at = time.monotonic()
        self._writer.submit(commit, config, arrays)

    def flush(self) -> None:
        """Wait until the last checkpoint is durable.

        Raises `CheckpointError` if it could not be written.
        """
        self._writer.wait()
        if self._writer.error is not None:
            raise CheckpointError(str(self._writer.error))

    def finish(self) -> None:
        """Wait for the last checkpoint; a failure is only noted if the log holds the rest.

        Raises `CheckpointError` if it could not be written, and there is no log, or the log is
        gone together with the folder.
        """
        try:
            self.flush()
        except CheckpointError as error:
            if not self._folder.is_in_place:
                raise CheckpointError(
                    f"{self.path} was deleted, moved or replaced while the engine ran, so that "
                    "its last state is not saved there"
                ) from error
            if self._wal is None:
                raise
            self.note([f"{error}; the log holds the commits after the last checkpoint"])

    def close(self) -> None:
        """Finish writing and unlock the folder."""
        self._writer.wait()
        try:
            if self._wal is not None:
                self._wal.close()
        finally:
            self._folder.release()

    def _drop_log(self, oldest: int) -> None:
        WriteAheadLog(self._folder.path).drop_before(oldest + 1)
