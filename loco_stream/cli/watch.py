"""`loco-stream watch`: detect anomalies in a stream without labels, then report."""

from __future__ import annotations

import click

from loco_stream.cli._anomalies import AlarmOptions, alarm_options, warm_up_detector
from loco_stream.cli._catalog import CommandWithSource
from loco_stream.cli._dashboard_options import DashboardOptions, dashboard_options
from loco_stream.cli._engine_run import EngineRun, log_findings, stored_options, watching_engine
from loco_stream.cli._logging import LOGGER, LogOptions, log_options
from loco_stream.cli._network_options import NetworkOptions, network_options
from loco_stream.cli._option_group import with_stored
from loco_stream.cli._options import SourceOptions, source_options
from loco_stream.cli._signals import EndedEarly, Interrupt, stop_on_signal
from loco_stream.cli._sinks import SinkOptions, sink_options
from loco_stream.cli.run import RunOptions, run_options
from loco_stream.errors import LocoStreamError

__all__ = ["command"]

_HELP = """Detect anomalies in SOURCE, whose rows need no labels, then report.

\b
Examples
  loco-stream watch csv:sensors.csv
  loco-stream watch "csv:sensors.csv?time=when" --sink "https://example.org/hook?only=anomaly"
  loco-stream watch "csv:sensors.csv?follow=1" --on-alarm "logger -t loco" --dashboard
  loco-stream watch mqtt://127.0.0.1/plant/rows --checkpoint state/ --every 10000
  loco-stream watch mqtt://127.0.0.1/plant/rows --checkpoint state/ --resume

A row raises an alarm if one of its columns holds what it has not held before. Each alarm is logged,
and is a record of kind "anomaly" for every sink. Ctrl-C ends the run with the report of the rows so
far; a second Ctrl-C ends it at once.
"""


@click.command("watch", cls=CommandWithSource, help=_HELP)
@click.argument("source")
@alarm_options
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Random seed of the detector; equal seeds give identical results.",
)
@run_options
@source_options(None)
@sink_options
@dashboard_options
@network_options
@log_options
def command(
    *,
    source: str,
    seed: int,
    alarms: AlarmOptions,
    options: RunOptions,
    reading: SourceOptions,
    outputs: SinkOptions,
    page: DashboardOptions,
    network: NetworkOptions,
    log: LogOptions,
) -> None:
    """Detect anomalies in SOURCE, then report; `_HELP` is the full help text."""
    from loco_stream.engine.source_reader import SourceReader

    options.check(page)
    network.check(page.dashboard, needed="--dashboard")
    stored = stored_options(options.checkpoint if options.resume else None)
    alarms = with_stored(alarms, stored)
    seed = int(str(stored.get("seed", seed)))
    sinks = [*outputs.open(), *alarms.sinks()]
    stream = reading.open(source, None, labelled=False)
    LOGGER.info("%s: %s", stream.name, stream.guarantee)
    run = None
    with stop_on_signal() as handler, page.page(network) as watchers:
        try:
            warm_up_detector()
            engine_options = {
                "checkpoint": options.checkpoint,
                "resume": options.resume,
                "strict": reading.is_strict(stream),
                "forever": options.stay,
                "sinks": sinks,
                "watchers": watchers,
            }
            run = EngineRun(
                SourceReader(stream),
                lambda reader: watching_engine(reader, alarms, seed, engine_options),
            )
            report = run.run(
                handler, max_samples=options.max_samples, shows_progress=log.shows_progress
            )
        except Interrupt:
            raise EndedEarly("stopped before the first row") from None
        except LocoStreamError:
            if run is not None and run.report is not None:
                options.save(run.report)  # of the rows before the error
            raise
        options.save(report)  # inside the block: a late signal must not cost the report
        options.show(report, table=not log.quiet)
        log_findings(report, unused=options.as_json)  # the table shows what was not used
