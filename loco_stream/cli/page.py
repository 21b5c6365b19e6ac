"""The live page beside `run` and `serve`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

__all__ = ["live_page", "page_options"]

F = TypeVar("F", bound=Callable[..., Any])

_PORT = 8765


def page_options(function: F) -> F:
    """Add --dashboard and --dashboard-port."""
    function = click.option(
        "--dashboard-port",
        type=click.IntRange(0, 65535),
        default=_PORT,
        show_default=True,
        metavar="PORT",
        help="Port of the page; 0 takes a free one.",
    )(function)
    return click.option(
        "--dashboard", is_flag=True, help="Show the run live on a page at this machine."
    )(function)


@contextmanager
def live_page(
    wanted: bool, port: int = _PORT, host: str = "127.0.0.1", allowed_hosts: Sequence[str] = ()
) -> Iterator[list[Any]]:
    """Open the page if it is wanted and give what the engine's `watchers` should be."""
    if not wanted:
        yield []
        return
    from loco_stream.dashboard import Dashboard

    with Dashboard(port, host, allowed_hosts) as page:
        click.echo(f"live page: {page.url}", err=True)
        yield [page]
