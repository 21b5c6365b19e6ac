"""`loco-stream fleet status|worst|changed|decide|forecast|evict|reset|export|merge`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from loco_stream._cli._decision import DecisionChange, decision_change
from loco_stream._cli._option_group import PATH, checked_by, option_group
from loco_stream._ranges import IntRange
from loco_stream._text import counted

if TYPE_CHECKING:
    from loco_stream._cli._fleet_control import RemoteOperations
    from loco_stream.fleet._operations import FleetOperations


@dataclass(frozen=True, slots=True)
class _Where:
    """A fleet at rest or a running one."""

    fleet: str
    token: str | None

    @contextmanager
    def open(self) -> Iterator[FleetOperations | RemoteOperations]:
        if "://" in self.fleet and self.fleet.partition("://")[0] in ("ipc", "tcp"):
            from loco_stream._cli._fleet_control import RemoteOperations

            yield RemoteOperations(self.fleet, self.token)
            return
        from loco_stream.fleet._operations import FleetOperations, open_fleet

        with open_fleet(self.fleet) as fleet:
            yield FleetOperations(fleet)


_where = option_group(
    "where",
    _Where,
    click.argument("fleet"),
    click.option(
        "--token",
        type=PATH,
        metavar="FILE",
        help="Token file of the running fleet's --control-token; needed over tcp.",
    ),
)
_number = click.option(
    "-n",
    "number",
    type=IntRange(1, 10_000),
    default=10,
    help="Keys to list.",
)
_keys = click.argument("keys", nargs=-1, required=True, metavar="KEY...")


def _check_to(path: str) -> None:
    from loco_stream._persistence.outputs import check_output

    check_output("--to", path)


_to = click.option(
    "--to",
    type=PATH,
    required=True,
    metavar="FILE",
    callback=checked_by(_check_to),
    help="File that the model is written to.",
)


def _echo(value: object) -> None:
    from loco_stream.engine._report import jsonable

    click.echo(json.dumps(jsonable(value), indent=2))


def _write(path: str, content: bytes) -> None:
    from loco_stream._persistence.outputs import write_output

    write_output("the model", path, content)


@click.command("status")
@_where
def status(where: _Where) -> None:
    """Print the counts of a fleet as JSON.

    FLEET is the directory of a fleet at rest, or the --control address of a running one.
    """
    with where.open() as fleet:
        _echo(fleet.status())


@click.command("worst")
@_where
@_number
def worst(where: _Where, number: int) -> None:
    """List the keys with the largest error over their last 500 rows, as JSON.

    For a fleet at rest every model is loaded once, which takes about a millisecond per key.
    """
    with where.open() as fleet:
        _echo(fleet.worst(n=number))


@click.command("changed")
@_where
@_number
def changed(where: _Where, number: int) -> None:
    """List the keys with the latest drifts, as JSON."""
    with where.open() as fleet:
        _echo(fleet.changed(n=number))


@click.command("decide")
@_where
@click.argument("keys", nargs=-1, metavar="[KEY]...")
@decision_change
def decide(where: _Where, keys: Sequence[str], decision: DecisionChange) -> None:
    """Choose predicted labels by another rule; without one, print the rule as JSON.

    The rule is that of the KEYs, or without any, that of all keys that have none of their own. A
    key whose rule is cleared follows the rule for all.

    \b
    Examples
      loco-stream fleet decide fleet/ --threshold worn=0.2
      loco-stream fleet decide ipc:///tmp/fleet "press 7" --cost worn,ok=20
    """
    with where.open() as fleet:
        if decision.is_given:
            fleet.decide(keys=keys, rule=decision.rule)
        else:
            _echo(fleet.rules(keys=keys))


@click.command("forecast")
@_where
@click.argument("key")
@click.option(
    "--horizon",
    type=IntRange(1, 1000),
    metavar="N",
    help="Steps to forecast.  [default: those of the fleet's --forecast]",
)
@click.option("--history", is_flag=True, help="Print the last 120 values as well.")
def forecast(where: _Where, key: str, horizon: int | None, history: bool) -> None:
    """Print the forecast of a key's next values as JSON, with 90 % intervals.

    The fleet must have been started with --forecast.

    \b
    Examples
      loco-stream fleet forecast fleet/ "press 7"
      loco-stream fleet forecast ipc:///tmp/fleet "press 7" --horizon 48
    """
    with where.open() as fleet:
        found = dict(fleet.forecast(key=key, horizon=horizon))
    if not history:
        del found["history"]
    _echo(found)


@click.command("evict")
@_where
@_keys
def evict(where: _Where, keys: Sequence[str]) -> None:
    """Move models of a running fleet from memory to the store.

    They are loaded again when their next row arrives.
    """
    with where.open() as fleet:
        click.echo(f"evicted {counted(fleet.evict(keys=keys), 'model')}")


@click.command("reset")
@_where
@_keys
def reset(where: _Where, keys: Sequence[str]) -> None:
    """Let the models of keys start anew, for example after a repair of the device.

    Rows that a key has learned are not learned again if its source repeats them.
    """
    with where.open() as fleet:
        for key in keys:
            fleet.reset(key=key)


@click.command("export")
@_where
@click.argument("key")
@_to
def export(where: _Where, key: str, to: str) -> None:
    """Write the model of a key to a file.

    `loco-stream fleet --template FILE` and `loco_stream.load` read it.
    """
    with where.open() as fleet:
        _write(to, fleet.export(key=key))


@click.command("merge")
@_where
@_keys
@_to
def merge(where: _Where, keys: Sequence[str], to: str) -> None:
    """Merge the models of keys into one, and write it to a file.

    What their discriminants have learned is pooled; hidden layers and everything else are those of
    the model with most rows.
    """
    with where.open() as fleet:
        _write(to, fleet.merge(keys=keys))
