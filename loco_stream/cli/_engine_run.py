"""From options to a running engine: what `run`, `serve` and `watch` share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loco_stream._problems import TARGETS
from loco_stream.cli._anomalies import AlarmOptions, BesideOptions
from loco_stream.cli._decision import DecisionOptions
from loco_stream.cli._logging import LOGGER
from loco_stream.cli._options import LearningOptions, ScoreOptions
from loco_stream.cli._signals import SignalHandler
from loco_stream.cli._warm_up import OF_TARGETS, warm_up

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine
    from loco_stream.engine.report import Report
    from loco_stream.engine.source_reader import SourceReader
    from loco_stream.estimators._estimator import LOCOEstimator
    from loco_stream.monitor import TaskMonitor


class EngineRun:
    """One run of an engine over one source.

    reader: reads the source
    make_engine: makes the engine of a reader: `learning_engine` or `watching_engine`
    """

    def __init__(
        self, reader: SourceReader, make_engine: Callable[[SourceReader], StreamEngine]
    ) -> None:
        self._reader = reader
        self._make_engine = make_engine
        self._engine: StreamEngine | None = None

    def run(
        self,
        handler: SignalHandler,
        *,
        max_samples: int | None = None,
        shows_progress: bool = True,
        started: Callable[[StreamEngine], None] = lambda engine: None,
    ) -> Report:
        """Run to the end and return the report.

        handler: stops the engine at a signal; it raises `Interrupt` before the first row
        max_samples: rows after which the run ends, with those of a run that is resumed; None runs
            to the end of the stream
        shows_progress: whether a terminal shows a progress line
        started: called with the engine before it runs
        """
        from loco_stream.engine.progress import watch

        try:
            handler.engine = self._engine = engine = self._make_engine(self._reader)
        except BaseException:
            self._reader.source.close()
            raise
        started(engine)
        with watch(engine, not shows_progress, max_samples):
            return engine.run(max_samples)

    @property
    def report(self) -> Report | None:
        """The report of a run that has ended, also by an error; None if no row was learned."""
        report = None if self._engine is None else self._engine.report
        return report if report is not None and report["n_samples"] else None


def learning_engine(
    reader: SourceReader,
    model: LearningOptions,
    decision: DecisionOptions,
    scoring: ScoreOptions,
    alarms: BesideOptions,
    engine_options: Mapping[str, Any],
) -> StreamEngine:
    """Return an engine that learns from labels.

    reader: reads the source
    model, scoring, alarms: options of the command line, or of the run that is resumed
    decision: needs a classification
    engine_options: further keyword arguments of `StreamEngine`
    """
    from loco_stream.engine import StreamEngine
    from loco_stream.engine.task import find_task

    def choose(task: str) -> tuple[LOCOEstimator, TaskMonitor]:
        decision.check_task(task)
        scoring.check_task(task)
        return model.model(task), model.monitor(task)

    task = model.problem(reader.source.targets)
    if task is None and not _is_resumed(engine_options):
        task = find_task(reader, missing_values=engine_options.get("missing_values", ()))
    settings = {**model.stored(task), **asdict(scoring), **alarms.stored()}
    LOGGER.debug("settings: %s", settings)
    if task == TARGETS:
        warm_up([OF_TARGETS])
    chosen = choose(task or "classification")
    engine = StreamEngine(
        chosen[0],
        reader,
        monitor=chosen[1],
        delay=scoring.delay,
        score_window=scoring.score_window,
        at_precision=scoring.at_precision,
        task=task or "classification",
        settings=settings,
        anomaly=alarms.detector(model.seed) if alarms.watch else None,
        choose=choose if task is None else None,
        **engine_options,
    )
    decision.apply(engine)
    return engine


def _is_resumed(engine_options: Mapping[str, Any]) -> bool:
    folder = engine_options.get("checkpoint")
    may_resume = engine_options.get("resume") is not False
    return may_resume and folder is not None and has_checkpoint(folder)


def watching_engine(
    reader: SourceReader, alarms: AlarmOptions, seed: int, engine_options: Mapping[str, Any]
) -> StreamEngine:
    """Return an engine that detects anomalies and needs no labels; see `learning_engine`."""
    from loco_stream.engine import StreamEngine

    settings = {**alarms.stored(), "seed": seed}
    LOGGER.debug("settings: %s", settings)
    return StreamEngine(alarms.detector(seed), reader, settings=settings, **engine_options)


def log_findings(report: Mapping[str, Any], *, unused: bool) -> None:
    """Log the notes of a report as warnings, and with `unused` the rows and values not used."""
    for sentence in report["unused"] if unused else ():
        LOGGER.warning("not used: %s", sentence)
    for note in report["notes"]:
        LOGGER.warning("note: %s", note)


def has_checkpoint(directory: str) -> bool:
    """Return whether a directory holds a checkpoint."""
    return any(Path(directory).glob("checkpoint-*.loco"))


def stored_options(directory: str | None) -> Mapping[str, object]:
    """Return the options that the run in a directory was begun with; empty for a new run."""
    if directory is None or not has_checkpoint(directory):
        return {}
    from loco_stream.engine.checkpoint import newest

    _, saved, _ = newest(directory)
    stored: Mapping[str, object] = saved.config.get("settings", {})
    return stored
