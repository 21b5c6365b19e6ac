"""`loco-stream control`: ask a running service, or give it an order."""

from __future__ import annotations

import json

import click

__all__ = ["command"]


@click.command("control")
@click.argument("address")
@click.argument("order", type=click.Choice(["status", "checkpoint", "stop"]))
@click.option("--token", metavar="FILE", help="The service's --control-token; needed over tcp.")
def command(address: str, order: str, token: str | None) -> None:
    """Give the service whose --control is ADDRESS an order; prints its answer as JSON.

    \b
    status      samples, scores, counters, alarm
    checkpoint  write a checkpoint with the next commit
    stop        end clean, as SIGTERM does

    \b
    Examples
      loco-stream serve --source zmq+reliable://127.0.0.1:5555 --checkpoint state/ --control
      ipc:///tmp/loco loco-stream control ipc:///tmp/loco status
    """
    from loco_stream.connectors.control import order as give
    from loco_stream.connectors.control import read_token

    click.echo(json.dumps(give(address, order, token="" if token is None else read_token(token))))
