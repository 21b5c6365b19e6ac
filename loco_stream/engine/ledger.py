"""What came in and was not used, and why.

One account for report, table, terminal, Prometheus and page.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.numbers import to_number
from loco_stream.stream import Source

__all__ = ["Ledger"]

_NAMES = 4096  # features counted by name: as many as a model may have
_STRANGERS = (
    64  # names that no model knows come from outside: whoever sends them must not fill the memory
)
_SHOWN = 5  # columns that get a sentence of their own
_UNREAD = (
    "malformed",
    "rejected",
)  # what the `stats` of a live source call messages that brought nothing


class Ledger:
    """Counts values, rows, messages and names that were not used; takes part in checkpoints.

    A few counts a row are all it costs: a row whose values add up to a finite number has none that
    is masked.

    Parameters
    ----------
    source
        Its `skipped`, `stats` and `last_error` are part of the account.
    takes_text
        Whether the model learns from texts.

    Examples
    --------
    >>> from loco_stream.engine.source_reader import PairSource
    >>> ledger = Ledger(PairSource([]), takes_text=False)
    >>> for colour in ("red", "blue"):
    ...     ledger.row({"colour": colour, "size": 2.0})
    >>> ledger.report()["masked"], ledger.report()["unused"]
    ({'colour': 1.0}, ["column 'colour' held no number in any of 2 rows: nothing was learned from
    it"])
    """

    def __init__(self, source: Source, takes_text: bool) -> None:
        self._source = source
        self._takes_text = takes_text
        self._rows: dict[Hashable, int] = {}  # in which a feature was named
        self._masked: dict[Hashable, int] = {}
        self._names: tuple[Hashable, ...] = ()  # of the rows that have no entry in `_rows` yet
        self._run = 0  # how many those are
        self._asking = threading.Lock()  # predictions are asked for from other threads too
        self._asked: tuple[tuple[Hashable, ...], int] = ((), 0)
        self._strange: tuple[list[Hashable], list[Hashable]] = ([], [])
        self.unknown: dict[
            Hashable, int
        ] = {}  # feature names in predictions, and the rows they came with
        self.missing: dict[Hashable, int] = {}
        self._skipped: dict[
            str, int
        ] = {}  # by the engine itself, and by the source in earlier processes
        self._unread = 0  # messages in earlier processes
        self._last = {"skipped": "", "malformed": ""}

    # What happens

    def row(self, x: Mapping[Hashable, Any]) -> None:
        """Take note of a row by name."""
        self._named(tuple(x), 1)
        try:
            total = sum(x.values())
        except (TypeError, ValueError, ArithmeticError):
            total = None
        if not isinstance(total, int | float) or total - total != 0:
            for name, value in x.items():
                if self._takes_text and isinstance(value, str) and value:
                    continue
                if math.isnan(to_number(value)):
                    self._mask(name, 1)

    def block(self, X: NDArray[np.float32], features: tuple[str, ...]) -> None:
        """Take note of rows as an array, (n, n_features), in which NaN is no number."""
        self._named(features, len(X))
        absent = np.isnan(X)
        if absent.any():
            for j in np.flatnonzero(absent.any(axis=0)).tolist():
                self._mask(features[j], int(absent[:, j].sum()))

    def predicted(
        self, names: Iterable[Hashable], known: tuple[Hashable, ...] | None, rows: int
    ) -> None:
        """Compare the names of rows to predict with those that the model knows.

        None if it does not tell.
        """
        if not known:
            return
        asked = (tuple(names), len(known))
        with self._asking:
            if asked != self._asked:
                self._asked = asked
                own = set(known)
                given = set(asked[0])
                self._strange = (
                    [n for n in asked[0] if n not in own],
                    [n for n in known if n not in given],
                )
            for counts, strange in zip((self.unknown, self.missing), self._strange, strict=True):
                for name in strange:
                    if name in counts or len(counts) < _STRANGERS:
                        counts[name] = counts.get(name, 0) + rows

    def skip(self, kinds: Mapping[str, int], reason: str) -> None:
        """Count rows left out, by kind."""
        _add(self._skipped, kinds)
        self._last["skipped"] = reason

    def _named(self, names: tuple[Hashable, ...], n: int) -> None:
        if names != self._names:
            self._turn()
            self._names = names
        self._run += n

    def _turn(self) -> None:
        """Enter the rows counted so far: rows with the same names come one after another."""
        for name in self._names if self._run else ():
            if name in self._rows or len(self._rows) < _NAMES:
                self._rows[name] = self._rows.get(name, 0) + self._run
        self._run = 0

    def _mask(self, name: Hashable, n: int) -> None:
        if name in self._masked or len(self._masked) < _NAMES:
            self._masked[name] = self._masked.get(name, 0) + n

    # What is told

    @property
    def skipped(self) -> dict[str, int]:
        """Rows left out, by kind."""
        return _add(dict(self._skipped), self._source.skipped)

    @property
    def unread(self) -> int:
        """Messages that could not be read or were refused."""
        stats = self._source.stats
        return self._unread + sum(stats.get(name, 0) for name in _UNREAD)

    def last(self, what: str) -> str:
        """Return the last sentence about "skipped" rows or "malformed" messages, empty if there was none."""
        sentence = self._source.last_error
        counts_messages = any(name in self._source.stats for name in _UNREAD)
        is_it = bool(sentence) and counts_messages == (what == "malformed")
        return sentence if is_it else self._last[what]

    def report(self) -> dict[str, Any]:
        """Return everything under the report's keys."""
        self._turn()
        skipped = self.skipped
        unread = self.unread
        return {
            "masked": {name: n / self._rows.get(name, n) for name, n in self._masked.items()},
            "n_masked": sum(self._masked.values()),
            "skipped": skipped,
            "n_malformed": unread,
            "malformed": {"n": unread, "last": self.last("malformed")},
            "n_unused": sum(skipped.values()) + unread,
            "unknown_features": dict(self.unknown),
            "missing_features": dict(self.missing),
            "unused": list(self._sentences(skipped, unread)),
        }

    def _sentences(self, skipped: Mapping[str, int], unread: int) -> Iterator[str]:
        if skipped:
            kinds = ", ".join(f"{n:,} {kind}" for kind, n in skipped.items())
            yield f"{_rows_of(sum(skipped.values()))} left out ({kinds}); the last: {self.last('skipped')}"
        if unread:
            yield f"{unread:,} message{'s' * (unread > 1)} not understood; the last: {self.last('malformed')}"
        yield from self._columns()
        for names, what in (
            (self.unknown, "with features that the model does not know"),
            (self.missing, "without"),
        ):
            if names:
                yield f"predictions were asked {what}: {_listed(names)}"

    def _columns(self) -> Iterator[str]:
        worst = sorted(self._masked, key=lambda name: -self._masked[name] / self._rows.get(name, 1))
        for name in worst[:_SHOWN]:
            n = self._masked[name]
            rows = self._rows.get(name, self._masked[name])
            if n >= rows:
                yield f"column {name!r} held no number in any of {_rows_of(rows)}: nothing was learned from it"
            else:
                yield f"column {name!r} held no number in {n:,} of {_rows_of(rows)}"
        if len(worst) > _SHOWN:
            yield f"{len(worst) - _SHOWN} further columns held no number in some rows"

    # Checkpoints

    def export_state(self) -> dict[str, Any]:
        """Return everything as plain values, what the source has counted so far among it."""
        self._turn()
        last = {what: self.last(what) for what in self._last}
        return {
            "rows": list(self._rows.items()),
            "masked": list(self._masked.items()),
            "skipped": self.skipped,
            "unknown": list(self.unknown.items()),
            "missing": list(self.missing.items()),
            "unread": self.unread,
            "last": last,
        }

    def restore_state(self, state: Mapping[str, Any]) -> None:
        """Continue from `export_state`; a source that is opened anew counts from 0."""
        self._names = ()
        self._run = 0
        for field in ("rows", "masked", "unknown", "missing"):
            counts = getattr(self, field if field.startswith(("un", "mis")) else f"_{field}")
            counts.clear()
            counts.update((name, n) for name, n in state.get(field, ()))
        self._skipped, self._unread = dict(state.get("skipped", {})), state.get("unread", 0)
        self._last = {"skipped": "", "malformed": "", **state.get("last", {})}


def _add(counts: dict[str, int], more: Mapping[str, int]) -> dict[str, int]:
    for kind, n in more.items():
        counts[kind] = counts.get(kind, 0) + n
    return counts


def _rows_of(n: int) -> str:
    return f"{n:,} row{'s' * (n != 1)}"


def _listed(names: Mapping[Hashable, int]) -> str:
    """Return the first names with their rows."""
    shown = ", ".join(f"{name!r} ({_rows_of(n)})" for name, n in list(names.items())[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
