"""Log records on standard error: their format, and the options that choose it.

The library logs to children of the standard logger ``loco_stream``. While a command runs, one
handler writes these records to standard error.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import wraps
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, TextIO

import click

from loco_stream._cli._config import (
    command_tables,
    read_config,
    variable_of,
    warn_of_variables,
)
from loco_stream._cli._option_group import Command, option_group
from loco_stream._ranges import Choice
from loco_stream._text import one_line
from loco_stream.errors import ConfigError, LocoStreamWarning

LOGGER = logging.getLogger("loco_stream.cli")
_ROOT = logging.getLogger("loco_stream")
_LEVELS = ("debug", "info", "warning", "error")


def log_failure(option: str) -> Callable[[Future[object]], None]:
    """Return a callback that logs why what an option asks for could not be done."""

    def log(done: Future[object]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            LOGGER.warning("%s: %s", option, error)

    return log


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What a command writes to standard error beside its results."""

    log_level: str | None
    log_format: str
    verbose: bool
    quiet: bool

    @property
    def level(self) -> int:
        """The lowest level of records that are written."""
        name = "debug" if self.verbose else "error" if self.quiet else self.log_level or "info"
        return logging.getLevelNamesMapping()[name.upper()]

    @property
    def shows_progress(self) -> bool:
        """Whether a progress line may be drawn; it would break lines of JSON."""
        return not self.quiet and self.log_format == "text"


class _OncePerMinute(logging.Filter):
    """Drops what asyncio logs again within a minute while there are no file descriptors.

    A server then logs thousands of records per second, with their tracebacks, which fill the disk.
    """

    def __init__(self) -> None:
        super().__init__()
        self._next = -math.inf  # monotonic time from which on such a record is written

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name != "asyncio" or not record.getMessage().startswith("socket.accept() "):
            return True
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + 60.0
        return True


