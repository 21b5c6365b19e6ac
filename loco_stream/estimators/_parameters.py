"""Constructor parameters: where moved ones went, and why they are fixed after construction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from loco_stream._keywords import explains_keywords
from loco_stream._text import did_you_mean
from loco_stream.errors import ConfigError
from loco_stream.options import AdvancedOptions

__all__ = ["MOVED", "REMOVED", "check_advanced", "explains_parameters", "fixed_parameter"]

MOVED = frozenset(declared.name for declared in fields(AdvancedOptions))
REMOVED = {
    "antithetic": "pairs of opposite perturbations gained nothing",
    "n_perturbations": "a row is perturbed once",
}
_CHANGED_BY = {"class_weight": "call `set_class_weight`"}


def _unknown(name: str, owner: str, known: Sequence[str]) -> str:
    if name in MOVED and "advanced" in known:
        return f"`{name}` moved: pass advanced=AdvancedOptions({name}=...) to {owner}"
    if name in REMOVED:
        return f"`{name}` was removed: {REMOVED[name]}"
    advice = did_you_mean(name, known)
    if not advice and "advanced" in known and (advice := did_you_mean(name, sorted(MOVED))):
        advice = f"{advice[:-1]}, an option of advanced=AdvancedOptions(...)?"
    return f"{owner}() got an unexpected keyword argument {name!r}{advice}"


explains_parameters = explains_keywords(_unknown)  # of an estimator


def fixed_parameter(model: object, name: str) -> ConfigError:
    """Return the error of setting a constructor parameter of an existing model."""
    advice = _CHANGED_BY.get(name, "make a new model")
    return ConfigError(
        f"`{name}` of {type(model).__name__} must not be set after construction; {advice}"
    )


def check_advanced(advanced: Any) -> AdvancedOptions:
    """Return the advanced options; the defaults for None.

    Raises
    ------
    ConfigError
        It is something else.
    """
    if advanced is None:
        return AdvancedOptions()
    if not isinstance(advanced, AdvancedOptions):
        raise ConfigError(f"`advanced` must be None or an AdvancedOptions, got {advanced!r}")
    return advanced
