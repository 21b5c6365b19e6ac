"""`loco-stream demo`: short runs that each show one property."""

from __future__ import annotations

import click

from loco_stream._cli._lazy_group import LazyGroup


@click.group("demo", cls=LazyGroup, table="loco_stream.demos:DEMOS")
def command() -> None:
    """Run a demo.

    \b
    Examples
      loco-stream demo --help
      loco-stream demo machine --open
    """
