"""`loco-stream control`: query or command a running service."""

from __future__ import annotations

import json
from typing import Any

import click

from loco_stream._cli._decision import DecisionChange, decision_change, plain_rule
from loco_stream._cli._option_group import PATH
from loco_stream._ranges import Choice
from loco_stream.errors import ConfigError, SourceError

_SECONDS = 5.0  # until an answer has come
_FORMS = {"forget": "SOURCE", "confirm": "FIRST [LAST]", "dismiss": "FIRST [LAST]"}


@click.command("control")
@click.argument("address")
@click.argument(
    "name",
    metavar="COMMAND",
    type=Choice(["status", "checkpoint", "confirm", "dismiss", "decide", "forget", "stop"]),
)
@click.argument("words", metavar="[ARGUMENT]...", nargs=-1)
@click.option(
    "--token",
    type=PATH,
    metavar="FILE",
    help="Token file of the service's --control-token; needed over tcp.",
)
@decision_change
def command(
    address: str, name: str, words: tuple[str, ...], token: str | None, decision: DecisionChange
) -> None:
    """Query or command a running `serve` or `watch`.

    COMMAND is sent to the process whose --control is ADDRESS; its answer is printed as JSON.

    \b
    status                 samples, scores, counters, alarm
    checkpoint             write a checkpoint with the next commit
    confirm FIRST [LAST]   declare rows anomalous: their unusual values raise alarms if they return
    dismiss FIRST [LAST]   declare rows normal: values like theirs raise no more alarms
    decide                 choose predicted labels by --threshold or --cost; without them, print
                           the rule
    forget SOURCE          forget the row numbers of a source at --http, which may restart from 0
    stop                   end as after SIGTERM

    FIRST and LAST are the `t` of anomaly records, or ISO 8601 dates; where rows have no times, they
    are the `at` of the records.

    \b
    Examples
      loco-stream serve --source zmq+reliable://127.0.0.1:5555 --checkpoint state/ \\
          --control ipc:///tmp/loco
      loco-stream control ipc:///tmp/loco status
      loco-stream control ipc:///tmp/loco decide --threshold worn=0.2
      loco-stream watch "csv:pump.csv?follow=1" --control ipc:///tmp/pump
      loco-stream control ipc:///tmp/pump dismiss 1500 1559
    """
    from loco_stream._cli._service_state import ANSWER_SECONDS
    from loco_stream.connectors._control import read_token, send_command

    arguments = _arguments(name, words)
    if decision.is_given and name != "decide":
        raise ConfigError("`--threshold`, `--cost` and `--clear` need the command decide")
    secret = "" if token is None else read_token(token)
    timeout = _SECONDS
    if name in ("decide", "confirm", "dismiss", "forget"):  # the engine answers between two commits
        timeout += ANSWER_SECONDS
    if name == "decide":
        if decision.is_given:
            arguments = {"rule": plain_rule(decision.rule)}
        else:
            name = "rule"
    click.echo(json.dumps(send_command(address, name, timeout, secret, **arguments)))


def _arguments(name: str, words: tuple[str, ...]) -> dict[str, Any]:
    """Return the arguments of a command by name.

    Raises `ConfigError` if there are too few or too many.
    """
    if name == "forget" and len(words) == 1:
        return {"source": words[0]}
    if name in ("confirm", "dismiss") and len(words) in (1, 2):
        return _rows_between(words[0], words[-1])
    if words or name in _FORMS:
        form = _FORMS.get(name, "no argument")
        raise ConfigError(f"the command {name} takes {form}, got {' '.join(words) or 'nothing'}")
    return {}


def _rows_between(first: str, last: str) -> dict[str, Any]:
    from loco_stream.connectors._base.values import event_time

    try:
        return {"t0": event_time(first), "t1": event_time(last)}
    except SourceError:
        raise ConfigError(
            f"`FIRST` and `LAST` must be numbers or ISO 8601 dates, got {first!r} and {last!r}"
        ) from None
