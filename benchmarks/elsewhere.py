"""Measurements made by another interpreter or another version, in a process of its own that prints JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from loco_stream.errors import ConfigError

__all__ = ["ask"]


def ask(words: Sequence[str], what: str, told: str = "") -> dict[str, Any]:
    """Run a command with `told` on its standard input.

    Return the JSON of the last line that it prints.

    Raises
    ------
    ConfigError
        The command failed: the text is `what` and the last line of its complaint.

    Examples
    --------
    >>> import sys
    >>> ask([sys.executable, "-c", "print('{}')"], "nothing to do")
    {}
    """
    answer = subprocess.run(words, input=told, capture_output=True, text=True)
    if answer.returncode:
        reason = (answer.stderr.strip() or "it said nothing").splitlines()[-1]
        raise ConfigError(f"{what}: {reason}.")
    result: dict[str, Any] = json.loads(answer.stdout.strip().splitlines()[-1])
    return result
