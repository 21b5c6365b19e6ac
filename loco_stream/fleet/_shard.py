"""The key groups that one process works on, with a bounded number of their models in memory."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from loco_stream._persistence.content import Config, Plain
from loco_stream.errors import CheckpointError, ConfigError, InputError, LocoStreamError
from loco_stream.estimators._decision import Decision
from loco_stream.estimators._inputs.tables import Names
from loco_stream.fleet._home import load_shared
from loco_stream.fleet._keyed_model import KeyedForecaster, KeyedModel, ModelFactory
from loco_stream.fleet._rows import (
    DECIDE,
    LABELS,
    RESET,
    Ahead,
    Key,
    KeyRows,
    Label,
    Outputs,
    Table,
    Values,
    decision_entry,
    group_of,
    reset_of,
)
from loco_stream.fleet._storage import Group, Storage
from loco_stream.records import Record

_CHECKPOINT_SECONDS = 60.0
_LOCK_TIMEOUT = 30.0  # seconds until the previous owner of a group has released its lock


@dataclass(frozen=True, slots=True)
class ShardOptions:
    """Settings of a shard; see `Fleet`.

    `sync_seconds` is the longest time between syncs of the logs.
    """

    key_groups: int
    max_resident: int
    checkpoint_every: int
    sync_seconds: float


@dataclass(slots=True)
class LearnResult:
    """What became of some rows of a key.

    outputs: the prediction of each row before it was learned. For late labels, a list that holds
        the prediction made when the row arrived, or None if no such row is pending.
    n_repeated: rows that had been learned before, or late labels without a pending row
    refusal: why the other rows were refused; None if they were learned
    records: records of drifts and tasks that the rows caused, if the key has a monitor
    steps: what the rows add to the scores by step ahead; empty unless the model is a forecaster
    """

    outputs: Outputs
    n_repeated: int = 0
    refusal: str | None = None
    records: Sequence[Record] = ()
    steps: Sequence[Sequence[float]] = ()


class Shard:
    """Learns rows of many keys, exactly once each, and stores their models.

    storage: storage of the fleet, which holds the groups
    factory: makes the models of keys
    options: bounds
    """

    def __init__(self, storage: Storage, factory: ModelFactory, options: ShardOptions) -> None:
        self._storage = storage
        self._factory = factory
        self._options = options
        self._groups: dict[int, Group] = {}
        self._models: OrderedDict[Key, KeyedModel] = OrderedDict()  # least recently used first
        self._unsynced: set[int] = set()
        # a file system makes many files durable at once
        self._sync_threads = ThreadPoolExecutor(16)
        self._synced_at = time.monotonic()
        self.notes: list[str] = []

    @property
    def synced(self) -> bool:
        """Whether everything learned is durable."""
        return not self._unsynced

    def learn(self, batch: Iterable[KeyRows], predicts: bool) -> list[LearnResult]:
        """Learn rows once each; rows that were learned before are only predicted.

        Raises `CheckpointError` if the log cannot be written: the current rows and all after them
        were not learned.
        """
        now = time.monotonic()
        results = [self._learn(rows, predicts, now) for rows in batch]
        if self._options.sync_seconds <= now - self._synced_at:
            self.sync()
        return results

    def predict(self, key: Key, X: Table, features: Names) -> list[Label]:
        """Predict rows of a key without learning; None per row if the key has no model."""
        keyed = self._locate(key)[1]
        if keyed is not None:
            return keyed.predict(X, features)
        shared = self._factory.shared
        if shared is None:
            return [None] * len(X)
        return shared.predict(X, features, self._factory.decision)

    def values(self, key: Key, X: Table, features: Sequence[Hashable]) -> Values:
        """Return what `KeyedModel.values` does; None if the key has no model."""
        keyed = self._locate(key)[1]
        if keyed is not None:
            return keyed.values(X, features)
        shared = self._factory.shared
        return None if shared is None else shared.probas(X, features)

    def fan(self, key: Key, ahead: Ahead) -> dict[str, list[float]]:
        """Return what `Fleet.fan` does.

        Raises `InputError` if the key has no model, or an argument is out of its range.
        """
        keyed = self.find(key)
        assert isinstance(keyed, KeyedForecaster)
        return keyed.fan(*ahead)

    def share(self, name: str) -> None:
        """Replace the shared model by another one from the storage."""
        assert self._factory.shared is not None
        self._factory.shared.replace(load_shared(self._storage, name), name)

    def decide(self, key: Key, decision: Plain) -> None:
        """Choose the classes of a key by its own rule, durably; None follows the fleet's rule.

        Raises `InputError` if the key has no model.
        """
        self._change(decision_entry(key, decision))

    def _change(self, entry: KeyRows) -> None:
        """Append an entry without rows to the log of its key, and apply it."""
        keyed = self.find(entry.key)
        group = self._groups[keyed.group]
        group.append(1, entry.encode())
        self._unsynced.add(group.number)
        self._apply(keyed, entry, False)
        self.sync()

    def follow(self, decision: Plain) -> None:
        """Choose the classes of all keys without their own rule by another one."""
        self._factory.decision = Decision.from_plain(decision)
        for keyed in self._models.values():
            keyed.follow(self._factory.decision)

    def reset(self, key: Key) -> None:
        """Let the model of a key start anew, durably; rows that it has learned stay repeated.

        Raises `InputError` if the key has no model.
        """
        self._change(reset_of(key))

    def evict(self, keys: Iterable[Key]) -> int:
        """Move models from memory to the store; return how many were in memory."""
        resident = [key for key in keys if key in self._models]
        for key in resident:
            self._evict(key, self._models.pop(key))
        return len(resident)

    def find(self, key: Key) -> KeyedModel:
        """Return the model of a key.

        Raises `InputError` if the key has no model.
        """
        keyed = self._locate(key)[1]
        if keyed is None:
            raise InputError(f"key {key!r} has no model: no row of it was learned")
        return keyed

    def state_sha256(self, key: Key) -> str:
        """Return the digest of a key's model."""
        return self.find(key).state_sha256()

    def state(self, key: Key) -> bytes:
        """Return the stored form of a key's model and counters."""
        return self.find(key).to_bytes(key)

    def report(self, key: Key) -> Config:
        """Return the report of a key."""
        return self.find(key).report()

    def keys(self, groups: Iterable[int]) -> list[Key]:
        """Return the keys of groups that have a model."""
        used = filter(self._has_group, groups)  # rows of the others were never learned
        return [key for n in used for key in {*self.open(n).keys(), *self._resident(n)}]

    def counts(self, groups: Iterable[int]) -> tuple[int, int]:
        """Return the number of keys of groups that have a model, and of models in memory."""
        n_keys = sum(map(self._count, filter(self._has_group, groups)))
        return n_keys, len(self._models)

    def _count(self, number: int) -> int:
        stored = self.open(number).count()
        return stored + sum(not self._models[key].is_stored for key in self._resident(number))

    def open(self, number: int) -> Group:
        """Open a group and learn the rows in its log again.

        Rows that raise are set aside, and the group is opened again without them, because a model
        that learned half of them is in an unknown state.
        """
        while number not in self._groups:
            group = _open_group(self._storage, number)
            self._groups[number] = group
            self._replay(number, group)
        return self._groups[number]

    def _has_group(self, number: int) -> bool:
        return number in self._groups or self._storage.has_group(number)

    def _replay(self, number: int, group: Group) -> None:
        try:
            for rows in group.replay():
                try:
                    self._apply(self._find(group, rows.key), rows, False)
                except InputError:
                    continue  # refused again, as before
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
        """Close a group without storing its models: its log holds what is missing."""
        if (group := self._groups.pop(number, None)) is not None:
            self._unsynced.discard(number)
            for key in self._resident(number):
                del self._models[key]
            group.close()

    def release(self, numbers: Iterable[int]) -> None:
        """Store groups and release them for another process."""
        for number in numbers:
            try:
                self.checkpoint(number)
            finally:
                self._drop(number)

    def checkpoint(self, number: int) -> None:
        """Store every model of a group that changed."""
        group = self._groups.get(number)
        if group is not None and group.rows_since:
            self._checkpoint(group)

    @property
    def opened(self) -> list[int]:
        """Numbers of the groups that are open."""
        return list(self._groups)

    def sync(self) -> None:
        """Make everything learned durable in the logs."""
        groups = [self._groups[number] for number in sorted(self._unsynced)]
        if groups:
            list(self._sync_threads.map(lambda group: group.sync(), groups))
        self._unsynced.clear()
        self._synced_at = time.monotonic()

    def close(self, store: bool = True) -> None:
        """Release all groups; store their models, or leave the changes to the synced logs."""
        try:
            if store:
                self.release(self.opened)
            else:
                self.sync()
        finally:
            for number in self.opened:
                self._drop(number)
            self._sync_threads.shutdown()
            self._storage.close()

    def _learn(self, rows: KeyRows, predicts: bool, now: float) -> LearnResult:
        if not len(rows):
            return LearnResult(())
        group, keyed = self._locate(rows.key)
        n_repeated = 0 if keyed is None else keyed.n_repeated(rows)
        repeated: Outputs = ()
        if keyed is not None and n_repeated:
            if predicts:
                repeated = keyed.predict(rows.X[:n_repeated], rows.features)
            if n_repeated == len(rows):
                return LearnResult(repeated, n_repeated)
            rows = rows.part(slice(n_repeated, None))
        if rows.kind == LABELS and keyed is None:
            return LearnResult([None] * len(rows), len(rows))
        result = self._learn_new(group, keyed, rows, predicts)
        if n_repeated:
            result.outputs = [*repeated, *result.outputs]
            result.n_repeated = n_repeated
        if result.refusal is None and self._is_due(group, now):
            self._checkpoint(group)
        return result

    def _learn_new(
        self, group: Group, keyed: KeyedModel | None, rows: KeyRows, predicts: bool
    ) -> LearnResult:
        """Log and learn rows that were not learned before."""
        try:
            payload = rows.encode()
        except CheckpointError as error:  # a value that the log cannot hold
            return LearnResult((), 0, str(error))
        group.append(len(rows), payload)
        self._unsynced.add(group.number)
        try:
            outputs = self._apply(keyed, rows, predicts)
        except InputError as error:
            return LearnResult((), 0, str(error))
        except (LocoStreamError, MemoryError):
            self._drop(group.number)
            raise
        except Exception as error:
            self.notes.append(group.set_aside(rows, error))
            self._drop(group.number)
            return LearnResult((), 0, self.notes[-1])
        unknown = outputs.count(None) if rows.kind == LABELS else 0
        keyed = self._models[rows.key]
        self.notes += keyed.take_notes()
        return LearnResult(outputs, unknown, None, tuple(keyed.alarms), keyed.steps)

    def _is_due(self, group: Group, now: float) -> bool:
        """Return whether a group needs a checkpoint."""
        many = group.rows_since >= self._options.checkpoint_every
        return many or group.saved_at < now - _CHECKPOINT_SECONDS

    def _apply(self, keyed: KeyedModel | None, rows: KeyRows, predicts: bool) -> Outputs:
        if keyed is None and rows.kind in (RESET, DECIDE):
            return ()
        if keyed is not None and rows.kind == RESET:
            self._insert(rows.key, self._factory.restarted(keyed))
            return ()
        if keyed is not None:
            return keyed.take(rows, predicts, self._factory.decision)
        keyed = self._factory.new(rows)
        outputs = keyed.learn(rows, predicts)
        self._insert(rows.key, keyed)  # after learning: refused rows create no model
        return outputs

    def _locate(self, key: Key) -> tuple[Group, KeyedModel | None]:
        """Return the group of a key, and its model if it has one."""
        group = self.open(group_of(key, self._options.key_groups))
        return group, self._find(group, key)  # opening may have loaded the model from the log

    def _find(self, group: Group, key: Key) -> KeyedModel | None:
        keyed = self._models.get(key)
        if keyed is not None:
            self._models.move_to_end(key)
            return keyed
        content = group.get(key)
        if content is None:
            return None
        keyed = self._factory.load(key, content)
        keyed.is_stored = True
        return self._insert(key, keyed)

    def _insert(self, key: Key, keyed: KeyedModel) -> KeyedModel:
        """Keep a model in memory, and evict the least recently used one if there are too many."""
        keyed.group = group_of(key, self._options.key_groups)
        before = self._models.get(key)
        keyed.is_stored = keyed.is_stored or (before is not None and before.is_stored)
        self._models[key] = keyed
        if len(self._models) > self._options.max_resident:
            self._evict(*self._models.popitem(last=False))
        return keyed

    def _evict(self, key: Key, keyed: KeyedModel) -> None:
        """Store a model that is no longer in memory, if it changed."""
        if keyed.changed:
            self._groups[keyed.group].put(key, keyed.to_bytes(key))

    def _resident(self, number: int) -> list[Key]:
        """Return the keys of a group whose models are in memory."""
        return [key for key, keyed in self._models.items() if keyed.group == number]

    def _checkpoint(self, group: Group) -> None:
        resident = [(key, self._models[key]) for key in self._resident(group.number)]
        changed = [(key, keyed) for key, keyed in resident if keyed.changed]
        group.checkpoint((key, keyed.to_bytes(key)) for key, keyed in changed)
        for _, keyed in changed:
            keyed.changed = False
            keyed.is_stored = True
        self._unsynced.discard(group.number)


def _open_group(storage: Storage, number: int) -> Group:
    """Open a group; the lock or lease of a killed process ends a moment after it."""
    deadline = time.monotonic() + _LOCK_TIMEOUT
    wait = 0.01
    while True:
        try:
            return storage.open_group(number)
        except ConfigError:
            if time.monotonic() + wait > deadline:
                raise
            time.sleep(wait)
            wait = min(2 * wait, 0.5)


def parse_sync(durability: str) -> float:
    """Return the seconds between syncs of the logs.

    Raises `ConfigError` if the mode is unknown or "off".
    """
    from loco_stream.engine._wal import parse_durability

    seconds = parse_durability(durability)
    if seconds is None or not math.isfinite(seconds):
        raise ConfigError(
            f"`durability` of a fleet must be batch or interval:<seconds>s, got {durability!r}"
        )
    return seconds
