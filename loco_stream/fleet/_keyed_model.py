"""The model of one key: its rows, and scores and drifts where the key is watched."""

from __future__ import annotations

import copy
import math
from bisect import bisect_right
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from typing import Any

import numpy as np

from loco_stream._numbers import plain, to_number
from loco_stream._persistence.content import Config, Saved, State
from loco_stream._persistence.format import from_bytes, to_bytes
from loco_stream._problems import TARGETS
from loco_stream.engine._adapters import learning_adapter, monitored
from loco_stream.engine._forecasting import ForecastAdapter
from loco_stream.engine._measures import RunMeasures
from loco_stream.engine._model_adapter import ModelAdapter, task_of
from loco_stream.engine._pending import PendingRows
from loco_stream.engine._report import jsonable
from loco_stream.engine._row import Features, Row
from loco_stream.engine._state import export_model, export_trainer, model_of, restore_trainer
from loco_stream.engine._state import state_sha256 as sha256_of
from loco_stream.engine._trainer import Trainer
from loco_stream.engine._watching import DetectorAdapter, Watcher
from loco_stream.errors import CheckpointError
from loco_stream.estimators._classifier import LOCOClassifier
from loco_stream.estimators._decision import Decision
from loco_stream.estimators._detector import LOCODetector
from loco_stream.estimators._forecaster import LOCOForecaster
from loco_stream.estimators._inputs.tables import FutureRows, Names, read_target
from loco_stream.estimators._multi_target import LOCOMultiTargetRegressor
from loco_stream.estimators._pipeline import Estimator
from loco_stream.fleet._mixture_adapter import MixtureAdapter
from loco_stream.fleet._rows import (
    DECIDE,
    LABELS,
    LEARN,
    MAX_WAITING,
    OBSERVE,
    Key,
    KeyRows,
    Label,
    Matrix,
    Outputs,
    Table,
)
from loco_stream.fleet._sharing import Mixture, SharedModel, chosen
from loco_stream.monitor import DriftAlarm, TaskMonitor
from loco_stream.records import Record, of_drift_alarm
from loco_stream.stream import Block

_KIND = "checkpoint"  # `load` reads the model out of it
_ROWS = "rows"
# Rows up to which a model is stored as its rows: they take a hundredth of the space, and less time
# to learn again than the model to load.
_YOUNG = 32
_CERTAIN = frozenset({str, int, bool})  # any value of these types is a class


