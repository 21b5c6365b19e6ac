"""`loco-stream dashboard`: learn from a stream and show it live."""

from __future__ import annotations

from typing import Any

import click

from loco_stream.cli.options import model_options, open_stream, warm_up
from loco_stream.cli.page import live_page
from loco_stream.cli.signals import Interrupt, clean_end

__all__ = ["command"]


@click.command("dashboard")
@click.argument("source")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    metavar="PORT",
    help="Port of the page; 0 takes a free one.",
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="Address to listen at; anybody who reaches it sees the page.",
)
@click.option(
    "--allow-host",
    multiple=True,
    metavar="NAME",
    help="A further name the page may be asked for under.",
)
@click.option("--open", "browse", is_flag=True, help="Open the page in the browser.")
@click.option(
    "--keys",
    metavar="DIR",
    help="Keys made by `loco-stream keygen`: turns CURVE on for zmq sources.",
)
@model_options
def command(
    source: str,
    port: int,
    host: str,
    allow_host: tuple[str, ...],
    browse: bool,
    keys: str | None,
    **options: Any,
) -> None:
    """Learn from SOURCE and show it live; the page stays when the stream has ended, until Ctrl-C.

    SOURCE is written as for `loco-stream run`. `run` and `serve` show the same page with
    --dashboard.

    \b
    Examples
      loco-stream dashboard river:ImageSegments --open
      loco-stream dashboard "csv:rows.csv?target=kind&rate=200"
      loco-stream dashboard zmq+pull://127.0.0.1:5555 --port 9000
    """
    from loco_stream.cli.session import Session

    with clean_end() as handler, live_page(True, port, host, allow_host) as watchers:
        stream = open_stream(source, options["task"], keys)
        click.echo(f"{stream.name}: {stream.guarantee}", err=True)
        if browse:
            click.launch(watchers[0].url)
        try:
            warm_up(blocks=source.startswith(("zmq", "npy")))
            session = Session(stream, options, {"watchers": watchers, "forever": True})
            report = session.run(handler, None, quiet=True)
        except Interrupt:
            raise click.ClickException("stopped before the first row") from None
    from rich.console import Console

    Console().print(report.table())
