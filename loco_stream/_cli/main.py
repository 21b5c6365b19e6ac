"""The command itself: it finds subcommands and turns errors into one sentence with exit code 2."""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Sequence
from typing import Any

import click

from loco_stream import __version__
from loco_stream._cli._advice import advised, misuse
from loco_stream._cli._lazy_group import LazyGroup
from loco_stream._cli._logging import (
    LOGGER,
    CommandError,
    foresee_format,
    log_to_stderr,
    report_failure,
)
from loco_stream._cli._renamed import REMOVED_COMMANDS
from loco_stream._cli._signals import Interrupt
from loco_stream._cli._stdio_guard import guarded
from loco_stream.errors import LocoStreamError

_COMMANDS = (
    "run",
    "watch",
    "serve",
    "fleet",
    "config",
    "control",
    "inspect",
    "keygen",
    "demo",
    "doctor",
    "nir",
    "warm",
)

# what a group without a command raises; click 8.1 prints its help and exits
_HELP = getattr(click.exceptions, "NoArgsIsHelpError", click.exceptions.Exit)


class _Refusal(CommandError):
    """An error that the user can correct: one sentence, no traceback."""

    exit_code = 2


class _Main(LazyGroup):
    """The top group: it refuses commands of earlier releases and reports the package's errors."""

    def unknown(self, ctx: click.Context, name: str) -> str:
        if name in REMOVED_COMMANDS:
            return f"`loco-stream {name}` is now {REMOVED_COMMANDS[name]}"
        return super().unknown(ctx, name)

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Run a command; broken standard streams do not end it."""
        # frees the interpreter from searching all compiled code for garbage: a second or two
        atexit.register(gc.freeze)
        with log_to_stderr(), guarded():
            foresee_format(sys.argv[1:] if args is None else args)
            return super().main(args, *more, **extra)

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        """Parse what stands before the name of a command."""
        try:
            return super().make_context(*args, **extra)
        except _HELP:
            raise
        except click.UsageError as error:
            raise self._refusal(error) from error

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except LocoStreamError as error:
            raise _Refusal(advised(error)) from error
        except KeyboardInterrupt as error:
            raise CommandError("interrupted") from error
        except Interrupt:
            raise CommandError("stopped before the first row") from None
        except _HELP:
            raise
        except click.UsageError as error:
            raise self._refusal(error) from error
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if isinstance(error, ImportError) and _is_of_a_package(error):
                LOGGER.debug("the failed import", exc_info=True)
                raise CommandError(
                    f"a package cannot be imported: {type(error).__name__}: {error}; "
                    "`loco-stream doctor` names what is broken or missing"
                ) from error
            if report_failure():
                raise click.exceptions.Exit(1) from None
            raise

    def _refusal(self, error: click.UsageError) -> _Refusal:
        """Return what is wrong with a command line, as one sentence."""
        owners = ""
        if isinstance(error, click.NoSuchOption) and error.ctx is not None:
            owners = self._commands_with(error.ctx.find_root(), error.option_name)
        return _Refusal(misuse(error, owners))

    def _commands_with(self, ctx: click.Context, option: str) -> str:
        """Return which other commands have an option, as the end of a sentence."""
        owners = [
            f"`{ctx.command_path} {name}`"
            for name in self.list_commands(ctx)
            if option in _options(ctx, self.get_command(ctx, name))
        ]
        if not owners:
            return ""
        *first, last = owners
        return f"; it is an option of {', '.join(first)}{' and ' if first else ''}{last}"


def _is_of_a_package(error: ImportError) -> bool:
    """Return whether a module of another package failed; one of this package is a defect."""
    return (error.name or "").partition(".")[0] != "loco_stream"


def _options(ctx: click.Context, command: click.Command | None) -> set[str]:
    """Return the options of a command and of those below it."""
    if isinstance(command, click.Group):
        below = (command.get_command(ctx, name) for name in command.list_commands(ctx))
        return set().union(*(_options(ctx, each) for each in below))
    if command is None:
        return set()
    shown = (each for each in command.params if not getattr(each, "hidden", False))
    return {name for each in shown for name in each.opts}


@click.group(
    cls=_Main,
    table={name: f"loco_stream._cli.{name}:command" for name in _COMMANDS},
    context_settings={"help_option_names": ["-h", "--help"], "show_default": True},
)
@click.version_option(__version__, prog_name="loco-stream")
def main() -> None:
    """Online continual learning on live streams.

    \b
    Learn a data set of river, measure the accuracy, and keep a report and a picture:
        loco-stream run river:ImageSegments --report out.json --plot out.png
    Learn a table whose labels are in column "kind":
        loco-stream run "csv:rows.csv?target=kind"
    Detect anomalies in a table without labels:
        loco-stream watch csv:rows.csv
    Learn for months from other processes without losing a row:
        loco-stream serve --source zmq+reliable://127.0.0.1:5555 --checkpoint state/
    Train one model per device:
        loco-stream fleet zmq+reliable://127.0.0.1:5555 --key device --checkpoint fleet/
    Complete commands and options in the shell (bash; also zsh_source and fish_source):
        eval "$(_LOCO_STREAM_COMPLETE=bash_source loco-stream)"
    """
