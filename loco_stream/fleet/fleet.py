"""The public face of a fleet: one model a key, in this process or on Ray."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from loco_stream.engine.model_adapter import task_of
from loco_stream.errors import ConfigError, InputError
from loco_stream.estimators._estimator import LOCOEstimator
from loco_stream.fleet.backend import Backend, LocalBackend
from loco_stream.fleet.home import Home
from loco_stream.fleet.host import Answer, HostOptions, parse_sync
from loco_stream.fleet.rows import (
    Key,
    Rows,
    Said,
    Table,
    Values,
    check_key,
    make_rows,
    read_names,
    read_rows,
)
from loco_stream.monitor import TaskMonitor

__all__ = ["Fleet"]


class Fleet:
    """One model a key, each row learned exactly once, in bounded memory.

    Every key starts with a copy of one model. Rows are logged before they are learned, so that a
    killed process loses none; a model that was not used for long rests on disk and comes back to
    the bit. A key's model is the one that would have learned the key's rows alone.

    Parameters
    ----------
    model
        A `LOCOClassifier` or `LOCORegressor` that new keys start from: fresh, or trained on many
        devices. None: the one that the directory was begun with.
    directory
        Where everything is kept; it belongs to one fleet at a time. Workers on other machines must
        see it too.
    workers
        0: this process does the work. More: so many actors of Ray; needs the extra ``ray``.
    key_groups
        Parts into which keys fall by their CRC-32; a group is the least that moves between workers.
        It cannot be changed later.
    max_resident
        Models in the memory of one process; 1,000 of the fast preset take about 0.2 GB.
    monitor
        A `TaskMonitor` whose settings each key is watched with, for `report`; None watches nothing,
        which is faster.
    checkpoint_every
        Rows of a group between checkpoints; one is also taken every 60 seconds while rows come.
        10,000 rows are learned again in about 0.1 s.
    durability
        ``"batch"``: rows are on disk before a call returns. ``"interval:<seconds>s"``: a killed
        process loses nothing, a power cut what came in the last interval.
    block_rows
        On Ray: rows that go to a worker in one message; up to 2,048 gather while it is busy.
    ray_address
        Address of a running Ray cluster; None starts one on this machine.

    Raises
    ------
    ConfigError
        A setting is out of its range, Ray is missing, or the directory was begun with other
        settings or is in use.

    Examples
    --------
    >>> import tempfile
    >>> from loco_stream import Fleet, LOCOClassifier
    >>> with Fleet(LOCOClassifier.preset("fast", seed=1), tempfile.mkdtemp()) as fleet:
    ...     fleet.learn("press 7", [[0.0, 1.0], [1.0, 0.0]], ["ok", "worn"])
    ...     fleet.learn("press 8", [[0.0, 1.0]], ["worn"])
    ...     fleet.predict("press 8", [[0.0, 1.0]]).tolist(), sorted(fleet.keys())
    (['worn'], ['press 7', 'press 8'])
    """

    def __init__(
        self,
        model: LOCOEstimator | None,
        directory: str | os.PathLike[str],
        workers: int = 0,
        key_groups: int = 64,
        max_resident: int = 1000,
        *,
        monitor: TaskMonitor | None = None,
        checkpoint_every: int = 10_000,
        durability: str = "interval:1s",
        block_rows: int = 256,
        ray_address: str | None = None,
    ) -> None:
        _whole("workers", workers, 0, 10_000)
        _whole("key_groups", key_groups, 1, 9999)
        _whole("max_resident", max_resident, 1, 10**9)
        _whole("checkpoint_every", checkpoint_every, 1, 10**9)
        _whole("block_rows", block_rows, 1, 1 << 20)
        options = HostOptions(key_groups, max_resident, checkpoint_every, parse_sync(durability))
        if ray_address is not None and workers == 0:
            raise ConfigError("ray_address needs workers, 1 or more")
        self._home = home = Home(Path(directory), model, key_groups, monitor)
        self._next_seq = 0
        try:
            if workers:
                from loco_stream.fleet.ray_backend import RayBackend

                self._backend: Backend = RayBackend(
                    home.path, options, workers, block_rows, ray_address
                )
            else:
                self._backend = LocalBackend(home.path, home.maker(), options)
        except BaseException:
            home.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Fleet({str(self._home.path)!r}, {self._backend!r})"

    @property
    def path(self) -> Path:
        """The directory."""
        return self._home.path

    @property
    def task(self) -> str:
        """What the models do: classification or regression."""
        return task_of(self._home.template)

    @property
    def has_context(self) -> bool:
        """Whether what came before matters to the models: they have a memory or delays."""
        return self._home.template.memory is not None or self._home.template.max_delay > 0

    @property
    def notes(self) -> list[str]:
        """What was found amiss and gone past, a sentence each."""
        return self._backend.notes

    @property
    def n_repeated(self) -> int:
        """Rows that came again and were not learned twice."""
        return self._backend.n_repeated

    @property
    def n_refused(self) -> int:
        """Rows that no model could learn; `notes` tells of the last."""
        return self._backend.n_refused

    def learn(
        self,
        key: Key,
        X: Any,
        y: Any,
        *,
        features: Iterable[Hashable] | None = None,
        source: str = "",
        epoch: int = 0,
        seq: int | Sequence[int] | None = None,
    ) -> None:
        """Learn rows of a key.

        In this process they are learned when the call returns. On Ray they are on their way: a call
        waits when four messages to a worker are, and `flush` waits for all.

        Parameters
        ----------
        key
            A text or a whole number.
        X
            (n, n_features) numbers, or n rows by name.
        y
            n labels.
        features
            Names of the columns; None: the model's slots in order.
        source, epoch, seq
            Who sent the rows, in which of its runs, and the number of the first row or of each:
            what was learned before is left out and counted. Numbers of one key ascend. Without
            `seq` every call counts as new.

        Raises
        ------
        InputError
            The rows cannot be learned; nothing was. On Ray, a refusal by the model is only counted,
            and told in `notes`.
        CheckpointError
            The disk refuses; what was handed in last is not learned.
        """
        self._backend.learn([self._rows(key, X, y, features, source, epoch, seq)])

    def learn_predict(
        self,
        key: Key,
        X: Any,
        y: Any,
        *,
        features: Iterable[Hashable] | None = None,
        source: str = "",
        epoch: int = 0,
        seq: int | Sequence[int] | None = None,
    ) -> NDArray[Any]:
        """Test, then train on rows of a key; return what was said of each, (n,). See `learn`."""
        (answer,) = self.process([self._rows(key, X, y, features, source, epoch, seq)])
        if answer.refusal is not None:
            raise InputError(answer.refusal)
        return _array(answer.said)

    def process(self, batch: Sequence[Rows]) -> list[Answer]:
        """Test, then train on rows of many keys at once, and wait for what was said.

        Refused rows raise nothing.
        """
        return self._backend.learn_predict(batch)

    def predict(self, key: Key, X: Any, features: Iterable[Hashable] | None = None) -> NDArray[Any]:
        """Predict rows of a key, (n,), without learning; None for each if the key has no model."""
        table = read_rows(X)
        return _array(self._backend.predict(check_key(key), table, read_names(features, table)))

    def values(self, key: Key, X: Table, features: Sequence[Hashable]) -> Values:
        """Return probabilities (n, classes) and the classes, or values (n, 1) and no classes.

        None without a model.

        `X` is (n, n_features) float32, its columns named by `features`.
        """
        return self._backend.values(key, X, features)

    def keys(self) -> list[Key]:
        """Return every key that has a model, in no order."""
        return self._backend.keys()

    def state_sha256(self, key: Key) -> str:
        """SHA-256 of a key's model: that of a model alone that learned the same rows.

        `InputError` if it has none.
        """
        return self._backend.state_sha256(check_key(key))

    def model(self, key: Key) -> Any:
        """Return a copy of a key's model; `InputError` if it has none."""
        return self._home.wake(check_key(key), self._backend.state(check_key(key)))

    def report(self, key: Key) -> dict[str, Any]:
        """Return rows seen and, with a monitor, the scores, drifts and forgetting of a key.

        `InputError` without.
        """
        return self._backend.report(check_key(key))

    def merge(self, keys: Iterable[Key]) -> Any:
        """Return one model of what several keys learned, where their hidden layers are frozen.

        Their readouts without leak add up to that of one model which saw all rows: see
        `loco_stream.fleet.merging.merge` for what is exact and what is not.

        Raises
        ------
        InputError
            A key has no model, or hidden layers learn.
        """
        from loco_stream.fleet.merging import merge

        return merge([self.model(key) for key in dict.fromkeys(keys)], self._home.template)

    def flush(self) -> None:
        """Wait until all rows are learned and in the log."""
        self._backend.flush()

    def rescale(self, workers: int) -> None:
        """Go on with another number of workers; groups move without loss.

        Raises
        ------
        ConfigError
            This fleet is not on Ray, or the number is below 1.
        """
        _whole("workers", workers, 1, 10_000)
        self._backend.rescale(workers)

    def checkpoint(self) -> None:
        """Store all models that changed, so that nothing has to be learned again after a restart."""
        self._backend.checkpoint()

    def close(self) -> None:
        """Store everything and let go of the directory."""
        try:
            self._backend.close()
        finally:
            self._home.close()

    def _rows(
        self,
        key: Key,
        X: Any,
        y: Any,
        features: Iterable[Hashable] | None,
        source: str,
        epoch: int,
        seq: int | Sequence[int] | None,
    ) -> Rows:
        """Return checked rows; those without numbers get some, because on Ray they may be sent to a worker twice."""
        if seq is not None:
            return make_rows(key, X, y, features, source, epoch, seq)
        rows = make_rows(key, X, y, features, "", self._home.epoch, self._next_seq)
        self._next_seq += len(rows)
        return rows


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ConfigError(f"{name} is {value!r}; allowed is a whole number from {low} to {high}")


def _array(said: Said) -> NDArray[Any]:
    """Return labels as the estimators do: of one kind where they are, else as objects."""
    if (
        len(said)
        and type(said[0]) in (int, float, str, bool)
        and len({type(label) for label in said}) == 1
    ):
        return np.array(said)
    table = np.empty(len(said), object)
    table[:] = said
    return table
