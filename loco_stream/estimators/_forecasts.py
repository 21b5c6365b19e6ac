"""Forecasts of the columns of a stream, from the row before and the time of day and week."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from typing import Any, Self

import numpy as np

from loco_stream._arrays import Bool, Float64
from loco_stream._options import AdvancedOptions
from loco_stream._persistence.content import (
    Arrays,
    Config,
    SavedArrays,
    State,
    with_prefix,
    without_prefix,
)
from loco_stream.errors import CheckpointError
from loco_stream.estimators._multi_target import LOCOMultiTargetRegressor

MOST_FORECAST = 64  # columns with a forecast; of later ones the last value is expected again
MEMORY = (0.3, 50.0)
DAY = 86_400.0
_CLOCK = ("day sin", "day cos", "week sin", "week cos")


def _clock(times: Float64) -> Float64:
    """Return the position in the day and in the week of each time in seconds, (n, 4)."""
    day = 2.0 * np.pi * (times / DAY)
    week = 2.0 * np.pi * (times / (7.0 * DAY))
    return np.stack([np.sin(day), np.cos(day), np.sin(week), np.cos(week)], axis=1)


class ColumnForecasts:
    """One network with memory for all columns, which predicts a row from the row before.

    memory: time constants of the network's memory, in rows; None for 0.3 to 50
    seed: seed of the network
    """

    def __init__(self, memory: Sequence[float] | None, seed: int | None) -> None:
        chosen = MEMORY if memory is None else tuple(memory)
        # Values come at once, where members without a memory add nothing for twice the cost; the
        # last values are the features.
        advanced = AdvancedOptions(memoryless_members=False, recent_values=0)
        self._model = LOCOMultiTargetRegressor(memory=chosen, seed=seed, advanced=advanced)
        self._last: Float64 | None = None  # the row before
        self._admitted: tuple[Any, ...] = ()  # what the network has: columns, clock or not, targets
        self._is_known = np.zeros(0, np.bool_)  # columns that the network has learned from

    def __copy__(self) -> Self:
        forecasts = type(self).__new__(type(self))
        own = {"_model": copy(self._model), "_is_known": self._is_known.copy()}
        forecasts.__dict__.update(self.__dict__, **own)
        return forecasts

    def _before(self, rows: Float64) -> Float64:
        """Return the row before each row; of columns that are new, their first value."""
        before = rows.copy()
        before[1:] = rows[:-1]
        if self._last is not None:
            before[0, : len(self._last)] = self._last
        return before

    def _inputs(self, before: Float64, times: Float64) -> tuple[Float64, Sequence[Any]]:
        """Return inputs of the network and their names."""
        names = range(before.shape[1])
        if np.isnan(times[0]):
            return before, names
        return np.column_stack([before, _clock(times)]), [*names, *_CLOCK]

    def predict(self, row: Float64, time: float) -> Float64:
        """Return the forecast of a row, (columns,). Changes nothing.

        row: (columns,); its values count only for columns that are new
        time: in seconds, or NaN
        """
        before = self._before(row[None])
        forecast: Float64 = before[0].copy()
        n = len(self._is_known)
        if n and self._model.n_seen:
            X, names = self._inputs(before, np.array([time]))
            core = self._model._core
            predicted = core.run(core.placed(np.ascontiguousarray(X), names), learns=False)[0]
            forecast[:n][self._is_known] = predicted[self._is_known]
        return forecast

    def learn_predict(self, filled: Float64, known: Bool, times: Float64) -> Float64:
        """Return the forecast of each row before it is learned, (n, columns).

        filled: (n, columns) numbers without gaps
        known: (n, columns): where there is a value to learn from
        times: (n,) seconds, NaN for rows without
        """
        first = 1 if self._last is None else 0  # nothing lies before the first row
        has_time = ~np.isnan(times[first:])
        if not has_time[:1].all() and has_time.any():  # the network gets the clock with its row
            k = first + int(has_time.argmax())
            parts = [(filled[:k], known[:k], times[:k]), (filled[k:], known[k:], times[k:])]
            return np.concatenate([self.learn_predict(*part) for part in parts])
        before = self._before(filled)
        forecasts = before.copy()
        n = min(filled.shape[1], MOST_FORECAST)
        if len(filled) > first and n:
            X, names = self._inputs(before[first:], times[first:])
            given = known[first:, :n]
            predicted = self._learn(X, names, np.where(given, filled[first:, :n], np.nan))
            is_learned = self._learned_before(given)
            forecasts[first:, :n] = np.where(is_learned, predicted, before[first:, :n])
        self._last = filled[-1].copy()
        return forecasts

    def _learn(self, X: Float64, names: Sequence[Any], Y: Float64) -> Float64:
        """Return the network's predictions, (n, targets), each before its row is learned."""
        core = self._model._core
        given = (len(names), names[-1], Y.shape[1])
        if given != self._admitted:
            core.admit(names, range(Y.shape[1]))
            self._admitted = given
        return core.learn_matrix(np.ascontiguousarray(X), names, Y)

    def _learned_before(self, given: Bool) -> Bool:
        """Return which columns had a value before each row, (n, columns)."""
        if len(given) == 1 and len(self._is_known) == given.shape[1]:
            earlier = self._is_known
            self._is_known = earlier | given[0]
            return earlier[None]
        earlier = np.zeros(given.shape[1], np.bool_)
        earlier[: len(self._is_known)] = self._is_known
        after = np.logical_or.accumulate(np.concatenate([earlier[None], given]), axis=0)
        self._is_known = after[-1].copy()
        return after[:-1]

    def export(self) -> tuple[Config, Arrays]:
        """Return plain values and arrays, from which `restore` continues."""
        config, own = self._model.export_state()
        arrays = with_prefix("network", own)
        arrays["is_known"] = self._is_known.copy()
        if self._last is not None:
            arrays["last"] = self._last.copy()
        return config, arrays

    def restore(self, config: State, arrays: SavedArrays, columns: int) -> None:
        """Continue from `export`.

        Raises `CheckpointError` if a part does not fit the rest.
        """
        last = arrays.get("last")
        is_known = arrays["is_known"].astype(np.bool_)
        self._model = LOCOMultiTargetRegressor.from_state(config, without_prefix("network", arrays))
        fits = last is None or (last.ndim == 1 and len(last) <= columns)
        if not fits or is_known.shape != (len(self._model.targets),):
            raise CheckpointError("the forecasts of a saved detector must fit its columns")
        self._last = None if last is None else last.astype(np.float64)
        self._admitted = ()
        self._is_known = is_known
