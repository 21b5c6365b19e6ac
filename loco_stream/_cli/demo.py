"""`loco-stream demo`: short runs that each show one property."""

from __future__ import annotations

import click

from loco_stream._cli._lazy_group import LazyGroup
from loco_stream.demos import DEMOS


@click.group("demo", cls=LazyGroup, table=DEMOS)
def command() -> None:
    """Run a demo.

    \b
    Examples
      loco-stream demo --help
      loco-stream demo machine --open
    """
