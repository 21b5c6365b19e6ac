"""Classification or regression: from the schema of a source, else from its first labels."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping

from loco_stream._joins import n_rows
from loco_stream._numbers import to_number
from loco_stream._problems import TARGETS
from loco_stream.engine._label_watch import PATIENCE_ROWS, PATIENCE_SECONDS, labels_in
from loco_stream.engine._missing_values import MissingValues
from loco_stream.engine._row import Label
from loco_stream.engine._source_reader import SourceReader
from loco_stream.stream import PredictRequest

_MANY = 100  # classes that are numbers, of more than which a note warns


def find_task(
    reader: SourceReader,
    rows: int = PATIENCE_ROWS,
    seconds: float = PATIENCE_SECONDS,
    *,
    missing_values: Iterable[float] = (),
    waits: bool = True,
) -> str | None:
    """Read ahead until the task is known; the reader still returns what was read.

    Numbers with a fractional part mean regression, unless half of the labels are texts. Any other
    labels mean classification, and so does the end of a stream without labels.

    reader: reads the source
    rows, seconds: the search ends after so many rows without a label, or so long after the first of
        them: a broker delivers no more while none is acknowledged
    missing_values: numbers that as a label stand for a missing one, and say nothing of the task
    waits: False looks only at what was read ahead before, and reads nothing

    Returns the task; None if no label has come, or if a peer requests a prediction before the first
    label.
    """
    ahead = reader.ahead
    missing = MissingValues.of(missing_values)
    n_read = 0
    deadline = None
    while True:
        schema = reader.source.schema
        if schema is not None and schema.task is not None:
            return schema.task
        if not ahead and not waits:
            return None
        commit = ahead.popleft() if ahead else reader.peek()
        if commit is None:
            return "classification"
        events = commit[0]
        labels = labels_in(events, missing)
        if labels and reader.source.schema != schema:  # set by the first rows
            continue
        if labels:
            return task_of_labels(labels)
        n_read += sum(map(n_rows, events))
        if n_read and deadline is None:
            deadline = time.monotonic() + seconds
        is_late = deadline is not None and time.monotonic() >= deadline
        if n_read >= rows or is_late or any(isinstance(e, PredictRequest) for e in events):
            return None


def task_of_labels(labels: Iterable[Label]) -> str:
    """Return the task of a stream with such labels; those of several targets are mappings.

    A few texts among values do not make a classification: they are refused as labels.

    Examples
    --------
    >>> task_of_labels([1, 2, 1]), task_of_labels([1.0, 2.5]), task_of_labels(["1.5"])
    ('classification', 'regression', 'classification')
    """
    labels = list(labels)
    if labels and isinstance(labels[0], Mapping):
        return TARGETS
    n_texts = sum(isinstance(label, str) for label in labels)
    fractions = (isinstance(label, float) and not label.is_integer() for label in labels)
    return "regression" if 2 * n_texts < len(labels) and any(fractions) else "classification"


def note_on_classes(classes: Iterable[Label]) -> str:
    """Return a note if classes may be values or spellings of one another; otherwise "".

    The first labels decide the task: a 3 that comes first makes every value after it a class.

    Examples
    --------
    >>> note_on_classes(["ok", 1, 2])
    ''
    >>> note_on_classes(range(250)).partition(";")[0]
    'more than 100 classes are numbers, such as 100'
    >>> note_on_classes(["worn", "ok", "OK "])
    "'ok' and 'OK ' are two classes; if they mean the same, write them alike"
    """
    classes = list(classes)
    values = [label for label in classes if _is_number(label)]
    if len(values) > _MANY:
        return (
            f"more than {_MANY} classes are numbers, such as {values[_MANY]}; if they are measured "
            "values, `task` must be regression"
        )
    spellings: dict[str, Label] = {}
    for label in classes:
        first = spellings.setdefault(str(label).strip().casefold(), label)
        if first != label:
            return (
                f"{first!r} and {label!r} are two classes; if they mean the same, write them alike"
            )
    return ""


def _is_number(label: Label) -> bool:
    """Return whether a label is a number, also one that is written as a text."""
    try:
        return math.isfinite(float(label) if isinstance(label, str) else to_number(label))
    except ValueError:
        return False
