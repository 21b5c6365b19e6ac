"""Counts of input that was not used, with a sentence per kind."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence

from loco_stream._arrays import Array
from loco_stream._persistence.content import Config, State
from loco_stream._text import counted, listed
from loco_stream.engine._column_counts import (
    SHOWN,
    Counts,
    SenderColumns,
    count_bounded,
    first_sentences,
)
from loco_stream.engine._row import Features, Values
from loco_stream.engine._unused_log import MALFORMED
from loco_stream.stream import Source

# Names that no model knows come from outside: their sender must not fill the memory.
_MAX_UNKNOWN = 64


class DataQuality:
    """Counts values, rows, messages and names that were not used; part of a checkpoint.

    source: its `skipped`, `stats` and `last_error` are included
    takes_text: whether the model learns from texts
    is_left_out: whether the engine leaves out a column, which is then not missed

    Examples
    --------
    >>> from loco_stream.engine._source_reader import PairSource
    >>> quality = DataQuality(PairSource([]), takes_text=False)
    >>> for colour in ("red", "blue"):
    ...     quality.count_row({"colour": colour, "size": 2.0})
    >>> quality.report()["masked"], quality.report()["unused"]
    ({'colour': 1.0}, ["column 'colour' had no usable number in any of 2 rows and was not learned"])
    """

    def __init__(
        self,
        source: Source,
        takes_text: bool,
        is_left_out: Callable[[Hashable], bool] = lambda _name: False,
    ) -> None:
        self._source = source
        self._columns = SenderColumns("source", takes_text, is_left_out)
        # by the engine, and by the source in earlier processes
        self._skipped: Counter[str] = Counter()
        self._n_malformed = 0  # messages in earlier processes
        self._last_errors = {"skipped": "", "malformed": ""}
        self._requests = _RequestedNames()

    def count_row(self, x: Values, sender: str = "") -> None:
        """Count a row by name."""
        self._columns.all.count_row(x)
        if (counts := self._columns.counts_of(sender)) is not None:
            counts.count_row(x)

    def count_block(self, X: Array, features: Features, sender: str = "") -> None:
        """Count rows of an array (n, n_features), in which NaN, or what is no input, is masked."""
        self._columns.all.count_block(X, features)
        if (counts := self._columns.counts_of(sender)) is not None:
            counts.count_block(X, features)

    def newly_lost(self) -> list[str]:
        """Return a sentence per column that is no longer sent, once."""
        return self._columns.newly_lost()

    def count_request(self, names: Iterable[Hashable], known: Features | None, rows: int) -> None:
        """Compare the features of rows to predict with those of the model; from any thread.

        `known` is None if the model does not list them.
        """
        if known:
            self._requests.count(tuple(names), known, rows)

    def skip(self, kinds: Mapping[str, int], reason: str) -> None:
        """Count refused rows, by kind."""
        self._skipped.update(kinds)
        self._last_errors["skipped"] = reason

    @property
    def skipped(self) -> dict[str, int]:
        """Refused rows, by kind."""
        skipped = self._skipped.copy()
        skipped.update(self._source.skipped)
        return dict(skipped)

    @property
    def n_malformed(self) -> int:
        """Messages that could not be read or were refused."""
        stats = self._source.stats
        return self._n_malformed + sum(stats.get(name, 0) for name in MALFORMED)

    def last_error(self, what: str) -> str:
        """Return the last error about "skipped" rows or "malformed" messages, "" if none."""
        error = self._source.last_error
        is_about_messages = any(name in self._source.stats for name in MALFORMED)
        is_it = bool(error) and is_about_messages == (what == "malformed")
        return error if is_it else self._last_errors[what]

    def report(self) -> Config:
        """Return everything under the keys of the report."""
        skipped = self.skipped
        n_malformed = self.n_malformed
        lost = list(self._columns.lost.values())
        return {
            "masked": self._columns.all.masked_shares(),
            "n_masked": self._columns.all.n_masked,
            "skipped": skipped,
            "n_malformed": n_malformed,
            "malformed": {"n": n_malformed, "last": self.last_error("malformed")},
            "n_unused": sum(skipped.values()) + n_malformed,
            "unknown_features": dict(self._requests.unknown),
            "missing_features": dict(self._requests.missing),
            "n_lost_columns": len(lost),
            "unused": list(self._sentences(skipped, n_malformed, lost)),
        }

    def _sentences(
        self, skipped: Mapping[str, int], n_malformed: int, lost: Sequence[str]
    ) -> Iterator[str]:
        if skipped:
            yield f"{_left_out(skipped)}; the last error: {self.last_error('skipped')}"
        if n_malformed:
            messages = counted(n_malformed, "message")
            yield f"{messages} not understood; the last error: {self.last_error('malformed')}"
        yield from self._columns.all.sentences()
        yield from first_sentences(lost, "more columns are lost")
        if self._requests.unknown:
            yield f"rows to predict had unknown features: {_listed(self._requests.unknown)}"
        if self._requests.missing:
            yield f"rows to predict lacked features: {_listed(self._requests.missing)}"

    def export_state(self) -> Config:
        """Return everything as plain values, with what the source has counted so far."""
        return {
            **self._columns.all.export_state(),
            "skipped": self.skipped,
            "unknown": list(self._requests.unknown.items()),
            "missing": list(self._requests.missing.items()),
            "n_malformed": self.n_malformed,
            "last_errors": {what: self.last_error(what) for what in self._last_errors},
        }

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`; a source that is opened again counts from 0."""
        self._columns.all.restore_state(state)
        self._requests.unknown = dict(state["unknown"])
        self._requests.missing = dict(state["missing"])
        self._skipped = Counter(state["skipped"])
        self._n_malformed = state["n_malformed"]
        self._last_errors = dict(state["last_errors"])


class _RequestedNames:
    """Features in rows to predict that the model does not know, and features that they lack."""

    def __init__(self) -> None:
        self.unknown: Counts = {}
        self.missing: Counts = {}
        self._lock = threading.Lock()
        self._last: tuple[Features, int] = ((), 0)  # names, and the number that the model knew
        self._differences: tuple[list[Hashable], list[Hashable]] = ([], [])

    def count(self, names: Features, known: Features, rows: int) -> None:
        """Count the difference between the names in rows and those of the model."""
        with self._lock:
            if (names, len(known)) != self._last:
                self._last = (names, len(known))
                self._differences = (_without(names, set(known)), _without(known, set(names)))
            unknown, missing = self._differences
            count_bounded(self.unknown, unknown, rows, _MAX_UNKNOWN)
            count_bounded(self.missing, missing, rows, _MAX_UNKNOWN)


def _without(names: Features, others: set[Hashable]) -> list[Hashable]:
    return [name for name in names if name not in others]


def _left_out(skipped: Mapping[str, int]) -> str:
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in skipped.items())
    return f"{counted(sum(skipped.values()), 'row')} left out ({kinds})"


def _listed(names: Mapping[Hashable, int]) -> str:
    """Return the first names with their rows."""
    return listed((f"{name!r} ({counted(n, 'row')})" for name, n in names.items()), SHOWN)
