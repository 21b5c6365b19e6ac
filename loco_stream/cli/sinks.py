"""--sink and --on-drift: who hears of what the engine finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from loco_stream.errors import ConfigError

__all__ = ["open_sinks", "sink_options"]

F = TypeVar("F", bound=Callable[..., Any])


def sink_options(function: F) -> F:
    """Add what says who hears of it: --sink and --on-drift."""
    function = click.option(
        "--on-drift",
        metavar="COMMAND",
        help="Run COMMAND at each drift, the record on its standard input; no shell.",
    )(function)
    return click.option(
        "--sink",
        "sinks",
        multiple=True,
        metavar="URL",
        help="Send records there, for example https://HOST/HOOK?only=drift or jsonl:PATH; @FILE holds URLs that are "
        "secret. May be repeated; docs/outlets.md shows each kind.",
    )(function)


def open_sinks(urls: tuple[str, ...], on_drift: str | None) -> list[Any]:
    """Open the sinks of --sink and --on-drift, and say what each promises."""
    from loco_stream.connectors import open_sink
    from loco_stream.connectors.sinks.exec_sink import ExecSink
    from loco_stream.connectors.urls import sink_urls

    opened = [open_sink(url) for url in sink_urls(urls)]
    if on_drift is not None:
        opened.append(ExecSink(on_drift, only="drift"))
    names = [sink.name for sink in opened]
    for sink in opened:
        if (
            names.count(sink.name) > 1
        ):  # their counts and what they have not delivered are told apart by name
            raise ConfigError(
                f"--sink: {sink.name} is given twice; let one sink send all that goes there"
            )
        click.echo(f"sink {sink.name}: {sink.guarantee}", err=True)
    return opened