class ModelFactory:
    """Makes the models of new keys, and restores those of known ones, from one template.

    template: each key starts with a copy of it, or of the shared model where `share` is "start"
    watch: settings of each key's `TaskMonitor`; None watches nothing
    shared: the model that all keys share; None shares nothing
    decision: the rule by which classes are chosen for keys without their own; None chooses the most
        probable one
    """

    def __init__(
        self,
        template: Estimator,
        watch: State | None = None,
        shared: SharedModel | None = None,
        decision: Decision | None = None,
    ) -> None:
        self.template = template
        self.shared = shared
        self.decision = decision
        self._watch = watch
        self._blanks: dict[Any, Estimator] = {}

    def new(self, rows: KeyRows) -> KeyedModel:
        """Return the model of a new key whose first rows are these."""
        keyed = self._keyed(partial(self._begun, rows))
        keyed.begin(self.decision)
        is_classifier = isinstance(self.template, LOCOClassifier)
        keyed.may_wait = is_classifier and self.shared is None and self.template.n_seen == 0
        return keyed

    def _begun(self, rows: KeyRows) -> Estimator:
        """Return what the model of a new key begins as."""
        return copy.copy(self._blank(rows) if rows.kind == LEARN else self._beginning)

    @property
    def _beginning(self) -> Estimator:
        """What a new key starts with a copy of."""
        shared = self.shared
        return shared.model if shared is not None and shared.begins else self.template

    def restarted(self, keyed: KeyedModel) -> KeyedModel:
        """Return a model that starts anew for a key, which keeps its rule.

        Rows that the key learned stay repeated.
        """
        anew = self._keyed(partial(copy.copy, self._beginning), dict(keyed.seen))
        anew.follow(self.decision)
        if keyed.has_own_decision:
            anew.decide(keyed.decision)
        return anew

    def _keyed(
        self,
        make: Callable[[], Estimator],
        seen: dict[str, tuple[int, int]] | None = None,
    ) -> KeyedModel:
        kind = KeyedModel
        if isinstance(self.template, LOCODetector):
            kind = KeyedDetector
        elif isinstance(self.template, LOCOForecaster):
            kind = KeyedForecaster
        return kind(make, task_of(self.template), self._watch, seen, self.shared)

    def load(self, key: Key, content: bytes) -> KeyedModel:
        """Return a stored model, bit-identical.

        Raises `CheckpointError` if its bytes are damaged.
        """
        what = f"the model of key {key!r}"
        saved = from_bytes(content, what)
        if saved.kind == _ROWS:
            return self._learn_again(key, saved.config)
        kind, config, arrays = model_of(saved)
        own = type(self.template)
        saved_key = saved.config.get("key")
        if kind != own.__name__ or saved_key != key:
            raise CheckpointError(f"{what} is a {kind} of key {saved_key!r}")
        restored = own.from_state(config, arrays)
        keyed = self._keyed(lambda: restored)
        keyed.restore(saved)
        keyed.follow(self.decision)
        return keyed

    def _learn_again(self, key: Key, config: State) -> KeyedModel:
        """Return a young model, which is stored as its rows."""
        keyed: KeyedModel | None = None
        begun = Decision.from_plain(config.get("decision"))
        for payload in config["rows"]:
            rows = KeyRows.decode(payload)
            if keyed is None:
                keyed = self.new(rows)
                keyed.begin(begun)
            keyed.take(rows, False, begun)
        if keyed is None or config.get("key") != key:
            raise CheckpointError(f"the model of key {key!r} is that of key {config.get('key')!r}")
        keyed.follow(self.decision)
        keyed.changed = False
        return keyed

    def _blank(self, rows: KeyRows) -> Estimator:
        """Return the template with arrays for the first of those rows, which are only copied."""
        template = self._beginning
        has_slots = not isinstance(template, LOCODetector | LOCOForecaster)
        if template.n_seen or not has_slots:
            return template
        names = rows.features
        if isinstance(rows.X, list):
            if isinstance(template, LOCOMultiTargetRegressor):  # its targets come first
                return template
            names = tuple(rows.X[0])
        elif names is None:
            names = tuple(range(rows.X.shape[1]))
        blank = self._blanks.get(names)
        if blank is None:
            if len(self._blanks) >= 16:  # a source that invents names must not fill the memory
                self._blanks.clear()
            blank = self._blanks[names] = copy.copy(template)
            blank.reserve(names)
        return blank


