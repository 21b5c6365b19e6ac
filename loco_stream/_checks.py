"""Checks of options: each returns what a value must be, in words, or None if it is that."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Set
from functools import cache, wraps
from typing import Any, NamedTuple, TypeVar, cast

from loco_stream._numbers import is_number, plain, shown
from loco_stream.errors import ConfigError

Check = Callable[[object], str | None]
Function = TypeVar("Function", bound=Callable[..., Any])
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


def _check(fits: Callable[[Any], bool], text: str) -> Check:
    return lambda value: None if fits(value) else text


def _optional(fits: Callable[[Any], bool], text: str) -> Check:
    return _check(lambda value: value is None or fits(value), f"None or {text}")


def choice(*allowed: str) -> Check:
    """Return a check that takes one of the given texts."""
    text = ", ".join(map(repr, allowed[:-1])) + f" or {allowed[-1]!r}"
    return _check(lambda value: value in allowed, text)


def flag(value: object) -> str | None:
    """Take True and False."""
    return None if isinstance(value, bool) else "True or False"


def integer(low: int, high: int, *, optional: bool = False) -> Check:
    """Return a check that takes integers from `low` to `high`, and None if it is `optional`."""
    check = _optional if optional else _check
    return check(lambda value: _is_integer(value, low, high), f"an integer from {low} to {high}")


def row_count(value: object) -> str | None:
    """Take integers of at least 1."""
    return None if _is_integer(value, 1, MOST_ROWS) else "a number of rows, at least 1"


def number(low: float, high: float, *, optional: bool = False) -> Check:
    """Return a check that takes numbers from `low` to `high`, and None if it is `optional`."""
    check = _optional if optional else _check
    return check(lambda value: _is_number(value, low, high), f"a number from {low:g} to {high:g}")


def between(low: float, high: float) -> Check:
    """Return a check that takes numbers above `low` and below `high`."""
    return _check(
        lambda value: _is_number(value, low, high) and value not in (low, high),
        f"a number above {low:g} and below {high:g}",
    )


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


def feature_names(value: Any) -> str | None:
    """Take a tuple or list of distinct texts and integers."""
    if _is_distinct(value) and all(
        isinstance(name, str | int) and not isinstance(name, bool) for name in value
    ):
        return None
    return "a tuple or list of distinct names"


def ascending(low: float, high: float) -> Check:
    """Return a check that takes None, or numbers from `low` to `high` in ascending order."""
    return _check(
        lambda value: value is None or _is_ascending(value, low, high, 1, _MOST_ASCENDING),
        f"None, or a tuple of 1 to {_MOST_ASCENDING} numbers from {low:g} to {high:g} "
        "in ascending order",
    )


def span(low: float, high: float) -> Check:
    """Return a check that takes None, or a pair of numbers from `low` to `high`, ascending."""
    return _optional(
        lambda value: _is_ascending(value, low, high, 2, 2),
        f"a pair (shortest, longest) of numbers from {low:g} to {high:g} in ascending order",
    )


def periods(low: int, high: int) -> Check:
    """Return the check of one or more distinct integers from `low` to `high`; None passes."""
    return _optional(
        lambda value: (
            _is_distinct(value) and value and all(_is_integer(each, low, high) for each in value)
        ),
        f"a sequence of distinct integers from {low} to {high}",
    )


def class_weights(value: object) -> str | None:
    """Take None, "balanced", or a mapping from labels to weights."""
    if value is None or (isinstance(value, str) and value == "balanced"):
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


def _is_distinct(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(set(map(repr, value))) == len(value)


def _is_ascending(value: object, low: float, high: float, fewest: int, most: int) -> bool:
    if not isinstance(value, list | tuple) or not fewest <= len(value) <= most:
        return False
    return all(_is_number(x, low, high) for x in value) and list(value) == sorted(value)


class _Type(NamedTuple):
    words: str
    fits: Callable[[object], bool]


def _is_collection(value: object) -> bool:
    return isinstance(value, Collection) and not isinstance(value, str | bytes | Mapping | Set)


def _are_texts(value: Any) -> bool:
    return _is_collection(value) and all(isinstance(each, str) for each in value)


_NUMBER = _Type("a number", is_number)
_TEXT = _Type("a text", lambda value: isinstance(value, str))
_PATH = _Type("a path", lambda value: isinstance(value, os.PathLike))
_DICT = _Type("a dict", lambda value: isinstance(value, Mapping))
_TYPES = {
    "None": _Type("None", lambda value: value is None),
    "bool": _Type("True or False", lambda value: isinstance(value, bool)),
    "int": _Type("an integer", lambda value: is_number(value) and isinstance(value, int)),
    "float": _NUMBER,
    "Seconds": _NUMBER,
    "str": _TEXT,
    "Literal": _TEXT,
    "Path": _PATH,
    "os.PathLike": _PATH,
    "Sequence[str]": _Type("a list or tuple of texts", _are_texts),
    "Sequence": _Type("a list or tuple", _is_collection),
    "Iterable": _Type("a list, tuple or other iterable", lambda value: isinstance(value, Iterable)),
    "Mapping": _DICT,
    "dict": _DICT,
    "Callable": _Type("a function", callable),
}  # by annotation, with what stands in its brackets or without


@cache
def _types(annotation: str) -> list[_Type | None]:
    """Return the alternatives of an annotation, the type None first; None for an unknown one."""
    parts = re.split(r" \| (?![^\[]*\])", annotation)
    parts.sort(key=lambda part: part != "None")
    return [_TYPES.get(part, _TYPES.get(part.partition("[")[0])) for part in parts]


def require_type(name: str, value: Any, annotation: str) -> Any:
    """Return a value with plain numbers; raise `ConfigError` if it is not of the annotated type.

    Types that are not in the table are not checked. The error names the type of the value alone,
    since the value may be a password.
    """
    value = plain(value)
    types = _types(annotation)
    if any(kind is None or kind.fits(value) for kind in types):
        return value
    *others, last = [kind.words for kind in types if kind is not None]
    allowed = f"{', '.join(others)} or {last}" if others else last
    raise ConfigError(f"`{name}` must be {allowed}, got {type(value).__name__}")


def require_instance(name: str, value: object, kind: type) -> None:
    """Raise `ConfigError` unless a value is None or an instance of a class."""
    if not isinstance(value, kind | None):
        raise ConfigError(f"`{name}` must be None or a {kind.__name__}, got {type(value).__name__}")


def checks_types(function: Function) -> Function:
    """Return a function that passes its arguments through `require_type`.

    Examples
    --------
    >>> @checks_types
    ... def wait(seconds: float | None):
    ...     return seconds
    >>> wait("3")
    Traceback (most recent call last):
    loco_stream.errors.ConfigError: `seconds` must be None or a number, got str
    """
    parameters = inspect.signature(function).parameters.values()
    annotations = {each.name: str(each.annotation) for each in parameters}
    positional = [each.name for each in parameters if each.kind <= each.POSITIONAL_OR_KEYWORD]

    def checked(name: str, value: Any) -> Any:
        return require_type(name, value, annotations.get(name, ""))

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        first = map(checked, positional, args)
        rest = args[len(positional) :]
        return function(*first, *rest, **{name: checked(name, kwargs[name]) for name in kwargs})

    return cast("Function", call)
