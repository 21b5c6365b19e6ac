"""Finds columns that are no longer sent, by all keys of a fleet or by one."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from loco_stream.engine._column_counts import SenderColumns, first_sentences
from loco_stream.engine._text_columns import TextColumns
from loco_stream.fleet._rows import LABELS, KeyRows

_log = logging.getLogger("loco_stream.fleet.columns")

_CHECK_SECONDS = 1.0


class FleetColumns:
    """Counts the columns of a stream and of its keys, in this process.

    takes_text: whether the models learn from texts
    text_columns: knows which columns are left out
    is_live: whether a column that is no longer sent is logged during the run
    """

    def __init__(self, takes_text: bool, text_columns: TextColumns, is_live: bool) -> None:
        self._columns = SenderColumns("key", takes_text, text_columns.is_left_out)
        self._is_live = is_live
        self._next_check = 0.0

    def count(self, batch: Sequence[KeyRows]) -> None:
        """Count rows, which no longer have the column of the key."""
        for rows in batch:
            if rows.kind == LABELS:
                continue
            of_key = self._columns.counts_of(rows.key)
            for counts in [self._columns.all] if of_key is None else [self._columns.all, of_key]:
                if isinstance(rows.X, list):
                    for x in rows.X:
                        counts.count_row(x)
                elif rows.features is not None:
                    counts.count_block(rows.X, rows.features)

    def log_lost(self) -> None:
        """Log once that a column of a live source is no longer sent."""
        now = time.monotonic()
        if not self._is_live or now < self._next_check:
            return
        self._next_check = now + _CHECK_SECONDS
        for sentence in self._columns.newly_lost():
            _log.warning("%s", sentence)

    def sentences(self) -> list[str]:
        """Return sentences about the columns that are no longer sent."""
        return list(first_sentences(list(self._columns.lost.values()), "more columns are lost"))
