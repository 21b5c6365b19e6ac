"""Classification or regression: from the schema of a source, else from its first labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from loco_stream.engine.row import Label
from loco_stream.engine.source_reader import SourceReader
from loco_stream.stream import Block, Event, Labels, PredictRequest, Sample

__all__ = ["find_task", "task_of_labels"]


def find_task(reader: SourceReader) -> str:
    """Read ahead until the task is known; the reader still returns what was read.

    Numbers with a fractional part mean regression, any other labels classification. So do a request
    to predict before any label, and the end of a stream without labels.
    """
    ahead = reader.ahead
    while True:
        schema = reader.source.schema
        if schema is not None and schema.task is not None:
            return schema.task
        commit = ahead.popleft() if ahead else reader.peek()
        if commit is None:
            return "classification"
        events = commit[0]
        labels = list(_labels(events))
        if labels and reader.source.schema != schema:  # set by the first rows
            continue
        if labels or any(isinstance(event, PredictRequest) for event in events):
            return task_of_labels(labels)


def task_of_labels(labels: Iterable[Label]) -> str:
    """Return the task of a stream with such labels.

    Examples
    --------
    >>> task_of_labels([1, 2, 1]), task_of_labels([1.0, 2.5]), task_of_labels(["1.5"])
    ('classification', 'regression', 'classification')
    """
    fractions = (isinstance(label, float) and not label.is_integer() for label in labels)
    return "regression" if any(fractions) else "classification"


def _labels(events: Sequence[Event]) -> Iterable[Label]:
    for event in events:
        if isinstance(event, Sample):
            labels: Sequence[Label] = [event.y]
        elif isinstance(event, Block | Labels):
            labels = event.y or ()
        else:
            labels = ()
        yield from (label for label in labels if label is not None)