class KeyedModel:
    """One key's model in memory.

    The estimator is made when something is asked of it. The first row of a key alone does not: keys
    that come once, as invented ones do, then take neither its time nor its memory.

    make: returns the estimator
    problem: what it learns, from `task_of`
    watch: settings of its `TaskMonitor`; None measures and watches nothing
    seen: of a model that starts anew: epoch and number of the newest row of each source
    shared: the model that all keys share; None shares nothing

    Its attributes:
    seen: epoch and number of the newest row of each source
    start: name of the shared model that it began as; None if it began with the template
    changed: whether it differs from the group's checkpoint
    group: number of its key group
    is_stored: whether the group stores an earlier state of it
    alarms: records of the drifts and returns of tasks in the rows learned last
    has_own_decision: whether the key has its own rule by which classes are chosen
    steps: of a forecaster: what the rows learned last add to the `HorizonScores.totals`; else empty
    may_wait: whether nothing can be predicted for the first row, so that it may wait to be learned
    """

    steps: Sequence[Sequence[float]] = ()
    group = -1
    is_stored = False
    has_own_decision = False
    may_wait = False
    _begun_with: Decision | None = None
    _is_begun = False
    _first: KeyRows | None = None  # waits until the estimator is made
    _made: Trainer | None = None

    def __init__(
        self,
        make: Callable[[], Estimator],
        problem: str,
        watch: State | None,
        seen: dict[str, tuple[int, int]] | None = None,
        shared: SharedModel | None = None,
    ) -> None:
        self._shared = shared
        self.start = shared.name if shared is not None and shared.begins else None
        self.seen: dict[str, tuple[int, int]] = seen or {}
        self.changed = True
        self.alarms: list[Record] = []
        self._notes: list[str] = []
        self._make = make
        self._watch = watch
        self._has_targets = problem == TARGETS
        # all rows learned so far, while they are few and alone determine the state
        self._young: list[KeyRows] | None = [] if seen is None and shared is None else None
        self._n_young = 0

    @property
    def _trainer(self) -> Trainer:
        """What holds the estimator and teaches it; made when it is first asked for."""
        if self._made is None:
            self._made = self._new_trainer()
            self._learn_first()
            del self._make  # it holds the first rows
        return self._made

    def _learn_first(self) -> None:
        """Learn the first row, if it waited; the key goes on without one that fails."""
        first = self._first
        self._first = None
        if first is None:
            return
        try:
            self._learn(first, False)
        except MemoryError:
            raise
        except Exception as error:
            self._notes.append(f"the first row of key {first.key!r} cannot be learned ({error!r})")
            self._made = self._new_trainer()

    def take_notes(self) -> list[str]:
        """Return sentences about a first row that could not be learned when its time came, once."""
        notes = self._notes
        self._notes = []
        return notes

    def _new_trainer(self) -> Trainer:
        trainer = self._make_trainer(self._make(), self._watch)
        trainer.on_alarm(self._add_alarm)
        if self._is_begun:
            _use(trainer, self._begun_with)
        return trainer

    def _make_trainer(self, model: Any, watch: State | None) -> Trainer:
        adapter = self._adapter(model)
        pending = PendingRows(MAX_WAITING, math.inf)
        if watch is None:
            return Trainer(adapter, pending, in_detail=False)
        problem = task_of(model)
        monitor = TaskMonitor(**{**watch, "problem": monitored(problem)})
        measures = RunMeasures(problem)
        return Trainer(adapter, pending, measures, monitor, in_detail=False, logs_source=True)

    def _adapter(self, model: Any) -> ModelAdapter:
        if self._shared is None or self._shared.begins:
            return learning_adapter(model)
        return MixtureAdapter(model, self._shared)

    @property
    def decision(self) -> Decision | None:
        """The rule by which classes are chosen; None chooses the most probable one."""
        rule = getattr(self.model, "decision", None)
        return None if rule is None else Decision.checked(**rule)

    def begin(self, decision: Decision | None) -> None:
        """Choose classes by the rule of the fleet from the first row on."""
        self._begun_with = decision
        self._is_begun = True
        if self._made is not None:
            _use(self._made, decision)

    def decide(self, decision: Decision | None) -> None:
        """Choose classes by the key's own rule from now on."""
        self.has_own_decision = True
        _use(self._trainer, decision)

    def follow(self, decision: Decision | None) -> None:
        """Choose classes by another rule of the fleet from now on, unless the key has its own."""
        if self.has_own_decision:
            decision = self.decision
        elif decision != self.decision:
            self._young = None  # its rows were scored by the rule before
        _use(self._trainer, decision)

    @property
    def mixture(self) -> Mixture | None:
        """Weights of its own model and of the shared one; None if it predicts alone."""
        adapter = self._trainer.adapter
        return adapter.mixture if isinstance(adapter, MixtureAdapter) else None

    @property
    def model(self) -> Any:
        """The estimator."""
        return self._trainer.adapter.model

    @property
    def pending(self) -> PendingRows:
        """Rows that were predicted and whose labels come later."""
        return self._trainer.pending

    def n_repeated(self, rows: KeyRows) -> int:
        """Return how many rows were learned before: those up to the newest of their source."""
        if rows.kind == LABELS:
            return 0
        newest = self.seen.get(rows.source, (-1, -1))
        if rows.number(0) > newest:
            return 0
        return bisect_right(range(len(rows)), newest, key=rows.number)

    def take(self, rows: KeyRows, predicts: bool, decision: Decision | None) -> Outputs:
        """Take an entry of the log: rows to `learn`, or another rule.

        `decision` is the rule of the fleet, which the key follows if the entry ends its own.
        """
        if rows.kind != DECIDE:
            return self.learn(rows, predicts)
        self.changed = True
        self.alarms = []
        own = Decision.from_plain(rows.y[0])
        self.has_own_decision = own is not None
        _use(self._trainer, decision if own is None else own)
        # learned again, the rows after the end of an own rule follow the rule of the beginning
        is_repeatable = own is not None or decision == self._begun_with
        self._keep_young(self._young if is_repeatable else None, rows)
        return ()

    def learn(self, rows: KeyRows, predicts: bool) -> Outputs:
        """Learn rows; return the prediction of each before it, or nothing unless `predicts`.

        Of late labels it is a list with the prediction of the row when it came, None where no such
        row waits.

        Raises `InputError` if the model cannot take them: nothing was learned.
        """
        self.changed = True
        self.alarms = []
        if rows.kind != LABELS:
            self.seen[rows.source] = rows.number(-1)
        # rows that are refused amid others cannot be learned again in the same way
        young = self._young
        self._young = None
        said = [None] if self._lets_wait(rows) else self._learn(rows, predicts)
        self._keep_young(young, rows)
        return said

    def _lets_wait(self, rows: KeyRows) -> bool:
        """Let the first row of a key wait until something else is asked; return whether it does.

        Its prediction is None, and only a row that nothing refuses later may wait: the sender gets
        the answer now.
        """
        may_wait = self.may_wait and rows.kind == LEARN and len(rows) == 1
        self.may_wait = False
        if may_wait and isinstance(rows.X, list) and type(rows.y[0]) in _CERTAIN and rows.X[0]:
            self._first = rows
        return self._first is rows

    def _keep_young(self, young: list[KeyRows] | None, rows: KeyRows) -> None:
        """Add an entry of the log to those that determine the state, while they are few."""
        self._young = None
        size = max(len(rows), 1)
        if young is not None and self._n_young + size <= _YOUNG:
            self._n_young += size
            self._young = [*young, rows]

    def _learn(self, rows: KeyRows, predicts: bool) -> Outputs:
        if rows.kind == OBSERVE:
            return [self._trainer.observe_row(_row(rows, i)) for i in range(len(rows))]
        if rows.kind == LABELS:
            return self._learn_labels(rows)
        if self._watch is not None or self._has_targets or self.mixture is not None:
            return self._learn_by_trainer(rows)
        if isinstance(rows.X, list):
            return self._learn_named(rows.X, rows.y, predicts)
        if predicts:
            return _listed(self.model.learn_predict_array(rows.X, rows.y, rows.features))
        self.model.learn_array(rows.X, rows.y, rows.features)
        return ()

    def _learn_by_trainer(self, rows: KeyRows) -> list[Label]:
        """Predict, score and learn rows, in one call if nothing has to happen between two."""
        trainer = self._trainer
        each = [_row(rows, i) for i in range(len(rows))]
        labels = _listed(rows.y)
        if isinstance(rows.X, list) or not trainer.takes_blocks:
            return [trainer.learn_row(row, y) for row, y in zip(each, labels, strict=True)]
        block = Block(rows.X, rows.y, _names(rows))  # type: ignore[arg-type]
        return trainer.learn_block(block, labels, each)

    def _learn_named(
        self, X: list[Mapping[Any, Any]], y: Sequence[Label], predicts: bool
    ) -> list[Label]:
        model = self.model
        said = []
        for x, label in zip(X, y, strict=True):
            if predicts:
                said.append(model.predict_one(x, in_stream=True))
            model.learn_one(x, label)
        return said

    def _learn_labels(self, rows: KeyRows) -> list[Label]:
        """Learn rows whose labels have come."""
        source = _full_name(rows)
        said: list[Label] = []
        for i, y in enumerate(rows.y):
            pending = self._trainer.learn_label(source, *rows.number(i), y)
            said.append(None if pending is None else [pending.prediction.y_pred])
        return said

    def _add_alarm(self, alarm: DriftAlarm, row: Row) -> None:
        record = of_drift_alarm(alarm, row)
        if record is not None:
            self.alarms.append(record)

    def values(self, X: Table, features: Sequence[Hashable] | None) -> tuple[Matrix, Outputs]:
        """Return probabilities (n, classes) and the classes, or values (n, 1) and no classes."""
        names = tuple(features or ())
        return self._trainer.adapter.predict_values(X, names, {})  # type: ignore[arg-type]

    def predict(self, X: Table, features: Names) -> list[Label]:
        """Predict rows without learning."""
        adapter = self._trainer.adapter
        if isinstance(adapter, MixtureAdapter):
            names = None if features is None else tuple(features)
            return chosen(*adapter.combined(X, names, False), adapter.decision)
        if self._has_targets:
            return self._predict_targets(X, features)
        if isinstance(X, list):
            return [plain(self.model.predict_one(x, in_stream=False)) for x in X]
        return _listed(self.model.predict_array(X, features, in_stream=False))

    def _predict_targets(self, X: Table, features: Names) -> list[Label]:
        """Return the value of each target of each row, as a dict."""
        if isinstance(X, list):
            return [self.model.predict_one(x) for x in X]
        values = self.model.predict_array(X, features).tolist()
        return [dict(zip(self.model.targets, row, strict=True)) for row in values]

    def state_sha256(self) -> str:
        """Return the SHA-256 of the model, as of a single model that learned the same rows."""
        return sha256_of(*export_model(self.model))

    def to_bytes(self, key: Key) -> bytes:
        """Return everything that must be kept of the key."""
        if self._young is not None:
            rows = [rows.encode() for rows in self._young]
            begun = self._begun_with
            rule = {} if begun is None else {"decision": begun.to_plain()}
            return to_bytes(_ROWS, {"key": key, "rows": rows, **rule}, {})
        config, arrays = export_trainer(self._trainer)
        if self._watch is None and not len(self._trainer.pending):
            del config["trainer"]
        if self.mixture is not None:
            config["mixture"] = self.mixture.losses
        if self.start is not None:
            config["start"] = self.start
        if self.has_own_decision:
            config["decides"] = True
        seen = {source: list(newest) for source, newest in self.seen.items()}
        return to_bytes(_KIND, {"key": key, "seen": seen, **config}, arrays)

    def restore(self, saved: Saved) -> None:
        """Restore what `to_bytes` kept besides the model."""
        self._young = None
        if self.mixture is not None and "mixture" in saved.config:
            self.mixture.losses = [float(loss) for loss in saved.config["mixture"]]
        self.start = saved.config.get("start")
        self.has_own_decision = saved.config.get("decides", False)
        self.seen = {source: (epoch, seq) for source, (epoch, seq) in saved.config["seen"].items()}
        if self._watch is not None and "monitor" in saved.config:
            restore_trainer(self._trainer, saved)
        elif "trainer" in saved.config:
            self._trainer.pending.restore_state(saved.config["trainer"]["pending"])
        self.changed = False

    def report(self) -> Config:
        """Return the rows seen and, where the key is watched, scores, drifts and forgetting."""
        trainer = self._trainer
        report: Config = {"n_samples": self.model.n_seen}
        if self.mixture is not None:
            report["shared_weight"] = self.mixture.shared_weight
        if self.has_own_decision and self.decision is not None:
            report["decision"] = self.decision.to_plain()
        if trainer.measures is not None and trainer.monitor is not None:
            report |= trainer.measures.prequential.report()
            if self._has_targets:
                report |= trainer.measures.prequential.classes()
            report |= trainer.monitor.report()
            report["last_drift"] = trainer.last_drift
        plain_report: Config = jsonable(report)
        return plain_report


