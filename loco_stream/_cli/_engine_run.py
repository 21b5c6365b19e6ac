"""From options to an engine: what `run`, `serve` and `watch` share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loco_stream._cli._anomalies import BesideOptions, WatchOptions, beside_options
from loco_stream._cli._decision import DecisionOptions, decision_options
from loco_stream._cli._forecasting import ForecastingOptions, check_target, forecast_options
from loco_stream._cli._logging import LOGGER, LogOptions
from loco_stream._cli._option_group import (
    Decorator,
    check_begun_with,
    option_group,
    with_stored,
)
from loco_stream._cli._options import (
    LabelOptions,
    LearningOptions,
    ScoreOptions,
    label_options,
    model_options,
    score_options,
    stored_missing,
)
from loco_stream._cli._threads import ThreadOptions, thread_options
from loco_stream._cli._warm_up import OF_ALARMS, OF_DRIFTS, STEPS, Part, warm_up
from loco_stream._problems import FORECASTING

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine
    from loco_stream.engine._report import Report
    from loco_stream.engine._source_reader import SourceReader
    from loco_stream.estimators._estimator import LOCOEstimator
    from loco_stream.monitor import TaskMonitor
    from loco_stream.stream import Source

EngineOptions = Mapping[str, Any]  # keyword arguments of `StreamEngine`


@dataclass(frozen=True, slots=True)
class LearningSetup:
    """The options of `run` and `serve` that decide what learns, and how it is scored."""

    model: LearningOptions
    decision: DecisionOptions
    scoring: ScoreOptions
    labels: LabelOptions
    alarms: BesideOptions
    forecasting: ForecastingOptions
    threads: ThreadOptions

    @property
    def task(self) -> str | None:
        """What the labels of the source are; None if the source has to find it."""
        return self.model.task or self.forecasting.task

    @property
    def always_compiled(self) -> tuple[Part, ...]:
        """What is compiled before the first row, whatever its label."""
        return (OF_DRIFTS, OF_ALARMS) if self.alarms.watch else (OF_DRIFTS,)

    def step(self, task: str | None) -> Part:
        """Return the learning step for a task; for None, that of the most likely one."""
        if self.forecasting.forecast is not None:
            task = FORECASTING
        return STEPS[task or "classification"]

    def compiled(self, task: str | None) -> tuple[Part, ...]:
        """Return everything that is compiled for a task."""
        return (self.step(task), *self.always_compiled)

    def check(self) -> None:
        """Raise `ConfigError` for options that are wrong in any run, also in a resumed one."""
        self.decision.check()

    def resumed(self, stored: Mapping[str, object], directory: str | None) -> LearningSetup:
        """Return the setup that continues the run in a directory; None has none.

        Raises `ConfigError` for options that do not go together.

        stored: what `stored_options` returns for the directory
        """
        begun_with = {"watch": self.alarms.watch, "forecast": self.forecasting.forecast}
        check_begun_with(begun_with, stored, str(directory))
        setup = replace(
            self,
            model=with_stored(self.model, stored, directory),
            scoring=with_stored(self.scoring, stored, directory),
            alarms=with_stored(self.alarms, stored, directory),
            forecasting=with_stored(self.forecasting, stored, directory),
        )
        setup.alarms.check()
        setup.forecasting.check(setup.model, setup.scoring, setup.decision)
        return setup

    def engine(self, reader: SourceReader, options: EngineOptions) -> StreamEngine:
        """Return the engine of a source, with further options; an error closes the source."""
        with closed_on_error(reader.source):
            if self.forecasting.forecast is None:
                engine = self._learning_engine(reader, options)
            else:
                engine = self._forecasting_engine(reader, options)
        self.threads.apply(engine)
        return engine

    def _learning_engine(self, reader: SourceReader, options: EngineOptions) -> StreamEngine:
        from loco_stream.engine._task import find_task

        task = self.model.problem(reader.source.targets)
        if task is None and not _is_resumed(options):
            task = find_task(reader, missing_values=options.get("missing_values", ()))
        warm_up(self.compiled(task))
        model, monitor = self._choose(task or "classification")
        learning = {
            "monitor": monitor,
            "delay": self.scoring.delay,
            "at_precision": self.scoring.at_precision,
            "task": task or "classification",
            "choose": self._choose if task is None else None,
            **options,
        }
        engine = self._make(model, reader, task, learning)
        self.decision.apply(engine)
        return engine

    def _choose(self, task: str) -> tuple[LOCOEstimator, TaskMonitor]:
        """Return the model and the monitor for a task."""
        self.decision.check_task(task)
        self.scoring.check_task(task)
        return self.model.model(task), self.model.monitor(task)

    def _forecasting_engine(self, reader: SourceReader, options: EngineOptions) -> StreamEngine:
        check_target(reader)
        warm_up(self.compiled(FORECASTING))
        monitor = replace(self.model, holdout=0).monitor("regression")
        model = self.forecasting.model(self.model)
        return self._make(model, reader, "regression", {"monitor": monitor, **options})

    def _make(
        self, model: object, reader: SourceReader, task: str | None, options: EngineOptions
    ) -> StreamEngine:
        """Return the engine of a model; its checkpoints store what `resumed` reads."""
        from loco_stream.engine import StreamEngine

        settings = {
            **self.model.stored(task),
            **asdict(self.scoring),
            **self.forecasting.stored(),
            **self.alarms.stored(),
            **stored_missing(options.get("missing_values", ())),
        }
        LOGGER.debug("settings: %s", settings)
        return StreamEngine(
            model,
            reader,
            score_window=self.scoring.score_window,
            settings=settings,
            anomaly=self.alarms.detector(self.model.seed) if self.alarms.watch else None,
            **asdict(self.labels),
            **options,
        )


def learning_options(holdout: int | None) -> Decorator:
    """Return the options of a `LearningSetup`; `holdout`: as in `model_options`."""
    return option_group(
        "learning",
        LearningSetup,
        forecast_options,
        beside_options,
        model_options(holdout),
        decision_options,
        score_options,
        label_options,
        thread_options,
    )


def _is_resumed(options: EngineOptions) -> bool:
    folder = options.get("checkpoint")
    may_resume = options.get("resume") is not False
    return may_resume and folder is not None and has_checkpoint(folder)


def watching_engine(
    reader: SourceReader, alarms: WatchOptions, options: EngineOptions
) -> StreamEngine:
    """Return an engine that detects anomalies and needs no labels; an error closes the source."""
    from loco_stream.engine import StreamEngine

    settings = {**alarms.stored(), **stored_missing(options.get("missing_values", ()))}
    LOGGER.debug("settings: %s", settings)
    with closed_on_error(reader.source):
        return StreamEngine(alarms.detector(alarms.seed), reader, settings=settings, **options)


@contextmanager
def closed_on_error(source: Source) -> Iterator[None]:
    """Close a source if the block fails, before anything else owns it."""
    try:
        yield
    except BaseException:
        source.close()
        raise


def run_engine(engine: StreamEngine, log: LogOptions, max_samples: int | None = None) -> Report:
    """Run an engine to its end, with a progress line where a terminal shows one.

    max_samples: rows after which the run ends, with those of a run that is resumed
    """
    from loco_stream._compiler.timing import notify_when_compiling
    from loco_stream.engine._progress import watch

    def announce() -> None:
        LOGGER.info("compiling what the options need, once on this machine")

    with notify_when_compiling(announce), watch(engine, not log.shows_progress, max_samples):
        return engine.run(max_samples)


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
    from loco_stream.engine._checkpoint import newest

    _, saved, _ = newest(directory)
    stored: Mapping[str, object] = saved.config.get("settings", {})
    return stored
