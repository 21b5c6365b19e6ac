"""Validation of events: what cannot be learned is refused before it is logged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from loco_stream._arrays import Array
from loco_stream._numbers import LARGEST, is_beyond, masked, plain, shown, to_number
from loco_stream._persistence.format import encode_plain
from loco_stream._problems import TARGETS, is_numeric, known_targets, plain_label, plain_labels
from loco_stream._text import has_surrogate
from loco_stream.engine._missing_values import MissingValues
from loco_stream.engine._row import Label, cut
from loco_stream.errors import CheckpointError
from loco_stream.stream import MAX_SEQ, Block, Event, Labels, PredictRequest, Sample

Table: TypeAlias = Array

_NO_FAULT = frozenset({str, bool, type(None)})  # any value of these types may be a class
_STORABLE = _NO_FAULT | {int, float}
# kinds of refusal
_VALUE = "value out of range"
_LABEL = "label out of range"
_NUMBER = "source or row number"
_NAME = "value that cannot be stored"
_ERROR = "error while it was validated"
_UNICODE = "must be a text of valid Unicode"
_RANGE = f"must be a number from {-LARGEST:g} to {LARGEST:g}"
_SEQ = f"must be an integer from 0 to {MAX_SEQ}"


@dataclass(slots=True)
class ValidEvents:
    """Events that may be logged and learned, and the rows and labels that were refused.

    `refused` holds the refused rows, labels and events with their reasons, and `n_fill_values` is
    the number of values and labels that were replaced by a missing one, also in refused rows.
    `is_stored`: labels and values of other types become what a file can hold, and what cannot is
    refused.
    """

    events: list[Event] = field(default_factory=list)
    kinds: dict[str, int] = field(default_factory=dict)
    reason: str = ""
    refused: list[tuple[Event, str]] = field(default_factory=list)
    n_fill_values: int = 0
    is_stored: bool = False

    @property
    def n_refused(self) -> int:
        """Refused rows and late labels."""
        return sum(self.kinds.values())

    def refuse(self, event: Event, rows: int, kind: str, reason: str) -> None:
        """Count refused rows or labels of an event."""
        self.kinds[kind] = self.kinds.get(kind, 0) + rows
        self.reason = reason
        self.refused.append((event, reason))


def validate_events(
    events: Sequence[Event],
    problem: str,
    missing: MissingValues | None = None,
    *,
    is_open: bool = False,
    is_stored: bool = False,
) -> ValidEvents:
    """Separate events that can be learned from rows and labels that cannot.

    A feature value beyond `loco_stream._numbers.LARGEST` refuses a row by name, and is masked in an
    array. A label is refused if it is no number in regression, or cannot be a class in
    classification, or with `is_stored` if no checkpoint can hold the class. A row is also refused
    if its number does not fit into 64 bits, if a text in it is not valid Unicode, with `is_stored`
    if no checkpoint can hold a name or the sequence id, or if its validation raises.

    With `is_stored`, other values are replaced by what a model takes them for: a decimal by a
    float, and a date by a missing value.

    Before that, the numbers of `missing` are replaced in the features, and in labels that are
    numbers, or with `is_open` may be: the problem is not known yet. A class label is left as it is.
    """
    valid = ValidEvents(is_stored=is_stored)
    with_labels = is_open or is_numeric(problem)
    for event in events:
        try:
            if missing is None:
                _validate(event, problem, valid)
            else:
                _validate_filled(
                    event, problem, missing.apply(event, with_labels=with_labels), valid
                )
        except Exception as error:  # of a type that nobody has thought of: one row, not the stream
            valid.refuse(event, n_entries(event), _ERROR, f"{type(error).__name__}: {error}")
    return valid


def _validate_filled(
    event: Event, problem: str, replaced: tuple[Event, int], valid: ValidEvents
) -> None:
    """Validate an event in which fill values were replaced; `replaced` is it and their number."""
    n_before = len(valid.refused)
    known, n = replaced
    valid.n_fill_values += n
    _validate(known, problem, valid)
    if known is not event:  # who corrects a refused row needs the values that came
        valid.refused[n_before:] = [
            (event if part is known else part, reason) for part, reason in valid.refused[n_before:]
        ]


def n_entries(event: Event) -> int:
    """Return the number of rows or late labels in an event, at least 1."""
    try:
        if isinstance(event, Labels):
            return max(len(event.of), 1)
        return max(len(event.X), 1) if isinstance(event, Block) else 1
    except TypeError:  # something without a length
        return 1


def _validate(event: Event, problem: str, valid: ValidEvents) -> None:
    if (reason := _number_fault(event)) is not None:
        valid.refuse(event, n_entries(event), _NUMBER, reason)
    elif valid.is_stored and (reason := _key_fault(event)) is not None:
        valid.refuse(event, n_entries(event), _NAME, reason)
    elif isinstance(event, Sample):
        _validate_sample(event, problem, valid)
    elif isinstance(event, Block):
        _validate_block(event, problem, valid)
    elif isinstance(event, Labels):
        _validate_labels(event, problem, valid)
    elif _has_fitting_shape(event, valid):
        has_texts = isinstance(event.X, np.ndarray) and event.X.dtype.hasobject
        valid.events.append(event if has_texts else replace(event, X=_table(event.X)))


def _number_fault(event: Event) -> str | None:
    """Return what is wrong with source and numbers of an event, None if nothing is."""
    if not isinstance(event.source, str) or has_surrogate(event.source):
        return f"`source` {_UNICODE}, got {shown(event.source)}"
    if isinstance(event, PredictRequest):  # its number is only sent back
        return None
    if type(event.epoch) is not int or not 0 <= event.epoch < 2**64:
        return f"`epoch` must be an integer from 0 to {2**64 - 1}, got {shown(event.epoch)}"
    if isinstance(event, Sample | Block) and not _is_time(event.t):
        return f"`t` must be a number of seconds, got {shown(event.t)}"
    rows = len(event.X) if isinstance(event, Block) else 1
    first = plain(event.seq)
    if type(first) is not int or not 0 <= first <= MAX_SEQ - rows + 1:
        return f"`seq` {_SEQ}, got {shown(event.seq)}"
    if isinstance(event, Sample):
        return _joined_fault(event)
    return _referred_fault(event) if isinstance(event, Labels) else None


def _referred_fault(event: Labels) -> str | None:
    """Return what is wrong with the rows that late labels belong to."""
    if event.by_id:
        return next((fault for of in event.of if (fault := _id_fault(of))), None)
    wrong = next((of for of in event.of if not _is_number_of_row(of)), None)
    return None if wrong is None else f"`of` {_SEQ}, got {shown(wrong)}"


def _is_time(t: object) -> bool:
    return isinstance(t, float) or (isinstance(t, int) and abs(t) <= LARGEST)


def _joined_fault(event: Sample) -> str | None:
    """Return what is wrong with the id of a row and with what its record repeats."""
    if event.id is not None and (fault := _id_fault(event.id)) is not None:
        return fault
    for name, value in (event.extra or {}).items():
        is_large = isinstance(value, int) and not -(2**63) <= value < 2**64
        if is_large or has_surrogate(name) or has_surrogate(value):
            return (
                "`extra` must hold texts of valid Unicode and integers of 64 bits, "
                f"got {shown(value)} as {shown(name)}"
            )
    return None


def _id_fault(row_id: object) -> str | None:
    """Return what is wrong with the id of a row, None if nothing is."""
    value = plain(row_id)
    is_number = isinstance(value, int | float) and -(2**63) <= value < 2**64
    if is_number or (isinstance(value, str) and not has_surrogate(value)):
        return None
    return f"`id` must be a number of 64 bits or a text of valid Unicode, got {shown(row_id)}"


def _is_number_of_row(of: object) -> bool:
    number = plain(of)
    return isinstance(number, int) and 0 <= number <= MAX_SEQ


def label_fault(y: Label, problem: str, *, is_stored: bool = False) -> str | None:
    """Return what is wrong with a label, None if nothing is; the label None means missing.

    With `is_stored`, a class that no checkpoint can hold is a fault.

    Examples
    --------
    >>> label_fault("on", "classification"), label_fault(2.5, "regression")
    (None, None)
    >>> label_fault(1e31, "regression")
    '`y` must be a number from -1e+30 to 1e+30, got 1e+31'
    """
    if problem == "watching":  # labels are not read
        return None
    if problem == "classification":
        if type(y) in _NO_FAULT:
            return f"`y` {_UNICODE}, got {shown(y)}" if has_surrogate(y) else None
        return _class_fault(plain(y), y, is_stored)
    if problem == TARGETS:
        return None if y is None else _targets_fault(y)
    is_number = y is None or to_number(y) == to_number(y)
    return None if is_number else f"`y` {_RANGE}, got {shown(y)}"


def _targets_fault(y: Label) -> str | None:
    """Return what is wrong with the values of several targets."""
    if not isinstance(y, Mapping):
        return f"`y` must be a mapping from target to number, got {shown(y)}"
    for name, value in y.items():
        if is_beyond(value) or isinstance(value, str):
            return f"target {shown(name)} {_RANGE}, got {shown(value)}"
        if has_surrogate(name):
            return f"`y` {_UNICODE}, got the target {shown(name)}"
    if not known_targets(y):
        return f"`y` must have a value for at least one target, got {shown(y)}"
    return None


def _class_fault(label: Label, y: Label, is_stored: bool) -> str | None:
    """Return what is wrong with a class label; `y` is the label as it was given."""
    if isinstance(label, float) and not abs(label) <= LARGEST:
        return f"`y` {_RANGE}, got {shown(y)}"
    if isinstance(label, int) and not -(2**63) <= label < 2**64:
        return f"`y` must be an integer of 64 bits, got {shown(y)}"
    if isinstance(label, complex):
        return f"`y` must be a text, a number that is not complex, or true or false, got {shown(y)}"
    try:
        hash(label)
    except TypeError:
        return f"`y` must be a hashable class label, got {type(y).__name__}"
    return _storage_fault("`y`", label) if is_stored else None


def _storage_fault(what: str, value: object) -> str | None:
    """Return what is wrong with a value of a type that no checkpoint can hold."""
    if type(value) in _STORABLE:
        return None
    try:
        encode_plain(value)
    except CheckpointError:
        return (
            f"{what} must be a text, a number, true, false, bytes or a tuple of these where "
            f"checkpoints are written, got {shown(value)} of type {type(value).__name__}"
        )
    return None


def _key_fault(event: Event) -> str | None:
    """Return what is wrong with a name, a sequence id or an extra that no checkpoint can hold."""
    names: Iterable[object] = ()
    sequence: Iterable[object] = ()
    extra: Iterable[object] = ()
    if isinstance(event, Sample):
        names = event.x
        sequence = (event.sequence,)
        extra = (event.extra or {}).values()
    elif isinstance(event, Block):
        names = event.features
        sequence = event.sequence or ()
    kept = {"the name of a feature": names, "`sequence`": sequence, "a value of `extra`": extra}
    for what, values in kept.items():
        if not _STORABLE.issuperset(map(type, values)):
            faults = (_storage_fault(what, value) for value in values)
            if (fault := next(filter(None, faults), None)) is not None:
                return fault
    return None


def _stored(event: Sample) -> Sample:
    """Return a row whose values, label and id a checkpoint can hold."""
    if not _STORABLE.issuperset(map(type, event.x.values())):
        event = replace(event, x={name: _stored_value(value) for name, value in event.x.items()})
    if type(event.y) in _STORABLE and type(event.id) in _STORABLE:
        return event
    return replace(event, y=plain_label(event.y), id=plain(event.id))


def _stored_value(value: object) -> object:
    """Return a value as a model takes it; NaN if it is neither a number nor a text."""
    value = plain(value)
    return value if type(value) in _STORABLE or isinstance(value, str) else to_number(value)


def row_fault(x: object) -> str | None:
    """Return what is wrong with a row by name, None if nothing is."""
    if not isinstance(x, Mapping):
        return f"`x` must be a dict of feature names and values, got {type(x).__name__}"
    for name, value in x.items():
        is_plain = type(value) is float or type(value) is int
        if is_plain and -LARGEST <= value <= LARGEST and not has_surrogate(name):
            continue
        if (fault := _value_fault(name, value)) is not None:
            return fault
    return None


def _value_fault(name: object, value: object) -> str | None:
    if is_beyond(value):
        return f"feature {shown(name)} {_RANGE}, got {shown(value)}"
    if has_surrogate(name) or has_surrogate(value):
        return f"feature {shown(name)} {_UNICODE}, got {shown(value)}"
    return None


def _validate_sample(event: Sample, problem: str, valid: ValidEvents) -> None:
    if (reason := row_fault(event.x)) is not None:
        valid.refuse(event, 1, _VALUE, reason)
    elif (reason := label_fault(event.y, problem, is_stored=valid.is_stored)) is not None:
        valid.refuse(event, 1, _LABEL, reason)
    else:
        valid.events.append(_stored(event) if valid.is_stored else event)


def _validate_block(event: Block, problem: str, valid: ValidEvents) -> None:
    if not _has_fitting_shape(event, valid):
        return
    X = _table(event.X)
    event = event if X is event.X else replace(event, X=X)
    faults = _label_faults(() if event.y is None else event.y, problem, valid)
    if valid.is_stored:
        event = _stored_block(event)
    if not faults:
        valid.events.append(event)
        return
    for row, reason in faults.items():
        valid.refuse(cut(event, row, row + 1), 1, _LABEL, reason)
    begin = 0
    for end in [*faults, len(event.X)]:
        if end > begin:
            valid.events.append(cut(event, begin, end))
        begin = end + 1


def _stored_block(block: Block) -> Block:
    """Return rows whose values and labels a checkpoint can hold."""
    if block.X.dtype.hasobject:
        cells = block.X.ravel().tolist()
        if not _STORABLE.issuperset(map(type, cells)):
            X = np.empty(len(cells), object)
            X[:] = [_stored_value(cell) for cell in cells]
            block = replace(block, X=X.reshape(block.X.shape))
    if block.y is None or _STORABLE.issuperset(map(type, block.y)):
        return block
    return replace(block, y=plain_labels(block.y))


def _label_faults(labels: Sequence[Label], problem: str, valid: ValidEvents) -> dict[int, str]:
    """Return what is wrong with labels, by row; `valid` is where their events will be."""
    are_plain = problem == "classification" and _NO_FAULT.issuperset(map(type, labels))
    if are_plain and not any(map(has_surrogate, set(labels))):
        return {}
    stored = valid.is_stored
    faults = ((row, label_fault(y, problem, is_stored=stored)) for row, y in enumerate(labels))
    return {row: fault for row, fault in faults if fault is not None}


def _has_fitting_shape(event: Block | PredictRequest, valid: ValidEvents) -> bool:
    y = event.y if isinstance(event, Block) else None
    fits = np.ndim(event.X) == 2 and np.shape(event.X)[1] == len(event.features)
    if fits and (y is None or len(y) == len(event.X)):
        return True
    labels = "" if y is None else f" and {len(y)} labels"
    reason = (
        "`X` must have one column per feature and one row per label, "
        f"got shape {np.shape(event.X)} with {len(event.features)} features{labels}"
    )
    valid.refuse(event, len(event.X) if np.ndim(event.X) else 0, "shape", reason)
    return False


def _table(X: ArrayLike) -> Table:
    """Return numbers of 32 or 64 bits, or objects if some values are text."""
    array = np.asarray(X)
    if array.dtype.hasobject or array.dtype.kind in "SU":
        return array.astype(object, copy=False)
    wanted = np.float64 if array.dtype == np.float64 else np.float32
    return masked(array).astype(wanted, copy=False)


def _validate_labels(event: Labels, problem: str, valid: ValidEvents) -> None:
    faults = _label_faults(event.y, problem, valid)
    if valid.is_stored and not _STORABLE.issuperset(map(type, event.y)):
        event = replace(event, y=plain_labels(event.y))
    if not faults:
        valid.events.append(event)
        return
    for row, reason in faults.items():
        valid.refuse(replace(event, of=[event.of[row]], y=[event.y[row]]), 1, _LABEL, reason)
    kept = [row for row in range(len(event.y)) if row not in faults]
    if kept:
        of = [event.of[row] for row in kept]
        valid.events.append(replace(event, of=of, y=[event.y[row] for row in kept]))