class KeyedDetector(KeyedModel):
    """One key's anomaly detector: rows need no labels, and alarms are its records."""

    @property
    def _watcher(self) -> Watcher:
        watcher = self._trainer.watcher
        assert watcher is not None
        return watcher

    def _make_trainer(self, model: LOCODetector, watch: State | None) -> Trainer:
        adapter: Any = DetectorAdapter(model)
        trainer = Trainer(adapter, PendingRows(), RunMeasures("watching"), in_detail=False)
        trainer.watcher = Watcher(adapter, logs_source=True)
        trainer.watcher.on_alarm(lambda record: self.alarms.append(record))
        return trainer

    def _learn(self, rows: KeyRows, predicts: bool) -> Outputs:
        """Score rows, each before it is learned; return their state scores."""
        if rows.kind == LABELS:  # a detector reads none
            return [None] * len(rows)
        each = [_row(rows, i) for i in range(len(rows))]
        if isinstance(rows.X, list):
            return [self._watcher.score([row], self.model.learn_results(row.x))[0] for row in each]
        found = self.model.learn_results_array(rows.X, None, _names(rows))
        return self._watcher.score(each, found)

    def predict(self, X: Table, features: Names) -> list[Label]:
        """Return the onset score of each row; nothing is learned."""
        names = tuple(features or ())
        rows = X if isinstance(X, list) else [dict(zip(names, row, strict=True)) for row in X]
        return [float(self.model.score_one(row)) for row in rows]

    def restore(self, saved: Saved) -> None:
        """Restore what `to_bytes` kept besides the detector."""
        super().restore(saved)
        self._watcher.restore_state(saved.config["watcher"])

    def report(self) -> Config:
        """Return rows, alarms and the most unusual rows."""
        report: Config = jsonable({"n_samples": self.model.n_seen, **self._watcher.report()})
        return report


