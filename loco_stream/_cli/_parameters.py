"""The model's parameters by name, for `--set NAME=VALUE`: reading, help, completion and refusals.

`parameters` is the only place that knows where parameters are declared.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from loco_stream._problems import TARGETS
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from loco_stream.estimators._pipeline import Estimator


_NAME_LISTS = frozenset({"categorical_features"})  # parameters that are names of features


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of the estimators: name, default and description."""

    name: str
    default: object
    text: str


def parameters() -> dict[str, Parameter]:
    """Return every parameter that `--set` takes, in the order of their declaration.

    `seed` is missing: `--seed` sets it for the model and the monitor.
    """
    from loco_stream._options import AdvancedOptions, ModelOptions
    from loco_stream.estimators._classifier import LOCOClassifier

    table = _declared(ModelOptions, LOCOClassifier)
    del table["seed"], table["advanced"]
    return table | _declared(AdvancedOptions, AdvancedOptions)


def _declared(options: type[DataclassInstance], documented: type) -> dict[str, Parameter]:
    """Return the fields of a dataclass of options, described in the docstring of a class."""
    docstring = inspect.getdoc(documented) or ""
    table = {}
    for field in fields(options):
        found = re.search(rf"^{field.name}\n((?:    .*\n)+)", docstring, re.MULTILINE)
        text = " ".join(found[1].split()) if found else ""
        table[field.name] = Parameter(field.name, field.default, text)
    return table


def parse_settings(pairs: Sequence[str]) -> dict[str, object]:
    """Parse NAME=VALUE pairs: Python literals, comma lists as tuples, anything else as text.

    Names of features are texts: a file may have a column 0.

    Examples
    --------
    >>> parse_settings(["rule=np", "hidden_sizes=128,64", "learning_rate=0.5"])
    {'rule': 'np', 'hidden_sizes': (128, 64), 'learning_rate': 0.5}
    """
    texts = named_texts("--set", "rule=np", pairs)
    return {
        name: _names(text) if name in _NAME_LISTS else literal(text) for name, text in texts.items()
    }


def named_texts(option: str, example: str, pairs: Sequence[str]) -> dict[str, str]:
    """Return the texts of NAME=VALUE pairs by name, with underscores in place of hyphens.

    Raises `ConfigError`, which names the option, if a text is no pair or a name comes twice.
    """
    texts: dict[str, str] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise ConfigError(
                f"`{option}` must be NAME=VALUE, for example {option} {example}, got {pair!r}"
            )
        name = name.replace("-", "_")
        if name in texts:
            raise ConfigError(f"`{option}` must give each name once, got {name} twice")
        texts[name] = text
    return texts


def _names(text: str) -> object:
    """Return names of features, which are texts in every source; a literal may hold commas."""
    value = literal(text) if text.startswith(("(", "[")) else text.split(",")
    return tuple(str(name).strip() for name in value) if isinstance(value, list | tuple) else value


def literal(text: str) -> object:
    """Return the value of a Python literal; other text as it is.

    Examples
    --------
    >>> literal("1,2"), literal("np"), literal("{[]: 1}")
    ((1, 2), 'np', '{[]: 1}')
    """
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text


def build_model(
    task: str, seed: int, settings: dict[str, object], preset: str | None = None
) -> Estimator:
    """Return the estimator for a task, with a preset and single settings on top of it.

    Raises `ConfigError` if a setting is unknown or out of its range.
    """
    from loco_stream._options import PRESETS, AdvancedOptions
    from loco_stream.estimators._classifier import LOCOClassifier
    from loco_stream.estimators._multi_target import LOCOMultiTargetRegressor
    from loco_stream.estimators._regressor import LOCORegressor

    _check_names(settings)
    estimators = {"regression": LOCORegressor, TARGETS: LOCOMultiTargetRegressor}
    estimator: Any = estimators.get(task, LOCOClassifier)
    names = {field.name for field in fields(AdvancedOptions)}
    advanced: dict[str, Any] = {name: x for name, x in settings.items() if name in names}
    own: dict[str, Any] = {name: x for name, x in settings.items() if name not in names}
    chosen = preset or "default"
    if PRESETS[chosen].keys() - {*estimator._parameters}:
        raise ConfigError(f"`--preset` must be fast or default with several targets, got {chosen}")
    try:
        options = {**PRESETS[chosen], **own, "seed": seed}
        model: Estimator = estimator(**options, advanced=AdvancedOptions(**advanced))
        return model
    except TypeError as error:
        raise ConfigError(f"`--set`: {error}") from error


def check_settings(
    context: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]
) -> tuple[str, ...]:
    """Refuse wrong settings before anything is opened; for `--set help`, list all and exit.

    A service makes its model when the first row has shown the task. A classifier has every
    parameter that a model of another task has.
    """
    if context.resilient_parsing or not pairs:
        return pairs
    if "help" in pairs:
        click.echo("\n".join(_help_lines()))
        context.exit()
    build_model("classification", 0, parse_settings(pairs))
    return pairs


def complete_setting(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return the names that start with the given text, for the shell."""
    begun = incomplete.partition("=")[0]
    return [CompletionItem(f"{name}=") for name in parameters() if name.startswith(begun)]


def _check_names(names: dict[str, object]) -> None:
    from loco_stream._text import did_you_mean

    known = parameters()
    for name in names:
        if name not in known:
            raise ConfigError(
                f"`--set`: the model has no parameter {name!r}{did_you_mean(name, known)} "
                "(--set help lists all)"
            )


def _help_lines() -> Iterator[str]:
    for parameter in parameters().values():
        yield f"{parameter.name}={parameter.default}"
        yield from click.wrap_text(parameter.text, 100, "    ", "    ").splitlines()
