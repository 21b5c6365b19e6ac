"""`loco-stream warm`: compile everything once, before the first stream."""

from __future__ import annotations

import click

from loco_stream._cli._logging import LogOptions, log_options
from loco_stream._compiler.processors import KINDS, NATIVE
from loco_stream._ranges import Choice

_HELP = """Compile the learning step for this machine and keep it in the compile cache.

The first command on a machine compiles for 25 to 40 s of CPU time; after `warm`, commands
start at once. Run it when an image is built, or after an update of loco-stream, numba or Python.
Machine code that came with the wheel is not compiled again.

\b
Examples
  loco-stream warm
  LOCO_STREAM_CACHE_DIR=/opt/cache loco-stream warm --processor x86-64-v3
"""


@click.command("warm", help=_HELP, short_help="Compile everything in advance.")
@click.option(
    "--processor",
    type=Choice([NATIVE, *(kind.name for kind in KINDS)]),
    help="Processor to compile for (default: this one, unless portable code fits it). `native` "
    "compiles for this one in any case. The others compile for every processor of that kind, so "
    "that the cache folder can be copied to other machines. Predictions do not depend on it.",
)
@log_options
def command(processor: str | None, log: LogOptions) -> None:
    """Compile every part; `_HELP` is the full help text."""
    from loco_stream._cli._warm_up import PARTS, used

    if processor is not None:
        from loco_stream._compiler.portable import compile_for

        try:
            compile_for(processor)
        except ValueError as error:
            raise click.UsageError(str(error)) from None  # status 2: cannot, not failed
    for part, seconds in used(PARTS):
        if not log.quiet:
            state = f"compiled in {seconds:.1f} s" if seconds else "already compiled"
            click.echo(f"{part.name}: {state}")
