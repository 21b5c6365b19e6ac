"""`loco-stream keygen`: keys for an engine and the sources it admits."""

from __future__ import annotations

import click

__all__ = ["command"]


@click.command("keygen")
@click.argument("folder", metavar="DIR")
@click.option(
    "--name", default="source", show_default=True, metavar="N", help="Add a client of this name."
)
def command(folder: str, name: str) -> None:
    """Make CURVE keys in DIR: for the engine, and for a source that it admits.

    \b
    Examples
      loco-stream keygen keys/
      loco-stream keygen keys/ --name sensor-7
      loco-stream serve --source zmq+reliable://0.0.0.0:5555 --keys keys/ --checkpoint state/

    A source needs engine.key and its own N.key_secret; no other file may leave this machine.
    Whoever has a key in DIR/allowed/ is admitted; remove it there, and the key is refused without a
    restart. Nothing is overwritten.
    """
    from loco_stream.connectors.ls1.security import keygen

    for path in keygen(folder, name):
        click.echo(path)
