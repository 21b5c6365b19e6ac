"""SOURCE on the command line: one URL in, one source out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import unquote

from loco_stream.connectors.rows import check_task
from loco_stream.connectors.values import hint
from loco_stream.errors import ConfigError, SourceError
from loco_stream.event import Source

__all__ = ["FORMS", "open_source"]

Convert = Callable[[str], Any]


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


_WORDS: dict[Convert, str] = {float: "a number", int: "a whole number"}


@dataclass(frozen=True)
class _Form:
    """How one kind of source is written and built."""

    example: str
    module: str
    build: str
    options: Mapping[str, Convert]


_FILE: dict[str, Convert] = {
    "target": str, "drop": _names, "task": str, "time": str, "rate": float, "speed": float,
}  # fmt: skip

FORMS: dict[str, _Form] = {
    "river": _Form("river:ImageSegments", "river_source", "RiverSource", {}),
    "csv": _Form("csv:PATH?target=COLUMN", "csv_source", "CSVSource", {**_FILE, "delimiter": str}),
}


def open_source(url: str, *, task: str | None = None) -> Source:
    """Open the source that `url` names.

    Parameters
    ----------
    url
        ``KIND:WHERE?option=value&option=value``; percent-encoding is undone in the options only.
    task
        ``"classification"`` or ``"regression"`` where the source cannot know.

    Raises
    ------
    SourceError
        An unknown kind, or what the source itself finds wrong.
    ConfigError
        An option that the kind does not have, or a value it does not take.

    Examples
    --------
    >>> from loco_stream.connectors import open_source
    >>> open_source("river:Phishing").schema.task
    'classification'
    >>> open_source("rivr:Phishing")
    Traceback (most recent call last):
    loco_stream.errors.SourceError: no kind of source 'rivr'; did you mean 'river'? (SOURCE is one of: ...)
    """
    kind, colon, rest = url.partition(":")
    form = FORMS.get(kind)
    if not colon or form is None:
        raise SourceError(_unknown(url, kind, colon))
    where, _, query = rest.partition("?")
    if not where.strip("/"):
        raise SourceError(f"{url!r} names no place after '{kind}:'; for example {form.example}")
    options = _split(query)
    build = getattr(import_module(f"loco_stream.connectors.{form.module}"), form.build)
    if kind == "river":
        source: Source = build(where, **options)
        return source
    typed = _convert(kind, form, options)
    if "task" in form.options and task is not None:
        typed["task"] = check_task(task)
    source = build(where, **typed)
    return source


def _unknown(url: str, kind: str, colon: str) -> str:
    forms = "SOURCE is one of: " + ", ".join(f.example for f in FORMS.values())
    suffix = url.partition("?")[0].rpartition(".")[2]
    if not colon and suffix in FORMS:
        return f"{url!r} names no kind of source; did you mean '{suffix}:{url}'? ({forms})"
    return f"no kind of source {kind!r}{hint(kind, FORMS)} ({forms})"


def _split(query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        key, equals, value = part.partition("=")
        if not equals or key in options:
            raise ConfigError(f"option {part!r} is {'given twice' if equals else 'not of the form name=value'}")
        options[unquote(key)] = unquote(value)
    return options


def _convert(kind: str, form: _Form, options: Mapping[str, str]) -> dict[str, Any]:
    typed: dict[str, Any] = {}
    for key, text in options.items():
        if key not in form.options:
            allowed = ", ".join(form.options)
            raise ConfigError(f"{kind}: has no option {key!r}{hint(key, form.options)} (allowed: {allowed})")
        convert = form.options[key]
        try:
            typed[key] = convert(text)
        except ValueError:
            raise ConfigError(f"{kind}: {key} must be {_WORDS[convert]}, not {text!r}") from None
    return typed
