"""Specialisation: what most models have in common, as constants for the compiler.

A first row waits for everything that may run to be compiled. Models that keep no rows, have no
delays and use the default credit rule and readout reach about half of the code; any other model is
compiled with all of it. Results are bit-identical.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from loco_stream._learner.plasticity.rules import CREDIT_RULES
from loco_stream._learner.plasticity.rules.mirror import RULE as MIRROR
from loco_stream._learner.settings import EQUAL, Settings
from loco_stream._options import AdvancedOptions


class Plain(NamedTuple):
    """The neuron of a model with default options, except for a memory."""

    cell: tuple[object, ...]


class PlainClassifier(NamedTuple):
    """The neuron of a classifier with default options."""

    cell: tuple[object, ...]


class PlainRegressor(NamedTuple):
    """The neuron of a regressor with default options."""

    cell: tuple[object, ...]


class Constants(NamedTuple):
    """Fields of a group that compiled code may take for constants."""

    group: type
    values: Mapping[str, float]


_COMMON: dict[str, float] = {
    "credit": CREDIT_RULES.index(MIRROR),
    "last_layer": False,
    "max_delay": 0,
    "mirrors": True,
    "n_clusters": 0,
    "n_neighbors": 0,
    "recursive": True,
    "weighting": EQUAL,
}
_WITHOUT_MEMORY: dict[str, float] = _COMMON | {
    "longest": 0.0,
    "n_memoryless": 0,
    "remembers": False,
}
_CLASSIFIER = _WITHOUT_MEMORY | {"n_lags": 0, "regression": False}
_REGRESSOR = _WITHOUT_MEMORY | {
    "n_centroids": 0,
    "n_fixed": 0,
    "n_lags": AdvancedOptions().recent_values,
    "n_log_odds": 0,
    "n_snapshots": 0,
    "regression": True,
}
SPECIALISATIONS: dict[type, Constants] = {  # the first that fits is taken
    PlainClassifier: Constants(Settings, _CLASSIFIER),
    PlainRegressor: Constants(Settings, _REGRESSOR),
    Plain: Constants(Settings, _COMMON),
}


def specialised(settings: Settings) -> tuple[object, ...]:
    """Return the neuron of a model, in a type that names the constants of its settings."""
    for kind, constants in SPECIALISATIONS.items():
        if all(getattr(settings, name) == value for name, value in constants.values.items()):
            return kind(settings.cell)  # type: ignore[no-any-return]
    return settings.cell
