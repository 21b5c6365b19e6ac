"""`loco-stream serve`: learn from live sources until stopped, without losing a row."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import click

from loco_stream._cli._config import ConfiguredCommand
from loco_stream._cli._dashboard_options import DashboardOptions, dashboard_options
from loco_stream._cli._engine_run import (
    LearningSetup,
    closed_on_error,
    has_checkpoint,
    learning_options,
    log_findings,
    run_engine,
    stored_options,
)
from loco_stream._cli._http_api import http_api
from loco_stream._cli._logging import LOGGER, LogOptions, log_options
from loco_stream._cli._network_options import NetworkOptions, network_options
from loco_stream._cli._option_group import with_stored
from loco_stream._cli._options import (
    SourceOptions,
    StateOptions,
    locked_folder,
    source_options,
    state_options,
)
from loco_stream._cli._renamed import refuse_option
from loco_stream._cli._service_ports import PortOptions, port_options
from loco_stream._cli._service_state import ServiceState
from loco_stream._cli._signals import ended_before_first_row, stop_on_signal
from loco_stream._cli._sinks import SinkOptions, check_delivered, losses_logged, sink_options
from loco_stream._cli._telemetry import TelemetryOptions, observers, telemetry_options
from loco_stream._cli._warm_up import warm_up
from loco_stream._text import counted
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine
    from loco_stream.engine._report import Report
    from loco_stream.engine._source_reader import SourceReader
    from loco_stream.stream import Source

_FLEET = "`serve --key` is now `loco-stream fleet SOURCE --key FEATURE --checkpoint DIR`"
_FLEET_OPTION = "`serve {}` is now an option of `loco-stream fleet SOURCE --key FEATURE`"


@click.command("serve", cls=ConfiguredCommand)
@click.option(
    "--source",
    metavar="URL",
    help="Source of the rows, for example zmq+reliable://127.0.0.1:5555; `loco-stream run --help` "
    "lists all kinds. Without it, rows arrive through --http only.",
)
@state_options(None)
@source_options("skip")
@port_options
@sink_options
@learning_options(0)
@dashboard_options
@network_options
@refuse_option("--dashboard-host", "`--dashboard-host` is now `--bind`")
@telemetry_options
@log_options
@refuse_option("--key", _FLEET)
@refuse_option("--workers", _FLEET_OPTION.format("--workers"))
@refuse_option("--ray", _FLEET_OPTION.format("--ray"))
@refuse_option("--template", _FLEET_OPTION.format("--template"))
@refuse_option("--window", "`--window` is now `--score-window`")
def command(
    *,
    source: str | None,
    state: StateOptions,
    reading: SourceOptions,
    ports: PortOptions,
    outputs: SinkOptions,
    learning: LearningSetup,
    page: DashboardOptions,
    network: NetworkOptions,
    telemetry: TelemetryOptions,
    log: LogOptions,
) -> None:
    """Learn from a source until SIGTERM or SIGINT.

    A service that is started again continues where it ended.

    \b
    Examples
      loco-stream serve --source zmq+reliable://127.0.0.1:5555 --checkpoint state/
      loco-stream serve --source zmq+reliable://0.0.0.0:5555 --keys keys/ --checkpoint state/
      loco-stream serve --source zmq+reply://127.0.0.1:5556 --checkpoint state/ --metrics-port 9100
      loco-stream serve --source mqtt://127.0.0.1/plant/rows --checkpoint state/ --dashboard
      loco-stream serve --http 8080 --checkpoint state/
      loco-stream serve --source "csv:load.csv?target=load&follow=1" --checkpoint state/ \\
          --forecast 24 --dashboard
      loco-stream serve --source "csv:rows.csv?target=kind&follow=1" --checkpoint state/ --http 8080
      loco-stream serve --source zmq+reliable://127.0.0.1:5555 --checkpoint state/ \\
          --sink zmq+pub://127.0.0.1:5557 --log-format json

    \b
    Loss after a crash, by durability
      batch        no acknowledged row, not even after a power failure
      interval:1s  after a power failure, the acknowledged rows of the last second
      off          the rows since the last checkpoint

    The first signal ends the service cleanly: the rows at hand are learned, a checkpoint is written
    and the rows are acknowledged. A second signal ends it at once,
    without another checkpoint.
    """
    state.check()
    page.check()
    opened = (page.dashboard, ports.http, ports.metrics_port)
    network.check(*opened, needed="--dashboard, --http or --metrics-port")
    if source is None and ports.http is None:
        raise ConfigError("`--source` must be given, or --http PORT for rows that clients send")
    if source is None and reading.keys is not None:
        raise ConfigError("`--keys` needs --source with a zmq+ URL")
    learning.check()
    stored = stored_options(state.checkpoint)
    reading = with_stored(reading, stored, state.checkpoint)
    service = ServiceState()
    report = None
    with (
        ended_before_first_row(),
        locked_folder(state.checkpoint) as folder,
        stop_on_signal() as handler,
        page.page(network) as watchers,
        ports.open(service, network),
        http_api(service, ports.http, network) as with_inbox,
        telemetry.open() as otlp,
    ):
        engine_options = {
            "checkpoint": folder,
            "resume": None,
            "checkpoint_every": state.checkpoint_every,
            "durability": state.durability,
            "strict": reading.on_bad == "stop",
            "forever": True,
            "bounds": reading.name_bounds(),
            "missing_values": reading.missing_values,
            "sinks": [*outputs.open(), *learning.alarms.sinks()],
        }
        learning = learning.resumed(stored, state.checkpoint)
        stream = with_inbox(_open(source, reading, learning.task))
        is_new = not has_checkpoint(state.checkpoint)
        reader = _compile(stream, service, learning, reading, reads_ahead=is_new)
        observing = observers(watchers, otlp)
        handler.engine = engine = learning.engine(reader, {**engine_options, **observing})
        _started(engine, service)
        report = run_engine(engine, log)
    _finish(report, source or "http", learning.model.task, state)
    if report is not None:
        check_delivered(report)


def _open(url: str | None, reading: SourceOptions, task: str | None) -> Source:
    """Open the source; without a URL, the one of the HTTP API alone."""
    if url is not None:
        return reading.open(url, task, endless=True)
    from loco_stream.engine._inbox import InboxOnly

    return InboxOnly()


def _compile(
    stream: Source,
    service: ServiceState,
    learning: LearningSetup,
    reading: SourceOptions,
    *,
    reads_ahead: bool,
) -> SourceReader:
    """Compile, and return a reader of the source.

    With `reads_ahead` the source answers its peers meanwhile, and rows that come show the task. The
    source of a resumed service cannot: it has to be positioned first.
    """
    from loco_stream.engine._source_reader import SourceReader
    from loco_stream.engine._task import find_task

    LOGGER.info("%s: delivery: %s", stream.name, stream.guarantee)
    service.source = stream
    service.phase = "compiling"
    reader = SourceReader(stream)
    with closed_on_error(stream), reader.reading_ahead() if reads_ahead else nullcontext():
        warm_up(learning.always_compiled)
        task = learning.model.problem(stream.targets) or find_task(
            reader, missing_values=reading.missing_values, waits=False
        )
        warm_up([learning.step(task)])
    service.phase = "waiting for the first row"
    return reader


def _started(engine: StreamEngine, service: ServiceState) -> None:
    """Log what may be lost, and let the engine answer for the service."""
    from loco_stream.engine._wal import DURABILITY

    mode = engine.durability
    LOGGER.info("durability %s: %s", mode, DURABILITY[mode.partition(":")[0]])
    service.start(engine)


def _finish(report: Report | None, source: str, task: str | None, state: StateOptions) -> None:
    """Log and write the report; a resumed service without a row keeps its last one."""
    if report is None:
        if has_checkpoint(state.checkpoint):
            return
        from loco_stream.engine._report import Report

        report = Report.empty(task, source)
    log_findings(report, unused=True)
    if state.report is not None:
        with losses_logged(report):
            report.save(state.report)
    samples = counted(report["n_samples"], "sample")
    LOGGER.info("ended: %s in all; checkpoint folder: %s", samples, state.checkpoint)
