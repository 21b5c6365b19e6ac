"""The engine: runs a model on a stream, with scores, checkpoints and a log."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from loco_stream._checks import (
    MOST_ROWS,
    flag,
    integer,
    require,
    require_instance,
    require_type,
    row_count,
)
from loco_stream._compiler.timing import compile_seconds
from loco_stream._joins import n_rows
from loco_stream._persistence.content import Saved, State
from loco_stream._problems import PROBLEMS, is_numeric
from loco_stream._renamed import renamed
from loco_stream._text import counted
from loco_stream.engine._adapters import check_monitor, learning_adapter, monitored
from loco_stream.engine._admission import Admission, NameBounds
from loco_stream.engine._checkpoint_schema import check_types
from loco_stream.engine._commits import CommitPipeline
from loco_stream.engine._events import EventHandler
from loco_stream.engine._forecasting import ForecastAdapter, is_forecaster
from loco_stream.engine._latency import LatencyHistogram
from loco_stream.engine._listeners import Listeners
from loco_stream.engine._measures import RunMeasures
from loco_stream.engine._missing_values import MissingValues
from loco_stream.engine._model_adapter import ModelAdapter, last_step, task_of
from loco_stream.engine._pending import PendingRows
from loco_stream.engine._progress import watch
from loco_stream.engine._queries import RunnerQueries
from loco_stream.engine._report import Report
from loco_stream.engine._row import Label
from loco_stream.engine._source_reader import SourceReader, as_source, head, tail
from loco_stream.engine._status import StatusBoard
from loco_stream.engine._store import Store
from loco_stream.engine._tracing import Tracer
from loco_stream.engine._trainer import ScoredRow, Trainer
from loco_stream.engine._wal import parse_durability
from loco_stream.engine._watching import DetectorAdapter, Watcher, is_detector
from loco_stream.errors import CheckpointError, ConfigError, SourceError
from loco_stream.estimators._decision import Costs, rule_in_words
from loco_stream.metrics._ranking import PRECISION
from loco_stream.monitor import TaskMonitor
from loco_stream.records import Record
from loco_stream.stream import Event, Position, Sink, Source

if TYPE_CHECKING:
    from loco_stream.estimators._detector import LOCODetector

Model: TypeAlias = Any  # has `predict_one` and `learn_one`
Rows: TypeAlias = Any  # an iterable of (x, y) pairs
Choose: TypeAlias = Callable[[str], tuple[Model, TaskMonitor]]

_POLL_SECONDS = 0.1  # between checks for a stop when the stream has ended

_log = logging.getLogger("loco_stream.engine.core")


class StreamEngine:
    """Runs a model on a stream: every row is predicted and scored before it is learned.

    An engine makes one run. It logs to the loggers below `loco_stream.engine`.

    Parameters
    ----------
    model
        Any model with `predict_one` and `learn_one`; one with array methods learns blocks in one
        call.
    source
        A `Source`, or any iterable of (x, y) pairs, for example a dataset of river.
    sinks
        `Sink` objects; each gets every prediction, and the report at the end.
        `loco_stream.connectors.open_sink` makes sinks that send records elsewhere.
    monitor
        A `TaskMonitor`. By default one that detects drift and holds out no row, so that scores
        equal those of a progressive validation with river.
    checkpoint
        Folder of checkpoints, and of the write-ahead log if the source needs one. By default
        nothing is kept.
    delay
        Rows between a row and its label. The scores of a river model equal those of
        ``progressive_val_score(delay=...)``; a model with tickets learns from them. By default
        labels come with their rows.
    task
        "classification", "regression", "multi-target regression" or "forecasting"; by default that
        of the model.
    score_window
        Rows in the sliding window of the scores.
    at_precision
        Precision, above 0 and up to 1, at which the report has the recall of each class. Set it to
        the share of alarms that must be right.
    resume
        False refuses a folder with an earlier run; True resumes that run, and refuses an empty
        folder; None resumes a run if there is one.
    checkpoint_every
        Rows between checkpoints; 10,000 are learned again in about a second. One is also written
        every 60 seconds.
    durability
        When the write-ahead log is synced: "batch", "interval:<seconds>s" or "off". By default
        "batch" for a source whose rows cannot be read again (`Source.needs_log`), else "off".
    max_pending, max_age
        Rows, and seconds of running time, that predictions wait for late labels.
    strict
        Raise when a row is refused or fails. With False the row is counted, kept in
        ``quarantine.jsonl`` in the checkpoint folder with the reason, and the stream goes on.
    forever
        Wait for `stop` when the stream has ended, or when `run` has processed its `max_samples`.
    settings
        Plain values stored with each checkpoint. A run with other values is not resumed.
    anomaly
        A `LOCODetector` beside the model: it scores every row, labelled or not. A detector as
        `model` watches a stream without labels.
    watchers
        Functions called with the engine, in its thread: at the start, ten times per second, and at
        the end.
    choose
        Called with the task inferred from the first label, if it differs from `task`; returns the
        model and the monitor to continue with. By default the task is that of the model.
    bounds
        Maximum number of features and of classes, since the model forgets none. A row beyond is
        refused. By default there is no bound.
    missing_values
        Numbers that stand for a missing value, such as -9999. An input that equals one counts as
        missing, and so does the label of a regression or a forecast; a class stays one. The report
        counts them as `n_fill_values`. Texts are not compared.
    tracer
        A tracer of OpenTelemetry, which gets a span per commit, block of rows and checkpoint;
        `loco_stream.engine.telemetry.Telemetry` has one.

    Raises
    ------
    ConfigError
        An option is out of its range, or the checkpoint folder is in use or does not fit `resume`.
    SourceError
        Rows of the source have no features, and the model is not a forecaster.
    CheckpointError
        There is no intact checkpoint to resume from.

    Examples
    --------
    >>> from river import datasets, naive_bayes
    >>> from loco_stream import StreamEngine
    >>> report = StreamEngine(naive_bayes.GaussianNB(), datasets.Phishing()).run(max_samples=500)
    >>> report.to_dict()["n_samples"], round(report.to_dict()["accuracy"], 3)
    (500, 0.858)
    """

    @renamed(window="score_window")
    def __init__(
        self,
        model: Model,
        source: Source | SourceReader | Rows,
        sinks: Iterable[Sink] = (),
        monitor: TaskMonitor | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        delay: int | None = None,
        *,
        task: str | None = None,
        score_window: int = 500,
        at_precision: float = PRECISION,
        resume: bool | None = False,
        checkpoint_every: int = 10_000,
        durability: str | None = None,
        max_pending: int = 10_000,
        max_age: float = 3600.0,
        strict: bool = True,
        forever: bool = False,
        settings: State | None = None,
        anomaly: Model | None = None,
        watchers: Iterable[Callable[[StreamEngine], None]] = (),
        choose: Choose | None = None,
        bounds: NameBounds | None = None,
        missing_values: Iterable[float] = (),
        tracer: Tracer | None = None,
    ) -> None:
        require_instance("monitor", monitor, TaskMonitor)
        require_instance("bounds", bounds, NameBounds)
        require_type("sinks", sinks, "Iterable")
        require_type("watchers", watchers, "Iterable")
        require_type("settings", settings, "Mapping | None")
        require_type("choose", choose, "Callable | None")
        require_instance("tracer", tracer, Tracer)
        require("strict", strict, flag)
        require("forever", forever, flag)
        require("delay", delay, integer(0, MOST_ROWS, optional=True))
        self._missing = MissingValues.of(missing_values)
        adapter: Any = _adapter(model)
        if not isinstance(source, SourceReader):
            # a detector's findings show the values of a row as they came
            in_blocks = adapter.takes_blocks and delay is None and anomaly is None
            source = SourceReader(as_source(source), in_blocks=in_blocks)
        self._reader = source
        self.source = self._reader.source
        self.durability = durability or ("batch" if checkpoint and self.source.needs_log else "off")
        checkpoint_every = require("checkpoint_every", checkpoint_every, row_count)
        _check_store(checkpoint, resume, self.durability)
        self.queries = RunnerQueries()
        self._listeners = Listeners(sinks, [self.queries, *watchers])
        self._make_measures = partial(
            RunMeasures,
            score_window=score_window,
            # in which no row was processed
            waited=lambda: self._reader.waited + compile_seconds(),
            at_precision=at_precision,
        )
        if task not in (None, *PROBLEMS):
            raise ConfigError(f"`task` must be one of {', '.join(PROBLEMS)}, got {task!r}")
        measures = self._make_measures(task or task_of(model))
        if monitor is None:
            monitor = TaskMonitor(holdout=0, problem=monitored(measures.problem))
        check_monitor(monitor, measures.problem)
        if delay and is_forecaster(model):
            raise ConfigError(f"`delay` must be None or 0 with a forecaster, got {delay}")
        if self.source.without_features and not is_forecaster(model):
            raise SourceError(self.source.without_features)
        self._trainer = Trainer(adapter, PendingRows(max_pending, max_age), measures, monitor)
        self._trainer.watcher = _watcher(adapter, anomaly)
        self._handler = EventHandler(self._trainer, self.source, delay, strict)
        open_store = None
        if checkpoint is not None:
            open_store = partial(Store, checkpoint, resume, checkpoint_every, self.durability)
        self._commits = CommitPipeline(
            self._reader,
            self._handler,
            self._listeners,
            open_store,
            settings or {},
            None if choose is None else partial(self._set_task, choose),
            Admission(bounds or NameBounds()),
            checkpoint,
            tracer=tracer,
            missing=self._missing,
        )
        self._board = StatusBoard(self._handler, self._commits, self.source, self._listeners)
        self._forever = forever
        self._has_run = False
        self._n_resumed = 0  # rows of the run that is resumed
        self.stream_ended = False
        self.report: Report | None = None  # once the run has ended, also by an error

    def __repr__(self) -> str:
        model = type(self.model).__name__
        n = self._trainer.n_samples
        return (
            f"StreamEngine({model}, {self.source.name!r}, monitor={self.monitor!r}, n_samples={n})"
        )

    @property
    def model(self) -> Model:
        """The current model; after a resume it is not the object that was passed in."""
        return self._trainer.adapter.model

    @property
    def watcher(self) -> Watcher | None:
        """What the anomaly detector has found; None without one."""
        return self._trainer.watcher

    @property
    def forecasts(self) -> ForecastAdapter | None:
        """The forecaster with its scores by step ahead; None with any other model."""
        adapter = self._trainer.adapter
        return adapter if isinstance(adapter, ForecastAdapter) else None

    @property
    def monitor(self) -> TaskMonitor:
        """The monitor."""
        monitor = self._trainer.monitor
        assert monitor is not None
        return monitor

    @property
    def _measures(self) -> RunMeasures:
        measures = self._trainer.measures
        assert measures is not None
        return measures

    def _set_task(self, choose: Choose, task: str) -> None:
        """Continue with a model for the task that the first label shows."""
        if task == self._measures.problem:
            return
        model, monitor = choose(task)
        measures = self._make_measures(task)
        self._trainer.set_task(learning_adapter(model), measures, monitor)

    def stop(self) -> None:
        """End the run after the current rows; from a signal handler or any thread.

        A source that waits is interrupted if the handler runs in its thread; from another thread
        the run ends with the next rows, or with the source's next empty list.
        """
        self._reader.stop()

    def request_checkpoint(self) -> None:
        """Write a checkpoint after the next commit or the source's next empty list; thread-safe."""
        self._commits.is_save_requested = True

    def set_decision(
        self,
        *,
        thresholds: Mapping[Hashable, float] | None = None,
        costs: Costs | None = None,
    ) -> None:
        """Choose predicted classes by another rule from the next row on, in the engine's thread.

        A checkpoint is written at once, so that a restart has the rule too. Other threads submit a
        call to `queries`.

        Parameters
        ----------
        thresholds, costs
            As `LOCOClassifier.set_decision` takes them.

        Raises
        ------
        ConfigError
            The model has no such rule, or it has another form.
        CheckpointError
            The rule holds, but the checkpoint could not be written.

        Examples
        --------
        >>> from loco_stream import LOCOClassifier, StreamEngine
        >>> engine = StreamEngine(LOCOClassifier(), [({"a": 1.0}, "ok")])
        >>> engine.set_decision(thresholds={"worn": 0.2})
        >>> engine.model.decision
        {'thresholds': {'worn': 0.2}}
        """
        from loco_stream.estimators._classifier import LOCOClassifier

        model = self._trainer.adapter.estimator
        if not isinstance(model, LOCOClassifier):
            raise ConfigError(
                f"`model` must be a LOCOClassifier to choose classes by a rule, "
                f"got {type(model).__name__}"
            )
        before = model.decision
        model.set_decision(thresholds=thresholds, costs=costs)
        if model.decision != before:
            _log.info("the predicted class is %s", rule_in_words(model.decision))
            self._commits.save_now()

    def confirm(self, t0: Any, t1: Any) -> int:
        """Declare the rows from `t0` to `t1` anomalous, in the engine's thread.

        A checkpoint is written at once, so that a restart has it too. Other threads submit a call
        to `queries`.

        Parameters
        ----------
        t0, t1
            As `LOCODetector.confirm` takes them.

        Returns
        -------
        int
            Number of rows declared.

        Raises
        ------
        ConfigError
            The engine has no detector.
        InputError
            One is not a time, or none of the detector's last 1,000 rows lies between them.
        CheckpointError
            The declaration holds, but the checkpoint could not be written.

        Examples
        --------
        >>> from loco_stream import LOCODetector, StreamEngine
        >>> rows = [({"flow": 9.0 if i == 400 else i % 5 / 5}, None) for i in range(500)]
        >>> engine = StreamEngine(LOCODetector(seed=1), rows)
        >>> [alarm["at"] for alarm in engine.run()["alarms"]]
        [400]
        >>> engine.confirm(400, 400)
        1
        >>> engine.model.score_one({"flow": 9.0})
        10.0
        """
        return self._declared(self._detector.confirm(t0, t1), "anomalous")

    def dismiss(self, t0: Any, t1: Any) -> int:
        """Declare the rows from `t0` to `t1` normal, in the engine's thread; see `confirm`."""
        return self._declared(self._detector.dismiss(t0, t1), "normal")

    @property
    def _detector(self) -> LOCODetector:
        if self.watcher is None:
            raise ConfigError(
                "`anomaly` must be a LOCODetector to declare rows, got None", option="anomaly"
            )
        return self.watcher.holder.model

    def _declared(self, n: int, what: str) -> int:
        _log.info("%s declared %s", counted(n, "row"), what)
        self._commits.save_now()
        return n

    def count_request(self, names: Iterable[Hashable], rows: int = 1) -> None:
        """Count rows that were predicted outside the source, and their features; thread-safe."""
        self._handler.count_request(names, rows)

    def without_fill_values(self, x: Mapping[Any, Any]) -> Mapping[Any, Any]:
        """Return a row to predict with NaN for each of `missing_values`, counted; thread-safe."""
        if self._missing is None:
            return x
        x, n = self._missing.apply_to_row(x)
        self._handler.count_fill_values(n)
        return x

    def counts_as_missing(self, y: Label) -> bool:
        """Return whether a label is one of `missing_values`, and no class."""
        return (
            self._missing is not None and is_numeric(self._measures.problem) and y in self._missing
        )

    def on(self, kind: str, function: Callable[[Record], object]) -> None:
        """Call a function with every record of one kind, in the engine's thread.

        An exception in the function is counted and noted in the report; the run continues.

        Parameters
        ----------
        kind
            "prediction", "drift", "task", "anomaly", "status" (every 5 seconds) or "report" (at the
            end).
        function
            Gets the record, a dict; see `loco_stream.records`.

        Raises
        ------
        ConfigError
            There is no such kind, `function` cannot be called, or the engine runs already.

        Examples
        --------
        >>> from river import datasets, naive_bayes
        >>> from loco_stream import StreamEngine
        >>> engine, records = StreamEngine(naive_bayes.GaussianNB(), datasets.Phishing()), []
        >>> engine.on("prediction", records.append)
        >>> _ = engine.run(max_samples=3)
        >>> [record["seq"] for record in records]
        [0, 1, 2]
        """
        if self._has_run:
            raise ConfigError("a running engine takes no more callbacks: call `on` before `run`")
        self._listeners.on(kind, function)

    def run(self, max_samples: int | None = None, progress: bool = False) -> Report:
        """Run until the stream ends, `max_samples` rows were processed, or `stop` is called.

        At the end the labels that `delay` held back are learned, a checkpoint is written, the sinks
        get the report and the source is closed.

        Parameters
        ----------
        max_samples
            Rows after which the run ends, with those of the run that `resume` continues, and
            without refused ones; None for no limit.
        progress
            Show a progress line on the terminal or below the cell of a notebook.

        Returns
        -------
        Report
            What was measured; see `Report`.

        Raises
        ------
        ConfigError
            The engine has run before, or `max_samples` is below 1.
        SourceError, InputError
            The stream is broken, or the model refused a row (`strict`).
        """
        if self._has_run:
            raise ConfigError("an engine makes one run; make a new one with the same model")
        require("max_samples", max_samples, integer(1, MOST_ROWS, optional=True))
        self._has_run = True
        self._listen()
        model = type(self.model).__name__
        _log.info("%s on %s, durability %s", model, self.source.name, self.durability)
        with watch(self, False, max_samples) if progress else nullcontext():
            is_complete = False
            try:
                self._begin()
                self._process(max_samples)
                self.stream_ended = not self._reader.is_stopped
                if self.stream_ended and self._forever:
                    self._wait_for_stop()
                self._finish()
                is_complete = self.stream_ended
            finally:
                self.report = self._close(is_complete)
        return self.report

    def _begin(self) -> None:
        """Open the store, and notify sinks and watchers of the start of the run."""
        self._commits.open()
        self._n_resumed = self._handler.n_rows
        self._listeners.begin(self.model, self.source, self._measures.problem, self._commits.folder)
        self._board.update(self)

    def _listen(self) -> None:
        """Pass alarms and predictions to those who want them."""
        listeners = self._listeners
        self._trainer.on_alarm(listeners.emit_alarm)
        if self._trainer.watcher is not None:
            self._trainer.watcher.on_alarm(listeners.emit_record)
        if listeners.wants("prediction"):
            self._trainer.on_prediction(listeners.emit_prediction, listeners.emit_block)

    def _process(self, max_samples: int | None) -> None:
        limit = max_samples or math.inf
        while self._handler.n_rows < limit and (commit := self._reader.next()) is not None:
            events, position = commit
            before = self._commits.cursor.position
            skip = self._commits.cursor.skip
            n_read = sum(map(n_rows, events))
            if skip:  # an earlier run stopped within this commit
                events = tail(events, skip)
            rows = sum(map(n_rows, events))
            while rows > limit - self._handler.n_rows:  # some of the first ones may be refused
                left = int(limit) - self._handler.n_rows
                skip += left
                rows -= left
                if not self._take(head(events, left), before, skip):
                    return
                if self._handler.n_rows >= limit:
                    return
                events = tail(events, left)
            # a live source may divide its rows differently this time: a short commit leaves some
            # to skip
            if not self._take(events, position, max(skip - n_read, 0)):
                return

    def _take(self, events: Sequence[Event], position: Position, skip: int) -> bool:
        is_taken = self._commits.take(events, position, skip, self._hold)
        if is_taken:
            self._board.update(self)
        return is_taken

    def _hold(self, seconds: float, reason: str) -> bool:
        """Wait unless the run was stopped; return whether it goes on."""
        if not self._reader.is_stopped:
            self._reader.hold(seconds, reason)
        return not self._reader.is_stopped

    def _wait_for_stop(self) -> None:
        """Write a checkpoint, and wait: there are no more rows to process."""
        self._commits.save()
        rows = counted(self._handler.n_rows, "row")
        _log.info("the run on %s is over, after %s; waiting to be stopped", self.source.name, rows)
        while not self._reader.is_stopped:
            self._board.update(self)
            self._reader.rest(_POLL_SECONDS)

    def _finish(self) -> None:
        """Write the last checkpoint, then complete what a resumed run has not come to yet.

        Labels that `delay` holds back are learned, and held-out rows predicted once more, so that
        the last row of the accuracy matrix is of this model.
        """
        self._commits.finish()
        if self.stream_ended:
            self._handler.flush()
        self.monitor.measure(self.model)

    def _close(self, is_complete: bool) -> Report:
        """Make the report, pass it to the sinks, and close everything."""
        self._board.refresh(self)
        report = self._board.report(is_interrupted=not is_complete)
        try:
            self._commits.close()
        finally:
            report["notes"].extend(self._listeners.close(report.to_dict()))
        report["sinks"].update(self._listeners.counters())
        report = Report({**report, **self._listeners.losses()})
        end = "ended" if is_complete else "was stopped before the end"
        # an error before the first row speaks for itself
        if is_complete or self._reader.is_stopped or self._handler.n_rows > self._n_resumed:
            n_rows = self._handler.n_rows
            labelled = (
                "" if report["n_samples"] == n_rows else f", {report['n_samples']} with label"
            )
            _log.info("the run %s after %s%s", end, counted(n_rows, "row"), labelled)
        return report

    @property
    def curve(self) -> dict[str, list[float]]:
        """The windowed and the overall score over the stream (`at`) in at most 512 points."""
        return self._measures.curve_report()

    @property
    def last_scored(self) -> ScoredRow | None:
        """The last row with a label, and its prediction; None before the first."""
        return self._trainer.last

    @property
    def latency(self) -> LatencyHistogram:
        """Time that rows took, in this process."""
        return self._measures.latency

    @property
    def alarm(self) -> str | None:
        """Why rows are not durable or not learned at the moment; None if they are."""
        return self._commits.alarm

    @property
    def kept(self) -> str:
        """What would be kept if the process ended now, as a clause."""
        store = self._commits.store
        return "nothing was kept" if store is None else store.kept

    @property
    def lag(self) -> float | None:
        """Seconds between the event time of the newest row and its arrival; None without times."""
        return self._handler.lag

    @property
    def status(self) -> dict[str, Any]:
        """The current numbers, renewed ten times per second; other threads may read them.

        Those that take long to compute are renewed once per second.
        """
        status = self._board.status
        alarm = self.alarm  # nothing is renewed while the engine waits for its log
        return status if status.get("alarm") == alarm else {**status, "alarm": alarm}


