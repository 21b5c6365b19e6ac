"""Command-line advice for errors of the library, which knows its own options but no flags."""

from __future__ import annotations

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
