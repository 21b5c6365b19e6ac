"""The door of the engine.

What nobody could learn, score or store is refused before it is logged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from loco_stream.engine.source_reader import cut
from loco_stream.numbers import LARGEST, is_beyond, masked, shown, to_number
from loco_stream.stream import Block, Event, Labels, PredictRequest, Sample

__all__ = ["Admitted", "admit", "label_fault", "row_fault"]

_NO_FAULT = frozenset({str, bool, type(None)})  # any of these may be a class
# kinds of refusal
_VALUE = "value out of range"
_LABEL = "label out of range"
_RANGE = f"allowed are numbers from {-LARGEST:g} to {LARGEST:g}"


@dataclass(slots=True)
class Admitted:
    """Events that may be logged and learned, and how many rows or late labels were refused, with the last reason."""

    events: list[Event] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    reason: str = ""

    @property
    def refused(self) -> int:
        """Rows and late labels that stay outside."""
        return sum(self.kinds.values())

    def refuse(self, rows: int, kind: str, reason: str) -> None:
        """Count what stays outside."""
        self.kinds[kind] = self.kinds.get(kind, 0) + rows
        self.reason = reason


def admit(events: Sequence[Event], task: str) -> Admitted:
    """Sort events into those that may come in and rows that may not.

    A feature value beyond `loco_stream.numbers.LARGEST` refuses a row by name, and is masked in an
    array. A label is refused where it is no number in regression, or nothing that can be a class in
    classification.
    """
    admitted = Admitted()
    for event in events:
        if isinstance(event, Sample):
            _sample(event, task, admitted)
        elif isinstance(event, Block):
            _block(event, task, admitted)
        elif isinstance(event, Labels):
            _labels(event, task, admitted)
        elif _fits(event, admitted):
            texts = isinstance(event.X, np.ndarray) and event.X.dtype.hasobject
            admitted.events.append(event if texts else replace(event, X=_table(event.X)))
    return admitted


def label_fault(y: Any, task: str) -> str | None:
    """Return what is wrong with a label, None if nothing is.

    None as a label means that it is missing.

    Examples
    --------
    >>> label_fault("on", "classification"), label_fault(2.5, "regression"), label_fault(None, "regression")
    (None, None, None)
    >>> label_fault(1e31, "regression")
    'y is 1e+31; allowed are numbers from -1e+30 to 1e+30'
    """
    if y is None:
        return None
    if task == "regression":
        number = to_number(y)
        return f"y is {shown(y)}; {_RANGE}" if number != number else None
    label = y.item() if isinstance(y, np.generic) else y
    if isinstance(label, float) and not abs(label) <= LARGEST:
        return f"y is {shown(y)}; {_RANGE}"
    if isinstance(label, int) and not -(2**63) <= label < 2**64:
        return f"y is {shown(y)}; allowed as classes are integers of 64 bits"
    try:
        hash(label)
    except TypeError:
        return f"y is of type {type(y).__name__}; a class label must be hashable"
    return None


def _sample(event: Sample, task: str, admitted: Admitted) -> None:
    if (reason := row_fault(event.x)) is not None:
        admitted.refuse(1, _VALUE, reason)
    elif (reason := label_fault(event.y, task)) is not None:
        admitted.refuse(1, _LABEL, reason)
    else:
        admitted.events.append(event)


def row_fault(x: object) -> str | None:
    """Return what is wrong with a row by name, None if nothing is."""
    if not isinstance(x, Mapping):
        return (
            f"x is of type {type(x).__name__}; a sample must be a dict of feature names and values"
        )
    for name, value in x.items():
        if (type(value) is float or type(value) is int) and -LARGEST <= value <= LARGEST:
            continue
        if is_beyond(value):
            return f"feature {name!r} is {shown(value)}; {_RANGE}"
    return None


def _block(event: Block, task: str, admitted: Admitted) -> None:
    if not _fits(event, admitted):
        return
    X = _table(event.X)
    event = event if X is event.X else replace(event, X=X)
    labels = () if event.y is None else event.y
    faults = {}
    if not (task == "classification" and _NO_FAULT.issuperset(map(type, labels))):
        faults = {
            i: fault for i, y in enumerate(labels) if (fault := label_fault(y, task)) is not None
        }
    if not faults:
        admitted.events.append(event)
        return
    admitted.refuse(len(faults), _LABEL, faults[max(faults)])
    begin = 0
    for end in [*faults, len(event.X)]:
        if end > begin:
            admitted.events.append(cut(event, begin, end))
        begin = end + 1


def _fits(event: Block | PredictRequest, admitted: Admitted) -> bool:
    rows, columns = np.shape(event.X) if np.ndim(event.X) == 2 else (-1, -1)
    y = getattr(event, "y", None)
    if columns == len(event.features) and (y is None or len(y) == rows):
        return True
    labels = "" if y is None else f" and {len(y)} labels"
    reason = (
        f"a block of shape {np.shape(event.X)} came with {len(event.features)} features{labels}"
    )
    admitted.refuse(len(event.X) if np.ndim(event.X) else 0, "shape", reason)
    return False


def _table(X: Any) -> Any:
    return masked(np.asarray(X)).astype(np.float32, copy=False)


def _labels(event: Labels, task: str, admitted: Admitted) -> None:
    faults = [label_fault(y, task) for y in event.y]
    if not any(faults):
        admitted.events.append(event)
        return
    kept = [i for i, fault in enumerate(faults) if fault is None]
    reason = next(fault for fault in reversed(faults) if fault is not None)
    admitted.refuse(len(faults) - len(kept), _LABEL, reason)
    if kept:
        admitted.events.append(
            replace(event, of=[event.of[i] for i in kept], y=[event.y[i] for i in kept])
        )
