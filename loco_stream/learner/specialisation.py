"""What most models have in common.

Told to the compiler, which then leaves out what only others run.

A first row waits for all that may run to be compiled. Models that keep no rows, have no delays and
the usual credit and readout reach a good half of the code; any other is compiled with all of it.
Results are the same to the byte.
"""

from __future__ import annotations

from typing import NamedTuple

from loco_stream.options import EQUAL, MIRROR, Settings

__all__ = ["KNOWN", "Usual", "UsualClassifier", "UsualRegressor", "told"]


class Usual(NamedTuple):
    """The neuron of a model as most are but for a memory: the type tells compiled code so."""

    cell: tuple[object, ...]


class UsualClassifier(NamedTuple):
    """The same of a classifier without a memory."""

    cell: tuple[object, ...]


class UsualRegressor(NamedTuple):
    """The same of a regressor without a memory."""

    cell: tuple[object, ...]


_COMMON: dict[str, float] = {
    "antithetic": False,
    "credit": MIRROR,
    "last_layer": False,
    "max_delay": 0,
    "n_clusters": 0,
    "n_neighbors": 0,
    "recursive": True,
    "weighting": EQUAL,
}
_TIMELESS: dict[str, float] = _COMMON | {"longest": 0.0, "remembers": False}
KNOWN: dict[type, dict[str, float]] = {  # the first that fits is told
    UsualClassifier: _TIMELESS | {"regression": False},
    UsualRegressor: _TIMELESS | {"n_centroids": 0, "n_snapshots": 0, "regression": True},
    Usual: _COMMON,
}


def told(settings: Settings) -> tuple[object, ...]:
    """Return the neuron of a model, in a type that tells the compiler what is known of its settings."""
    for kind, known in KNOWN.items():
        if all(getattr(settings, name) == value for name, value in known.items()):
            return kind(settings.cell)  # type: ignore[no-any-return]
    return settings.cell
