"""Records to a command of your own."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any, ClassVar

from loco_stream.connectors.outlet import Outlet, RefusedError, encode, mark
from loco_stream.errors import ConfigError
from loco_stream.records import Record

__all__ = ["ExecRecords"]


class ExecRecords(Outlet):
    """Runs a command for each drift and task record, which it finds on its standard input as one line of JSON.

    The words of the command are split as a shell would, but no shell runs it. One command runs at a
    time; one that lasts longer than `timeout` is ended.

    Parameters
    ----------
    command
        Program and arguments.
    timeout
        Seconds the command may take.
    options
        Those of `Outlet`.

    Raises
    ------
    ConfigError
        There is no such program.

    Examples
    --------
    >>> from loco_stream.connectors import open_sink
    >>> open_sink("exec:logger -t loco").kinds == {"drift", "task"}
    True
    """

    guarantee = "once for each record; a command that fails is counted as refused and not run again"
    default_kinds: ClassVar[frozenset[str]] = frozenset({"drift", "task"})

    def __init__(self, command: str, *, timeout: float = 30.0, **options: Any) -> None:
        try:
            self._words = shlex.split(command)
        except ValueError as error:
            raise ConfigError(f"exec: cannot split {command!r} into words: {error}") from None
        program = self._words[0] if self._words else ""
        if shutil.which(program) is None:
            raise ConfigError(f"exec: there is no program {program!r}")
        super().__init__(f"exec:{program}#{mark(command)}", **{"batch": 1, **options})
        self._timeout = timeout

    def send(self, records: Sequence[Record]) -> None:
        """Run the command."""
        try:
            done = subprocess.run(
                self._words,
                input=encode(records[0]) + b"\n",
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=self._timeout,
            )
        except subprocess.TimeoutExpired:
            raise RefusedError(f"{self.name} took longer than {self._timeout:g} s") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:200]
            raise RefusedError(f"{self.name} ended with {done.returncode}: {said}")
