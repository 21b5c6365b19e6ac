"""`loco-stream serve --key`: one model for each value of a feature."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from loco_stream.cli.options import build_model, parse_settings
from loco_stream.cli.signals import Interrupt, clean_end
from loco_stream.errors import ConfigError

__all__ = ["FleetCall", "fleet_options", "refuse_beside_fleet", "serve_fleet"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class FleetCall:
    """What the command line says of a fleet."""

    key: str | None
    workers: int
    ray: str | None
    template: str | None
    directory: str
    durability: str | None
    checkpoint_every: int
    page: int | None


def fleet_options(function: F) -> F:
    """Add what makes one model a key: --key, --workers, --ray, --template."""
    for option in reversed(
        [
            click.option(
                "--key",
                metavar="FEATURE",
                help="Learn a model of its own for each value of FEATURE.",
            ),
            click.option(
                "--workers",
                type=click.IntRange(0),
                default=0,
                metavar="N",
                help="With --key: so many worker processes on Ray.  [default: this process]",
            ),
            click.option(
                "--ray",
                metavar="ADDRESS",
                help="With --key and --workers: a running cluster of Ray.",
            ),
            click.option(
                "--template",
                metavar="MODEL",
                help="With --key: a saved model that new keys start from.",
            ),
        ]
    ):
        function = option(function)
    return function


def refuse_beside_fleet(**options: object) -> None:
    """Raise `ConfigError` if an option is given that a fleet does not have."""
    for name, value in options.items():
        if value is not None:
            raise ConfigError(
                f"--{name.replace('_', '-')} cannot be used with --key, a fleet has none"
            )


def serve_fleet(
    call: FleetCall,
    open_source: Callable[[str | None], Any],
    options: Mapping[str, Any],
    sinks: Sequence[Any],
    report: str | None,
) -> None:
    """Learn until told to stop, and tell what came of it."""
    from loco_stream.engine.report import jsonable
    from loco_stream.persistence.files import atomic_write

    if call.key is None:
        raise ConfigError(
            "--workers, --ray and --template need --key FEATURE, which says whose model a row is for"
        )
    if options["delay"]:
        raise ConfigError(
            "--delay cannot be used with --key: a fleet learns each row when it comes"
        )
    with clean_end() as handler:
        try:
            result = _run(call, open_source, options, sinks, handler)
        except Interrupt:
            click.echo("ended before the first row", err=True)
            return
    for note in result["notes"]:
        click.echo(f"note: {note}", err=True)
    if report is not None:
        atomic_write(report, json.dumps(jsonable(result), indent=2).encode())
    click.echo(
        f"ended: {result['n_samples']:,} samples of this run, {result['n_keys']:,} keys in {call.directory}",
        err=True,
    )


def _run(
    call: FleetCall,
    open_source: Callable[[str | None], Any],
    options: Mapping[str, Any],
    sinks: Sequence[Any],
    handler: Any,
) -> dict[str, Any]:
    from loco_stream.engine.source_reader import SourceReader
    from loco_stream.engine.task import find_task
    from loco_stream.estimators.saving import load
    from loco_stream.fleet import Fleet
    from loco_stream.fleet.runner import FleetRunner
    from loco_stream.monitor import TaskMonitor

    source = open_source(options["task"])
    click.echo(f"{source.name}: {source.guarantee}", err=True)
    try:
        reader = SourceReader(source)
        task = options["task"] or find_task(reader)
        model = build_model(task, options["seed"], parse_settings(options["settings"]))
        if call.template is not None:
            model = load(call.template)
        fleet = Fleet(
            model,
            call.directory,
            call.workers,
            monitor=TaskMonitor(holdout=options["holdout"] or 0, problem=task),
            checkpoint_every=call.checkpoint_every,
            durability=call.durability or "interval:1s",
            ray_address=call.ray,
        )
    except BaseException:
        source.close()
        raise
    with fleet, _page(call.page) as watchers:
        handler.engine = runner = FleetRunner(fleet, reader, str(call.key), sinks, watchers)
        click.echo(f"{fleet!r}: what was acknowledged is on disk", err=True)
        return runner.run()


@contextmanager
def _page(port: int | None) -> Iterator[list[Any]]:
    if port is None:
        yield []
        return
    from loco_stream.dashboard.fleet_page import FleetPage

    with FleetPage(port) as page:
        click.echo(f"live page: {page.url}", err=True)
        yield [page]
