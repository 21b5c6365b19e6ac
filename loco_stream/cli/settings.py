"""The settings of `--set`: parameters of the estimators and of `AdvancedOptions` by name.

They serve completion in the shell, `--set help` and the refusal of unknown names.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import click
from click.shell_completion import CompletionItem

from loco_stream.errors import ConfigError

__all__ = ["advanced_names", "check_settings", "completed", "setting_names", "unknown_setting"]


def _declared(kind: Any) -> dict[str, Any]:
    """Return the default of each parameter of a class."""
    parameters = inspect.signature(kind).parameters
    return {name: each.default for name, each in parameters.items()}


def _constructor() -> dict[str, Any]:
    from loco_stream.estimators.classifier import LOCOClassifier

    declared = _declared(LOCOClassifier)
    return {name: declared[name] for name in declared if name not in ("seed", "advanced")}


def advanced_names() -> list[str]:
    """Return the parameters of `AdvancedOptions`."""
    from loco_stream.options import AdvancedOptions

    return [field.name for field in fields(AdvancedOptions)]


def setting_names() -> list[str]:
    """Return all parameters, first those of the constructors, without `seed`, then the advanced."""
    return [*_constructor(), *advanced_names()]


def completed(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Return the settings whose name begins so, for the shell."""
    name = begun.partition("=")[0]
    return [CompletionItem(f"{known}=") for known in setting_names() if known.startswith(name)]


def check_settings(
    context: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]
) -> tuple[str, ...]:
    """Print every setting for `--set help` and exit; refuse unknown names before all else."""
    if context.resilient_parsing:
        return pairs
    if "help" in pairs:
        click.echo("\n".join(_lines()))
        context.exit()
    for name in (pair.partition("=")[0].replace("-", "_") for pair in pairs if "=" in pair):
        if name not in setting_names():
            raise ConfigError(unknown_setting(name))
    return pairs


def unknown_setting(name: str) -> str:
    """Return the message about a setting that the model does not have."""
    from loco_stream.connectors.values import hint

    near = hint(name, setting_names())
    return f"--set: the model has no setting {name!r}{near} (--set help lists all)"


def _lines() -> Iterator[str]:
    from loco_stream.estimators.classifier import LOCOClassifier
    from loco_stream.options import AdvancedOptions

    yield from _described(LOCOClassifier, _constructor())
    yield from _described(AdvancedOptions, _declared(AdvancedOptions))


def _described(kind: Any, defaults: dict[str, Any]) -> Iterator[str]:
    """Yield the default and the documentation of parameters from the docstring of a class."""
    text = inspect.getdoc(kind) or ""
    for name, default in defaults.items():
        found = re.search(rf"^{name}\n((?:    .*\n)+)", text, re.MULTILINE)
        yield f"{name}={default}"
        paragraph = " ".join(found[1].split()) if found else ""
        yield from click.wrap_text(paragraph, 100, "    ", "    ").splitlines()
