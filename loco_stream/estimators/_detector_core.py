"""The model inside a detector: columns, cells as numbers and kinds, compiled state, forecasts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from copy import copy
from threading import RLock
from typing import Any, NamedTuple, Protocol
from zlib import crc32

import numpy as np

from loco_stream._arrays import Bool, Float64, Int64
from loco_stream._novelty import state as novelty
from loco_stream._novelty.marks import declare
from loco_stream._novelty.step import Found, Rows, run
from loco_stream._numbers import LARGEST, is_beyond, shown, to_number
from loco_stream._persistence.content import (
    Arrays,
    Config,
    SavedArrays,
    State,
    restoring,
    with_prefix,
    without_prefix,
)
from loco_stream.errors import InputError
from loco_stream.estimators._inputs.categories import is_text, known_by
from loco_stream.estimators._inputs.slots import in_order, require_name
from loco_stream.estimators._inputs.tables import Table
from loco_stream.estimators._saved_checks import check_names

_FLOAT = {float}
_NOT_KEPT = frozenset({"lock", "names", "_all_numbers", "_scratch", "_is_scored"})


class Cells(NamedTuple):
    """Rows.

    numbers: (n, columns), 0 where there is none
    kinds: (n, columns)
    is_full: whether every cell is known to hold a number
    """

    numbers: Float64
    kinds: Int64
    is_full: bool = False


class RowResults(NamedTuple):
    """What was found in rows, each before it was learned.

    scores: (n, 3) onset, state, and 1 for an alarm
    columns: (n, columns) onset score of each column
    low, high: (n, columns) expected band, infinite where nothing is expected yet
    names: of the columns
    """

    scores: Float64
    columns: Float64
    low: Float64
    high: Float64
    names: tuple[Hashable, ...]

    def blame(self, row: int) -> Hashable:
        """Return the column with the highest score of a row; None if all are 0."""
        scores = self.columns[row]
        if len(scores) == 0 or scores.max() <= 0.0:
            return None
        return self.names[int(scores.argmax())]

    def expected(self, row: int) -> dict[Hashable, tuple[float, float]]:
        """Return the expected band of each column that has one."""
        bands = zip(self.names, self.low[row].tolist(), self.high[row].tolist(), strict=True)
        return {name: (low, high) for name, low, high in bands if high < math.inf}


class Forecasts(Protocol):
    """Forecasts the next row from the rows before it."""

    def learn_predict(self, filled: Float64, known: Bool, times: Float64) -> Float64:
        """Return the forecast of each row, (n, columns), made before the row is learned."""

    def predict(self, filled: Float64, time: float) -> Float64:
        """Return the forecast of one row, (columns,); nothing is learned."""

    def export(self) -> tuple[Config, Arrays]:
        """Return plain values and arrays, from which `restore` continues."""

    def restore(self, config: Any, arrays: SavedArrays, n_columns: int) -> None:
        """Continue from `export`."""


class DetectorCore:
    """Columns and state of one detector. Methods do not lock; `lock` is held by the detector.

    every: rows per false alarm
    forecasts: what a row is expected to be; its errors are part of the scores
    """

    def __init__(self, every: float, forecasts: Forecasts) -> None:
        self.every = float(every)
        self.lock = RLock()
        self.columns: dict[Hashable, int] = {}
        self.texts: list[dict[str, int]] = []  # of each column, the kind of each text
        self.state = novelty.allocate(0)
        self.forecasts = forecasts
        self.filled = np.zeros(0)  # last known number of each column
        self._make_scratch()

    def _make_scratch(self) -> None:
        self.names = tuple(self.columns)
        self._scratch = np.zeros((len(self.columns), novelty.N_CELL))
        self._is_scored = np.zeros(len(self.columns), np.bool_)
        self._all_numbers = np.full((1, len(self.columns)), novelty.NUMBER, np.int64)

    def __getstate__(self) -> dict[str, Any]:
        with self.lock:
            kept = {n: value for n, value in self.__dict__.items() if n not in _NOT_KEPT}
            copies = {name: array.copy() for name, array in self.state._asdict().items()}
            kept["state"] = novelty.State(**copies)
            kept["forecasts"] = copy(self.forecasts)
            kept["columns"] = dict(self.columns)
            kept["texts"] = [dict(own) for own in self.texts]
            return kept

    def __setstate__(self, kept: dict[str, Any]) -> None:
        self.__dict__.update(kept)
        self.lock = RLock()
        self._make_scratch()

    @property
    def n_seen(self) -> int:
        """Number of rows learned."""
        return int(self.state.rows[novelty.ROWS])

    @property
    def n_alarms(self) -> int:
        """Number of alarms raised."""
        return int(self.state.rows[novelty.N_ALARMS])

    def admit(self, names: Iterable[Hashable]) -> None:
        """Add columns that are new.

        Raises `InputError` if one cannot be a name, or they do not fit in memory.
        """
        if tuple(names) == self.names:
            return
        missing = [name for name in names if name not in self.columns]
        if not missing:
            return
        for name in missing:
            require_name(name)
        new = in_order(missing)
        n = len(self.columns) + len(new)
        try:
            grown = novelty.grow(self.state, n)
        except MemoryError:
            raise InputError(f"a detector of {n} columns does not fit in memory") from None
        for name in new:
            self.columns[name] = len(self.columns)
            self.texts.append({})
        self.state = grown
        self.filled = np.append(self.filled, np.full(len(new), np.nan))
        self._make_scratch()

    # Cells

    def row(self, x: Mapping[Any, Any], learns: bool = False) -> Cells:
        """Return a row by name; names that are no columns are ignored.

        With `learns`, new texts get kinds of their own, as long as there are some left.
        """
        if tuple(x) == self.names and _are_numbers(values := list(x.values())):  # most rows
            return Cells(np.array([values]), self._all_numbers, is_full=True)
        numbers = [0.0] * len(self.columns)
        kinds = [novelty.MISSING] * len(self.columns)
        for name, value in x.items():
            c = self.columns.get(name)
            if c is None:
                continue
            if type(value) is float and -LARGEST <= value <= LARGEST:
                numbers[c] = value
                kinds[c] = novelty.NUMBER
            elif is_text(value):
                kinds[c] = self._kind_of(c, value, learns)
            else:
                numbers[c], kinds[c] = _number_cell(name, value)
        return Cells(np.array([numbers]), np.array([kinds], np.int64))

    def rows(self, inputs: Table, names: Sequence[Hashable]) -> Cells:
        """Return the rows of an array, whose columns are known by these names."""
        n = len(inputs.numbers)
        numbers = np.zeros((n, len(self.columns)))
        kinds = np.full((n, len(self.columns)), novelty.MISSING)
        beyond = np.abs(inputs.numbers) > 1e30
        if (beyond & np.isfinite(inputs.numbers)).any():
            raise InputError("`X` must hold numbers of at most 1e30")
        is_number = np.isfinite(inputs.numbers)
        for j, name in enumerate(names):
            c = self.columns[name]
            numbers[is_number[:, j], c] = inputs.numbers[is_number[:, j], j]
            kinds[is_number[:, j], c] = novelty.NUMBER
            if j in inputs.texts:
                for i, cell in enumerate(inputs.texts[j]):
                    if is_text(cell):
                        kinds[i, c] = self._kind_of(c, cell, learns=True)
        return Cells(numbers, kinds)

    def _kind_of(self, c: int, text: str, learns: bool = False) -> int:
        """Return the kind of a text; a further one of a full column shares a kind by checksum."""
        kinds = self.texts[c]
        text = known_by(text)
        kind = kinds.get(text)
        if kind is not None:
            return kind
        if len(kinds) < novelty.N_TEXTS:
            kind = novelty.N_KINDS - novelty.N_TEXTS + len(kinds)
            if learns:
                kinds[text] = kind
            return kind
        return novelty.N_KINDS - novelty.N_TEXTS + crc32(text.encode()) % novelty.N_TEXTS

    # Rows

    def learn(self, cells: Cells, times: Float64) -> RowResults:
        """Score rows, each before it is learned."""
        known = cells.kinds == novelty.NUMBER
        filled = self._fill(cells, known)
        given = filled if cells.is_full else _zero_for_nan(filled)
        forecasts = self.forecasts.learn_predict(given, known, times)
        self.filled = filled[-1].copy()
        return self._run(cells, forecasts, times, learns=True)

    def score(self, cells: Cells, time: float) -> float:
        """Return the onset score of one row; nothing is learned."""
        known = cells.kinds == novelty.NUMBER
        filled = _zero_for_nan(self._fill(cells, known)[0])
        forecast = self.forecasts.predict(filled, time)[None]
        return float(self._run(cells, forecast, np.array([time]), learns=False).scores[0, 0])

    def _fill(self, cells: Cells, known: Bool) -> Float64:
        """Return numbers with the last known one where a cell holds none; NaN before any."""
        if cells.is_full or known.all():
            return cells.numbers
        rows = np.concatenate([self.filled[None], np.where(known, cells.numbers, np.nan)])
        place = np.where(np.isnan(rows), 0, np.arange(len(rows))[:, None])
        np.maximum.accumulate(place, axis=0, out=place)
        return np.take_along_axis(rows, place, axis=0)[1:]

    def _run(self, cells: Cells, forecasts: Float64, times: Float64, *, learns: bool) -> RowResults:
        n, n_columns = cells.numbers.shape
        scores = np.empty((n, 3))
        columns = np.empty((n, 2, n_columns))
        if learns and np.isnan(times).any():  # rows without a time are kept by their number
            numbered = self.n_seen + np.arange(n, dtype=np.float64)
            times = np.where(np.isnan(times), numbered, times)
        rows = Rows(cells.numbers, cells.kinds, np.ascontiguousarray(forecasts), times)
        found = Found(scores, columns, self._scratch, self._is_scored)
        run(self.state, self.every, rows, learns, found)
        band = columns[:, 1]
        return RowResults(scores, columns[:, 0], forecasts - band, forecasts + band, self.names)

    def declare(self, t0: float, t1: float, *, anomalous: bool) -> int:
        """Declare the kept rows from `t0` to `t1`; return how many there are."""
        return declare(self.state, self.n_seen, t0, t1, anomalous=anomalous)

    def kept_span(self) -> str:
        """Return the first and the last time of the kept rows in words."""
        times = self.state.kept_times[: min(self.n_seen, novelty.KEPT_ROWS)]
        return f"{times.min():.15g} to {times.max():.15g}" if len(times) else "none so far"

    # Files

    def export(self) -> tuple[Config, Arrays]:
        """Return plain values and copies of all arrays, from which `restore` continues."""
        forecasts, arrays = self.forecasts.export()
        config = {
            "columns": list(self.columns),
            "texts": [dict(own) for own in self.texts],
            "forecasts": forecasts,
        }
        own = {name: a.copy() for name, a in self.state._asdict().items()}
        return config, {
            "filled": self.filled.copy(),
            **with_prefix("novelty", own),
            **with_prefix("forecasts", arrays),
        }

    def restore(self, config: State, arrays: SavedArrays) -> None:
        """Continue from `export`; the detector must be fresh.

        Raises `CheckpointError` if a part is missing or does not fit the rest.
        """
        with restoring("this saved LOCODetector"):
            names = check_names("columns", config["columns"])
            self.columns = {name: c for c, name in enumerate(names)}
            self.texts = [_check_texts(own) for own in config["texts"]]
            own = {name: arrays[f"novelty/{name}"] for name in novelty.State._fields}
            self.state = novelty.State(**own)
            novelty.check(self.state, len(names))
            self.filled = arrays["filled"]
            if len(self.texts) != len(names) or self.filled.shape != (len(names),):
                raise ValueError("texts and values must fit the columns")
            later = without_prefix("forecasts", arrays)
            self.forecasts.restore(config["forecasts"], later, len(names))
            self._make_scratch()


def _zero_for_nan(numbers: Float64) -> Float64:
    """Return numbers with 0 for NaN."""
    is_missing = np.isnan(numbers)
    return np.where(is_missing, 0.0, numbers) if is_missing.any() else numbers


def _are_numbers(values: Sequence[Any]) -> bool:
    """Return whether all values are floats that count as numbers."""
    if set(map(type, values)) != _FLOAT:
        return False
    total = sum(values)  # NaN is not found by a comparison of others with it
    return bool(total == total and min(values) >= -LARGEST and max(values) <= LARGEST)


def _number_cell(name: Hashable, value: object) -> tuple[float, int]:
    """Return the number and the kind of a cell that holds no text.

    Raises `InputError` if it is a number beyond `LARGEST`.
    """
    number = to_number(value)
    if number == number:
        return number, novelty.NUMBER
    if is_beyond(value):
        raise InputError(f"`x` must hold numbers of at most 1e30, got {name!r}: {shown(value)}")
    return 0.0, novelty.MISSING


def _check_texts(known: Any) -> dict[str, int]:
    """Return the kinds of a column's texts, which must be the first ones in order."""
    first = novelty.N_KINDS - novelty.N_TEXTS
    texts = dict(known)
    if len(texts) > novelty.N_TEXTS or list(texts.values()) != list(
        range(first, first + len(texts))
    ):
        raise ValueError("texts of a column must have kinds in order")
    return texts