def _watcher(adapter: ModelAdapter | DetectorAdapter, anomaly: Model | None) -> Watcher | None:
    """Return the watcher of a detector, which is the model or stands beside it.

    Raises `ConfigError` if `anomaly` is no detector, or both are.
    """
    if isinstance(adapter, DetectorAdapter):
        if anomaly is not None:
            raise ConfigError("`anomaly` must be None where `model` is a detector")
        return Watcher(adapter)
    if anomaly is None:
        return None
    if not is_detector(anomaly):
        _check_no_pipeline("anomaly", anomaly)
        raise ConfigError(f"`anomaly` must be a LOCODetector, got {type(anomaly).__name__}")
    return Watcher(DetectorAdapter(anomaly))


def check_restorable(saved: Saved) -> None:
    """Restore a checkpoint into an engine of its own, without a source.

    Raises `CheckpointError` if this release cannot restore it.
    """
    from loco_stream.estimators._saving import restored

    config = saved.config
    check_types(config)
    prequential = config["measures"]["prequential"]
    try:
        engine = StreamEngine(
            restored(saved.part("model")),
            (),
            task=prequential["problem"],
            score_window=prequential["window"],
            anomaly=restored(saved.part("anomaly")) if "anomaly" in config else None,
        )
    except ConfigError as error:
        raise CheckpointError(f"this release has no such engine: {error}") from error
    # there is no source to compare the fingerprint with
    engine._commits.restore(Saved(saved.kind, {**config, "fingerprint": {}}, saved.arrays))


