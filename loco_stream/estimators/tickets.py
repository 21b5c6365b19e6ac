"""Tickets: what was predicted for a row, kept until its label comes.

Stacks, mixture, gate and snapshots learn which parts to weigh. What members predict once the label
has come is no evidence for that: meanwhile they may have learned rows of the same event, and the
fastest would seem to have known all along. So they are scored by what they predicted at the time,
while members and hidden layers learn the row as they are now.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Origin", "Ticket"]


class Origin:
    """Tells one model of this process from all others.

    What is copied or saved leaves it behind and has none.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        """Become None in a copy."""
        return _none, ()


def _none() -> None:
    """Return what a copy has in its place."""


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """A row that was observed, and what was said of it then.

    `learn_one` takes it in place of the row.

    Parameters
    ----------
    x
        The row by name, or as an array (1, n_features).
    features
        Names of the columns of an array, else None.
    prediction
        The predicted label or value; None before anything is known.
    proba
        Probability of each class, empty before any is known; None in regression.
    predicted
        What the parts of the readout predicted, one row of numbers; empty where no row had been
        learned.
    origin
        The model that returned it; None where that is not known.

    Examples
    --------
    >>> from loco_stream import LOCOClassifier
    >>> model = LOCOClassifier(hidden_sizes=16, memory=(0.3, 50.0))
    >>> model.learn_one({"level": 0.2}, "low", t=0.0)
    >>> ticket = model.observe_one({"level": 0.9}, t=1.0)
    >>> ticket.prediction
    'low'
    >>> model.learn_one(ticket, "high")
    """

    x: Any
    features: tuple[Hashable, ...] | None
    prediction: Any
    proba: Mapping[Hashable, float] | None
    predicted: NDArray[np.float64]
    origin: Origin | None = None
