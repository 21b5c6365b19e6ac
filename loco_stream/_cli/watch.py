"""`loco-stream watch`: detect anomalies in a stream without labels, then report."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from loco_stream._cli._anomalies import WatchOptions, watch_options
from loco_stream._cli._catalog import CommandWithSource
from loco_stream._cli._dashboard_options import DashboardOptions, dashboard_options
from loco_stream._cli._engine_run import EngineOptions, stored_options, watching_engine
from loco_stream._cli._logging import LOGGER, LogOptions, log_options
from loco_stream._cli._network_options import NetworkOptions, network_options
from loco_stream._cli._option_group import with_stored
from loco_stream._cli._options import SourceOptions, source_options
from loco_stream._cli._service_ports import ControlOptions, engine_commands, engine_ports
from loco_stream._cli._service_state import ServiceState
from loco_stream._cli._sinks import SinkOptions, check_delivered, sink_options
from loco_stream._cli._telemetry import TelemetryOptions, telemetry_options
from loco_stream._cli._warm_up import OF_ALARMS, warm_up
from loco_stream._cli.run import Folder, RunOptions, run_and_report, run_options

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine

_HELP = """Detect anomalies in SOURCE, whose rows need no labels, then report.

\b
Examples
  loco-stream watch csv:sensors.csv
  loco-stream watch "csv:sensors.csv?time=when" --sink "https://example.org/hook?only=anomaly"
  loco-stream watch "csv:sensors.csv?follow=1" --on-alarm "logger -t loco" --dashboard
  loco-stream watch mqtt://127.0.0.1/plant/rows --checkpoint state/ --every 10000
  loco-stream watch mqtt://127.0.0.1/plant/rows --checkpoint state/ --resume
  loco-stream watch mqtt://127.0.0.1/plant/rows --control ipc:///tmp/loco --metrics-port 9100

A row raises an alarm if one of its columns holds what it has not held before. Each alarm is logged,
and is a record of kind "anomaly" for every sink. With --control, `loco-stream control ADDR confirm`
and `dismiss` declare rows anomalous or normal. Ctrl-C ends the run with the report of the rows so
far; a second Ctrl-C ends it at once, without a report and without another checkpoint.
"""


@click.command(
    "watch",
    cls=CommandWithSource,
    help=_HELP,
    short_help="Detect anomalies in SOURCE, which needs no labels.",
)
@click.argument("source")
@watch_options
@run_options
@source_options(None)
@sink_options
@dashboard_options
@engine_ports
@network_options
@telemetry_options
@log_options
def command(
    *,
    source: str,
    alarms: WatchOptions,
    options: RunOptions,
    reading: SourceOptions,
    outputs: SinkOptions,
    page: DashboardOptions,
    ports: ControlOptions,
    network: NetworkOptions,
    telemetry: TelemetryOptions,
    log: LogOptions,
) -> None:
    """Detect anomalies in SOURCE, then report; `_HELP` is the full help text."""
    from loco_stream.engine._source_reader import SourceReader

    options.check(page)
    network.check(page.dashboard, ports.metrics_port, needed="--dashboard or --metrics-port")
    directory = options.checkpoint if options.resume else None
    stored = stored_options(directory)
    alarms = with_stored(alarms, stored, directory)
    reading = with_stored(reading, stored, directory)
    sinks = [*outputs.open(), *alarms.sinks()]
    stream = reading.open(source, None, labelled=False)
    state = ServiceState()
    state.source = stream
    LOGGER.info("%s: delivery: %s", stream.name, stream.guarantee)

    def make_commands() -> dict[str, Callable[..., Any]]:
        commands = engine_commands(state)
        if options.checkpoint is None:
            del commands["checkpoint"]
        return commands

    def make_engine(observing: EngineOptions, folder: Folder) -> StreamEngine:
        state.phase = "compiling"
        warm_up([OF_ALARMS])
        own = options.engine_options(reading, stream, folder)
        observed = {**own, "sinks": sinks, **observing}
        return watching_engine(SourceReader(stream), alarms, observed)

    with ExitStack() as opened:
        ports.open_control(opened, make_commands)
        ports.open_metrics(opened, state, network)
        report = run_and_report(make_engine, options, page, network, telemetry, log, state.start)
    check_delivered(report)
