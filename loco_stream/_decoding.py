"""What msgspec refused about a message, in the words of this package."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from loco_stream._numbers import shown

_WORDS = {
    "object": "a map",
    "array": "a list",
    "str": "a text",
    "float": "a number",
    "int": "an integer",
    "bool": "true or false",
    "null": "null",
}
_KINDS = {
    "object": dict,
    "array": list,
    "str": str,
    "float": float,
    "int": int,
    "bool": bool,
    "null": type(None),
}
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


def fault(
    error: Exception,
    values: object = None,
    whole: str = "the message",
    body: bytes | str = "",
) -> str:
    """Return why msgspec refused a message: the field, what it must be, and what it is.

    error: that msgspec raised
    values: the message as plain values, to show what the field holds; None if it is malformed
    whole: what the message is called
    body: the message, if it is JSON

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
    for pattern, sentence in _SENTENCES.items():
        if found := pattern.fullmatch(text):
            *words, path = found.groups()
            path, value = _resolve(path, values, words[-1] if words else "")
            return sentence(_name(path, whole), value, *words)
    return f"{whole} is malformed: {syntax_fault(error, body)}"


def syntax_fault(error: Exception, body: bytes | str = "") -> str:
    """Return why a message could not be decoded as JSON or MessagePack at all.

    error: that msgspec raised
    body: the message, if it is JSON
    """
    reason = re.sub("^(JSON|MessagePack data) is malformed: ", "", str(error))
    if constant := _constant(body):
        return f"{constant} is not JSON, null stands for a missing value: {reason}"
    return _REASONS.get(reason, reason)


def _constant(body: bytes | str) -> str:
    """Return the first NaN, Infinity or -Infinity in a message, "" if there is none.

    The encoders of Python and JavaScript libraries write them, but JSON has no such numbers.
    """
    found: list[str] = []
    with suppress(ValueError, RecursionError):
        json.loads(body, parse_constant=found.append)
    return found[0] if found else ""


def _wrong_type(name: str, value: object, kinds: str, kind: str) -> str:
    is_plain = value is not None and not isinstance(value, dict | list)
    got = shown(value) if is_plain else _WORDS.get(kind, kind)
    return f"{name} must be {_types(kinds)}, got {got}"


def _wrong_size(name: str, value: object, kind: str, length: str, sign: str, bound: str) -> str:
    size = "with a length of" if length else "of"
    got = f", got {shown(value)}" if isinstance(value, str | int | float) else ""
    return f"{name} must be {_types(kind)} {size} {_BOUNDS[sign]} {bound}{got}"


def _name(path: str | None, whole: str) -> str:
    if path == "[...]":
        return f"each value of {whole}"
    if path is not None and path.startswith("[...]"):
        return whole
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


def _resolve(path: str | None, values: Any, kind: str) -> tuple[str | None, object]:
    """Return the path with the name of a field of a map, which msgspec leaves out, and its value.

    The value is None if it is not found.

    kind: type of the value that was refused, which the first value of that type in the map is;
        empty for a number out of range, which Python's decoder reads as infinity
    """
    if path is None or values is None:
        return path, None
    parent, unnamed, rest = path.partition("[...]")
    for name, index in _STEP.findall(parent):
        try:
            values = values[int(index)] if index else values[name]
        except (KeyError, IndexError, TypeError):
            return path, None
    if not unnamed:
        return path, values
    if rest or not isinstance(values, dict):
        return path, None
    for name, value in values.items():
        if type(value) is _KINDS.get(kind) or (not kind and value in (math.inf, -math.inf)):
            return (f"{parent}[{name!r:.40}]" if parent else f"{name:.40}"), value
    return path, None


_AT = r"(?: - at `\$\.?(.*)`)?"
_REASONS = {
    "Input data was truncated": "it ends too early, or in the middle of a pair of surrogates"
}
_SENTENCES: dict[re.Pattern[str], Callable[..., str]] = {
    re.compile(r"Expected `str`, got .+ - at `key` in `\$\.?(.*)`"): (
        lambda name, value: f"each name in {name} must be a text"
    ),
    re.compile(rf"Expected `(.+)`, got `(.+?)`{_AT}"): _wrong_type,
    re.compile(rf"Expected `(.+)` (of length )?([<>]=) (\d+){_AT}"): _wrong_size,
    re.compile(rf"Object missing required field `(.+?)`{_AT}"): (
        lambda name, value, field: f"{name} must have the field `{field}`"
    ),
    re.compile(rf"Object contains unknown field `(.+?)`{_AT}"): (
        lambda name, value, field: f"{name} must not have the field `{field}`"
    ),
    re.compile(rf"Invalid enum value (.+?){_AT}"): (
        lambda name, value, choice: f"{name} cannot be {choice}"
    ),
    re.compile(rf".+ out of range{_AT}"): (
        lambda name, value: f"{name} holds a number out of range"
    ),
}