class KeyedForecaster(KeyedModel):
    """One key's forecaster: labels are the values of a series, in which some may be missing."""

    @property
    def _forecasts(self) -> ForecastAdapter:
        adapter = self._trainer.adapter
        assert isinstance(adapter, ForecastAdapter)
        return adapter

    def fan(self, horizon: int | None, coverage: float, xs: FutureRows) -> Config:
        """Return the last values, and forecasts with intervals; see `ForecastAdapter.fan`."""
        return self._forecasts.fan(horizon, coverage, xs)

    def _learn(self, rows: KeyRows, predicts: bool) -> Outputs:
        """Forecast, then learn each value; return the forecasts of one step."""
        self.steps = ()
        if rows.kind == LABELS:  # values are learned in their order, or never
            return [None] * len(rows)
        given = [None] * len(rows) if rows.kind == OBSERVE else rows.y
        values = [read_target(f"y[{i}]", y) for i, y in enumerate(given)]
        before = self._forecasts.scores.totals()
        said: list[Label] = []
        for block, each in _series_parts(rows, values):
            said += self._learn_part(block, each)
        self.steps = (self._forecasts.scores.totals() - before).tolist()
        return said

    def _learn_part(self, block: Block, rows: Sequence[Row]) -> list[Label]:
        """Learn values, or move on by rows whose values are all missing."""
        assert block.y is not None
        if not math.isnan(block.y[0]):
            return self._trainer.learn_block(block, block.y, rows)
        said = []
        for row, x in zip(rows, block.X.tolist(), strict=True):
            # also the columns without a number are inputs from now on, as in an array
            row.x = dict(zip(block.features, x, strict=True))
            row.features = None
            said.append(self._trainer.predict_row(row).prediction.y_pred)
        return said

    def predict(self, X: Table, features: Names) -> list[Label]:
        """Return the forecast of the next value with the features of each row."""
        if self.model.n_seen == 0:  # it starts anew
            return [None] * len(X)
        if not isinstance(X, list):
            names = range(X.shape[1]) if features is None else tuple(features)
            X = [dict(zip(names, row, strict=True)) for row in X.tolist()]
        return [self.model.forecast(1, [x])[0] for x in X]

    def restore(self, saved: Saved) -> None:
        """Restore what `to_bytes` kept besides the forecaster."""
        super().restore(saved)
        self._forecasts.scores.restore_state(saved.config["forecasts"])

    def report(self) -> Config:
        """Return the rows seen, the errors by step ahead, and what other models report."""
        by_step: Config = jsonable(self._forecasts.scores.report())
        return super().report() | by_step


