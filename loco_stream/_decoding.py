"""What msgspec refused about a message, in the words of this package."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from loco_stream._numbers import shown

_AT = r"(?: - at `\$\.?(.*)`)?"
_WRONG_TYPE = re.compile(rf"Expected `(.+)`, got `(.+?)`{_AT}")
_WRONG_SIZE = re.compile(rf"Expected `(.+)` (of length )?([<>]=) (\d+){_AT}")
_MISSING = re.compile(rf"Object missing required field `(.+?)`{_AT}")
_UNKNOWN = re.compile(rf"Object contains unknown field `(.+?)`{_AT}")
_OTHER = re.compile(rf"(?:Invalid enum value .+|.+ out of range){_AT}")

_WORDS = {
    "object": "a map",
    "array": "a list",
    "str": "a text",
    "float": "a number",
    "int": "an integer",
    "bool": "true or false",
    "null": "null",
}
_KEY = " - at `key` in "  # a name of a map, not a value
_BOUNDS = {">=": "at least", "<=": "at most"}
_STEP = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]")


def values_in(
    body: bytes | str, decode: Callable[[Any], object] = msgspec.json.decode
) -> object | None:
    """Return a message as plain values for `fault`; None if it is malformed."""
    try:
        return decode(body)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError):
        return None


def fault(error: Exception, values: object = None, whole: str = "the message") -> str:
    """Return why msgspec refused a message: the field, what it must be, and what it is.

    error: that msgspec raised
    values: the message as plain values, to show what the field holds; None if it is malformed
    whole: what the message is called

    Examples
    --------
    >>> try:
    ...     msgspec.convert({"a": [1.5]}, dict[str, float])
    ... except msgspec.ValidationError as error:
    ...     fault(error, {"a": [1.5]})
    '`a` must be a number, got a list'
    """
    if isinstance(error, RecursionError):
        return f"{whole} must not be nested so deeply"
    text = str(error)
    if _KEY in text:
        text = text.replace(_KEY, " - at ")
        whole = f"each name in {whole}"
        values = None
    if found := _WRONG_TYPE.fullmatch(text):
        wanted, got, path = found.groups()
        path, value = _resolve(path, values)
        return f"{_name(path, whole)} must be {_types(wanted)}, got {_got(value, got)}"
    if found := _WRONG_SIZE.fullmatch(text):
        kind, of_length, sign, bound, path = found.groups()
        path, value = _resolve(path, values)
        size = "with a length of " if of_length else "of "
        got = f", got {shown(value)}" if isinstance(value, str | int | float) else ""
        return f"{_name(path, whole)} must be {_types(kind)} {size}{_BOUNDS[sign]} {bound}{got}"
    if found := _MISSING.fullmatch(text):
        return f"{_name(found[2], whole)} must have the field `{found[1]}`"
    if found := _UNKNOWN.fullmatch(text):
        return f"{_name(found[2], whole)} has no field `{found[1]}`"
    if found := _OTHER.fullmatch(text):
        path, value = _resolve(found[1], values)
        got = "be that" if value is None else f"be {shown(value)}"
        return f"{_name(path, whole)} cannot {got}"
    malformed = re.sub("^(JSON|MessagePack data) is malformed: ", "", text)
    if malformed == "Input data was truncated":
        malformed = "it ends too early" if values is None else malformed
    return f"{whole} is malformed: {malformed}"


def _name(path: str | None, whole: str) -> str:
    if path == "[...]":
        return f"each value of {whole}"
    return f"`{path}`" if path else whole


def _types(kinds: str) -> str:
    """Return types in words: `int | float | null` is a number or null."""
    names = kinds.split(" | ")
    words = [_WORDS.get(name, name) for name in _WORDS if name in names]
    words += [name for name in names if name not in _WORDS]
    if "float" in names and "int" in names:
        words.remove(_WORDS["int"])
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


def _got(value: object, kind: str) -> str:
    """Return a value as a message shows it; a map or list by its type alone."""
    if value is None or isinstance(value, dict | list):
        return _WORDS.get(kind, kind)
    return shown(value)


def _resolve(path: str | None, values: object) -> tuple[str | None, object]:
    """Return the path with the name of a field of a map, which msgspec leaves out, and its value.

    The value is None if it is not found.
    """
    if path is None or values is None:
        return path, None
    parent, unnamed, rest = path.partition("[...]")
    for name, index in _STEP.findall(parent):
        try:
            values = values[int(index)] if index else values[name]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return path, None
    if not unnamed:
        return path, values
    if rest or not isinstance(values, dict):
        return path, None
    for name, value in values.items():
        if not isinstance(value, str | int | float | None):
            return (f"{parent}[{name!r:.40}]" if parent else f"{name:.40}"), value
    return path, None
