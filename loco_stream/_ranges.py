"""Types of the values of command options: finite numbers, numbers within bounds, and choices.

Each refuses a value in one sentence: the option, what is allowed, and the value.
"""

from __future__ import annotations

import math
from typing import Any

import click

from loco_stream.errors import ConfigError


class Choice(click.Choice):  # type: ignore[type-arg]  # generic in newer clicks
    """One of several words."""

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> Any:
        """Return the word; raises `ConfigError` if it is not among them."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            *others, last = self.choices
            words = f"{', '.join(others)} or {last}"
            raise ConfigError(f"`{_name(param)}` must be {words}, got {value!r}") from None


class FiniteNumber(click.ParamType):  # type: ignore[type-arg]  # generic in newer clicks
    """A number that is neither infinite nor NaN."""

    name = "number"

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> float:
        """Return the number; raises `ConfigError` if it is none, or not finite."""
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise ConfigError(f"`{_name(param)}` must be a finite number, got {value!r}")
        return number


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


def _name(parameter: click.Parameter) -> str:
    return max(parameter.opts, key=len)


def _text(number: float | None) -> str:
    return f"{number:g}" if isinstance(number, float) else f"{number}"


def _refusal(bounds: _InWords, value: Any, parameter: click.Parameter) -> ConfigError:
    """Return the error of a value that is no number, or out of bounds."""
    option = _name(parameter)
    is_whole = isinstance(bounds, IntRange)
    try:
        int(value) if is_whole else float(value)
    except ValueError:
        kind = "an integer" if is_whole else "a number"
        return ConfigError(f"`{option}` must be {kind}, got {value!r}")
    return ConfigError(f"`{option}` must be {_in_words(bounds)}, got {value}")
