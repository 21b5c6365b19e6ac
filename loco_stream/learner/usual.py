"""What most models have in common: told to the compiler, which then leaves out what only others run.

A first row waits for all that may run to be compiled. Classifiers and regressors that take no notice of time, keep no
rows and have the usual readout reach a good half of the code; any other model is compiled with all of it. Results are
the same to the byte.
"""

from __future__ import annotations

from typing import NamedTuple

from loco_stream.learner.config import EQUAL, MIRROR, Settings

__all__ = ["KNOWN", "UsualClassifier", "UsualRegressor", "told"]


class UsualClassifier(NamedTuple):
    """The neuron of a classifier as most are: the type tells compiled code so."""

    cell: tuple[object, ...]


class UsualRegressor(NamedTuple):
    """The same of a regressor."""

    cell: tuple[object, ...]


_COMMON: dict[str, float] = {
    "antithetic": False,
    "credit": MIRROR,
    "last_layer": False,
    "longest": 0.0,
    "max_delay": 0,
    "n_clusters": 0,
    "n_neighbors": 0,
    "recursive": True,
    "remembers": False,
    "weighting": EQUAL,
}
KNOWN: dict[type, dict[str, float]] = {
    UsualClassifier: _COMMON | {"regression": False},
    UsualRegressor: _COMMON | {"regression": True, "n_snapshots": 0},
}


def told(settings: Settings) -> tuple[object, ...]:
    """Return the neuron of a model, in a type that tells the compiler what is known of its settings."""
    for kind, known in KNOWN.items():
        if all(getattr(settings, name) == value for name, value in known.items()):
            return kind(settings.cell)  # type: ignore[no-any-return]
    return settings.cell
