"""Sentences about mistaken command lines, and flags that avoid errors of the library.

The library knows its own options but no flags.
"""

from __future__ import annotations

import click

from loco_stream._text import did_you_mean
from loco_stream.errors import LocoStreamError

# name of the library's option -> flag of the command, and what to do with it
_ADVICE = {
    "on_bad": ("--on-bad", "--on-bad skip leaves such rows out and counts them"),
    "token": ("--token", "pass --token FILE"),
    "keys": ("--keys", "make keys with `loco-stream keygen DIR` and pass --keys DIR"),
    "task": ("--task", "pass --task classification or --task regression"),
    "name": ("--name", "choose another --name"),
    "resume": ("--resume", "pass --resume, or another folder as --checkpoint"),
    "anomaly": ("--watch", "start the service with --watch"),
    "allowed_hosts": ("--allow-host", "pass --allow-host NAME"),
}


def advised(error: LocoStreamError) -> str:
    """Return the text of an error, with the flag that avoids it where there is one.

    Examples
    --------
    >>> from loco_stream.errors import SourceError
    >>> advised(SourceError("line 7 has 2 fields", option="on_bad"))
    'line 7 has 2 fields; --on-bad skip leaves such rows out and counts them'
    """
    text = str(error)
    flag, advice = _ADVICE.get(error.option, ("", ""))
    return text if not flag or flag in text else f"{text}; {advice}"


def misuse(error: click.UsageError, owners: str = "") -> str:
    """Return what is wrong with a command line, as one sentence that names the remedy.

    owners: which other commands have an option that is unknown here, as the end of the sentence
    """
    if isinstance(error, click.MissingParameter) and error.param and error.ctx:
        is_option = isinstance(error.param, click.Option)
        name = max(error.param.opts, key=len) if is_option else error.param.human_readable_name
        example = _example(error.ctx, name if is_option else "")
        return f"`{name.strip('.')}` must be given, as in `{example}`"
    path = "" if error.ctx is None else error.ctx.command_path
    if isinstance(error, click.NoSuchOption):
        remedy = owners or did_you_mean(error.option_name, error.possibilities or ())
        return f"`{path}` has no option {error.option_name}{remedy}"
    text = error.format_message().rstrip(".")
    return text[:1].lower() + text[1:] + (f" (`{path} --help` shows its arguments)" if path else "")


def _example(context: click.Context, option: str) -> str:
    """Return the first example in the help that has an option, or the usage if there is none."""
    path = context.command_path.removesuffix(" run")  # which may be left out of `fleet run`
    texts = [each.command.help or "" for each in (context, context.parent) if each is not None]
    lines = [line.strip() for text in texts for line in text.splitlines()]
    own = [line for line in lines if line.startswith(f"{path} ") and not line.endswith("\\")]
    fitting = (line for line in own if option in line.split() or not option)
    return next(fitting, context.get_usage().removeprefix("Usage: "))