class _StderrHandler(logging.Handler):
    """Writes records to the standard error of the moment, which a progress line may replace."""

    def __init__(self) -> None:
        super().__init__()
        self.as_json = False
        self.addFilter(_OncePerMinute())

    def format(self, record: logging.LogRecord) -> str:
        if self.as_json:
            return self._json(record)
        text = one_line(record.getMessage())
        if record.exc_info:
            text += "\n" + logging.Formatter().formatException(record.exc_info)
        debugs = _ROOT.level <= logging.DEBUG
        is_own = record.name.partition(".")[0] == _ROOT.name
        where = f"{record.name}: " if debugs or not is_own else ""
        if sys.stderr.isatty():
            level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
            return f"{level}{where}{text}"
        return f"{_utc(record.created)} {record.levelname} {where}{text}"

    def _json(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = logging.Formatter().formatException(record.exc_info)
        return json.dumps(entry)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            click.echo(self.format(record), err=True)
        except Exception:
            self.handleError(record)


_HANDLER = _StderrHandler()


def _utc(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Write all log records, warnings and stray exceptions to standard error in the block.

    Records of other libraries are those for which nobody has set a handler.
    """
    level = _ROOT.level
    before = (logging.lastResort, threading.excepthook, sys.unraisablehook)
    _HANDLER.as_json = False
    _HANDLER.setLevel(logging.NOTSET)
    _ROOT.addHandler(_HANDLER)
    _ROOT.setLevel(logging.INFO)
    logging.lastResort = _HANDLER
    threading.excepthook = _log_of_thread
    sys.unraisablehook = _log_ignored
    with warnings.catch_warnings():
        warnings.simplefilter("always", LocoStreamWarning)
        warnings.showwarning = _warning_log()
        try:
            yield
        finally:
            _ROOT.removeHandler(_HANDLER)
            _ROOT.setLevel(level)
            logging.lastResort, threading.excepthook, sys.unraisablehook = before


def _log_of_thread(ended: threading.ExceptHookArgs) -> None:
    """Log the exception that has ended a thread."""
    if not issubclass(ended.exc_type, SystemExit):
        name = None if ended.thread is None else ended.thread.name
        LOGGER.critical("unexpected error in the thread %s", name, exc_info=ended.exc_value)


def _log_ignored(ignored: Any) -> None:
    """Log an exception that nothing could catch, such as one of a destructor."""
    what = ignored.err_msg or "exception ignored in"
    LOGGER.error("%s %r", what, ignored.object, exc_info=ignored.exc_value)


def _warning_log() -> Callable[..., None]:
    """Return what logs warnings; one of this package that every key of a fleet has, once."""
    logged: set[str] = set()

    def log(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, LocoStreamWarning):
            LOGGER.warning("%s (%s, %s:%d)", message, category.__name__, filename, lineno)
        elif str(message) not in logged:
            logged.add(str(message))
            LOGGER.warning("%s", message)

    return log


def _configure(options: LogOptions) -> None:
    flags = {
        "--log-level": options.log_level is not None,
        "-v": options.verbose,
        "-q": options.quiet,
    }
    chosen = [flag for flag, is_given in flags.items() if is_given]
    if len(chosen) > 1:
        raise ConfigError(f"{' and '.join(chosen)} exclude each other: each sets the level")
    _HANDLER.as_json = options.log_format == "json"
    _HANDLER.setLevel(options.level)
    _ROOT.setLevel(options.level)


def foresee_format(words: Sequence[str]) -> None:
    """Take the format that a command line asks for, before it is parsed.

    An error in it, or in its configuration file, is a record as well.

    words: the command line, from the name of the command on
    """
    chosen = _foreseen("log-format", words)
    path = _foreseen("config", words)
    # a pipe can be read only once
    if chosen is None and path is not None and Path(path).is_file():
        with suppress(ConfigError):
            config = read_config(path)
            for table in (config, command_tables(config).get("".join(words[:1]), {})):
                chosen = table.get("log-format", table.get("log_format", chosen))
    _HANDLER.as_json = chosen == "json"


def _foreseen(option: str, words: Sequence[str]) -> str | None:
    """Return the value of an option on the command line or in the environment."""
    flag = f"--{option}"
    pairs = [word.partition("=")[::2] for word in words if word.startswith(f"{flag}=")]
    values = [value for name, value in (*pairwise(words), *pairs) if name == flag]
    return values[-1] if values else os.environ.get(variable_of(option))


def log_options(function: Command) -> Command:
    """Add --log-level, --log-format, -v and -q, and apply them before the command runs."""

    @wraps(function)
    def command(*, log: LogOptions, **values: object) -> object:
        _configure(log)
        warn_of_variables()
        return function(log=log, **values)

    return _OPTIONS(command)


_OPTIONS = option_group(
    "log",
    LogOptions,
    click.option(
        "--log-level",
        type=Choice(_LEVELS),
        help="Lowest level of log records on standard error.  [default: info]",
    ),
    click.option(
        "--log-format",
        type=Choice(["text", "json"]),
        default="text",
        help="Format of log records; json writes one object per line.",
    ),
    click.option("-v", "--verbose", is_flag=True, help="The same as --log-level debug."),
    click.option(
        "-q",
        "--quiet",
        is_flag=True,
        help="Print only requested output and errors: no progress, no table, no other records.",
    ),
)


def report_error(sentence: str) -> None:
    """Write the sentence that ends a command."""
    if _HANDLER.as_json:
        LOGGER.error(sentence)
    else:
        click.echo(f"loco-stream: {one_line(sentence)}", err=True)


class CommandError(click.ClickException):
    """Ends a command with one sentence, and exit code 1 unless a subclass has another."""

    def show(self, file: IO[str] | None = None) -> None:
        """Write the sentence to standard error."""
        report_error(self.format_message())


def report_failure() -> bool:
    """Log the exception at hand with its traceback if records are JSON; return whether it was."""
    if _HANDLER.as_json:
        LOGGER.critical("unexpected error", exc_info=True)
    return _HANDLER.as_json