def _use(trainer: Trainer, decision: Decision | None) -> None:
    """Choose classes by a rule."""
    adapter = trainer.adapter
    if not isinstance(adapter.model, LOCOClassifier):
        return
    adapter.model._core.decision = decision  # without a warning: few keys have all labels
    if isinstance(adapter, MixtureAdapter):
        adapter.decision = decision


def _series_parts(rows: KeyRows, values: list[float]) -> Iterator[tuple[Block, list[Row]]]:
    """Yield rows that have the same columns, with all values missing or all known.

    They come as a block, and one by one.
    """
    tables = rows.X if isinstance(rows.X, list) else [dict.fromkeys(_names(rows))] * len(rows)
    kinds = [(tuple(x), math.isnan(value)) for x, value in zip(tables, values, strict=True)]
    begin = 0
    for (columns, _), members in groupby(kinds):
        part = slice(begin, begin + len([*members]))
        X = _numbers(rows.X[part], len(columns))
        times = None if rows.times is None else rows.times[part]
        each = [_row(rows, i) for i in range(part.start, part.stop)]
        yield Block(X, values[part], columns, times=times), each
        begin = part.stop


def _numbers(X: Table, width: int) -> Matrix:
    """Return rows by name, which have the same names, as an array."""
    if not isinstance(X, list):
        return X
    numbers = [[to_number(value) for value in x.values()] for x in X]
    return np.array(numbers, np.float64).reshape(len(X), width)


def _row(rows: KeyRows, i: int) -> Row:
    x = rows.X[i]
    names = None
    if not isinstance(rows.X, list):
        x = rows.X[i : i + 1]
        names = _names(rows)
    t = math.nan if rows.times is None else float(rows.times[i])
    epoch, seq = rows.number(i)
    return Row(x, names, seq, t, _full_name(rows), epoch, own_t=t)


def _names(rows: KeyRows) -> Features:
    """Return the names of the columns of an array."""
    assert not isinstance(rows.X, list)
    return tuple(range(rows.X.shape[1])) if rows.features is None else rows.features


def _full_name(rows: KeyRows) -> str:
    return f"{rows.source}/{rows.key}"


def _listed(values: Any) -> list[Label]:
    return values.tolist() if hasattr(values, "tolist") else list(values)
