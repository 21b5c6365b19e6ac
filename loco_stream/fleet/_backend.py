"""What does a fleet's work in this process; `RayBackend` does the same with workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from threading import RLock
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from loco_stream.errors import ConfigError, InputError
from loco_stream.fleet._keyed_model import ModelFactory
from loco_stream.fleet._rows import Key, KeyRows
from loco_stream.fleet._shard import LearnResult, Shard, ShardOptions
from loco_stream.fleet._storage import Storage

KeyReport: TypeAlias = dict[str, Any]

P = ParamSpec("P")
R = TypeVar("R")


def _locked(
    method: Callable[Concatenate[Shard, P], R],
) -> Callable[Concatenate[LocalBackend, P], R]:
    """Return a method of the shard as one of the backend, for one thread at a time."""

    @wraps(method)
    def call(self: LocalBackend, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._lock:
            return method(self._shard, *args, **kwargs)

    return call


class LocalBackend:
    """One shard in this process; calls from several threads run one after the other."""

    def __init__(self, storage: Storage, factory: ModelFactory, options: ShardOptions) -> None:
        self._shard = Shard(storage, factory, options)
        self._groups = range(options.key_groups)
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

    predict = _locked(Shard.predict)
    values = _locked(Shard.values)
    fan = _locked(Shard.fan)
    share = _locked(Shard.share)
    decide = _locked(Shard.decide)
    follow = _locked(Shard.follow)
    reset = _locked(Shard.reset)
    evict = _locked(Shard.evict)
    state_sha256 = _locked(Shard.state_sha256)
    state = _locked(Shard.state)
    report = _locked(Shard.report)
    flush = _locked(Shard.sync)
    close = _locked(Shard.close)

    def keys(self) -> list[Key]:
        """Return the keys of all groups."""
        with self._lock:
            return self._shard.keys(self._groups)

    def counts(self) -> tuple[int, int]:
        """Count the keys of all groups, and the models in memory."""
        with self._lock:
            return self._shard.counts(self._groups)

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
