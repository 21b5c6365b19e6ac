"""Forecasts of the columns of a stream, each from the row before and the time of day and week."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import CheckpointError
from loco_stream.estimators.regressor import LOCORegressor

__all__ = ["MOST_FORECAST", "ColumnForecasts"]

Float64 = NDArray[np.float64]

MOST_FORECAST = 16  # columns with a forecast of their own; later ones keep their last value
MEMORY = (0.3, 50.0)
DAY = 86_400.0
_CLOCK = ("day sin", "day cos", "week sin", "week cos")


def _clock(times: Float64) -> Float64:
    """Return the position in the day and in the week of each time in seconds, (n, 4)."""
    day = 2.0 * np.pi * (times / DAY)
    week = 2.0 * np.pi * (times / (7.0 * DAY))
    return np.stack([np.sin(day), np.cos(day), np.sin(week), np.cos(week)], axis=1)


class ColumnForecasts:
    """One regressor with memory per column, which predicts a row's value from the row before.

    Parameters
    ----------
    memory
        Time constants of the regressors, in rows; None for 0.3 to 50.
    seed
        Seed of the regressors.
    """

    def __init__(self, memory: Sequence[float] | None, seed: int | None) -> None:
        self._memory = MEMORY if memory is None else tuple(memory)
        self._seed = seed
        self._models: list[LOCORegressor] = []
        self._last: Float64 | None = None  # the row before

    def _given(self, before: Float64, times: Float64) -> tuple[Float64, Sequence[Any]]:
        """Return inputs of the regressors and their names."""
        names = range(before.shape[1])
        if np.isnan(times).all():
            return before, names
        return np.column_stack([before, _clock(times)]), [*names, *_CLOCK]

    def _before(self, rows: Float64) -> Float64:
        """Return the row before each row; of columns that are new, their first value."""
        before = np.concatenate([rows[:1], rows[:-1]])
        if self._last is not None:
            before[0, : len(self._last)] = self._last
        return before

    def predict(self, row: Float64, time: float) -> Float64:
        """Return the forecast of a row, (columns,). Changes nothing.

        Parameters
        ----------
        row
            (columns,); its values count only for columns that are new.
        time
            In seconds, or NaN.
        """
        before = self._before(row[None])
        forecast = before[0].copy()
        if self._last is not None:
            X, names = self._given(before, np.array([time]))
            for j, model in enumerate(self._models):
                if model.n_seen:
                    forecast[j] = model.predict_array(X, names)[0]
        return forecast

    def learn_predict(self, rows: Float64, times: Float64) -> Float64:
        """Return the forecast of each row before it is learned, (n, columns).

        Parameters
        ----------
        rows
            (n, columns) numbers without gaps.
        times
            (n,) seconds, NaN for rows without.
        """
        n_columns = rows.shape[1]
        while len(self._models) < min(n_columns, MOST_FORECAST):
            self._models.append(LOCORegressor(memory=self._memory, seed=self._seed))
        before = self._before(rows)
        forecasts = before.copy()
        first = 1 if self._last is None else 0  # nothing lies before the first row
        if len(rows) > first:
            X, names = self._given(before[first:], times[first:])
            for j, model in enumerate(self._models):
                is_new = model.n_seen == 0
                values = model.learn_predict_array(X, rows[first:, j], names)
                forecasts[first + is_new :, j] = values[int(is_new) :]
        self._last = rows[-1].copy()
        return forecasts

    def export(self) -> tuple[dict[str, Any], dict[str, Float64]]:
        """Return plain values and arrays, from which `restore` continues."""
        states = [model.export_state() for model in self._models]
        arrays = {
            f"{j}/{name}": array for j, (_, own) in enumerate(states) for name, array in own.items()
        }
        if self._last is not None:
            arrays["last"] = self._last.copy()
        return {"models": [config for config, _ in states]}, arrays

    def restore(self, config: Mapping[str, Any], arrays: Mapping[str, Any], columns: int) -> None:
        """Continue from `export`.

        Raises
        ------
        CheckpointError
            A part does not fit the rest.
        """
        last = arrays.get("last")
        fits = last is None or (last.shape == (columns,) and bool(np.isfinite(last).all()))
        if not fits or len(config["models"]) > MOST_FORECAST:
            raise CheckpointError("the forecasts of a saved detector must fit its columns")
        self._last = None if last is None else last.astype(np.float64)
        self._models = [
            LOCORegressor.from_state(
                own,
                {
                    name.removeprefix(f"{j}/"): array
                    for name, array in arrays.items()
                    if name.startswith(f"{j}/")
                },
            )
            for j, own in enumerate(config["models"])
        ]
