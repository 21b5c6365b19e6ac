"""Is it classification or regression? The schema says, else the first labels do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from loco_stream.engine.source_reader import SourceReader
from loco_stream.stream import Block, Event, Labels, PredictRequest, Sample

__all__ = ["find_task", "task_of_labels"]


def find_task(feed: SourceReader) -> str:
    """Read ahead until the task is known; nothing that was read is lost.

    Numbers with a fractional part mean regression, any other labels classification. So does a
    question before any label, and the end of a stream without labels.
    """
    ahead = feed.ahead
    while True:
        schema = feed.source.schema
        if schema is not None and schema.task is not None:
            return schema.task
        commit = ahead.popleft() if ahead else feed.peek()
        if commit is None:
            return "classification"
        labels = list(_labels(commit[0]))
        if labels and feed.source.schema != schema:  # the first rows told it to the source
            continue
        if labels or any(isinstance(event, PredictRequest) for event in commit[0]):
            return task_of_labels(labels)


def task_of_labels(labels: Iterable[Any]) -> str:
    """Tell the task from labels.

    Examples
    --------
    >>> task_of_labels([1, 2, 1]), task_of_labels([1.0, 2.5]), task_of_labels(["1.5"])
    ('classification', 'regression', 'classification')
    """
    fractions = (isinstance(label, float) and not label.is_integer() for label in labels)
    return "regression" if any(fractions) else "classification"


def _labels(events: Sequence[Event]) -> Iterable[Any]:
    for event in events:
        if isinstance(event, Sample):
            found: Sequence[Any] = [event.y]
        elif isinstance(event, Block | Labels):
            found = event.y or ()
        else:
            found = ()
        yield from (label for label in found if label is not None)
