"""`loco-stream run`: learn from a stream until it ends, then report."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from loco_stream._cli._catalog import CommandWithSource
from loco_stream._cli._dashboard_options import DashboardOptions, dashboard_options
from loco_stream._cli._engine_run import (
    EngineOptions,
    LearningSetup,
    has_checkpoint,
    learning_options,
    log_findings,
    run_engine,
    stored_options,
)
from loco_stream._cli._logging import LOGGER, LogOptions, log_options
from loco_stream._cli._network_options import NetworkOptions, network_options
from loco_stream._cli._option_group import PATH, option_group, with_stored
from loco_stream._cli._options import (
    SourceOptions,
    locked_folder,
    source_options,
)
from loco_stream._cli._renamed import refuse_option
from loco_stream._cli._signals import stop_on_signal
from loco_stream._cli._sinks import SinkOptions, check_delivered, losses_logged, sink_options
from loco_stream._cli._telemetry import TelemetryOptions, observers, telemetry_options
from loco_stream._ranges import IntRange
from loco_stream.errors import ConfigError, LocoStreamError

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine
    from loco_stream.engine._report import Report
    from loco_stream.stream import Source

Folder: TypeAlias = str | os.PathLike[str] | None  # of checkpoints


@dataclass(frozen=True, slots=True)
class RunOptions:
    """When a run ends, and what it leaves."""

    report: str | None
    as_json: bool
    plot: str | None
    max_samples: int | None
    checkpoint: str | None
    resume: bool
    stay: bool

    def check(self, page: DashboardOptions) -> None:
        """Raise `ConfigError` for outputs that cannot be written and options that need others."""
        from loco_stream._persistence.outputs import check_folder, check_output, check_picture

        check_output("--report", self.report)
        if self.checkpoint is not None:
            check_folder("the checkpoint folder", self.checkpoint)
        check_picture("--plot", self.plot)
        page.check()
        if self.resume and self.checkpoint is None:
            raise ConfigError("`--resume` needs --checkpoint DIR")
        if self.checkpoint is not None and not self.resume and has_checkpoint(self.checkpoint):
            raise ConfigError(
                f"{self.checkpoint} holds an earlier run: pass --resume to continue it, or another "
                "folder as --checkpoint"
            )
        if self.stay and not page.dashboard:
            raise ConfigError("`--stay` needs --dashboard")

    def lock(self) -> AbstractContextManager[Folder]:
        """Return the locked folder of checkpoints; None without one."""
        return nullcontext() if self.checkpoint is None else locked_folder(self.checkpoint)

    def save(self, report: Report) -> None:
        """Write the report and the picture."""
        if self.report is not None:
            with losses_logged(report):
                report.save(self.report)
        if self.plot is not None:
            report.plot(self.plot)

    def show(self, report: Report, *, table: bool) -> None:
        """Print the report as JSON, or with `table` as a table."""
        from rich.console import Console

        if self.as_json:
            click.echo(json.dumps(report.to_dict(), allow_nan=False))
        elif table:
            Console().print(report.table())

    def engine_options(
        self, reading: SourceOptions, stream: Source, folder: Folder
    ) -> dict[str, Any]:
        """Return the keyword arguments of `StreamEngine` that these options decide."""
        return {
            "checkpoint": folder,
            "resume": self.resume,
            "strict": reading.is_strict(stream),
            "bounds": reading.bounds_for(stream),
            "missing_values": reading.missing_values,
            "forever": self.stay,
        }


def run_and_report(
    make_engine: Callable[[EngineOptions, Folder], StreamEngine],
    options: RunOptions,
    page: DashboardOptions,
    network: NetworkOptions,
    telemetry: TelemetryOptions,
    log: LogOptions,
    started: Callable[[StreamEngine], None] = lambda engine: None,
) -> Report:
    """Run an engine until its stream ends, then save and show the report.

    make_engine: compiles, and returns the engine with these watchers and tracer, and this folder
    options, page, network, telemetry, log: options of the command line
    started: called with the engine before it runs
    """
    engine = None
    with (
        options.lock() as folder,
        telemetry.open() as otlp,
        stop_on_signal() as handler,
        page.page(network) as watchers,
    ):
        try:
            handler.engine = engine = make_engine(observers(watchers, otlp), folder)
            started(engine)
            report = run_engine(engine, log, options.max_samples)
        except LocoStreamError:
            if engine is not None and engine.report is not None and engine.report["n_samples"]:
                options.save(engine.report)  # of the rows before the error
            raise
        options.save(report)  # inside the block: a late signal must not cost the report
        options.show(report, table=not log.quiet)
        log_findings(report, unused=options.as_json)  # the table shows what was not used
    return report


run_options = option_group(
    "options",
    RunOptions,
    click.option("--report", type=PATH, metavar="FILE.json", help="Write the report as JSON."),
    click.option(
        "--json", "as_json", is_flag=True, help="Print the report as JSON instead of a table."
    ),
    click.option(
        "--plot",
        type=PATH,
        metavar="FILE.png",
        help="Draw the scores over the stream with the alarms; also .svg and .pdf.",
    ),
    click.option(
        "--max-samples",
        type=IntRange(1),
        metavar="N",
        help="Stop after N rows, counted from the start of a run that --resume continues.",
    ),
    click.option(
        "--checkpoint",
        type=PATH,
        metavar="DIR",
        help="Write checkpoints to DIR; --resume continues them.",
    ),
    click.option(
        "--resume", is_flag=True, help="Continue from the newest checkpoint in --checkpoint DIR."
    ),
    click.option(
        "--stay",
        is_flag=True,
        help="With --dashboard: keep the page after the last row, until Ctrl-C.",
    ),
)


_HELP = """Predict and learn every row of SOURCE, then report.