def _adapter(model: Model) -> ModelAdapter | DetectorAdapter:
    """Return the interface to a model, by what it predicts.

    Raises `ConfigError` if the engine cannot run such a model.
    """
    if isinstance(model, type):
        raise ConfigError(f"`model` must be an object, got the class {model.__name__}")
    if is_detector(model):
        return DetectorAdapter(model)
    _check_no_pipeline("model", model)
    return learning_adapter(model)


def _check_no_pipeline(name: str, model: Model) -> None:
    """Raise `ConfigError` if a pipeline ends in a detector or a forecaster.

    Records and charts show the values of a row as they came, which only the model itself can do.
    """
    learner = last_step(model)
    if learner is not model and (is_detector(learner) or is_forecaster(learner)):
        raise ConfigError(
            f"`{name}` must be the {type(learner).__name__} alone, got a pipeline that ends in it: "
            "remove the steps before it, as it scales its inputs by itself"
        )


def _check_store(
    checkpoint: str | os.PathLike[str] | None,
    resume: bool | None,
    durability: str,
) -> None:
    if not isinstance(resume, bool | None):
        raise ConfigError(f"`resume` must be True, False or None, got {resume!r}")
    if resume and checkpoint is None:
        raise ConfigError("`resume` must be False or None without `checkpoint`, got True")
    if parse_durability(durability) is not None and checkpoint is None:
        raise ConfigError(f"`durability` {durability} needs a folder given as `checkpoint`")
