"""The command itself: subcommands, and errors as one sentence with exit code 2."""

from __future__ import annotations

import atexit
import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import IO, Any

import click

from loco_stream import __version__
from loco_stream.cli.streams import guarded
from loco_stream.errors import LocoStreamError, LocoStreamWarning

__all__ = ["main"]

_COMMANDS = (
    "run",
    "serve",
    "dashboard",
    "control",
    "inspect",
    "keygen",
    "demo",
    "bench",
    "doctor",
    "nir",
)


class _Refusal(click.ClickException):
    """What the user can mend: one sentence, no traceback."""

    exit_code = 2

    def show(self, file: IO[Any] | None = None) -> None:
        click.echo(f"loco-stream: {self.format_message()}", err=True)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Print what the package warns of as a sentence; other libraries' warnings stay as they are."""
    usual = warnings.showwarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, LocoStreamWarning):
            click.echo(f"warning: {message}", err=True)
        else:
            usual(message, category, *where, **more)

    with warnings.catch_warnings():
        warnings.simplefilter("always", LocoStreamWarning)
        warnings.showwarning = show
        yield


class _Group(click.Group):
    """Finds `loco_stream.cli.<name>:command` on demand and turns the package's errors into sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"loco_stream.cli.{cmd_name}").command
        return command

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run, and let no broken output end a run."""
        atexit.register(
            gc.freeze
        )  # else Python looks for garbage among all that was compiled: a second or two
        with guarded(), _warnings_in_one_line():
            return super().main(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except LocoStreamError as error:
            advice = "; --on-bad skip leaves such rows out" if error.option == "on_bad" else ""
            raise _Refusal(f"{error}{advice}") from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="loco-stream")
def main() -> None:
    """Online continual learning on live streams.

    \b
    Learn from a stream that river ships, watch it, keep a report and a picture:
        loco-stream run river:ImageSegments --report out.json --plot out.png
    Learn from a table, a label in column "kind":
        loco-stream run "csv:rows.csv?target=kind"
    Learn for months from other processes and lose nothing:
        loco-stream serve --source zmq+reliable://127.0.0.1:5555 --checkpoint state/
    Let the shell complete commands and options (bash; zsh_source and fish_source for the others):
        eval "$(_LOCO_STREAM_COMPLETE=bash_source loco-stream)"
    """
