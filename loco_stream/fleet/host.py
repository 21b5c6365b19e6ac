"""The key groups that one process works on, and as many of their models in memory as it has room for."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from loco_stream.errors import CheckpointError, ConfigError, InputError, LocoStreamError
from loco_stream.fleet.group import Group
from loco_stream.fleet.keyed_model import KeyedModel, Maker
from loco_stream.fleet.rows import LABELS, Key, Label, Rows, Said, Table, Values, group_of

__all__ = ["Answer", "Host", "HostOptions"]

_CHECKPOINT_SECONDS = 60.0
_PATIENCE = 30.0  # seconds until whoever held a group before has let go of it


@dataclass(frozen=True, slots=True)
class HostOptions:
    """Settings of a host; see `Fleet`.

    `sync_seconds` is the longest time between syncs of the logs.
    """

    key_groups: int
    max_resident: int
    checkpoint_every: int
    sync_seconds: float


@dataclass(slots=True)
class Answer:
    """What became of some rows.

    What was said of each, how many had been learned before, why they were refused.

    Of late labels, `n_repeated` are those whose row does not wait. `alarms` are the records of
    drifts and tasks that they brought, where the key is watched.
    """

    said: Said
    n_repeated: int = 0
    refusal: str | None = None
    alarms: Said = ()


class Host:
    """Learns rows of many keys, exactly once each, and keeps them.

    Parameters
    ----------
    folder
        Where the groups have their folders.
    maker
        Makes the models.
    options
        Bounds.
    """

    def __init__(self, folder: Path, maker: Maker, options: HostOptions) -> None:
        self._folder = folder
        self._maker = maker
        self._options = options
        self._groups: dict[int, Group] = {}
        self._models: OrderedDict[Key, KeyedModel] = (
            OrderedDict()
        )  # those in memory, used last at the end
        self._unsynced: set[int] = set()
        self._together = ThreadPoolExecutor(16)  # a file system makes many files durable in one go
        self._synced_at = time.monotonic()
        self.notes: list[str] = []

    @property
    def synced(self) -> bool:
        """Whether all that was learned is durable."""
        return not self._unsynced

    def learn(self, batch: Iterable[Rows], predicts: bool) -> list[Answer]:
        """Learn rows, each once: those that were learned before are only answered.

        Raises
        ------
        CheckpointError
            The disk refuses: the rows at hand and those after them were not learned.
        """
        now = time.monotonic()
        answers = [self._learn(rows, predicts, now) for rows in batch]
        if self._options.sync_seconds <= now - self._synced_at:
            self.sync()
        return answers

    def predict(self, key: Key, X: Table, features: Iterable[Hashable] | None) -> list[Label]:
        """Predict rows of a key without learning; None for each of a key that has no model."""
        keyed = self._place(key)[1]
        return [None] * len(X) if keyed is None else keyed.predict(X, features)

    def values(self, key: Key, X: Table, features: Sequence[Hashable]) -> Values:
        """Return what `KeyedModel.values` does of a key; None if it has no model."""
        keyed = self._place(key)[1]
        return None if keyed is None else keyed.values(X, features)

    def find(self, key: Key) -> KeyedModel:
        """Return a key's model; raises `InputError` if there is none."""
        keyed = self._place(key)[1]
        if keyed is None:
            raise InputError(f"key {key!r} has no model: no row of it was learned")
        return keyed

    def keys(self, number: int) -> set[Key]:
        """Return the keys of a group that have a model."""
        return {*self.open(number).keys(), *self._of(number)}

    def open(self, number: int) -> Group:
        """Take a group, and learn again what its log holds after its last checkpoint.

        Rows that raise while they are learned are set aside, and the group is opened anew without
        them: nobody knows what half of them left behind.
        """
        while number not in self._groups:
            group = self._groups[number] = _take(self._folder / f"group-{number:04d}", number)
            self._replay(number, group)
        return self._groups[number]

    def _replay(self, number: int, group: Group) -> None:
        try:
            for rows in group.replay():
                try:
                    self._apply(self._find(group, rows.key), rows, False)
                except InputError:
                    continue  # refused then as now
                except (LocoStreamError, MemoryError):
                    raise
                except Exception as error:
                    self.notes.append(group.set_aside(rows, error))
                    self._drop(number)
                    return
        except BaseException:
            self._drop(number)
            raise
        self.notes += group.notes

    def _drop(self, number: int) -> None:
        """Let go of a group without storing its models: its log holds what is missing."""
        if (group := self._groups.pop(number, None)) is not None:
            self._unsynced.discard(number)
            for key in self._of(number):
                del self._models[key]
            group.close()

    def release(self, numbers: Iterable[int]) -> None:
        """Make groups durable and let another process have them."""
        for number in numbers:
            try:
                if (group := self._groups.get(number)) is not None and group.rows_since:
                    self._checkpoint(group)
            finally:
                self._drop(number)

    def checkpoint(self) -> None:
        """Store every model that changed."""
        for group in self._groups.values():
            if group.rows_since:
                self._checkpoint(group)

    def sync(self) -> None:
        """Make everything learned so far durable in the logs."""
        if self._unsynced:
            list(
                self._together.map(
                    lambda number: self._groups[number].sync(), sorted(self._unsynced)
                )
            )
        self._unsynced.clear()
        self._synced_at = time.monotonic()

    def close(self) -> None:
        """Store everything and let go of all groups."""
        self.release(list(self._groups))
        self._together.shutdown()

    def abandon(self) -> None:
        """Let go of all groups without storing models: the logs hold what is missing."""
        for number in list(self._groups):
            self._drop(number)

    def _learn(self, rows: Rows, predicts: bool, now: float) -> Answer:
        if not len(rows):
            return Answer(())
        group, keyed = self._place(rows.key)
        n_repeated = 0 if keyed is None else keyed.n_repeated(rows)
        said: Said = ()
        if keyed is not None and n_repeated:
            if predicts:
                said = keyed.predict(rows.X[:n_repeated], rows.features)
            if n_repeated == len(rows):
                return Answer(said, n_repeated)
            rows = rows.part(slice(n_repeated, None))
        if rows.kind == LABELS and keyed is None:
            return Answer([None] * len(rows), len(rows))
        try:
            payload = rows.encode()
        except CheckpointError as error:  # the log cannot hold them
            return Answer(said, n_repeated, str(error))
        group.append(len(rows), payload)
        self._unsynced.add(group.number)
        try:
            new = self._apply(keyed, rows, predicts)
            said = [*said, *new] if n_repeated else new
        except InputError as error:
            return Answer(said, n_repeated, str(error))
        except (LocoStreamError, MemoryError):
            self._drop(group.number)
            raise
        except Exception as error:
            self.notes.append(group.set_aside(rows, error))
            self._drop(group.number)
            return Answer(said, n_repeated, self.notes[-1])
        if (
            group.rows_since >= self._options.checkpoint_every
            or group.saved_at < now - _CHECKPOINT_SECONDS
        ):
            self._checkpoint(group)
        if rows.kind == LABELS:
            n_repeated = said.count(None)
        return Answer(said, n_repeated, None, self._models[rows.key].alarms)

    def _apply(self, keyed: KeyedModel | None, rows: Rows, predicts: bool) -> Said:
        if keyed is not None:
            return keyed.learn(rows, predicts)
        keyed = self._maker.fresh(rows)
        said = keyed.learn(rows, predicts)
        self._keep(rows.key, keyed)  # not before it has learned: refused rows make no model
        return said

    def _place(self, key: Key) -> tuple[Group, KeyedModel | None]:
        """Return a key's group, and its model if it has one."""
        keyed = self._models.get(key)
        if keyed is None:
            group = self.open(group_of(key, self._options.key_groups))
            return group, self._find(
                group, key
            )  # it may be in memory now: the log was learned again
        self._models.move_to_end(key)
        return self._groups[keyed.group], keyed

    def _find(self, group: Group, key: Key) -> KeyedModel | None:
        keyed = self._models.get(key)
        if keyed is not None:
            self._models.move_to_end(key)
            return keyed
        content = group.get(key)
        return None if content is None else self._keep(key, self._maker.wake(key, content))

    def _keep(self, key: Key, keyed: KeyedModel) -> KeyedModel:
        """Take a model into memory; the one that was not used for longest goes to rest."""
        keyed.group = group_of(key, self._options.key_groups)
        self._models[key] = keyed
        if len(self._models) > self._options.max_resident:
            oldest, model = self._models.popitem(last=False)
            if model.changed:
                self._groups[model.group].put(oldest, model.to_bytes(oldest))
        return keyed

    def _of(self, number: int) -> list[Key]:
        return [key for key, keyed in self._models.items() if keyed.group == number]

    def _checkpoint(self, group: Group) -> None:
        changed = [
            (key, self._models[key]) for key in self._of(group.number) if self._models[key].changed
        ]
        group.checkpoint((key, keyed.to_bytes(key)) for key, keyed in changed)
        for _, keyed in changed:
            keyed.changed = False
        self._unsynced.discard(group.number)


def _take(path: Path, number: int) -> Group:
    """Open a group; a killed process lets go of it a moment after it is dead."""
    deadline = time.monotonic() + _PATIENCE
    wait = 0.01
    while True:
        try:
            return Group(path, number)
        except ConfigError:
            if time.monotonic() + wait > deadline:
                raise
            time.sleep(wait)
            wait = min(2 * wait, 0.5)


def parse_sync(durability: str) -> float:
    """Return the seconds between syncs of a mode of durability.

    Raises `ConfigError` for "off" and others.
    """
    from loco_stream.engine.wal import parse_durability

    seconds = parse_durability(durability)
    if seconds is None or not math.isfinite(seconds):
        raise ConfigError(
            f"durability must be batch or interval:<seconds>s for a fleet, not {durability!r}"
        )
    return seconds
