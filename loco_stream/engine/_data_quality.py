"""Counts of input that was not used, with a sentence per kind."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
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
_LOST_ROWS = 100  # with a value of a feature, and then without one
_SHOWN = 5  # columns with a sentence of their own


class DataQuality:
    """Counts values, rows, messages and names that were not used; part of a checkpoint.

    The cost per row is a few counts: a row whose values add up to a finite number has no masked
    value.

    source: its `skipped`, `stats` and `last_error` are included
    takes_text: whether the model learns from texts
    is_left_out: whether the engine leaves out a column, which then comes no longer

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
        self.takes_text = takes_text
        self._is_left_out = is_left_out
        self._rows: Counts = {}  # rows in which a feature was named
        self._masked: Counts = {}
        # masked values that follow one another: their number, and that in `_rows` after the last
        self._masked_runs: dict[Hashable, tuple[int, int]] = {}
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
                self._mask(name, 1, 1, 1)

    def count_block(self, X: Array, features: Features) -> None:
        """Count rows of an array (n, n_features), in which NaN, or what is no input, is masked."""
        self._count_names(features, len(X))
        absent = self._absent(X) if X.dtype.hasobject else np.isnan(X)
        if absent.any():
            for j in np.flatnonzero(absent.any(axis=0)).tolist():
                n = int(absent[:, j].sum())
                n_last = _n_last(absent[:, j])
                self._mask(features[j], n, n_last, len(X))

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

    def _mask(self, name: Hashable, n: int, n_last: int, n_rows: int) -> None:
        """Count the masked values of a feature in the last rows.

        n_last: those after the last value
        n_rows: the number of these rows
        """
        _count_bounded(self._masked, [name], n, _MAX_NAMES)
        if name not in self._masked:
            return
        end = self._rows.get(name, 0) + self._n_named
        n_before, before = self._masked_runs.get(name, (0, 0))
        goes_on = n_last == n_rows and before == end - n_rows
        self._masked_runs[name] = (n_last + n_before if goes_on else n_last, end)

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
        lost = self.lost
        return {
            "masked": self._masked_shares(),
            "n_masked": sum(self._masked.values()),
            "skipped": skipped,
            "n_malformed": n_malformed,
            "malformed": {"n": n_malformed, "last": self.last_error("malformed")},
            "n_unused": sum(skipped.values()) + n_malformed,
            "unknown_features": dict(self._requests.unknown),
            "missing_features": dict(self._requests.missing),
            "n_lost_columns": len(lost),
            "unused": list(self._sentences(skipped, n_malformed, lost)),
        }

    def _masked_shares(self) -> dict[Hashable, float]:
        return {name: n / self._rows.get(name, n) for name, n in self._masked.items()}

    def _sentences(
        self, skipped: Mapping[str, int], n_malformed: int, lost: Mapping[Hashable, str]
    ) -> Iterator[str]:
        if skipped:
            yield f"{_left_out(skipped)}; the last error: {self.last_error('skipped')}"
        if n_malformed:
            messages = counted(n_malformed, "message")
            yield f"{messages} not understood; the last error: {self.last_error('malformed')}"
        yield from self._column_sentences()
        yield from _first(list(lost.values()), "more columns are lost")
        if self._requests.unknown:
            yield f"rows to predict had unknown features: {_listed(self._requests.unknown)}"
        if self._requests.missing:
            yield f"rows to predict lacked features: {_listed(self._requests.missing)}"

    @property
    def _what(self) -> str:
        return "usable value" if self.takes_text else "usable number"

    def _masked_in_order(self) -> Counts:
        """Return the masked values by feature, in the order of the features."""
        named = {name: self._masked[name] for name in self._rows if name in self._masked}
        return {**named, **self._masked}

    def _column_sentences(self) -> Iterator[str]:
        masked = self._masked_in_order()
        worst = sorted(masked, key=lambda name: -masked[name] / self._rows.get(name, 1))
        what = self._what
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

    @property
    def lost(self) -> dict[Hashable, str]:
        """A sentence per feature that came, and whose values come no longer."""
        self._flush_names()
        return {**self._without_values(), **self._absent_names()}

    def _absent_names(self) -> dict[Hashable, str]:
        """Return a sentence per feature that came with every row, and then with none."""
        return {
            name: f"column {name!r} came with each of the first {n:,} rows, and with none of the "
            f"{self._n_rows - n:,} rows since{self._in_place(n)}"
            for name, n in self._rows.items()
            if self._last.get(name) == n
            and n >= _LOST_ROWS
            and self._n_rows - n >= _LOST_ROWS
            and not self._is_left_out(name)
        }

    def _in_place(self, n: int) -> str:
        """Return the features that came with every row after the first n, and with none before."""
        new = [
            name
            for name, rows in self._rows.items()
            if rows == self._n_rows - n and self._last.get(name) == self._n_rows
        ]
        more = f" and {len(new) - _SHOWN} more" if len(new) > _SHOWN else ""
        return f", which have {', '.join(map(repr, new[:_SHOWN]))}{more} instead" if new else ""

    def _without_values(self) -> dict[Hashable, str]:
        """Return a sentence per feature that had values, and has none in its last rows."""
        lost = {}
        for name, n, end in self._open_runs():
            n_before = end - n
            n_values = end - self._masked[name]
            if _is_unexpected(n, n_values, n_before):
                many = "each" if n_values == n_before else f"{n_values:,}"
                lost[name] = (
                    f"column {name!r} had a {self._what} in {many} of the first {n_before:,} rows, "
                    f"and in none of the {n:,} rows since"
                )
        return lost

    def export_state(self) -> Config:
        """Return everything as plain values, with what the source has counted so far."""
        self._flush_names()
        return {
            "rows": list(self._rows.items()),
            "n_rows": self._n_rows,
            "steady": [name for name, n in self._rows.items() if self._last.get(name) == n],
            "masked": list(self._masked_in_order().items()),
            "masked_runs": list(self._open_runs()),
            "skipped": self.skipped,
            "unknown": list(self._requests.unknown.items()),
            "missing": list(self._requests.missing.items()),
            "n_malformed": self.n_malformed,
            "last_errors": {what: self.last_error(what) for what in self._last_errors},
        }

    def _open_runs(self) -> Iterator[tuple[Hashable, int, int]]:
        """Yield feature, length and end of the runs of masked values that may go on."""
        for name in self._masked_in_order():
            n, end = self._masked_runs.get(name, (0, 0))
            if n and end == self._rows.get(name):
                yield name, n, end

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`; a source that is opened again counts from 0."""
        self._names = ()
        self._n_named = 0
        self._rows = dict(state["rows"])
        self._n_rows = state["n_rows"]
        self._last = {name: self._rows[name] for name in state["steady"]}
        self._masked = dict(state["masked"])
        self._masked_runs = {name: (n, end) for name, n, end in state["masked_runs"]}
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


def _is_unexpected(n: int, n_values: int, n_before: int) -> bool:
    """Whether a hundred values would have come in n rows, if they came as in the rows before."""
    return n_values >= _LOST_ROWS and n * n_values >= _LOST_ROWS * n_before


def _n_last(absent: Bool) -> int:
    """Return the number of absent values after the last that is present."""
    present = np.flatnonzero(~absent)
    return len(absent) - 1 - int(present[-1]) if present.size else len(absent)


def _without(names: Features, others: set[Hashable]) -> list[Hashable]:
    return [name for name in names if name not in others]


def _count_bounded(counts: Counts, names: Iterable[Hashable], n: int, most: int) -> None:
    for name in names:
        if name in counts or len(counts) < most:
            counts[name] = counts.get(name, 0) + n


def _left_out(skipped: Mapping[str, int]) -> str:
    kinds = ", ".join(f"{n:,} {kind}" for kind, n in skipped.items())
    return f"{counted(sum(skipped.values()), 'row')} left out ({kinds})"


def _first(sentences: Sequence[str], more: str) -> Iterator[str]:
    """Yield the first sentences, and one with the number of the others."""
    yield from sentences[:_SHOWN]
    if len(sentences) > _SHOWN:
        yield f"{len(sentences) - _SHOWN} {more}"


def _listed(names: Mapping[Hashable, int]) -> str:
    """Return the first names with their rows."""
    shown = ", ".join(f"{name!r} ({counted(n, 'row')})" for name, n in list(names.items())[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
