"""`loco-stream fleet SOURCE`: one model per value of a feature."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from loco_stream._cli._anomalies import BesideOptions, key_alarm_options
from loco_stream._cli._config import ConfiguredCommand
from loco_stream._cli._dashboard_options import FleetPageOptions, fleet_page_options
from loco_stream._cli._decision import DecisionOptions, decision_options
from loco_stream._cli._engine_run import closed_on_error, log_findings
from loco_stream._cli._fleet_control import FleetPorts, fleet_ports
from loco_stream._cli._forecasting import ForecastingOptions, check_target, forecast_options
from loco_stream._cli._logging import LOGGER, LogOptions, log_options
from loco_stream._cli._network_options import NetworkOptions, network_options
from loco_stream._cli._option_group import (
    check_begun_with,
    flag,
    given,
    option_group,
    with_stored,
)
from loco_stream._cli._options import (
    LearningOptions,
    SourceOptions,
    StateOptions,
    locked_folder,
    max_age_option,
    model_options,
    source_options,
    state_options,
    stored_missing,
)
from loco_stream._cli._renamed import refuse_option
from loco_stream._cli._signals import Interrupt, ended_before_first_row, stop_on_signal
from loco_stream._cli._sinks import SinkOptions, check_delivered, losses_logged, sink_options
from loco_stream._cli._telemetry import TelemetryOptions, fleet_watchers, telemetry_options
from loco_stream._cli._warm_up import OF_ALARMS, OF_DRIFTS, STEPS, freeze_loaded, warm_up
from loco_stream._problems import FORECASTING
from loco_stream._ranges import Choice, FloatRange, IntRange
from loco_stream._text import counted
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from loco_stream.engine._source_reader import SourceReader
    from loco_stream.estimators._pipeline import Estimator
    from loco_stream.fleet import Fleet
    from loco_stream.fleet._home import Settings, StoredFleet
    from loco_stream.fleet._limits import KeyLimits
    from loco_stream.fleet._runner import FleetReport
    from loco_stream.monitor import TaskMonitor
    from loco_stream.stream import Source

# Options that act on the rows, or on what the process knows of them.
_OF_ROWS = (
    "sinks",
    "on_drift",
    "dashboard",
    "control",
    "control_token",
    "metrics_port",
    "otlp",
    "limits",
    "keys",
    "on_bad",
)
_OF_LABELS = (
    "task",
    "preset",
    "settings",
    "holdout",
    "drift_detector",
    "tasks",
    "on_drift",
    "thresholds",
    "costs",
    "max_age",
)


def _exclude(option: str, names: Iterable[str], reason: str = "") -> None:
    """Raise `ConfigError` if one of these options is given together with another one."""
    for name in names:
        if given(name):
            raise ConfigError(f"`{option}` excludes {flag(name)}{reason}")


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """How rows are divided among models, and models among processes."""

    key: str
    workers: int
    ray: str | None
    template: str | None
    partitions: int | None
    share: str
    share_every: int
    max_keys: int | None
    max_key_rate: float | None
    max_age: float

    def _check_partitions(self) -> None:
        """Raise `ConfigError` for options that workers with their own partitions do not have."""
        if not self.workers:
            raise ConfigError("`--partitions` needs --workers N")
        _exclude("--partitions", _OF_ROWS, ": no row passes through this process")
        _exclude("--partitions", ("thresholds", "costs"), ": set the rule of the --template")

    def check_detectors(self) -> None:
        """Raise `ConfigError` for options that a fleet of anomaly detectors does not have."""
        _exclude("--watch", ("partitions",))
        _exclude("--watch", (*_OF_LABELS, "share"), ": no labels are learned")
        if self.template is not None:
            _exclude("--template", ("every", "seed"), ": the saved detector has one")

    def check_forecasters(self) -> None:
        """Raise `ConfigError` for options that a fleet of forecasters does not have."""
        _exclude("--forecast", ("partitions", "watch", "share"))
        if self.template is not None:
            _exclude("--template", ("seasons", "seed"), ": the saved forecaster has its own")

    def check_share(self) -> None:
        """Raise `ConfigError` if a new fleet has no model whose scales its keys could share."""
        if self.share != "none" and self.template is None:
            raise ConfigError("`--share` needs --template MODEL, whose scales all keys begin with")

    @property
    def limits(self) -> KeyLimits:
        """Limits per key."""
        from loco_stream.fleet._limits import KeyLimits

        return KeyLimits(self.max_keys, self.max_key_rate)

    def check(self) -> None:
        """Raise `ConfigError` for options that exclude or need each other."""
        if self.ray is not None and not self.workers:
            raise ConfigError("`--ray` needs --workers N")
        if self.partitions is not None:
            self._check_partitions()
        if self.template is not None and (given("preset") or given("settings")):
            raise ConfigError(
                "`--template` excludes --preset and --set: the saved model has its own parameters"
            )


_fleet_options = option_group(
    "fleet",
    FleetOptions,
    click.option(
        "--key",
        required=True,
        metavar="FEATURE",
        help="Train one model per value of FEATURE, which is no input of the models.",
    ),
    click.option(
        "--workers",
        type=IntRange(0),
        default=0,
        show_default=False,
        metavar="N",
        help="Worker processes on Ray.  [default: 0, all models in this process]",
    ),
    click.option(
        "--partitions",
        type=IntRange(1, 9999),
        metavar="N",
        help="Let workers read the partitions 0 to N-1 themselves, whose number replaces "
        "{partition} in SOURCE. All rows of a key must be in one partition.",
    ),
    click.option("--ray", metavar="ADDRESS", help="Running Ray cluster for --workers."),
    click.option(
        "--template", metavar="MODEL", help="Saved model that the model of a new key starts from."
    ),
    click.option(
        "--share",
        type=Choice(["none", "start", "prior"]),
        default="none",
        help="What keys have from each other. start: the model of a new key begins as the merged "
        "model of the others. prior: each key mixes its own predictions with those of the merged "
        "model. Needs --template.",
    ),
    click.option(
        "--share-every",
        type=IntRange(1),
        default=10_000,
        metavar="ROWS",
        help="Rows until the models of keys are merged for the first time.",
    ),
    click.option(
        "--max-keys",
        type=IntRange(1),
        metavar="N",
        help="Drop and count rows of further keys when N keys have a model. With --partitions, N "
        "holds for each of them.  [default: no limit]",
    ),
    click.option(
        "--max-key-rate",
        type=FloatRange(0.0, min_open=True),
        metavar="ROWS",
        help="Drop and count rows of a key beyond ROWS per second on average, with bursts of 10 "
        "seconds.  [default: no limit]",
    ),
    max_age_option,
)


@click.command("fleet", cls=ConfiguredCommand)  # the table of a configuration file
@click.argument("source")
@_fleet_options
@state_options("interval:1s")
@source_options("skip")
@forecast_options
@key_alarm_options
@sink_options
@fleet_page_options
@fleet_ports
@network_options
@refuse_option("--dashboard-host", "`--dashboard-host` is now `--bind`")
@model_options(0)
@decision_options
@telemetry_options
@log_options
@refuse_option("--delay", "a fleet has no `--delay`: it learns a label when the label arrives")
@refuse_option("--score-window", "a fleet has no `--score-window`: scores of a key cover 500 rows")
@refuse_option("--http", "a fleet has no `--http`: it replies to prediction requests of its source")
def command(
    *,
    source: str,
    fleet: FleetOptions,
    state: StateOptions,
    reading: SourceOptions,
    forecasting: ForecastingOptions,
    alarms: BesideOptions,
    outputs: SinkOptions,
    page: FleetPageOptions,
    ports: FleetPorts,
    network: NetworkOptions,
    model: LearningOptions,
    decision: DecisionOptions,
    telemetry: TelemetryOptions,
    log: LogOptions,
) -> None:
    """Train one model per value of a feature of SOURCE.

    SOURCE is written as for `loco-stream run`. A fleet that is started again continues where it
    ended. Records of predictions have no probabilities.

    \b
    Examples
      loco-stream fleet "csv:rows.csv?target=kind" --key device --checkpoint fleet/
      loco-stream fleet zmq+reliable://127.0.0.1:5555 --key device --checkpoint fleet/ --workers 4
      loco-stream fleet redis://127.0.0.1:6379/rows --key device --checkpoint fleet/ \\
          --template model.loco --on-drift "logger -t loco"
      loco-stream fleet "csv:rows.csv?target=heat,flow" --key device --checkpoint fleet/
      loco-stream fleet "csv:rows.csv?target=heat" --key device --checkpoint fleet/ --forecast 24
      loco-stream fleet csv:rows.csv --key device --checkpoint fleet/ --watch
    """
    from loco_stream.engine._source_reader import SourceReader
    from loco_stream.fleet._runner import FleetRunner

    state.check()
    page.check()
    decision.check()
    needed = "--dashboard or --metrics-port"
    network.check(page.dashboard, ports.metrics_port, needed=needed)
    setup = _FleetSetup(fleet, state, reading, model, alarms, forecasting).resumed()
    setup.check(decision)
    if setup.fleet.partitions is not None:
        report = setup.run_partitions(source)
        if report is not None:
            _finish(report, state)
        return
    sinks = [*outputs.open(), *setup.alarms.sinks()]
    report = None
    with (
        ended_before_first_row(),
        stop_on_signal() as handler,
        page.page(network) as pages,
        ports.open(network) as watchers,
        telemetry.open() as otlp,
    ):
        stream = setup.open_source(source)
        LOGGER.info("%s: delivery: %s", stream.name, stream.guarantee)
        reader = SourceReader(stream)
        with setup.open_fleet(reader) as opened:
            LOGGER.info("%r: acknowledged rows are on disk", opened)
            if decision.rule:
                opened.set_decision(**decision.rule)
            runner = FleetRunner(
                opened,
                reader,
                setup.fleet.key,
                sinks,
                [*pages, *watchers, *fleet_watchers(otlp), freeze_loaded()],
                setup.fleet.limits,
                setup.reading.name_bounds(),
                missing_values=setup.reading.missing_values,
                max_age=setup.fleet.max_age,
            )
            handler.engine = runner
            report = runner.run()
    if report is not None:
        _finish(report, state)
        check_delivered(report)


class _Beginning(NamedTuple):
    """What a fleet is begun with: its model, None for a stored one, the monitor and settings."""

    model: Estimator | None
    monitor: TaskMonitor | None
    settings: Settings


@dataclass(frozen=True, slots=True)
class _FleetSetup:
    """The options that decide what a fleet learns and where it is kept.

    stored: what the fleet in the directory was begun with; None for a new one
    """

    fleet: FleetOptions
    state: StateOptions
    reading: SourceOptions
    model: LearningOptions
    alarms: BesideOptions
    forecasting: ForecastingOptions
    stored: StoredFleet | None = None

    def resumed(self) -> _FleetSetup:
        """Return the setup that continues the fleet in the directory, if there is one."""
        from loco_stream.fleet._home import stored_fleet

        where = self.state.checkpoint
        fleet = stored_fleet(where)
        if fleet is None:
            return self
        stored = fleet.settings
        begun_with = {"watch": self.alarms.watch, "forecast": self.forecasting.forecast}
        check_begun_with(begun_with, stored, where)
        own = {"share": fleet.share, "key": stored.get("key", self.fleet.key)}
        return replace(
            self,
            fleet=with_stored(self.fleet, own, where),
            reading=with_stored(self.reading, stored, where),
            model=with_stored(self.model, stored, where),
            alarms=with_stored(self.alarms, stored, where),
            forecasting=with_stored(self.forecasting, stored, where),
            stored=fleet,
        )

    def check(self, decision: DecisionOptions) -> None:
        """Raise `ConfigError` for options that do not go together, or with the stored fleet."""
        self.alarms.check()
        self.fleet.check()
        if self.alarms.watch:
            self.fleet.check_detectors()
        self.forecasting.check(self.model, None, decision)
        if self.forecasting.forecast is not None:
            self.fleet.check_forecasters()
        if self.stored is None:
            self.fleet.check_share()

    def open_source(self, url: str) -> Source:
        """Open the source."""
        task = self.model.task or self.forecasting.task
        return self.reading.open(url, task, endless=True, labelled=not self.alarms.watch)

    def open_fleet(self, reader: SourceReader) -> Fleet:
        """Open the fleet; an error closes the source."""
        from loco_stream.fleet import Fleet
        from loco_stream.fleet._key_router import check_feature
        from loco_stream.fleet._shard import parse_sync

        with closed_on_error(reader.source), ExitStack() as unlock_on_error:
            # before the directory is made
            check_feature(self.fleet.key, reader.source)
            parse_sync(str(self.state.durability))
            folder = unlock_on_error.enter_context(locked_folder(self.state.checkpoint))
            if self.alarms.watch:
                beginning = self._detectors()
            elif self.forecasting.forecast is not None:
                check_target(reader)
                beginning = self._forecasters()
            else:
                beginning = self._learners(reader)
            LOGGER.debug("settings: %s", beginning.settings)
            groups = {} if self.stored is None else {"key_groups": self.stored.key_groups}
            fleet = Fleet(
                beginning.model,
                folder,
                self.fleet.workers,
                monitor=beginning.monitor,
                checkpoint_every=self.state.checkpoint_every,
                durability=str(self.state.durability),
                ray_address=self.fleet.ray,
                share=self.fleet.share,
                share_every=self.fleet.share_every,
                settings={**beginning.settings, **self._stored_reading()},
                **groups,
            )
            unlock_on_error.pop_all()
            return fleet

    def run_partitions(self, source: str) -> FleetReport | None:
        """Run a fleet per partition until the streams end or a signal arrives.

        None is the report if the signal came before the first row.
        """
        from loco_stream.connectors._urls import targets_in
        from loco_stream.fleet._partitions import PartitionedFleet, PartitionOptions

        options = self.fleet
        assert options.partitions is not None
        if (task := self.model.problem(targets_in(source))) is None:
            raise ConfigError(
                "`--partitions` needs --task classification or --task regression: the workers read "
                "the rows, so it cannot be inferred here"
            )
        partitions = PartitionOptions(
            source,
            options.key,
            options.partitions,
            checkpoint_every=self.state.checkpoint_every,
            durability=str(self.state.durability),
            max_keys=options.max_keys,
            rows_per_second=options.max_key_rate,
            missing_values=self.reading.missing_values,
            max_age=options.max_age,
            share=options.share,
            share_every=options.share_every,
        )
        try:
            with (
                stop_on_signal() as handler,
                PartitionedFleet(
                    self._first_model(task),
                    self.state.checkpoint,
                    partitions,
                    options.workers,
                    monitor=self.model.monitor(task),
                    ray_address=options.ray,
                    settings={**self.model.stored(task), **self._stored_reading()},
                ) as fleet,
            ):
                LOGGER.info("%r: workers read %s", fleet, source)
                handler.engine = fleet
                fleet.run()
        except Interrupt:
            LOGGER.info("ended before the first row")
            return None
        return fleet.report()

    def _stored_reading(self) -> dict[str, object]:
        """Return what a fleet that is started again continues with of how rows are read."""
        return {"key": self.fleet.key, **stored_missing(self.reading.missing_values)}

    def _learners(self, reader: SourceReader) -> _Beginning:
        """Return what a fleet of classifiers or regressors is begun with."""
        from loco_stream.engine._model_adapter import task_of
        from loco_stream.engine._task import find_task

        task = self.model.problem(reader.source.targets)
        task = task or find_task(reader, missing_values=self.reading.missing_values)
        if task is None and self.fleet.template is not None:  # labels come later
            task = task_of(self._template())
        if task is None:
            raise ConfigError(
                "the task cannot be inferred: none of the first rows has a label", option="task"
            )
        warm_up([STEPS[task], OF_DRIFTS])
        first = self._first_model(task)
        return _Beginning(first, self.model.monitor(task), self.model.stored(task))

    def _detectors(self) -> _Beginning:
        """Return what a fleet of anomaly detectors is begun with."""
        from loco_stream.estimators._detector import LOCODetector

        warm_up([OF_ALARMS])
        detector = None
        if self.fleet.template is not None:
            detector = self._template()
            if not isinstance(detector, LOCODetector):
                raise ConfigError(
                    "`--template` must be a LOCODetector with --watch, got a "
                    f"{type(detector).__name__}"
                )
        elif self.stored is None:
            detector = self.alarms.detector(self.model.seed)
        return _Beginning(detector, None, {**self.model.stored(None), **self.alarms.stored()})

    def _forecasters(self) -> _Beginning:
        """Return what a fleet of forecasters is begun with."""
        from loco_stream.estimators._forecaster import LOCOForecaster

        warm_up([STEPS[FORECASTING]])
        forecaster = None
        if self.fleet.template is not None:
            forecaster = self._template()
            heads = self.forecasting.forecast
            if not isinstance(forecaster, LOCOForecaster) or forecaster.heads != heads:
                raise ConfigError(
                    f"`--template` must be a LOCOForecaster with {heads} heads, got "
                    f"{forecaster!r:.200}"
                )
        elif self.stored is None or not self.stored.settings:
            forecaster = self.forecasting.model(self.model)
        monitor = replace(self.model, holdout=0).monitor("regression")
        settings = {**self.model.stored("regression"), **self.forecasting.stored()}
        return _Beginning(forecaster, monitor, settings)

    def _first_model(self, task: str) -> Estimator | None:
        """Return the model that new keys start from; None for the one the fleet was begun with."""
        from loco_stream.engine._model_adapter import task_of

        if self.fleet.template is not None:
            saved = self._template()
            if task_of(saved) == FORECASTING:
                raise ConfigError("`--template` is a LOCOForecaster, which needs --forecast N")
            if task_of(saved) != task:
                raise ConfigError(
                    f"`--template` must be a model for {task}, got a {type(saved).__name__}; "
                    "--task sets what the labels are"
                )
            return saved
        # a fleet of release 0.2 has no stored settings to compare: the models are compared
        is_chosen = any(map(given, ("task", "seed", "preset", "settings")))
        is_needed = self.stored is None or (not self.stored.settings and is_chosen)
        return self.model.model(task) if is_needed else None

    def _template(self) -> Estimator:
        """Return the saved model of --template."""
        from loco_stream.estimators._saving import load

        assert self.fleet.template is not None
        return load(self.fleet.template)


def _finish(report: Mapping[str, Any], state: StateOptions) -> None:
    """Log the notes and write the report."""
    from loco_stream._persistence.outputs import write_output
    from loco_stream.engine._report import jsonable
    from loco_stream.engine._report_lines import horizon_lines

    log_findings(report, unused=False)
    if report["n_unlabelled"] and not report["n_samples"] and report["task"] != "watching":
        LOGGER.warning("no row had a label: --watch detects anomalies without any")
    for name, text in horizon_lines(report):
        LOGGER.info("%s over all keys: %s", name, text)
    if state.report is not None:
        content = json.dumps(jsonable(report), indent=2).encode()
        with losses_logged(report):
            write_output("the report", state.report, content)
    worst: Mapping[str, Any] = next(iter(report["worst"]), {})
    if worst.get("error"):
        LOGGER.info(
            "the largest mean error of a key over its last 500 rows is %.3g: %s; "
            "`loco-stream fleet worst %s` lists the others",
            worst["error"],
            worst["key"],
            state.checkpoint,
        )
    LOGGER.info(
        "ended: %s in this run, %s in %s",
        counted(report["n_samples"], "sample"),
        counted(report["n_keys"], "key"),
        state.checkpoint,
    )
