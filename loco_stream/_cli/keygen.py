"""`loco-stream keygen`: keys for an engine and the sources it admits."""

from __future__ import annotations

import click

from loco_stream._cli._option_group import PATH


@click.command("keygen")
@click.argument("directory", type=PATH, metavar="DIR")
@click.option(
    "--name",
    default="source",
    metavar="NAME",
    help="Name of the source to make keys for.",
)
def command(directory: str, name: str) -> None:
    """Create CURVE keys for an engine and a source.

    \b
    Examples
      loco-stream keygen keys/
      loco-stream keygen keys/ --name sensor-7
      loco-stream serve --source zmq+reliable://0.0.0.0:5555 --keys keys/ --checkpoint state/

    A source needs engine.key and its own NAME.key_secret; no other file may leave this machine. The
    engine admits every key in DIR/allowed/. A key that is removed from there is refused without a
    restart. Existing files are never overwritten.
    """
    from loco_stream.connectors.ls1._security import keygen

    for path in keygen(directory, name):
        click.echo(path)
