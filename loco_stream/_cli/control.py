"""`loco-stream control`: query or command a running service."""

from __future__ import annotations

import json
from typing import Any

import click

from loco_stream._cli._decision import DecisionChange, decision_change, plain_rule
from loco_stream.errors import ConfigError

_SECONDS = 5.0  # until an answer has come


@click.command("control")
@click.argument("address")
@click.argument(
    "order",
    metavar="COMMAND",
    type=click.Choice(["status", "checkpoint", "decide", "forget", "stop"]),
)
@click.argument("source", required=False, default="")
@click.option(
    "--token", metavar="FILE", help="Token file of the service's --control-token; needed over tcp."
)
@decision_change
def command(
    address: str, order: str, source: str, token: str | None, decision: DecisionChange
) -> None:
    """Query or command a running service.

    COMMAND is sent to the service whose --control is ADDRESS; its answer is printed as JSON.

    \b
    status      samples, scores, counters, alarm
    checkpoint  write a checkpoint with the next commit
    decide      choose predicted labels by --threshold or --cost; without them, print the rule
    forget      forget the row numbers of a SOURCE at --http: it may start from 0 again
    stop        end as after SIGTERM

    \b
    Examples
      loco-stream serve --source zmq+reliable://127.0.0.1:5555 --checkpoint state/ \\
          --control ipc:///tmp/loco
      loco-stream control ipc:///tmp/loco status
      loco-stream control ipc:///tmp/loco decide --threshold worn=0.2
    """
    from loco_stream._cli._service_state import ANSWER_SECONDS
    from loco_stream.connectors._control import order as send
    from loco_stream.connectors._control import read_token

    if (order == "forget") != bool(source):
        raise ConfigError("`SOURCE` must be given with the command forget, and with no other")
    if decision.is_given and order != "decide":
        raise ConfigError("`--threshold`, `--cost` and `--clear` need the command decide")
    secret = "" if token is None else read_token(token)
    arguments: dict[str, Any] = {"source": source} if source else {}
    timeout = _SECONDS
    if order == "decide":  # the engine answers between two commits, others are answered at once
        timeout += ANSWER_SECONDS
        if decision.is_given:
            arguments = {"rule": plain_rule(decision.rule)}
        else:
            order = "rule"
    click.echo(json.dumps(send(address, order, timeout, secret, **arguments)))
