"""`loco-stream control`: query or command a running service."""

from __future__ import annotations

import json
from typing import Any

import click

__all__ = ["command"]


@click.command("control")
@click.argument("address")
@click.argument(
    "order", metavar="COMMAND", type=click.Choice(["status", "checkpoint", "forget", "stop"])
)
@click.argument("source", required=False, default="")
@click.option(
    "--token", metavar="FILE", help="Token file of the service's --control-token; needed over tcp."
)
def command(address: str, order: str, source: str, token: str | None) -> None:
    """Query or command a running service.

    COMMAND is sent to the service whose --control is ADDRESS; its answer is printed as JSON.

    \b
    status      samples, scores, counters, alarm
    checkpoint  write a checkpoint with the next commit
    forget      forget the row numbers of a SOURCE at --http: it may start from 0 again
    stop        end as after SIGTERM

    \b
    Examples
      loco-stream serve --source zmq+reliable://127.0.0.1:5555 --checkpoint state/ \\
          --control ipc:///tmp/loco
      loco-stream control ipc:///tmp/loco status
    """
    from loco_stream.connectors.control import order as send
    from loco_stream.connectors.control import read_token

    if (order == "forget") != bool(source):
        raise click.UsageError("forget, and no other command, needs the name of a SOURCE")
    secret = "" if token is None else read_token(token)
    arguments: dict[str, Any] = {"source": source} if source else {}
    click.echo(json.dumps(send(address, order, token=secret, **arguments)))
