"""Common parts of the checks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from typing import TypeVar

from loco_stream._numbers import shown
from loco_stream.errors import ConfigError
from loco_stream.stream import Sink, Source

T = TypeVar("T")


def require_argument(condition: bool, name: str, what: str, value: object) -> None:
    """Raise `ConfigError` with the name of a check's argument unless a condition holds."""
    if not condition:
        raise ConfigError(f"`{name}` must be {what}, got {shown(value)}")


def require(condition: bool, subject: object, sentence: str) -> None:
    """Raise AssertionError with a sentence about a source or sink unless a condition holds."""
    if not condition:
        raise AssertionError(f"{type(subject).__name__}: {sentence}")


def in_thread(function: Callable[[], T]) -> Future[T]:
    """Call a function in a thread that does not outlive the process; return its future result."""
    called: Future[T] = Future()

    def run() -> None:
        try:
            called.set_result(function())
        except BaseException as error:
            called.set_exception(error)

    threading.Thread(target=run, name="check", daemon=True).start()
    return called


def within(seconds: float, what: str, function: Callable[[], T]) -> T:
    """Return the result of a function that must end in time.

    Raises
    ------
    AssertionError
        It takes longer than `seconds`; the text begins with `what`. Errors of the function itself
        are raised as they are.
    """
    called = in_thread(function)
    wait([called], seconds)
    if not called.done():
        raise AssertionError(f"{what} must end within {seconds:g} s")
    return called.result()


def is_json(value: object) -> bool:
    """Whether a value is the same after a round trip through JSON."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


def check_sentence(subject: Source | Sink, member: str) -> None:
    """Check that an attribute is one line of text."""
    text = getattr(subject, member)
    is_line = isinstance(text, str) and text.strip() != "" and "\n" not in text
    require(is_line, subject, f"`{member}` must be one line of text, got {text!r}")


def check_counts(subject: Source | Sink, member: str) -> None:
    """Check that an attribute maps names to counts."""
    counts = getattr(subject, member)
    is_valid = isinstance(counts, Mapping) and all(
        isinstance(name, str) and isinstance(count, int) and count >= 0
        for name, count in counts.items()
    )
    require(is_valid, subject, f"`{member}` must map names to counts, got {counts!r}")
