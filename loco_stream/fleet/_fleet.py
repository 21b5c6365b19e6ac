"""The public class of a fleet: one model per key, in this process or on Ray."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from loco_stream._checks import integer, require, require_instance, require_type
from loco_stream._numbers import plain, shown, to_number
from loco_stream._problems import FORECASTING, TARGETS
from loco_stream.engine._forecasting import COVERAGE
from loco_stream.engine._model_adapter import task_of
from loco_stream.errors import ConfigError, InputError
from loco_stream.estimators._decision import Costs, Decision, Rule
from loco_stream.estimators._detector import LOCODetector
from loco_stream.estimators._inputs.slots import require_mapping
from loco_stream.estimators._inputs.tables import FutureRows, Names, TimesLike
from loco_stream.estimators._pipeline import Estimator
from loco_stream.estimators._saving import save
from loco_stream.fleet._backend import KeyReport, LocalBackend
from loco_stream.fleet._home import FleetHome, Settings
from loco_stream.fleet._keyed_model import KeyedModel, ModelFactory
from loco_stream.fleet._rows import (
    Ahead,
    Key,
    KeyRows,
    LabelsLike,
    Matrix,
    Outputs,
    Table,
    TableLike,
    Values,
    check_key,
    check_keys,
    make_rows,
    read_rows,
    read_targets,
    read_times,
)
from loco_stream.fleet._shard import LearnResult, ShardOptions, parse_sync
from loco_stream.fleet._sharing import PRIOR, START, PoolSchedule, pool
from loco_stream.fleet._storage import open_storage
from loco_stream.monitor import TaskMonitor

if TYPE_CHECKING:
    from loco_stream.fleet._ray_backend import RayBackend

_POOLED_KEYS = 200
_NO_KEY = "\0"  # stands for a question without a key: no device has this name


class Fleet:
    """One model per key; each row is learned exactly once, in bounded memory.

    The model of a new key starts as a copy of one template. Rows are logged before they are
    learned, so a killed process loses none. A model that was not used for a while is evicted to
    disk and loaded again bit-identically. The model of a key equals a model that learned the rows
    of this key alone.

    Parameters
    ----------
    model
        The model that new keys start from: a `LOCOClassifier`, `LOCORegressor`,
        `LOCOMultiTargetRegressor`, `LOCODetector` or `LOCOForecaster`, fresh or trained on many
        devices. None selects the model that the directory was begun with.
    directory
        Where everything is stored: a directory, or the URL of an object store such as
        ``s3://BUCKET/PREFIX`` (needs the extra ``objects``). One fleet at a time works in it.
        Workers on other machines must reach it too: a directory needs a shared file system with
        locks, an object store does not.
    workers
        0 learns in this process. A larger number starts as many Ray actors; needs the extra
        ``ray``.
    key_groups
        Number of parts into which keys fall by their CRC-32. A group is the unit that moves between
        workers. The number cannot be changed later.
    max_resident
        Models in the memory of one process. 1,000 models of the fast preset take about 0.2 GB.
        Raise it if many keys are active at the same time.
    monitor
        A `TaskMonitor` whose settings are used for each key; `report` then has scores and drifts.
        None monitors nothing, which is faster.
    checkpoint_every
        Rows of a group between checkpoints. A checkpoint is also written every 60 seconds while
        rows arrive. Learning 10,000 rows again after a crash takes about 0.1 s.
    durability
        ``"batch"``: rows are on disk before a call returns. ``"interval:<seconds>s"``: a killed
        process loses nothing, and a power failure the rows of the last interval.
    block_rows
        On Ray: rows per message. Up to 2,048 are joined while a worker is busy.
    ray_address
        Address of a running Ray cluster; None starts one on this machine.
    lease
        In an object store: seconds after which a process that does not renew its lease counts as
        dead, so that others may take over its work. A longer lease tolerates longer pauses, a
        shorter one shortens the wait after a crash.
    share
        ``"none"``: keys learn nothing from each other. ``"start"``: the model of a new key begins
        as a copy of the merged model, which is `model` with the pooled discriminant of up to 200
        keys. Choose it if devices agree. ``"prior"``: a new key begins with the scales of `model`
        alone, and predicts with a mixture of its own model and the pooled discriminant, with
        weights of its own. Devices may contradict each other; a row takes about twice as long. Both
        need a LOCOClassifier with a fixed layer that has learned 300 rows or more.
    share_every
        Rows until knowledge is pooled for the first time. Later it is pooled each time that the
        rows of this process have grown by half, with "prior" also every 100 `share_every` rows.
    share_seconds
        With "prior": seconds after which knowledge is also pooled, when the next row arrives. None
        pools by rows alone.
    settings
        Plain values that are stored when the fleet is begun. A fleet that is opened with other
        values is refused.

    Raises
    ------
    ConfigError
        A setting is out of its range, Ray is not installed, or the directory is in use or was begun
        with other settings.

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
        model: Estimator | None,
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
        lease: float = 10.0,
        share: str = "none",
        share_every: int = 10_000,
        share_seconds: float | None = None,
        settings: Settings | None = None,
    ) -> None:
        workers = require("workers", workers, integer(0, 10_000))
        key_groups = require("key_groups", key_groups, integer(1, 9999))
        max_resident = require("max_resident", max_resident, integer(1, 10**9))
        checkpoint_every = require("checkpoint_every", checkpoint_every, integer(1, 10**9))
        share_every = require("share_every", share_every, integer(1, 10**9))
        block_rows = require("block_rows", block_rows, integer(1, 1 << 20))
        options = ShardOptions(key_groups, max_resident, checkpoint_every, parse_sync(durability))
        if ray_address is not None and workers == 0:
            raise ConfigError("`workers` must be 1 or more with `ray_address`, got 0")
        _check_seconds(share_seconds, share)
        lease = require_type("lease", lease, "float")
        if not 1.0 <= lease <= 20.0:
            raise ConfigError(f"`lease` must be a number of seconds from 1 to 20, got {lease!r}")
        require_instance("monitor", monitor, TaskMonitor)
        require_type("settings", settings, "Mapping | None")
        storage = open_storage(directory, lease=lease)
        self._home = FleetHome(storage, model, key_groups, monitor, settings, share)
        self._has_targets = self.task == TARGETS
        self._is_series = self.task == FORECASTING
        self._schedule = PoolSchedule(share_every, share_seconds, bounded=share == START)
        self._next_seq = 0
        self._backend: LocalBackend | RayBackend
        try:
            if workers:
                from loco_stream.fleet._ray_backend import RayBackend

                self._backend = RayBackend(storage, options, workers, block_rows, ray_address)
            else:
                self._backend = LocalBackend(storage, self._home.model_factory(), options)
        except BaseException:
            self._home.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Fleet({self.location!r}, {self._backend!r})"

    @property
    def location(self) -> str:
        """The directory, or the URL of the object store."""
        return self._home.storage.location

    def read_position(self) -> bytes | None:
        """Return what `write_position` stored last; None if it was never called."""
        return self._home.storage.read_position()

    def write_position(self, content: bytes) -> None:
        """Store the position of the source beside the models, durably.

        Raises
        ------
        ConfigError
            The directory cannot be written.
        CheckpointError
            The object store cannot be reached, or another process took the fleet over.
        """
        self._home.storage.write_position(content)

    @property
    def task(self) -> str:
        """Task type of the models.

        It is classification, regression, multi-target regression, forecasting or watching.
        """
        return task_of(self.template)

    @property
    def template(self) -> Estimator:
        """The model that new keys start from."""
        return self._home.template

    @property
    def _kind(self) -> str:
        return type(self.template).__name__

    @property
    def takes_text(self) -> bool:
        """Whether the models take texts as categories."""
        return bool(getattr(self.template, "categories", 0))

    @property
    def has_context(self) -> bool:
        """Whether the models depend on earlier rows, because they have a memory or delays."""
        template = self.template
        if isinstance(template, LOCODetector):
            return True
        return template.memory is not None or template.max_delay > 0

    @property
    def notes(self) -> list[str]:
        """Sentences on faults that did not stop the fleet."""
        return self._backend.notes

    @property
    def n_repeated(self) -> int:
        """Rows that arrived again and were not learned twice."""
        return self._backend.n_repeated

    @property
    def n_refused(self) -> int:
        """Rows that no model could learn; `notes` has the reason of the last."""
        return self._backend.n_refused

    def learn(
        self,
        key: Key,
        X: TableLike,
        y: LabelsLike,
        *,
        features: Names = None,
        targets: Iterable[Hashable] | None = None,
        source: str = "",
        epoch: int = 0,
        seq: int | Sequence[int] | None = None,
        t: TimesLike = None,
    ) -> None:
        """Learn rows of a key.

        In this process the rows are learned when the call returns. On Ray they may still be in
        flight: a call waits while four messages to the worker are in flight, and `flush` waits for
        all.

        Parameters
        ----------
        key
            A text or an integer.
        X
            (n, n_features) numbers, a frame, or n rows by name. With a `LOCOForecaster`, None for
            values without additional features.
        y
            n labels. Of several targets: n dicts from target to number, or numbers (n, n_targets),
            NaN where missing. With a `LOCOForecaster`: the next n values, None or NaN where
            missing.
        features
            Names of the columns; None for those of a frame, or the model's slots in order.
        targets
            Names of the targets where `y` is an array; None for their positions.
        source, epoch
            Who sent the rows, and in which of its runs.
        seq
            Number of the first row, or of each row. Rows that were learned before are skipped and
            counted. Numbers must ascend within a key. None treats the rows of every call as new.
        t
            With a `LOCOForecaster`: the time of each value in any unit, as `learn_one` takes it;
            None if the times are not known. Other models of a fleet get no times.

        Raises
        ------
        InputError
            The rows cannot be learned, and none was. On Ray, rows that the model refuses are
            counted and named in `notes` instead.
        CheckpointError
            The log cannot be written; the rows of this call are not learned.
        """
        y = self._labels(y, targets)
        rows = self._rows(key, X, y, features, (source, epoch, seq), t)
        self._backend.learn([rows])
        self._share_when_due([rows])

    def learn_predict(
        self,
        key: Key,
        X: TableLike,
        y: LabelsLike,
        *,
        features: Names = None,
        targets: Iterable[Hashable] | None = None,
        source: str = "",
        epoch: int = 0,
        seq: int | Sequence[int] | None = None,
        t: TimesLike = None,
    ) -> Matrix:
        """Predict, then learn rows of a key; return the predictions, (n,).

        Parameters and errors are as for `learn`. A prediction of several targets is a dict, and
        that of a `LOCOForecaster` the forecast of the value.
        """
        y = self._labels(y, targets)
        (result,) = self.process([self._rows(key, X, y, features, (source, epoch, seq), t)])
        if result.refusal is not None:
            raise InputError(result.refusal)
        return _array(result.outputs)

    def process(self, batch: Sequence[KeyRows]) -> list[LearnResult]:
        """Predict, then learn rows of many keys at once; refused rows raise no error."""
        results = self._backend.learn_predict(batch)
        self._share_when_due(batch)
        return results

    def predict(self, key: Key | None, X: TableLike, features: Names = None) -> Matrix:
        """Predict rows of a key without learning, (n,).

        If the key is None or has no model, the shared model predicts; without one, the prediction
        is None per row. A prediction of several targets is a dict. A `LOCOForecaster` forecasts the
        next value with the features of each row.
        """
        table, names = read_rows(X, features)
        key = _NO_KEY if key is None else check_key(key)
        return _array(self._backend.predict(key, table, names))

    def forecast(self, key: Key, horizon: int, xs: FutureRows = None) -> list[float]:
        """Return the forecast of each of a key's next values. Changes nothing.

        Parameters
        ----------
        key
            The key.
        horizon, xs
            Number of values, and the additional features of each; see `LOCOForecaster.forecast`.

        Raises
        ------
        ConfigError
            The models are not forecasters.
        InputError
            The key has no model, the horizon is not a positive integer, or `xs` has another length.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> from loco_stream import Fleet, LOCOForecaster
        >>> with Fleet(LOCOForecaster(heads=5, seed=1), tempfile.mkdtemp()) as fleet:
        ...     fleet.learn("press 7", None, np.sin(np.arange(400) / 5))
        ...     low, high = fleet.forecast_interval("press 7", 5)[4]
        ...     low < fleet.forecast("press 7", 5)[4] < high
        True
        """
        return self._fan(key, (horizon, COVERAGE, xs))["forecast"]

    def forecast_interval(
        self,
        key: Key,
        horizon: int,
        coverage: float = 0.9,
        xs: FutureRows = None,
    ) -> list[tuple[float, float]]:
        """Return an interval per next value of a key that contains it with probability `coverage`.

        Parameters and errors are as for `forecast`; `LOCOForecaster.forecast_interval` describes
        the intervals.
        """
        fan = self._fan(key, (horizon, coverage, xs))
        return list(zip(fan["low"], fan["high"], strict=True))

    def fan(self, key: Key, horizon: int | None = None) -> dict[str, list[float]]:
        """Return `history`, the last 120 values of a key, and the `forecast` of the next ones.

        `low` and `high` are the bounds of the 90 % intervals. `horizon` None forecasts as many
        values as the forecasters have heads. Errors are as for `forecast`.
        """
        return self._fan(key, (horizon, COVERAGE, None))

    def _fan(self, key: Key, ahead: Ahead) -> dict[str, list[float]]:
        if not self._is_series:
            raise ConfigError(f"a forecast needs a fleet of LOCOForecaster, got {self._kind}")
        horizon, coverage, xs = ahead
        features = None if xs is None else [_plain_features(x) for x in xs]
        return self._backend.fan(check_key(key), (horizon, coverage, features))

    def pool(self) -> None:
        """Pool what up to 200 keys have learned into the shared model now.

        All models are stored first, so that a row that is learned again after a crash meets the
        same shared model as before.

        Raises
        ------
        ConfigError
            The fleet was opened with `share` "none".
        """
        if not self._home.shares:
            raise ConfigError("`share` must be 'start' or 'prior' to pool knowledge, got 'none'")
        self._store_all()
        template = self.template
        groups: dict[str | None, list[Any]] = {}
        for key in self._sample():
            keyed = self._keyed(key)
            if keyed.model.n_seen:
                groups.setdefault(keyed.start, []).append(keyed.model)
        if groups:
            pooled = pool(template, groups, self._home.start_of)
            self._backend.share(self._home.replace_shared(pooled))
        self._schedule.pooled()

    def _sample(self) -> list[Key]:
        """Return up to 200 keys, others each time."""
        keys = sorted(self.keys(), key=str)
        step = max(1, -(-len(keys) // _POOLED_KEYS))
        return keys[self._schedule.n_rows % step :: step]

    def _share_when_due(self, batch: Sequence[KeyRows]) -> None:
        if self._home.shares and self._schedule.is_due(sum(map(len, batch))):
            self.pool()

    def values(self, key: Key | None, X: Table, features: Sequence[Hashable]) -> Values:
        """Return probabilities (n, n_classes) and the classes, or values (n, 1) and no classes.

        If the key is None or has no model, the values are those of the shared model; without one,
        the result is None.

        Parameters
        ----------
        key
            The key, or None.
        X
            (n, n_features) float32.
        features
            Names of the columns.
        """
        return self._backend.values(_NO_KEY if key is None else key, X, features)

    def keys(self) -> list[Key]:
        """Return every key that has a model, in no particular order."""
        return self._backend.keys()

    def state_sha256(self, key: Key) -> str:
        """Return the SHA-256 of a key's model; a single model on the same rows has the same.

        Raises
        ------
        InputError
            The key has no model.
        """
        return self._backend.state_sha256(check_key(key))

    def model(self, key: Key) -> Any:
        """Return a copy of a key's model.

        Raises
        ------
        InputError
            The key has no model.
        """
        return self._keyed(check_key(key)).model

    def _keyed(self, key: Key) -> KeyedModel:
        factory = ModelFactory(self.template, decision=self._home.decision)
        return factory.load(key, self._backend.state(key))

    def report(self, key: Key) -> KeyReport:
        """Return the rows seen and, with a monitor, the scores, drifts and forgetting of a key.

        Raises
        ------
        InputError
            The key has no model.
        """
        return self._backend.report(check_key(key))

    def counts(self) -> tuple[int, int]:
        """Return the number of keys that have a model, and of models in memory."""
        return self._backend.counts()

    def set_decision(
        self,
        key: Key | None = None,
        *,
        thresholds: Mapping[Hashable, float] | None = None,
        costs: Costs | None = None,
    ) -> None:
        """Choose predicted classes by another rule from the next row on, durably.

        Parameters
        ----------
        key
            The key whose own rule it is. None sets the rule of all keys that have none of their
            own, also of those to come; all models are stored first.
        thresholds, costs
            As `LOCOClassifier.set_decision` takes them. Without either, a key follows the rule for
            all keys again, and all keys predict the most probable class.

        Raises
        ------
        ConfigError
            The models are not classifiers, or the rule has another form; the rule stays as it was.
        InputError
            The key has no model.

        Examples
        --------
        >>> import tempfile
        >>> from loco_stream import Fleet, LOCOClassifier
        >>> with Fleet(LOCOClassifier.preset("fast", seed=1), tempfile.mkdtemp()) as fleet:
        ...     for press in ("press 7", "press 8"):
        ...         fleet.learn(press, [[0.0], [1.0]] * 50, ["ok", "worn"] * 50)
        ...     fleet.set_decision("press 7", thresholds={"worn": 0.01})
        ...     [fleet.predict(press, [[0.4]]).tolist() for press in ("press 7", "press 8")]
        [['worn'], ['ok']]
        """
        if self.task != "classification":
            raise ConfigError(f"a rule for classes needs a LOCOClassifier, got {self._kind}")
        decision = Decision.checked(thresholds, costs)
        if key is not None:
            plain = None if decision is None else decision.to_plain()
            self._backend.decide(check_key(key), plain)
            return
        if decision == self._home.decision:
            return
        # a row that is learned again after a crash is predicted by the same rule as before
        self._store_all()
        self._backend.follow(self._home.replace_decision(decision))

    def decision(self, key: Key | None = None) -> Rule | None:
        """Return the rule of a key, or the one for all keys; None for the most probable class.

        Raises
        ------
        InputError
            The key has no model.
        """
        if key is not None:
            rule: Rule | None = self.model(key).decision
            return rule
        return None if self._home.decision is None else self._home.decision.rule

    def reset(self, key: Key) -> None:
        """Let the model of a key start anew from the template, for example after a repair.

        Rows that the key has learned count as repeated if they arrive again.

        Raises
        ------
        InputError
            The key has no model.
        """
        self._backend.reset(check_key(key))

    def evict(self, keys: Iterable[Key]) -> int:
        """Move the models of keys from memory to the store; return how many were in memory.

        A model is loaded again, bit-identical, when the next row of its key arrives.
        """
        return self._backend.evict(check_keys(keys))

    def export(self, key: Key, path: str | os.PathLike[str]) -> None:
        """Write the model of a key to a file that `loco_stream.load` reads.

        Raises
        ------
        InputError
            The key has no model.
        CheckpointError
            The file cannot be written.
        """
        save(self.model(key), path)

    def merge(self, keys: Iterable[Key]) -> Any:
        """Return one model of the rows of several keys.

        The statistics of their discriminants and of naive Bayes are added; with frozen hidden
        layers, also those of least squares without a leak. Everything else is from the model with
        the most rows, and centroids of classes that it lacks from the others.

        Raises
        ------
        InputError
            A key has no model or is given twice, or their options or features differ.
        """
        from loco_stream.fleet._merging import merge

        given = check_keys(keys)
        twice = [key for key, times in Counter(given).items() if times > 1]
        if twice:
            raise InputError(f"`keys` must be distinct, got {shown(twice[0])} twice")
        return merge([self.model(key) for key in given], self.template)

    def flush(self) -> None:
        """Wait until all rows are learned and durable in the log."""
        self._backend.flush()

    def rescale(self, workers: int) -> None:
        """Continue with another number of workers; groups move without loss.

        Raises
        ------
        ConfigError
            The fleet is not on Ray, or the number is below 1.
        """
        workers = require("workers", workers, integer(1, 10_000))
        self._backend.rescale(workers)

    def checkpoint(self) -> None:
        """Store all models that changed, so that no row has to be learned again after a restart."""
        self._backend.checkpoint()

    def _store_all(self) -> None:
        """Store all models, also of groups that nothing was asked of since a crash."""
        self._backend.counts()  # opens every group, which learns the rows in its log again
        self.checkpoint()

    def close(self, *, store: bool = True) -> None:
        """Release the directory.

        Parameters
        ----------
        store
            Whether to store all models that changed. False takes less time: the changes are only in
            the log, and whoever opens the fleet next learns the rows since the last checkpoint
            again.
        """
        try:
            self._backend.close(store=store)
        finally:
            self._home.close()

    def _labels(self, y: LabelsLike, targets: Iterable[Hashable] | None) -> LabelsLike:
        """Return labels as the models take them: those of several targets as dicts."""
        if self._has_targets:
            return read_targets(y, targets)
        if targets is not None:
            raise InputError(f"`targets` must be None where the task is {self.task}")
        return y

    def _rows(
        self,
        key: Key,
        X: TableLike,
        y: LabelsLike,
        features: Names,
        number: tuple[str, int, int | Sequence[int] | None],
        t: TimesLike,
    ) -> KeyRows:
        """Return checked rows, numbered if the caller does not: on Ray they may be sent twice.

        `number` is `source`, `epoch` and `seq`.
        """
        if t is not None and not self._is_series:
            raise InputError(f"`t` must be None where the task is {self.task}")
        if X is None and self._is_series:
            X = np.zeros((len(y) if hasattr(y, "__len__") else 1, 0))
        source, epoch, seq = number
        if seq is None:
            rows = make_rows(key, X, y, features, "", self._home.epoch, self._next_seq)
            self._next_seq += len(rows)
        else:
            rows = make_rows(key, X, y, features, source, epoch, seq)
        rows.times = read_times(t, len(rows))
        return rows


def _check_seconds(share_seconds: float | None, share: str) -> None:
    if share_seconds is None:
        return
    if share != PRIOR:
        raise ConfigError(f"`share_seconds` needs `share` 'prior', got {share!r}")
    if not share_seconds > 0.0:
        raise ConfigError(f"`share_seconds` must be above 0 or None, got {share_seconds!r}")


def _plain_features(x: Mapping[Hashable, object]) -> dict[Hashable, float]:
    """Return features as numbers, NaN for what is none; workers get no other values."""
    require_mapping(x)
    return {plain(name): to_number(value) for name, value in x.items()}


def _array(outputs: Outputs) -> Matrix:
    """Return labels as the estimators do: typed if all have one type, else as objects."""
    types = {type(label) for label in outputs}
    if len(types) == 1 and types <= {int, float, str, bool}:
        return np.array(outputs)
    table = np.empty(len(outputs), object)
    table[:] = outputs
    return table