\b
Examples
  loco-stream run river:ImageSegments --seed 1 --report out.json --plot out.png
  loco-stream run river:Bikes --max-samples 20000 --dashboard
  loco-stream run river:Phishing --quiet --json | jq .accuracy
  loco-stream run "csv:rows.csv?target=heat,flow"
  loco-stream run river:Bikes --forecast 24 --plot fan.png
  loco-stream run river:Phishing --delay 100 --set rule=frozen
  loco-stream run "csv:rows.csv?target=kind" --watch --on-alarm "logger -t loco"
  loco-stream run river:synth.LED --max-samples 9000 --on-drift "logger -t loco"
  loco-stream run "csv:rows.csv?target=kind" --sink "jsonl:out.jsonl?only=prediction"
  loco-stream run "csv:rows.csv?target=kind" --checkpoint state/
  loco-stream run "csv:rows.csv?target=kind" --checkpoint state/ --resume

Ctrl-C ends the run with the report of the rows so far; a second Ctrl-C ends it at once,
without a report and without another checkpoint.
"""


@click.command("run", cls=CommandWithSource, help=_HELP)
@click.argument("source")
@run_options
@source_options(None)
@sink_options
@learning_options(None)
@dashboard_options
@network_options
@refuse_option("--dashboard-host", "`--dashboard-host` is now `--bind`")
@telemetry_options
@log_options
@refuse_option("--predictions", "`--predictions FILE` is now `--sink jsonl:FILE?only=prediction`")
@refuse_option("--window", "`--window` is now `--score-window`")
def command(
    *,
    source: str,
    options: RunOptions,
    reading: SourceOptions,
    outputs: SinkOptions,
    learning: LearningSetup,
    page: DashboardOptions,
    network: NetworkOptions,
    telemetry: TelemetryOptions,
    log: LogOptions,
) -> None:
    """Predict and learn every row of SOURCE, then report; `_HELP` is the full help text."""
    from loco_stream.engine._source_reader import SourceReader

    options.check(page)
    learning.check()
    network.check(page.dashboard, needed="--dashboard")
    directory = options.checkpoint if options.resume else None
    stored = stored_options(directory)
    learning = learning.resumed(stored, directory)
    reading = with_stored(reading, stored, directory)
    sinks = [*outputs.open(), *learning.alarms.sinks()]
    stream = reading.open(source, learning.task)
    LOGGER.info("%s: delivery: %s", stream.name, stream.guarantee)

    def make_engine(observing: EngineOptions, folder: Folder) -> StreamEngine:
        in_blocks = learning.scoring.delay is None and not learning.alarms.watch
        reader = SourceReader(stream, in_blocks=in_blocks)
        own = options.engine_options(reading, stream, folder)
        return learning.engine(reader, {**own, "sinks": sinks, **observing})

    report = run_and_report(make_engine, options, page, network, telemetry, log)
    if report["n_unlabelled"] and not report["n_samples"]:
        LOGGER.warning("no row had a label: `loco-stream watch` detects anomalies without any")
    check_delivered(report)
