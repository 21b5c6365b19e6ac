"""Tickets: predictions that are kept until the label of their row arrives.

Stacks, mixture and snapshots learn weights from past predictions. A prediction that is made
when the label arrives is no evidence for them: the members may have learned rows of the same
sequence meanwhile. Members are therefore scored by their predictions in the ticket, and learn the
row in their present state.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

from loco_stream._arrays import Float64


class Origin:
    """Identifies one model in this process.

    Copies and saved models have none.

    Examples
    --------
    >>> import pickle
    >>> from loco_stream import LOCOClassifier
    >>> ticket = LOCOClassifier().observe_one({"level": 0.2})
    >>> ticket.origin is None, pickle.loads(pickle.dumps(ticket)).origin is None
    (False, True)
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        """Become None in a copy."""
        return _none, ()


def _none() -> None:
    """Return what a copy has in its place."""


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Ticket:
    """A row that was observed, with the prediction made at that time.

    `learn_one` takes it in place of the row, once. A copy, for example by pickle, is a ticket of
    its own: the model would learn its row again.

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
        Outputs of the parts of the readout, one row of numbers; empty if no row had been learned.
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
    predicted: Float64 = field(repr=False)
    origin: Origin | None = field(default=None, repr=False)
