"""`loco-stream bench`: the figures of the README, measured here and now."""

from __future__ import annotations

import click

from loco_stream.cli.registry import RegistryGroup

__all__ = ["command"]


@click.group("bench", cls=RegistryGroup, table="loco_stream.bench:BENCHES")
def command() -> None:
    """Measure speed and quality on this machine.

    \b
    Examples
      loco-stream bench speed
      loco-stream bench speed --help
    """
