"""`python -m benchmarks NAME`: measure speed and quality on this machine."""

from __future__ import annotations

from typing import IO

import click

from benchmarks import BENCHES
from loco_stream._cli._lazy_group import LazyGroup
from loco_stream._text import one_line
from loco_stream.errors import LocoStreamError


class _Refusal(click.ClickException):
    """An error that the user can correct: one sentence, exit code 1."""

    def show(self, file: IO[str] | None = None) -> None:
        click.echo(f"benchmarks: {one_line(self.format_message())}", err=True)


class _Benches(LazyGroup):
    """The group of benches: it reports the package's errors without a traceback."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LocoStreamError as error:
            raise _Refusal(str(error)) from error


@click.group(cls=_Benches, table=BENCHES)
def main() -> None:
    """Measure speed and quality on this machine.

    \b
    Examples
      python -m benchmarks speed
      python -m benchmarks speed --help
    """


if __name__ == "__main__":
    main(prog_name="python -m benchmarks")
