"""Counts of input that was not used, with a sentence per kind."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from operator import not_
from typing import TypeAlias

import numpy as np

from loco_stream._arrays import Array, Bool
from loco_stream._numbers import masked, to_number
from loco_stream._persistence.content import Config, State
from loco_stream._text import counted
from loco_stream.engine._row import Features, Values
from loco_stream.engine._unused_log import MALFORMED
from loco_stream.stream import Source

Counts: TypeAlias = dict[Hashable, int]

_MAX_NAMES = 4096  # features counted by name: as many as a model may have
# Names that no model knows come from outside: their sender must not fill the memory.
_MAX_UNKNOWN = 64
_LOST_ROWS = 100  # with a feature, and then without it
_SHOWN = 5  # columns with a sentence of their own


class DataQuality:
    """Counts values, rows, messages and names that were not used; part of a checkpoint.

    The cost per row is a few counts: a row whose values add up to a finite number has no masked
    value.

    source: its `skipped`, `stats` and `last_error` are included
    takes_text: whether the model learns from texts

    Examples
    --------
    >>> from loco_stream.engine._source_reader import PairSource
    >>> quality = DataQuality(PairSource([]), takes_text=False)
    >>> for colour in ("red", "blue"):
    ...     quality.count_row({"colour": colour, "size": 2.0})
    >>> quality.report()["masked"], quality.report()["unused"]
    ({'colour': 1.0}, ["column 'colour' had no usable number in any of 2 rows and was not learned"])
    """

    def __init__(self, source: Source, takes_text: bool) -> None:
        self._source = source
        self.takes_text = takes_text
        self._rows: Counts = {}  # rows in which a feature was named
        self._masked: Counts = {}
        self._names: Features = ()  # of the last rows, which are not in `_rows` yet
        self._n_named = 0  # the number of these rows
        self._n_rows = 0  # all rows before these
        self._last: Counts = {}  # number of the last row that named a feature
        # by the engine, and by the source in earlier processes
        self._skipped: Counter[str] = Counter()
        self._n_malformed = 0  # messages in earlier processes
        self._last_errors = {"skipped": "", "malformed": ""}
        self._requests = _RequestedNames()

    def count_row(self, x: Values) -> None:
        """Count a row by name."""
        self._count_names(tuple(x), 1)
        try:
            total = sum(x.values())
        except (TypeError, ValueError, ArithmeticError):
            total = None
        if isinstance(total, int | float) and total - total == 0:
            return
        for name, value in x.items():
            if not self._is_input(value):
                self._mask(name, 1)

    def count_block(self, X: Array, features: Features) -> None:
        """Count rows of an array (n, n_features), in which NaN, or what is no input, is masked."""
        self._count_names(features, len(X))
        absent = self._absent(X) if X.dtype.hasobject else np.isnan(X)
        if absent.any():
            for j in np.flatnonzero(absent.any(axis=0)).tolist():
                self._mask(features[j], int(absent[:, j].sum()))

    def _absent(self, X: Array) -> Bool:
        """Return which objects are no input."""
        absent = np.empty(X.shape, np.bool_)
        for j, cells in enumerate(X.T.tolist()):
            kinds = set(map(type, cells))
            if kinds == {str} and self.takes_text:
                absent[:, j] = list(map(not_, cells))
            elif kinds == {float}:
                absent[:, j] = np.isnan(masked(np.array(cells)))
            else:
                absent[:, j] = [not self._is_input(cell) for cell in cells]
        return absent

    def _is_input(self, value: object) -> bool:
        is_text = self.takes_text and isinstance(value, str) and value
        return bool(is_text) or not math.isnan(to_number(value))

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

    def _count_names(self, names: Features, n: int) -> None:
        if names != self._names:
            self._flush_names()
            self._names = names
        self._n_named += n

    def _flush_names(self) -> None:
        """Count the last rows by feature; rows with the same names follow one another."""
        if self._n_named:
            _count_bounded(self._rows, self._names, self._n_named, _MAX_NAMES)
            self._n_rows += self._n_named
            known = filter(self._rows.__contains__, self._names)
            self._last.update(dict.fromkeys(known, self._n_rows))
        self._n_named = 0

    def _mask(self, name: Hashable, n: int) -> None:
        _count_bounded(self._masked, [name], n, _MAX_NAMES)

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
        self._flush_names()
        skipped = self.skipped
        n_malformed = self.n_malformed
        return {
            "masked": {name: n / self._rows.get(name, n) for name, n in self._masked.items()},
            "n_masked": sum(self._masked.values()),
            "skipped": skipped,
            "n_malformed": n_malformed,
            "malformed": {"n": n_malformed, "last": self.last_error("malformed")},
            "n_unused": sum(skipped.values()) + n_malformed,
            "unknown_features": dict(self._requests.unknown),
            "missing_features": dict(self._requests.missing),
            "unused": list(self._sentences(skipped, n_malformed)),
        }

    def _sentences(self, skipped: Mapping[str, int], n_malformed: int) -> Iterator[str]:
        if skipped:
            kinds = ", ".join(f"{n:,} {kind}" for kind, n in skipped.items())
            last = self.last_error("skipped")
            rows = counted(sum(skipped.values()), "row")
            yield f"{rows} left out ({kinds}); the last error: {last}"
        if n_malformed:
            messages = counted(n_malformed, "message")
            yield f"{messages} not understood; the last error: {self.last_error('malformed')}"
        yield from self._column_sentences()
        yield from self._lost_sentences()
        if self._requests.unknown:
            yield f"rows to predict had unknown features: {_listed(self._requests.unknown)}"
        if self._requests.missing:
            yield f"rows to predict lacked features: {_listed(self._requests.missing)}"

    def _masked_in_order(self) -> Counts:
        """Return the masked values by feature, in the order of the features."""
        named = {name: self._masked[name] for name in self._rows if name in self._masked}
        return {**named, **self._masked}

    def _column_sentences(self) -> Iterator[str]:
        what = "usable value" if self.takes_text else "usable number"
        masked = self._masked_in_order()
        worst = sorted(masked, key=lambda name: -masked[name] / self._rows.get(name, 1))
        for name in worst[:_SHOWN]:
            n = self._masked[name]
            n_rows = self._rows.get(name, n)
            rows = counted(n_rows, "row")
            if n >= n_rows:
                yield f"column {name!r} had no {what} in any of {rows} and was not learned"
            else:
                yield f"column {name!r} had no {what} in {n:,} of {rows}"
        if len(worst) > _SHOWN:
            yield f"{len(worst) - _SHOWN} more columns had no {what} in some rows"

    def _lost_sentences(self) -> Iterator[str]:
        """Yield a sentence per feature that came with every row, and then with none."""
        lost = [
            name
            for name, n in self._rows.items()
            if self._last.get(name) == n and n >= _LOST_ROWS and self._n_rows - n >= _LOST_ROWS
        ]
        for name in lost[:_SHOWN]:
            n = self._rows[name]
            yield (
                f"column {name!r} came with each of the first {n:,} rows, and with none of the "
                f"{self._n_rows - n:,} rows since"
            )
        if len(lost) > _SHOWN:
            yield f"{len(lost) - _SHOWN} more columns do not come any more"

    def export_state(self) -> Config:
        """Return everything as plain values, with what the source has counted so far."""
        self._flush_names()
        return {
            "rows": list(self._rows.items()),
            "n_rows": self._n_rows,
            "steady": [name for name, n in self._rows.items() if self._last.get(name) == n],
            "masked": list(self._masked_in_order().items()),
            "skipped": self.skipped,
            "unknown": list(self._requests.unknown.items()),
            "missing": list(self._requests.missing.items()),
            "n_malformed": self.n_malformed,
            "last_errors": {what: self.last_error(what) for what in self._last_errors},
        }

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`; a source that is opened again counts from 0."""
        self._names = ()
        self._n_named = 0
        self._rows = dict(state["rows"])
        self._n_rows = state["n_rows"]
        self._last = {name: self._rows[name] for name in state["steady"]}
        self._masked = dict(state["masked"])
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
            _count_bounded(self.unknown, unknown, rows, _MAX_UNKNOWN)
            _count_bounded(self.missing, missing, rows, _MAX_UNKNOWN)


def _without(names: Features, others: set[Hashable]) -> list[Hashable]:
    return [name for name in names if name not in others]


def _count_bounded(counts: Counts, names: Iterable[Hashable], n: int, most: int) -> None:
    for name in names:
        if name in counts or len(counts) < most:
            counts[name] = counts.get(name, 0) + n


def _listed(names: Mapping[Hashable, int]) -> str:
    """Return the first names with their rows."""
    shown = ", ".join(f"{name!r} ({counted(n, 'row')})" for name, n in list(names.items())[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
