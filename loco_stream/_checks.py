"""Checks of settings: each raises `ConfigError` that names the field, the value and what is allowed."""

from __future__ import annotations

from collections.abc import Mapping

from loco_stream.errors import ConfigError

__all__ = ["ascending", "choice", "integer", "layers", "real", "span", "weights"]


def _whole(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _number(value: object, low: float, high: float) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high


def choice(field: str, value: object, allowed: tuple[str, ...]) -> None:
    """Refuse a text that is none of those allowed."""
    if value not in allowed:
        raise ConfigError(f"{field} is {value!r}; allowed are {', '.join(map(repr, allowed))}")


def integer(field: str, value: object, low: int, high: int, *, optional: bool = False) -> None:
    """Refuse what is no whole number from `low` to `high`."""
    if not (_whole(value, low, high) or (optional and value is None)):
        none = "None or " if optional else ""
        raise ConfigError(
            f"{field} is {value!r}; allowed is {none}a whole number from {low} to {high}"
        )


def real(field: str, value: object, low: float, high: float, *, optional: bool = False) -> None:
    """Refuse what is no number from `low` to `high`."""
    if not (_number(value, low, high) or (optional and value is None)):
        none = "None or " if optional else ""
        raise ConfigError(
            f"{field} is {value!r}; allowed is {none}a number from {low:g} to {high:g}"
        )


def layers(field: str, value: object) -> None:
    """Refuse what are no sizes of layers."""
    sizes = value if isinstance(value, list | tuple) else (value,)
    if not 1 <= len(sizes) <= 64 or not all(_whole(size, 1, 65536) for size in sizes):
        raise ConfigError(
            f"{field} is {value!r}; allowed is a whole number from 1 to 65536, or a tuple or list of 1 to 64 of them"
        )


def ascending(field: str, value: object, low: float, high: float) -> None:
    """Refuse what is no tuple of numbers in ascending order."""
    sound = (
        isinstance(value, list | tuple)
        and 1 <= len(value) <= 16
        and all(_number(x, low, high) for x in value)
    )
    if not sound or list(value) != sorted(value):  # type: ignore[call-overload]
        raise ConfigError(
            f"{field} is {value!r}; allowed is a tuple of 1 to 16 numbers from {low:g} to {high:g} in ascending order"
        )


def weights(field: str, value: object) -> None:
    """Check weights of classes.

    A class is named as in the stream, so that any hashable label may be one.
    """
    if value is None or value == "balanced":
        return
    if isinstance(value, Mapping) and value:
        labels = [
            label for label in value if label is not None and label == label
        ]  # NaN is no label
        if len(labels) == len(value) and all(
            _number(weight, 1e-6, 1e6) for weight in value.values()
        ):
            return
    raise ConfigError(
        f"{field} is {value!r}; allowed is None, 'balanced', or a dict of labels with a number from 1e-06 to 1e+06 each"
    )


def span(field: str, value: object, low: float, high: float) -> None:
    """Refuse what is no pair of numbers in ascending order, nor None."""
    sound = (
        isinstance(value, list | tuple)
        and len(value) == 2
        and all(_number(x, low, high) for x in value)
    )
    if not sound or value[0] > value[1]:  # type: ignore[index]
        raise ConfigError(
            f"{field} is {value!r}; allowed is None or (shortest, longest), two numbers from {low:g} to {high:g} in "
            "ascending order"
        )
