"""`loco-stream serve`: learn from live sources until told to stop, and lose nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import click

from loco_stream.cli.fleet import FleetCall, fleet_options, refuse_beside_fleet, serve_fleet
from loco_stream.cli.http import http_door
from loco_stream.cli.options import bad_option, model_options, open_stream, warm_up
from loco_stream.cli.page import live_page, page_options
from loco_stream.cli.session import Session, has_past, stored_settings
from loco_stream.cli.signals import Interrupt, clean_end
from loco_stream.cli.sinks import open_sinks, sink_options
from loco_stream.cli.standby import Standby
from loco_stream.persistence.outputs import check_output

if TYPE_CHECKING:
    from loco_stream.engine.source_reader import SourceReader

__all__ = ["command"]


@click.command("serve")
@click.option(
    "--source",
    required=True,
    metavar="URL",
    help="Where rows come from, for example zmq+reliable://127.0.0.1:5555.",
)
@click.option(
    "--checkpoint",
    required=True,
    metavar="DIR",
    help="Checkpoints and log; goes on with what is there.",
)
@click.option("--report", metavar="FILE", help="Write the report there at the end.")
@click.option(
    "--keys",
    metavar="DIR",
    help="Keys made by `loco-stream keygen DIR`: turns CURVE on and admits DIR/allowed/.",
)
@click.option(
    "--durability",
    metavar="MODE",
    help="When the log is synced: batch, interval:1s or off.  [default: batch where rows are acknowledged]",
)
@click.option(
    "--checkpoint-every",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    metavar="N",
    help="Rows between checkpoints; one is also taken every 60 seconds while rows come.",
)
@click.option(
    "--metrics-port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Answer Prometheus at http://127.0.0.1:PORT/metrics.",
)
@click.option(
    "--control", metavar="ADDR", help="Take orders there: see `loco-stream control --help`."
)
@click.option(
    "--control-token",
    metavar="FILE",
    help="What an order has to show; made if it is missing. Over tcp, orders other than status need it.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="NAME=VALUE",
    help="A bound on what peers may send, for example --limit sources=64; docs/security.md names them.",
)
@bad_option("skip")
@click.option(
    "--http",
    metavar="[ADDRESS:]PORT",
    help="Answer predictions and take rows to learn at http://127.0.0.1:PORT; /openapi.json tells how.",
)
@click.option(
    "--http-token",
    metavar="FILE",
    help="What a request has to show; made if it is missing. Needed where other machines reach ADDRESS.",
)
@fleet_options
@click.option("--quiet", is_flag=True, help="No progress lines.")
@sink_options
@page_options
@model_options
def command(
    source: str,
    checkpoint: str,
    report: str | None,
    keys: str | None,
    durability: str | None,
    checkpoint_every: int,
    metrics_port: int | None,
    control: str | None,
    control_token: str | None,
    limits: tuple[str, ...],
    on_bad: str,
    http: str | None,
    http_token: str | None,
    key: str | None,
    workers: int,
    ray: str | None,
    template: str | None,
    quiet: bool,
    sinks: tuple[str, ...],
    on_drift: str | None,
    dashboard: bool,
    dashboard_port: int,
    **options: Any,
) -> None:
    """Learn from URL until SIGTERM or SIGINT, then write the report; starts where it ended before.

    \b
    Examples
      loco-stream serve --source zmq+reliable://127.0.0.1:5555 --checkpoint state/ loco-stream serve
      --source zmq+reliable://0.0.0.0:5555 --keys keys/ --checkpoint state/ loco-stream serve
      --source zmq+reply://127.0.0.1:5556 --checkpoint state/ --metrics-port 9100 loco-stream serve
      --source zmq+reliable://127.0.0.1:5555 --checkpoint state/ --dashboard loco-stream serve
      --source zmq+reliable://127.0.0.1:5555 --checkpoint state/ --http 8080 loco-stream serve
      --source zmq+reliable://127.0.0.1:5555 --checkpoint state/ --key device --workers 4
      loco-stream serve --source zmq+reliable://127.0.0.1:5555 --checkpoint state/ --sink
      zmq+pub://127.0.0.1:5557

    \b
    What may be lost
      --durability batch        nothing that was acknowledged, not even by a power cut
      --durability interval:1s  by a power cut, the acknowledged rows of the last second
      --durability off          the rows since the last checkpoint

    The first signal ends clean: the batch at hand is learned, a checkpoint written, the rows
    acknowledged. A second signal ends at once.
    """
    check_output("--report", report)
    if durability is not None:
        from loco_stream.engine.wal import parse_durability

        parse_durability(durability)
    if key is not None or workers or ray or template:
        refuse_beside_fleet(metrics_port=metrics_port, control=control, http=http)
        fleet = FleetCall(
            key,
            workers,
            ray,
            template,
            checkpoint,
            durability,
            checkpoint_every,
            dashboard_port if dashboard else None,
        )
        serve_fleet(
            fleet,
            lambda task: open_stream(
                source, task, keys, endless=True, limits=limits, on_bad=on_bad
            ),
            options,
            open_sinks(sinks, on_drift),
            report,
        )
        return
    engine_options: dict[str, Any] = {
        "checkpoint": checkpoint,
        "resume": None,
        "checkpoint_every": checkpoint_every,
        "durability": durability,
        "strict": on_bad == "stop",
        "forever": True,
        "sinks": open_sinks(sinks, on_drift),
    }
    standby = Standby()
    with (
        clean_end() as handler,
        live_page(dashboard, dashboard_port) as watchers,
        _ports(standby, metrics_port, control, control_token),
        http_door(standby, http, http_token) as beside,
    ):
        engine_options["watchers"] = watchers
        try:
            settings = stored_settings(checkpoint, {**options, "holdout": options["holdout"] or 0})
            stream = open_stream(
                source, settings["task"], keys, endless=True, limits=limits, on_bad=on_bad
            )
            feed = _warm_up(beside(stream), standby, new=not has_past(checkpoint))
            session = Session(feed, settings, engine_options)
            result = session.run(handler, None, quiet, lambda engine: _beside(engine, standby))
        except Interrupt:
            click.echo("ended before the first row", err=True)
            result = None
    _tell(result, source, options["task"], checkpoint, report)


def _warm_up(stream: Any, standby: Standby, new: bool) -> SourceReader:
    """Compile; the source of a new service meanwhile answers its peers, one with a past has to find that first."""
    from loco_stream.engine.source_reader import SourceReader

    click.echo(f"{stream.name}: {stream.guarantee}", err=True)
    standby.phase = "compiling"
    feed = SourceReader(stream)
    try:
        with feed.reading_ahead() if new else nullcontext():
            warm_up(blocks=True)
    except BaseException:
        stream.close()
        raise
    standby.phase = "waiting for the first row"
    return feed


@contextmanager
def _beside(engine: Any, standby: Standby) -> Iterator[None]:
    """Say what may be lost, and let the engine answer for itself while it runs."""
    from loco_stream.engine.wal import DURABILITY

    click.echo(
        f"durability {engine.durability}: {DURABILITY[engine.durability.partition(':')[0]]}",
        err=True,
    )
    standby.engine = engine
    yield


@contextmanager
def _ports(
    standby: Standby, metrics_port: int | None, control: str | None, control_token: str | None
) -> Iterator[None]:
    """Answer Prometheus and take orders, before anything else is done.

    Who runs a service wants to see it start.
    """
    with ExitStack() as open_ports:
        if control is not None:
            from loco_stream.connectors.control import Control, make_token

            token = None if control_token is None else make_token(control_token)
            open_ports.callback(Control(control, _orders(standby), token).close)
        if metrics_port is not None:
            from loco_stream.engine.prometheus import serve_metrics

            open_ports.callback(serve_metrics(standby, metrics_port))
        yield


def _orders(engine: Any) -> dict[str, Any]:
    from loco_stream.engine.report import jsonable

    def status() -> Any:
        return jsonable({**engine.status, "alarm": engine.alarm})

    def checkpoint() -> dict[str, Any]:
        engine.request_checkpoint()
        return {}

    def stop() -> dict[str, Any]:
        engine.stop()
        return {}

    return {"status": status, "checkpoint": checkpoint, "stop": stop}


def _tell(result: Any, source: str, task: str | None, checkpoint: str, report: str | None) -> None:
    if result is None:
        if has_past(checkpoint):
            return  # the last report still tells all
        from loco_stream.engine.report import Report

        result = Report.empty(task, source)
    for sentence in result["unused"]:
        click.echo(f"not used: {sentence}", err=True)
    for note in result["notes"]:
        click.echo(f"note: {note}", err=True)
    if report is not None:
        result.save(report)
    click.echo(f"ended: {result['n_samples']:,} samples over the life of {checkpoint}", err=True)
