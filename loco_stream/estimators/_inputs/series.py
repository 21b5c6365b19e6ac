"""The last values of a series, and the inputs of a forecast that are made of them."""

from __future__ import annotations

import numpy as np

from loco_stream._arrays import Float64

LAGS = 24  # last values that are inputs
_LEVEL = "last value"


class SeriesHistory:
    """The last values of a series, and the inputs that they are for the next row.

    heads: steps ahead
    seasons: periods in rows

    Its attributes:
    names: of the inputs, in the order of their columns
    values: the last values, the last one last; NaN before the start and where missing
    n_filled: how many of the last ones in a row are forecasts, since they were missing
    """

    def __init__(self, heads: int, seasons: tuple[int, ...]) -> None:
        self.heads = heads
        # Of a season, the values one period before each step ahead; the last ones are inputs anyway
        lags = {season - step for season in seasons for step in range(heads) if season - step > 0}
        self.lags = [*range(2, LAGS + 1), *sorted(lag for lag in lags if lag > LAGS)]
        self.names = [_LEVEL, *(f"{lag} values ago" for lag in self.lags)]
        self.values: Float64 = np.full(max(*self.lags, heads + 1), np.nan)
        self.n_filled = 0

    @property
    def level(self) -> float:
        """The last known value; 0 before it."""
        return float(_levels(self.values)[-1])

    def next_row(self) -> Float64:
        """Return the inputs of the next row, (1, inputs)."""
        return self._rows(self.values, 1)

    def extend(self, values: Float64) -> tuple[Float64, Float64, Float64]:
        """Append values.

        Returns inputs of each row, (n, inputs); changes, (n, heads): how far the value that came
        with a row is from the last value before the row j rows earlier; and the last value before
        each row, (n,).
        """
        n = len(values)
        size = len(self.values)
        joined = np.concatenate([self.values, values])
        rows = self._rows(joined[:-1] if n else joined, n)
        levels = _levels(joined)
        first = _known_from(joined)
        changes = np.full((n, self.heads), np.nan)
        for j in range(self.heads):
            before = np.arange(size - 1 - j, size - 1 - j + n)
            changes[:, j] = np.where(before >= first, values - levels[before], np.nan)
        self.values = joined[n:].copy()
        if first < len(joined) and np.isnan(self.values).all():
            self.values[0] = levels[-1]  # a gap longer than the history keeps the level
        if not np.isnan(values).all():
            self.n_filled = 0
        return rows, changes, levels[size - 1 : size - 1 + n]

    def fill(self, forecast: float) -> None:
        """Take the forecast of the last value for it, which is missing.

        A gap is filled as far as there are heads; one at the start of the series stays.
        """
        if self.n_filled < self.heads and not np.isnan(self.values).all():
            self.values[-1] = forecast
            self.n_filled += 1

    def _rows(self, joined: Float64, n: int) -> Float64:
        """Return the inputs of the last `n` rows, each of which follows a value of `joined`."""
        end = len(joined) - n + 1
        levels = _levels(joined)[end - 1 :]
        columns = [levels]
        columns += [joined[end - lag : end - lag + n] - levels for lag in self.lags]
        rows = np.stack(columns, axis=1)
        rows[np.isnan(joined[end - 1 :]) & (levels == 0.0), 0] = np.nan
        return rows

    def restore(self, values: Float64, n_filled: int) -> None:
        """Continue with what was saved.

        Raises `ValueError` if it is not what such a model has.
        """
        if values.shape != self.values.shape or values.dtype != np.float64:
            raise ValueError(f"`history` must be float64{self.values.shape}, got {values.shape}")
        if np.isinf(values).any():
            raise ValueError("`history` must not be infinite")
        if not 0 <= n_filled <= self.heads:
            raise ValueError(f"`n_filled` must be 0 to {self.heads}, got {n_filled}")
        self.values = values.copy()
        self.n_filled = n_filled


def _known_from(values: Float64) -> int:
    """Return the position of the first known value; the length if there is none."""
    known = ~np.isnan(values)
    return int(known.argmax()) if known.any() else len(values)


def _levels(values: Float64) -> Float64:
    """Return the last known value at each position; 0 before the first."""
    known = ~np.isnan(values)
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return np.where(last >= 0, values[np.maximum(last, 0)], 0.0)
