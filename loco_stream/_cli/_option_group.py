"""Options that several commands share, handed to a command as one dataclass."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from loco_stream._ranges import IntRange
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_GIVEN = (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT, ParameterSource.DEFAULT_MAP)

_HEADINGS = "option_headings"  # attribute of a command's function

T = TypeVar("T", bound="DataclassInstance")
Command = Callable[..., object]
Decorator = Callable[[Command], Command]


class _Path(click.types.StringParamType):
    """A path, which is not empty: an empty one would be the working directory."""

    def convert(self, value: Any, param: Any, ctx: click.Context | None) -> Any:
        if not value:
            raise ConfigError(f"`{max(param.opts, key=len)}` must be a path, got {value!r}")
        return super().convert(value, param, ctx)


PATH = _Path()


class RepeatedOption(click.Option):
    """An option that may be given several times; in an environment variable, between spaces.

    There, a value with spaces stands in quotes, as in a shell. A backslash is a character.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "multiple": True})

    def value_from_envvar(self, ctx: click.Context) -> Any:
        text = self.resolve_envvar_value(ctx)
        if text is None:
            return None
        words = shlex.shlex(text, posix=True)
        words.whitespace_split = True
        words.commenters = ""
        words.escape = ""
        try:
            return list(words)
        except ValueError:
            raise ConfigError(f"`{self.envvar}` must have a second quote, got {text!r}") from None


def option_group(name: str, build: type[DataclassInstance], *options: Decorator) -> Decorator:
    """Return a decorator that adds options and passes their values as one argument.

    name: name of the argument, and heading of the options in the help
    build: the dataclass; its fields are the names of the options' values
    options: made by `click.option`, in the order in which the help lists them; or further groups,
        whose names are fields of `build`
    """
    names = [field.name for field in fields(build)]

    def add(function: Command) -> Command:
        @wraps(function)
        def command(**values: object) -> object:
            group = build(**{option: values.pop(option) for option in names})
            return function(**values, **{name: group})

        decorated: Command = command
        for option in reversed(options):
            decorated = option(decorated)
        headings = dict.fromkeys(names, name.capitalize())
        setattr(decorated, _HEADINGS, headings_of(decorated) | headings)
        return decorated

    return add


def headings_of(function: object) -> dict[str, str]:
    """Return the headings of the options of a command's function, by the options' names."""
    return dict(getattr(function, _HEADINGS, {}))


def checked_by(
    check: Callable[[Any], object],
) -> Callable[[click.Context, click.Parameter, Any], Any]:
    """Return the callback of an option whose value is checked before anything is opened.

    `loco-stream config check` runs callbacks as well.
    """

    def callback(context: click.Context, parameter: click.Parameter, value: Any) -> Any:
        if value and not context.resilient_parsing:
            check(value)
        return value

    return callback


def seed_option(of: str) -> Decorator:
    """Return the option --seed; `of` names what it is the seed of."""
    return click.option(
        "--seed",
        type=IntRange(0, 2**64 - 1),
        default=0,
        metavar="N",
        help=f"Random seed of {of}; equal seeds give identical results.",
    )


def flag(name: str) -> str:
    """Return an option of the running command as users write it, for example ``--sink``."""
    parameters = click.get_current_context().command.params
    return next(parameter.opts[0] for parameter in parameters if parameter.name == name)


def given(name: str) -> bool:
    """Return whether the command line, the environment or the configuration sets an option."""
    return click.get_current_context().get_parameter_source(name) in _GIVEN


def typed(name: str) -> bool:
    """Return whether the command line itself sets an option.

    An environment or a file may serve several commands, and set options that one does not need.
    """
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


def with_stored(options: T, stored: Mapping[str, object], directory: str | None) -> T:
    """Return options in which those not given have the values an earlier run was begun with.

    Raises `ConfigError` if one is given with another value. The task is not compared: the labels
    decide what it is called.

    stored: the values, by name; empty without an earlier run
    directory: the directory of that run
    """
    kept = {}
    for field in fields(options):
        name = field.name
        if name not in stored:
            continue
        value = getattr(options, name)
        begun = stored[name]
        begun = tuple(begun) if isinstance(begun, list) else begun  # JSON has no tuples
        if not given(name) or _is_same(value, begun):
            kept[name] = begun
        elif name != "task":
            raise ConfigError(
                f"{directory} was begun {_as_typed(name, begun)}, so it cannot continue "
                f"{_as_typed(name, value)}"
            )
    return replace(options, **kept)


def _is_same(value: object, begun: object) -> bool:
    """Whether two values of an option are equal; one given several times has no order."""
    if isinstance(value, tuple) and isinstance(begun, tuple):
        return {*value} == {*begun}
    return value == begun


def check_begun_with(
    options: Mapping[str, object], stored: Mapping[str, object], directory: str
) -> None:
    """Raise `ConfigError` for an option that the earlier run in a directory was begun without.

    options: values, by name, of options that are stored only where they are given
    stored: values that the run was begun with, by name; empty without an earlier run
    """
    for name, value in options.items():
        if stored and value and not stored.get(name):
            raise ConfigError(f"{directory} was begun without {flag(name)}")


def _as_typed(name: str, value: object) -> str:
    """Return an option with a value as the end of a sentence."""
    if value is None or value is False or value == ():
        return f"without {flag(name)}"
    values = value if isinstance(value, tuple) else ("" if value is True else value,)
    return "with " + " ".join(f"{flag(name)} {one}".rstrip() for one in values)
