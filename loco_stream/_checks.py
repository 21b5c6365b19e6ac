"""Checks of options: each returns what a value must be, in words, or None if it is that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from loco_stream._numbers import plain, shown
from loco_stream.errors import ConfigError

Check = Callable[[object], str | None]
_MOST_LAYERS = 64
MOST_ROWS = 2**63 - 1
MOST_STEPS = 1000  # of a forecast for which a running model stops learning
_MOST_NEURONS = 65_536
_MOST_ASCENDING = 16


def plain_values(value: Any) -> Any:
    """Return numbers of numpy, also in a list, tuple or dict, as those of Python.

    Anything else is returned as the same object.
    """
    if isinstance(value, Mapping):
        changed: Any = {key: plain_values(each) for key, each in value.items()}
        return value if _are_same(changed.values(), value.values()) else changed
    if type(value) in (list, tuple):
        changed = type(value)(map(plain_values, value))
        return value if _are_same(changed, value) else changed
    return plain(value)


def _are_same(some: Iterable[object], others: Iterable[object]) -> bool:
    return all(one is other for one, other in zip(some, others, strict=True))


def require(name: str, value: Any, check: Check) -> Any:
    """Return a value with plain numbers; raise `ConfigError` unless it passes its check."""
    value = plain_values(value)
    allowed = check(value)
    if allowed is not None:
        raise ConfigError(f"`{name}` must be {allowed}, got {shown(value)}")
    return value


def choice(*allowed: str) -> Check:
    """Return a check that takes one of the given texts."""
    text = ", ".join(map(repr, allowed[:-1])) + f" or {allowed[-1]!r}"
    return lambda value: None if value in allowed else text


def flag(value: object) -> str | None:
    """Take True and False."""
    return None if isinstance(value, bool) else "True or False"


def integer(low: int, high: int, *, optional: bool = False) -> Check:
    """Return a check that takes integers from `low` to `high`, and None if it is `optional`."""
    text = f"{'None or ' if optional else ''}an integer from {low} to {high}"

    def check(value: object) -> str | None:
        return None if _is_integer(value, low, high) or (optional and value is None) else text

    return check


def row_count(value: object) -> str | None:
    """Take integers of at least 1."""
    return None if _is_integer(value, 1, MOST_ROWS) else "a number of rows, at least 1"


def number(low: float, high: float, *, optional: bool = False) -> Check:
    """Return a check that takes numbers from `low` to `high`, and None if it is `optional`."""
    text = f"{'None or ' if optional else ''}a number from {low:g} to {high:g}"

    def check(value: object) -> str | None:
        return None if _is_number(value, low, high) or (optional and value is None) else text

    return check


def between(low: float, high: float) -> Check:
    """Return a check that takes numbers above `low` and below `high`."""
    text = f"a number above {low:g} and below {high:g}"
    inside = number(low, high)
    return lambda value: None if inside(value) is None and value not in (low, high) else text


def layer_sizes(value: object) -> str | None:
    """Take None, the size of one layer, or a tuple or list of the sizes of several."""
    sizes = value if isinstance(value, list | tuple) else (value,)
    fits = 1 <= len(sizes) <= _MOST_LAYERS
    if value is None or (fits and all(_is_integer(size, 1, _MOST_NEURONS) for size in sizes)):
        return None
    return (
        f"None, an integer from 1 to {_MOST_NEURONS}, "
        f"or a tuple or list of 1 to {_MOST_LAYERS} of them"
    )


def feature_names(value: object) -> str | None:
    """Take a tuple or list of distinct texts and integers."""
    wanted = "a tuple or list of distinct names"
    if not isinstance(value, list | tuple) or len(set(map(repr, value))) < len(value):
        return wanted
    are_names = (isinstance(name, str | int) and not isinstance(name, bool) for name in value)
    return None if all(are_names) else wanted


def ascending(low: float, high: float) -> Check:
    """Return a check that takes None, or numbers from `low` to `high` in ascending order."""

    def check(value: object) -> str | None:
        if value is None or _is_ascending(value, low, high, 1, _MOST_ASCENDING):
            return None
        return (
            f"None, or a tuple of 1 to {_MOST_ASCENDING} numbers from {low:g} to {high:g} "
            "in ascending order"
        )

    return check


def span(low: float, high: float) -> Check:
    """Return a check that takes None, or a pair of numbers from `low` to `high`, ascending."""

    def check(value: object) -> str | None:
        if value is None or _is_ascending(value, low, high, 2, 2):
            return None
        return (
            "None or a pair (shortest, longest) of numbers "
            f"from {low:g} to {high:g} in ascending order"
        )

    return check


def periods(low: int, high: int) -> Check:
    """Return the check of one or more distinct integers from `low` to `high`; None passes."""

    def check(value: object) -> str | None:
        wanted = f"None or a sequence of distinct integers from {low} to {high}"
        if value is None:
            return None
        if not isinstance(value, list | tuple) or not value:
            return wanted
        if len(set(map(repr, value))) != len(value):
            return wanted
        return None if all(_is_integer(each, low, high) for each in value) else wanted

    return check


def class_weights(value: object) -> str | None:
    """Take None, "balanced", or a mapping from labels to weights."""
    if value is None or value == "balanced":
        return None
    if isinstance(value, Mapping) and value:
        labels_are_sound = all(label is not None and label == label for label in value)
        if labels_are_sound and all(_is_number(weight, 1e-6, 1e6) for weight in value.values()):
            return None
    return "None, 'balanced', or a dict from labels to numbers from 1e-06 to 1e+06"


def _is_integer(value: object, low: int, high: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _is_number(value: object, low: float, high: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_ascending(value: object, low: float, high: float, fewest: int, most: int) -> bool:
    if not isinstance(value, list | tuple) or not fewest <= len(value) <= most:
        return False
    return all(_is_number(x, low, high) for x in value) and list(value) == sorted(value)
