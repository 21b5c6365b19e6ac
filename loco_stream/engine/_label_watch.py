"""Watches a stream until its first label comes, and reports what it waits for."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from loco_stream._joins import n_rows
from loco_stream._text import counted, listed
from loco_stream.engine._missing_values import MissingValues
from loco_stream.engine._row import Label
from loco_stream.stream import Block, Event, Labels, Sample, Source

_log = logging.getLogger("loco_stream.engine.label_watch")

PATIENCE_ROWS = 1000
PATIENCE_SECONDS = 5.0
_MAX_NAMES = 256  # fields that are remembered


def labels_in(events: Sequence[Event], missing: MissingValues | None = None) -> list[Label]:
    """Return the labels in events, without missing ones and those that stand for one."""
    found: list[Label] = []
    for event in events:
        if isinstance(event, Sample):
            found.append(event.y)
        elif isinstance(event, Block | Labels):
            found += event.y or ()
    labels = [label for label in found if label is not None]
    return labels if missing is None else [label for label in labels if label not in missing]


class LabelWatch:
    """Counts rows before the first label, and warns once when none comes.

    It warns after `PATIENCE_ROWS` without a label, or `PATIENCE_SECONDS` after the first of them.

    source: has the place where labels are expected
    missing: labels that stand for a missing one

    Its attributes:
    is_waiting: whether no label has come yet
    n: rows that came before the first label
    """

    def __init__(self, source: Source, missing: MissingValues | None = None) -> None:
        self.is_waiting = True
        self.n = 0
        self._source = source
        self._missing = missing
        self._began: float | None = None
        self._names: dict[str, None] = {}
        self._has_warned = False

    @property
    def is_overdue(self) -> bool:
        """Whether a label should have come by now."""
        if not self.is_waiting or self._began is None:
            return False
        return self.n >= PATIENCE_ROWS or time.monotonic() - self._began >= PATIENCE_SECONDS

    def look(self, events: Sequence[Event]) -> list[Label]:
        """Return the labels in events; warn, once, if none comes."""
        labels = labels_in(events, self._missing)
        if labels:
            self.is_waiting = False
            return labels
        rows = sum(map(n_rows, events))
        if rows:
            self.n += rows
            self._began = time.monotonic() if self._began is None else self._began
            self._add_names(events)
        if self.is_overdue and not self._has_warned:
            self._has_warned = True
            _log.warning("%s", self.sentence)
        return labels

    def _add_names(self, events: Sequence[Event]) -> None:
        for event in events:
            if len(self._names) >= _MAX_NAMES:
                return
            if isinstance(event, Sample):
                self._names |= dict.fromkeys(map(str, event.x))
            elif isinstance(event, Block):
                self._names |= dict.fromkeys(event.features)

    def resume(self, n_rows: int, n_labelled: int) -> None:
        """Continue after rows of an earlier process."""
        self.n = n_rows
        self.is_waiting = n_labelled == 0

    @property
    def sentence(self) -> str:
        """What is missing: the number of rows, their fields, and where labels are expected."""
        what = f"no label has come in {counted(self.n, 'row')}"
        fields = f"; the rows have the fields {listed(list(self._names))}" if self._names else ""
        where = self._source.labels_from
        return f"{what}{fields}{f'; labels are expected in {where}' if where else ''}"
