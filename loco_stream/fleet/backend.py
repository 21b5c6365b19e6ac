"""What a fleet asks of whoever does its work, and the one that does it in this process."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from threading import RLock
from typing import Any, Protocol, TypeAlias

from loco_stream.errors import ConfigError, InputError
from loco_stream.fleet.host import Answer, Host, HostOptions
from loco_stream.fleet.keyed_model import Maker
from loco_stream.fleet.rows import Key, Label, Rows, Table, Values

__all__ = ["Backend", "LocalBackend", "Names", "Report"]

Names: TypeAlias = Iterable[Hashable] | None
Report: TypeAlias = dict[str, Any]


class Backend(Protocol):
    """Learns rows of many keys."""

    @property
    def n_repeated(self) -> int:
        """Rows that came again and were not learned twice."""

    @property
    def n_refused(self) -> int:
        """Rows that no model could learn."""

    @property
    def notes(self) -> list[str]:
        """What was found amiss and gone past."""

    def learn(self, batch: Sequence[Rows]) -> None:
        """Take rows to be learned in this order; may return before they are."""

    def learn_predict(self, batch: Sequence[Rows]) -> list[Answer]:
        """Learn rows and return what was said of each before."""

    def predict(self, key: Key, X: Table, features: Names) -> list[Label]:
        """Predict rows after all that were taken before have been learned."""

    def values(self, key: Key, X: Table, features: Sequence[Hashable]) -> Values:
        """Return probabilities of rows and the classes, or values and no classes.

        None if the key has no model.
        """

    def keys(self) -> list[Key]:
        """Return every key that has a model."""

    def state_sha256(self, key: Key) -> str:
        """Return the digest of a key's model."""

    def state(self, key: Key) -> bytes:
        """Return all that is remembered of a key."""

    def report(self, key: Key) -> Report:
        """Return what is known of a key."""

    def flush(self) -> None:
        """Wait until all rows are learned and durable."""

    def checkpoint(self) -> None:
        """Store all models that changed."""

    def rescale(self, workers: int) -> None:
        """Go on with so many workers."""

    def close(self) -> None:
        """Store everything and let go."""


class LocalBackend:
    """One host in this process; calls from several threads run one after the other."""

    def __init__(self, path: Path, maker: Maker, options: HostOptions) -> None:
        self._host, self._options, self._lock = Host(path, maker, options), options, RLock()
        self.n_repeated = self.n_refused = 0

    def __repr__(self) -> str:
        return "in this process"

    @property
    def notes(self) -> list[str]:
        """What the host found amiss."""
        return self._host.notes

    def learn(self, batch: Sequence[Rows]) -> None:
        """Learn at once; raises `InputError` for the first rows that were refused."""
        for answer in self._learn(batch, False):
            if answer.refusal is not None:
                raise InputError(answer.refusal)

    def learn_predict(self, batch: Sequence[Rows]) -> list[Answer]:
        """Learn at once."""
        return self._learn(batch, True)

    def _learn(self, batch: Sequence[Rows], predicts: bool) -> list[Answer]:
        with self._lock:
            answers = self._host.learn(batch, predicts)
            for rows, answer in zip(batch, answers, strict=True):
                self.n_repeated += answer.n_repeated
                self.n_refused += 0 if answer.refusal is None else len(rows) - answer.n_repeated
            return answers

    def predict(self, key: Key, X: Table, features: Names) -> list[Label]:
        """Ask the host."""
        with self._lock:
            return self._host.predict(key, X, features)

    def values(self, key: Key, X: Table, features: Sequence[Hashable]) -> Values:
        """Ask the host."""
        with self._lock:
            return self._host.values(key, X, features)

    def keys(self) -> list[Key]:
        """Ask every group."""
        with self._lock:
            return [
                key for number in range(self._options.key_groups) for key in self._host.keys(number)
            ]

    def state_sha256(self, key: Key) -> str:
        """Ask the host."""
        with self._lock:
            return self._host.find(key).state_sha256()

    def state(self, key: Key) -> bytes:
        """Ask the host."""
        with self._lock:
            return self._host.find(key).to_bytes(key)

    def report(self, key: Key) -> Report:
        """Ask the host."""
        with self._lock:
            return self._host.find(key).report()

    def flush(self) -> None:
        """Sync the logs."""
        with self._lock:
            self._host.sync()

    def checkpoint(self) -> None:
        """Ask the host."""
        with self._lock:
            self._host.checkpoint()

    def rescale(self, workers: int) -> None:
        """Refuse: there is one process."""
        raise ConfigError("a fleet in this process has no workers; open it with workers=1 or more")

    def close(self) -> None:
        """Store everything."""
        with self._lock:
            self._host.close()
