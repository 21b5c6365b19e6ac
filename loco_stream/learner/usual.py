"""What most models have in common: told to the compiler, which then leaves out what only others run.

A first row waits for all that may run to be compiled. Models that take no notice of time, keep no rows and predict
classes by the usual readout reach two thirds of the code; any other setting is compiled with all of it. Results are
the same to the byte.
"""

from __future__ import annotations

from typing import NamedTuple

from loco_stream.learner.config import EQUAL, MIRROR, Settings

__all__ = ["USUAL", "Usual", "is_usual"]

USUAL: dict[str, float] = {
    "antithetic": False,
    "credit": MIRROR,
    "last_layer": False,
    "longest": 0.0,
    "max_delay": 0,
    "n_clusters": 0,
    "n_neighbors": 0,
    "recursive": True,
    "regression": False,
    "remembers": False,
    "weighting": EQUAL,
}


class Usual(NamedTuple):
    """The neuron of a model whose settings are as `USUAL` says: its type tells compiled code so."""

    cell: tuple[float, ...]


def is_usual(settings: Settings) -> bool:
    """Return whether settings are as `USUAL` says."""
    return all(getattr(settings, name) == value for name, value in USUAL.items())
