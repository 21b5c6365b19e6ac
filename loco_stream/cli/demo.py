"""`loco-stream demo`: short runs that show one thing each."""

from __future__ import annotations

import click

from loco_stream.cli.registry import RegistryGroup

__all__ = ["command"]


@click.group("demo", cls=RegistryGroup, table="loco_stream.demos:DEMOS")
def command() -> None:
    """Run a demo; each says what it shows and what to look at.

    \b
    Examples
      loco-stream demo --help
    """
