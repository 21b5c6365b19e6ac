"""The interface of what does a fleet's work, and the implementation in this process."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from threading import RLock
from typing import Any, Protocol, TypeAlias

from loco_stream.errors import ConfigError, InputError
from loco_stream.fleet._rows import Ahead, Key, KeyRows, Label, Table, Values
from loco_stream.fleet._shard import LearnResult, Shard, ShardOptions
from loco_stream.fleet._storage import Storage
from loco_stream.fleet.keyed_model import ModelFactory
from loco_stream.persistence.content import Plain

Names: TypeAlias = Iterable[Hashable] | None
KeyReport: TypeAlias = dict[str, Any]


class Backend(Protocol):
    """Learns rows of many keys."""

    @property
    def n_repeated(self) -> int:
        """Rows that arrived again and were not learned twice."""

    @property
    def n_refused(self) -> int:
        """Rows that no model could learn."""

    @property
    def notes(self) -> list[str]:
        """Sentences on faults that did not stop the fleet."""

    def learn(self, batch: Sequence[KeyRows]) -> None:
        """Take rows to learn in this order; may return before they are learned."""

    def learn_predict(self, batch: Sequence[KeyRows]) -> list[LearnResult]:
        """Predict, then learn rows."""

    def predict(self, key: Key, X: Table, features: Names) -> list[Label]:
        """Predict rows after all rows taken before have been learned."""

    def values(self, key: Key, X: Table, features: Sequence[Hashable]) -> Values:
        """Return what `Fleet.values` does."""

    def fan(self, key: Key, ahead: Ahead) -> dict[str, list[float]]:
        """Return what `Fleet.fan` does."""

    def keys(self) -> list[Key]:
        """Return every key that has a model."""

    def state_sha256(self, key: Key) -> str:
        """Return the digest of a key's model."""

    def state(self, key: Key) -> bytes:
        """Return the stored form of a key's model and counters."""

    def report(self, key: Key) -> KeyReport:
        """Return the report of a key."""

    def counts(self) -> tuple[int, int]:
        """Return the number of keys that have a model, and of models in memory."""

    def share(self, name: str) -> None:
        """Replace the shared model by another one from the storage."""

    def decide(self, key: Key, decision: Plain) -> None:
        """Choose the classes of a key by its own rule; None follows the fleet's rule."""

    def follow(self, decision: Plain) -> None:
        """Choose the classes of all keys without their own rule by another one."""

    def reset(self, key: Key) -> None:
        """Let the model of a key start anew."""

    def evict(self, keys: Sequence[Key]) -> int:
        """Move models from memory to the store; return how many were in memory."""

    def flush(self) -> None:
        """Wait until all rows are learned and durable."""

    def checkpoint(self) -> None:
        """Store all models that changed."""

    def rescale(self, workers: int) -> None:
        """Continue with another number of workers."""

    def close(self, *, store: bool) -> None:
        """Release the directory; store models, or leave their changes to the logs."""


class LocalBackend:
    """One shard in this process; calls from several threads run one after the other."""

    def __init__(self, storage: Storage, factory: ModelFactory, options: ShardOptions) -> None:
        self._shard = Shard(storage, factory, options)
        self._options = options
        self._lock = RLock()
        self.n_repeated = 0
        self.n_refused = 0

    def __repr__(self) -> str:
        return "in this process"

    @property
    def notes(self) -> list[str]:
        """The notes of the shard."""
        return self._shard.notes

    def learn(self, batch: Sequence[KeyRows]) -> None:
        """Learn at once; raises `InputError` for the first rows that were refused."""
        for result in self._learn(batch, False):
            if result.refusal is not None:
                raise InputError(result.refusal)

    def learn_predict(self, batch: Sequence[KeyRows]) -> list[LearnResult]:
        """Predict and learn at once."""
        return self._learn(batch, True)

    def _learn(self, batch: Sequence[KeyRows], predicts: bool) -> list[LearnResult]:
        with self._lock:
            results = self._shard.learn(batch, predicts)
            for rows, result in zip(batch, results, strict=True):
                self.n_repeated += result.n_repeated
                if result.refusal is not None:
                    self.n_refused += len(rows) - result.n_repeated
            return results

    def predict(self, key: Key, X: Table, features: Names) -> list[Label]:
        """Predict with the shard."""
        with self._lock:
            return self._shard.predict(key, X, features)

    def values(self, key: Key, X: Table, features: Sequence[Hashable]) -> Values:
        """Return what `Fleet.values` does."""
        with self._lock:
            return self._shard.values(key, X, features)

    def fan(self, key: Key, ahead: Ahead) -> dict[str, list[float]]:
        """Return what `Fleet.fan` does."""
        with self._lock:
            return self._shard.fan(key, ahead)

    def keys(self) -> list[Key]:
        """Return the keys of all groups."""
        with self._lock:
            numbers = range(self._options.key_groups)
            return [key for number in numbers for key in self._shard.keys(number)]

    def state_sha256(self, key: Key) -> str:
        """Return the digest of a key's model."""
        with self._lock:
            return self._shard.find(key).state_sha256()

    def state(self, key: Key) -> bytes:
        """Return the stored form of a key's model and counters."""
        with self._lock:
            return self._shard.find(key).to_bytes(key)

    def report(self, key: Key) -> KeyReport:
        """Return the report of a key."""
        with self._lock:
            return self._shard.find(key).report()

    def counts(self) -> tuple[int, int]:
        """Count the keys of all groups, and the models in memory."""
        with self._lock:
            numbers = range(self._options.key_groups)
            return sum(map(self._shard.count, numbers)), self._shard.n_resident

    def share(self, name: str) -> None:
        """Replace the shared model."""
        with self._lock:
            self._shard.share(name)

    def decide(self, key: Key, decision: Plain) -> None:
        """Choose the classes of a key by its own rule."""
        with self._lock:
            self._shard.decide(key, decision)

    def follow(self, decision: Plain) -> None:
        """Choose the classes of all keys without their own rule by another one."""
        with self._lock:
            self._shard.follow(decision)

    def reset(self, key: Key) -> None:
        """Let the model of a key start anew."""
        with self._lock:
            self._shard.reset(key)

    def evict(self, keys: Sequence[Key]) -> int:
        """Move models from memory to the store; return how many were in memory."""
        with self._lock:
            return self._shard.evict(keys)

    def flush(self) -> None:
        """Sync the logs."""
        with self._lock:
            self._shard.sync()

    def checkpoint(self) -> None:
        """Store all models that changed; other threads may learn between two groups."""
        with self._lock:
            numbers = self._shard.opened
        for number in numbers:
            with self._lock:
                self._shard.checkpoint(number)

    def rescale(self, workers: int) -> None:
        """Raise `ConfigError`: there is only this process."""
        raise ConfigError("a fleet in this process has no workers; open it with workers=1 or more")

    def close(self, *, store: bool) -> None:
        """Release the directory; store models, or leave their changes to the logs."""
        with self._lock:
            self._shard.close(store=store)
