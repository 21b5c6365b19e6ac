"""Numbers within bounds as values of command options."""

from __future__ import annotations

from typing import Any

import click

from loco_stream.errors import ConfigError


class _InWords(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks
    """Bounds that help and errors show in words; click writes ``x>=10``."""

    def _describe_range(self) -> str:
        return _in_words(self)

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> Any:
        """Return the number; raises `ConfigError` if it is none, NaN, or out of its bounds."""
        try:
            number = super().convert(value, param, ctx)
        except click.BadParameter:
            raise _refusal(self, value, param) from None
        if number != number:
            raise _refusal(self, value, param)
        return number


class IntRange(_InWords, click.IntRange):
    """An integer within bounds."""

    name = "integer"


class FloatRange(_InWords, click.FloatRange):
    """A number within bounds."""

    name = "number"


def _in_words(bounds: Any) -> str:
    """Return bounds in words; there is always a lower one."""
    low = _text(bounds.min)
    if bounds.max is None:
        return f"above {low}" if bounds.min_open else f"at least {low}"
    if bounds.min_open:
        return f"above {low} and up to {_text(bounds.max)}"
    return f"{low} to {_text(bounds.max)}"


def _text(number: float | None) -> str:
    return f"{number:g}" if isinstance(number, float) else f"{number}"


def _refusal(bounds: _InWords, value: Any, parameter: click.Parameter) -> ConfigError:
    """Return the error of a value that is no number, or out of bounds."""
    option = max(parameter.opts, key=len)
    is_whole = isinstance(bounds, IntRange)
    try:
        int(value) if is_whole else float(value)
    except ValueError:
        kind = "an integer" if is_whole else "a number"
        return ConfigError(f"`{option}` must be {kind}, got {value!r}")
    return ConfigError(f"`{option}` must be {_in_words(bounds)}, got {value}")
