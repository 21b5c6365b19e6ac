"""Ids of rows: labels find their rows by them, before and after the rows come."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Any, TypeAlias

import msgspec

from loco_stream._persistence.content import Config, State
from loco_stream.engine._limited_log import LimitedLog
from loco_stream.engine._row import Label

_limited = LimitedLog(logging.getLogger("loco_stream.engine.row_ids"))

Key: TypeAlias = tuple[str, int, int]  # source, epoch, seq

_LEARNED = "learned"
_DROPPED = "dropped"

COUNTERS = (
    "n_labels_early",
    "n_labels_repeated",
    "n_labels_late",
    "n_labels_unknown",
    "n_rows_repeated",
)


def id_text(value: Any) -> str:
    """Return an id as text: 7, 7.0 and "7" are one id.

    Examples
    --------
    >>> id_text(7.0), id_text("7"), id_text("A-7")
    ('7', '7', 'A-7')
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


class RowIds:
    """Which id belongs to which row, in bounded memory.

    A label whose row has not come yet waits for it. An id that was used is remembered, so that a
    repeated row or label is recognised.

    capacity: early labels kept, and used ids remembered
    max_age: seconds that an early label waits for its row

    Its attributes:
    counts: number of labels that came before their row (`n_labels_early`), again
        (`n_labels_repeated`), after their row was dropped (`n_labels_late`) or for a row that never
        came (`n_labels_unknown`), and of rows that came again (`n_rows_repeated`)
    """

    def __init__(self, capacity: int, max_age: float) -> None:
        self._capacity = capacity
        self._max_age = max_age
        self.counts = dict.fromkeys(COUNTERS, 0)
        self._last: dict[str, str] = {}  # counter: the last id that it counted
        self._waiting: dict[str, Key] = {}  # ids of rows that wait for their label
        self._early: OrderedDict[str, tuple[Label, float]] = OrderedDict()
        self._used: OrderedDict[str, str] = OrderedDict()

    def add(self, row_id: Any, key: Key) -> None:
        """Note that a row waits for its label."""
        self._waiting[id_text(row_id)] = key

    def is_known(self, row_id: Any) -> bool:
        """Return whether a row with this id has come before; it is then counted as repeated."""
        text = id_text(row_id)
        known = text in self._waiting or text in self._used
        if known:
            self._count("n_rows_repeated", text)
        return known

    def end(self, row_id: Any, *, learned: bool) -> None:
        """Note that a row waits no longer, or came with its label.

        A label that came before such a row is then counted as repeated.
        """
        text = id_text(row_id)
        self._waiting.pop(text, None)
        if self._early.pop(text, None) is not None:
            self._count("n_labels_repeated", text)
        self._used[text] = _LEARNED if learned else _DROPPED
        while len(self._used) > self._capacity:  # a resumed run may remember fewer
            self._used.popitem(last=False)

    def take_early(self, row_id: Any) -> Label:
        """Remove and return the label that came before its row; None if there is none."""
        label, _ = self._early.pop(id_text(row_id), (None, 0.0))
        return label

    def find(self, row_id: Any, y: Label, now: float) -> Key | None:
        """Return the row of a label; without one, the label is kept or counted."""
        text = id_text(row_id)
        if text in self._waiting:
            return self._waiting[text]
        used = self._used.get(text)
        if used == _LEARNED or text in self._early:
            self._count("n_labels_repeated", text)
        elif used == _DROPPED:
            self._count("n_labels_late", text)
        else:
            self.counts["n_labels_early"] += 1
            self._early[text] = (y, now)
            while len(self._early) > self._capacity:
                self._give_up()
        return None

    def expire(self, now: float) -> None:
        """Give up early labels that are older than `max_age`."""
        while self._early and now - next(iter(self._early.values()))[1] > self._max_age:
            self._give_up()

    def _give_up(self) -> None:
        text, _ = self._early.popitem(last=False)
        self._count("n_labels_unknown", text)

    def _count(self, counter: str, text: str) -> None:
        self.counts[counter] += 1
        self._last[counter] = text
        _limited.warning("id %s: %s", text, _SENTENCES[counter].format(n=1))

    def sentences(self) -> list[str]:
        """Return a sentence for each kind of label or row that was not used."""
        found = [
            f"{text.format(n=self.counts[counter])}; the last id: {self._last.get(counter, '?')}"
            for counter, text in _SENTENCES.items()
            if self.counts[counter]
        ]
        if self._early:
            newest = next(reversed(self._early))
            found.append(
                f"labels wait for rows that have not come: {len(self._early):,}; the last id: "
                f"{newest}"
            )
        return found

    def export_state(self) -> Config:
        """Return everything as plain values."""
        return {**self._counted(), "used": [list(item) for item in self._used.items()]}

    def _counted(self) -> Config:
        return {
            "counts": {name: n for name, n in self.counts.items() if n},
            "last": dict(self._last),
            "early": [[text, y, since] for text, (y, since) in self._early.items()],
        }

    def encoded_state(self) -> Config:
        """Return the state with the used ids already encoded, which `encode_plain` passes on.

        It is faster than encoding `export_state`: there may be thousands of used ids, and pairs
        of texts need no conversion.
        """
        used = msgspec.msgpack.encode(list(self._used.items()))
        return {**self._counted(), "used": msgspec.Raw(used)}

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`; ids of waiting rows are added with the rows."""
        self.counts = {name: state["counts"].get(name, 0) for name in COUNTERS}
        self._last = dict(state["last"])
        self._waiting = {}
        self._early = OrderedDict((text, (y, since)) for text, y, since in state["early"])
        self._used = OrderedDict((text, end) for text, end in state["used"])


_SENTENCES = {
    "n_labels_repeated": "labels that came again and were not learned twice: {n:,}",
    "n_labels_late": "labels that came after their row was dropped: {n:,}",
    "n_labels_unknown": "labels of rows that never came: {n:,}",
    "n_rows_repeated": "rows with the id of an earlier row, which were not learned: {n:,}",
}
