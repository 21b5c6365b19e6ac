"""Options of URLs, read from the signature of the constructor that takes them.

An option is declared once, as a parameter of the source or sink: its annotation is its type. The
documentation takes its default and its text from there as well.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import wraps
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

from loco_stream._keywords import Constructor, P, Self
from loco_stream._text import did_you_mean
from loco_stream.errors import ConfigError

Seconds: TypeAlias = float
"""A duration; an option of this type is written ``0.1``, ``0.1s`` or ``100ms``."""


class OptionType(NamedTuple):
    """How the text of an option becomes a value.

    Parameters
    ----------
    words
        What is allowed, for error messages.
    parse
        Converts the text; raises ValueError.
    """

    words: str
    parse: Callable[[str], Any]


def _flag(text: str) -> bool:
    if text not in {"0", "1"}:
        raise ValueError(text)
    return text == "1"


def _seconds(text: str) -> float:
    if text.endswith("ms"):
        return float(text.removesuffix("ms")) / 1000
    return float(text.removesuffix("s"))


TEXT = OptionType("text", str)
_TYPES = {
    "bool": OptionType("0 or 1", _flag),
    "float": OptionType("a number", float),
    "int": OptionType("a whole number", int),
    "Seconds": OptionType("a duration such as 0.1, 0.1s or 100ms", _seconds),
    "Sequence[str]": OptionType("names separated by commas", lambda text: tuple(text.split(","))),
}


def _type_of(annotation: str) -> OptionType:
    parts = {part.strip() for part in annotation.split("|")} - {"None"}
    return _TYPES.get(parts.pop(), TEXT) if len(parts) == 1 else TEXT


def options_of(build: type, hidden: Collection[str] = ()) -> dict[str, OptionType]:
    """Return the types of the options that the constructor of a source or sink takes, by name.

    A constructor with ``**options`` passes them to that of its base class, whose keyword-only
    parameters are options as well.

    Parameters
    ----------
    build
        The class.
    hidden
        Parameters that are not options of a URL.

    Examples
    --------
    >>> from loco_stream.connectors import NPYSource
    >>> options_of(NPYSource, hidden=["path"])["block"].words
    'a whole number'
    """
    found: dict[str, OptionType] = {}
    is_called = True
    for cls in build.__mro__:
        if "__init__" not in vars(cls):
            continue
        parameters = list(inspect.signature(vars(cls)["__init__"]).parameters.values())[1:]
        for parameter in parameters:
            if parameter.name not in hidden and _is_option(parameter, is_called):
                found.setdefault(parameter.name, _type_of(str(parameter.annotation)))
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
        is_called = False
    return found


def _is_option(parameter: inspect.Parameter, is_called: bool) -> bool:
    is_positional = parameter.kind is parameter.POSITIONAL_OR_KEYWORD
    return parameter.kind is parameter.KEYWORD_ONLY or (is_called and is_positional)


def explains_options(init: Constructor[Self, P]) -> Constructor[Self, P]:
    """Return the constructor of a base class of connectors, which takes the rest of ``**options``.

    An option that it does not take raises a `TypeError` that lists those of the connector. The
    first argument is the name of the connector, which begins with the scheme.
    """
    known = inspect.signature(init).parameters

    @wraps(init)
    def checked(self: Self, /, *args: P.args, **options: P.kwargs) -> None:
        for option in options:
            if option not in known:
                kind = str(args[0]).partition(":")[0] if args else type(self).__name__
                raise TypeError(_unknown_option(kind, option, options_of(type(self))))
        init(self, *args, **options)

    return checked


def _unknown_option(kind: str, name: str, known: Iterable[str]) -> str:
    names = list(known)
    return (
        f"{kind}: has no option {name!r}{did_you_mean(name, names)} (options: {', '.join(names)})"
    )


def split_query(query: str) -> list[tuple[str, str | None]]:
    """Return the names and values in ``a=1&b=2``; None for a part without ``=``."""
    parts = (part.partition("=") for part in query.split("&") if part)
    return [(unquote(name), unquote(value) if equals else None) for name, equals, value in parts]


def convert(scheme: str, options: Mapping[str, OptionType], name: str, text: str) -> Any:
    """Return the value of an option.

    Raises
    ------
    ConfigError
        There is no such option, or it does not take this text.
    """
    if name not in options:
        raise ConfigError(_unknown_option(scheme, name, options))
    kind = options[name]
    try:
        return kind.parse(text)
    except ValueError:
        raise ConfigError(f"{scheme}: `{name}` must be {kind.words}, got {text!r}") from None
