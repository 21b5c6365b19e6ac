"""Measurements in other processes: by another interpreter, or of another release."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from loco_stream.errors import ConfigError

__all__ = ["run_json"]


def run_json(command: Sequence[str], failure: str, stdin: str = "") -> dict[str, Any]:
    """Run a command and return the JSON of the last line that it prints.

    Parameters
    ----------
    command
        The program and its arguments.
    failure
        Beginning of the message if the command fails.
    stdin
        Text for its standard input.

    Raises
    ------
    ConfigError
        If the command fails; the message ends with the last line of its error output.

    Examples
    --------
    >>> import sys
    >>> run_json([sys.executable, "-c", "print('{}')"], "Python failed")
    {}
    """
    done = subprocess.run(command, input=stdin, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip() or "no error output").splitlines()[-1]
        raise ConfigError(f"{failure}: {reason}")
    result: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return result
