"""Options of URLs, read from the signature and the docstring of the constructor that takes them.

An option is declared once, as a parameter of the source or sink: its annotation is its type, its
default the default, and its entry in the docstring the help text.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any, TypeAlias
from urllib.parse import unquote

from loco_stream._text import did_you_mean
from loco_stream.errors import ConfigError

Seconds: TypeAlias = float
"""A duration; an option of this type is written ``0.1``, ``0.1s`` or ``100ms``."""


@dataclass(frozen=True)
class OptionType:
    """How the text of an option becomes a value.

    Parameters
    ----------
    name
        Short name for tables.
    words
        What is allowed, for error messages.
    parse
        Converts the text; raises ValueError.
    """

    name: str
    words: str
    parse: Callable[[str], Any]


@dataclass(frozen=True)
class Option:
    """One option of a URL."""

    name: str
    type: OptionType
    default: Any
    help: str


def _flag(text: str) -> bool:
    if text not in {"0", "1"}:
        raise ValueError(text)
    return text == "1"


def _seconds(text: str) -> float:
    if text.endswith("ms"):
        return float(text.removesuffix("ms")) / 1000
    return float(text.removesuffix("s"))


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


TEXT = OptionType("text", "text", str)
_TYPES = {
    "bool": OptionType("0 or 1", "0 or 1", _flag),
    "float": OptionType("number", "a number", float),
    "int": OptionType("whole number", "a whole number", int),
    "Seconds": OptionType("duration", "a duration such as 0.1, 0.1s or 100ms", _seconds),
    "Sequence[str]": OptionType("names", "names separated by commas", _names),
}


def _type_of(annotation: str) -> OptionType:
    parts = {part.strip() for part in annotation.split("|")} - {"None"}
    return _TYPES.get(parts.pop(), TEXT) if len(parts) == 1 else TEXT


def options_of(build: type, hidden: Collection[str] = ()) -> dict[str, Option]:
    """Return the options that the constructor of a source or sink takes, by name.

    A constructor with ``**options`` passes them to that of its base class, whose keyword-only
    parameters are options as well. A class may inherit its constructor and document it anew.

    Parameters
    ----------
    build
        The class.
    hidden
        Parameters that are not options of a URL.

    Examples
    --------
    >>> from loco_stream.connectors import NPYSource
    >>> option = options_of(NPYSource, hidden=["path"])["block"]
    >>> option.type.words, option.default, option.help
    ('a whole number', 64, 'Number of rows yielded together; 1 with `rate`.')
    """
    found: dict[str, Option] = {}
    texts: dict[str, str] = {}
    called = next(cls for cls in build.__mro__ if "__init__" in vars(cls))
    for cls in build.__mro__:
        texts = parameter_help(cls) | texts
        if "__init__" not in vars(cls):
            continue
        parameters = list(inspect.signature(vars(cls)["__init__"]).parameters.values())[1:]
        for parameter in parameters:
            name = parameter.name
            if name in found or name in hidden or not _is_option(parameter, cls is called):
                continue
            kind = _type_of(str(parameter.annotation))
            found[name] = Option(name, kind, parameter.default, texts.get(name, ""))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return found


def _is_option(parameter: inspect.Parameter, is_called: bool) -> bool:
    is_positional = parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    return parameter.kind is parameter.KEYWORD_ONLY or (is_called and is_positional)


def parameter_help(cls: type) -> dict[str, str]:
    """Return the text on each parameter in a class's docstring; ``As in `Other`.`` is followed."""
    section = (inspect.getdoc(cls) or "").partition("Parameters\n----------\n")[2]
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line.startswith("---"):  # the line above was the next heading
            break
        if line.startswith(" "):
            for name in names:
                texts[name] = f"{texts.get(name, '')} {line.strip()}".strip()
        elif line:
            names = line.replace("*", "").split(", ")
    return {name: _follow(name, text).replace("``", "`") for name, text in texts.items()}


def _follow(name: str, text: str) -> str:
    reference = re.match(r"As in `(\w+)`\.?\s*", text)
    if reference is None:
        return text
    other = getattr(import_module("loco_stream.connectors"), reference[1])
    return f"{parameter_help(other).get(name, '')} {text[reference.end() :]}".strip()


def alias_of(options: Mapping[str, Option], alias: str, name: str) -> Option:
    """Return a second name of an option; ``"not NAME"`` is the opposite of a 0/1 option."""
    option = options[name.removeprefix("not ")]
    text = f"The same as `{name}`." if name == option.name else f"The opposite of `{option.name}`."
    return replace(option, name=alias, help=text)


def split_query(query: str) -> list[tuple[str, str | None]]:
    """Return the names and values in ``a=1&b=2``; None for a part without ``=``."""
    parts = (part.partition("=") for part in query.split("&") if part)
    return [(unquote(name), unquote(value) if equals else None) for name, equals, value in parts]


def convert(scheme: str, options: Mapping[str, Option], name: str, text: str) -> Any:
    """Return the value of an option.

    Raises
    ------
    ConfigError
        There is no such option, or it does not take this text.
    """
    if name not in options:
        raise ConfigError(
            f"{scheme}: has no option {name!r}{did_you_mean(name, options)} "
            f"(options: {', '.join(options)})"
        )
    kind = options[name].type
    try:
        return kind.parse(text)
    except ValueError:
        raise ConfigError(f"{scheme}: `{name}` must be {kind.words}, got {text!r}") from None
