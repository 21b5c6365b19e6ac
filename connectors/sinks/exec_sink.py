"""Records to a command."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any, ClassVar

from loco_stream._checks import checks_types
from loco_stream.connectors._base.buffered_sink import BufferedSink, RefusedError, digest, encode
from loco_stream.connectors._base.checks import check_positive
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.options import Seconds
from loco_stream.errors import ConfigError
from loco_stream.stream import Record


class ExecSink(BufferedSink):
    """Runs a command for each drift, task and anomaly record.

    The record is a line of JSON on its standard input. The command is split into words as by a
    shell, but no shell runs it. One command runs at a time.

    Parameters
    ----------
    command
        Program and arguments.
    timeout
        Time after which a command is killed.
    options
        Those of `BufferedSink`.

    Raises
    ------
    ConfigError
        There is no such program.

    Examples
    --------
    >>> from loco_stream.connectors import open_sink
    >>> open_sink("exec:logger -t loco").kinds == {"drift", "task", "anomaly"}
    True
    """

    guarantee = "at most once (a command that fails is counted as refused)"
    default_kinds: ClassVar[frozenset[str]] = frozenset({"drift", "task", "anomaly"})

    @checks_types
    def __init__(self, command: str, *, timeout: Seconds = 30.0, **options: Any) -> None:
        check_positive(timeout=timeout)
        self._words = words_of(command)
        super().__init__(f"exec:{self._words[0]}#{digest(command)}", batch=1, **options)
        self._timeout = timeout

    def send(self, records: Sequence[Record]) -> None:
        """Run the command for one record."""
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
            output = done.stderr.decode(errors="replace").strip().rpartition("\n")[2][:200]
            raise RefusedError(f"{self.name} ended with {done.returncode}: {output}")


def words_of(command: str) -> list[str]:
    """Return program and arguments of a command.

    Raises
    ------
    ConfigError
        There is no such program, or a quotation mark is not closed.

    Examples
    --------
    >>> words_of("logger -t 'loco stream'")
    ['logger', '-t', 'loco stream']
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"exec: cannot split {command!r} into words: {error}") from None
    program = words[0] if words else ""
    if shutil.which(program) is None:
        raise ConfigError(f"exec: there is no program {program!r}")
    return words


CONNECTORS = (
    Connector(
        "exec",
        ExecSink,
        {"exec:COMMAND": ExecSink.guarantee},
        hidden=frozenset({"batch"}),
        keeps_query=True,
    ),
)
