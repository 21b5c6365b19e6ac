"""What `--set` takes: the settings of the model, for the shell's completion, for `--set help`, and for who mistypes."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

import click
from click.shell_completion import CompletionItem

from loco_stream.errors import ConfigError

__all__ = ["check_settings", "completed", "setting_names", "unknown_setting"]


def setting_names() -> list[str]:
    """Return the names, in the order of the estimators' constructor.

    `--seed` is an option of its own.
    """
    from loco_stream.estimators.classifier import LOCOClassifier

    return [name for name in inspect.signature(LOCOClassifier).parameters if name != "seed"]


def completed(
    context: click.Context, parameter: click.Parameter, begun: str
) -> list[CompletionItem]:
    """Return the settings whose name begins so, for the shell."""
    name = begun.partition("=")[0]
    return [CompletionItem(f"{known}=") for known in setting_names() if known.startswith(name)]


def check_settings(
    context: click.Context, parameter: click.Parameter, pairs: tuple[str, ...]
) -> tuple[str, ...]:
    """Print every setting for `--set help` and end.

    Refuse an unknown one before anything is opened or compiled.
    """
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
    """Return the sentence about a setting that the model does not have."""
    from loco_stream._text import did_you_mean

    return f"--set: the model has no setting {name!r}{did_you_mean(name, setting_names())} (--set help lists all)"


def _lines() -> Iterator[str]:
    from loco_stream.estimators.classifier import LOCOClassifier

    told = inspect.getdoc(LOCOClassifier) or ""
    defaults = inspect.signature(LOCOClassifier).parameters
    for name in setting_names():
        found = re.search(rf"^{name}\n((?:    .*\n)+)", told, re.MULTILINE)
        text = " ".join(found[1].split()) if found else ""
        yield f"{name}={defaults[name].default}"
        yield from click.wrap_text(text, 100, "    ", "    ").splitlines()
