"""A forecaster in the place of a model: its scores per step ahead, and the current forecast."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from loco_stream._arrays import Float32, Float64
from loco_stream._numbers import to_number
from loco_stream._persistence.content import Config, State
from loco_stream.engine._model_adapter import (
    BlockPredictions,
    Interval,
    ModelAdapter,
    RowPrediction,
    TicketArray,
    without_details,
)
from loco_stream.engine._row import Features, Label, Row, rows_of
from loco_stream.errors import ConfigError, InputError
from loco_stream.stream import Block

if TYPE_CHECKING:
    from loco_stream.estimators._forecaster import LOCOForecaster


COVERAGE = 0.9
_SHOWN = 120  # last values of the series that are kept for the picture
_NO_TICKET = np.zeros(0)
_SUMS = ("n", "errors", "no_change", "n_bounded", "n_inside")  # by step
_N_KEPT = 4  # forecast, lowest and highest value of its interval, last value before it


def is_forecaster(model: object) -> bool:
    """Return whether a model forecasts a series over several steps."""
    return hasattr(model, "learn_forecast_array")


class HorizonScores:
    """Scores of the forecasts of each step ahead, once the value has come."""

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon
        self.n_rows = 0
        self.history: deque[float] = deque(maxlen=_SHOWN)
        self.n = np.zeros(horizon, np.int64)
        self.errors = np.zeros(horizon)
        self.no_change = np.zeros(horizon)
        self.n_bounded = np.zeros(horizon, np.int64)
        self.n_inside = np.zeros(horizon, np.int64)
        self._last = math.nan
        # forecasts made before each of the last rows, by row and step
        self._made = np.full((horizon, horizon, _N_KEPT), np.nan)
        self._steps = np.arange(horizon)

    def add(self, values: Float64, bounds: Float64) -> None:
        """Keep the forecasts that are made before a row.

        `values` and `bounds`: (horizon,) forecasts and (horizon, 2) intervals; NaN where there is
        none.
        """
        made = self._made[self.n_rows % self.horizon]
        made[:, 0] = values
        made[:, 1:3] = bounds
        made[:, 3] = self._last

    def observe(self, value: float) -> None:
        """Score the forecasts of a value that has come; NaN if it is missing."""
        due = self._made[(self.n_rows - self._steps) % self.horizon, self._steps]
        error = np.abs(value - due[:, 0])
        # before a first value there is none to repeat
        is_comparable = np.isfinite(error) & np.isfinite(due[:, 3])
        is_scored = is_comparable & (self._steps <= self.n_rows)
        is_bounded = is_scored & np.isfinite(due[:, 1]) & np.isfinite(due[:, 2])
        self.n += is_scored
        self.errors[is_scored] += error[is_scored]
        self.no_change[is_scored] += np.abs(value - due[is_scored, 3])
        self.n_bounded += is_bounded
        self.n_inside += is_bounded & (due[:, 1] <= value) & (value <= due[:, 2])
        self.n_rows += 1
        self.history.append(value)
        self._last = value if value == value else self._last

    def totals(self) -> Float64:
        """Return the sums that the scores are computed from, (5, horizon).

        They are the forecasts, their errors, those of repeating the last value, the intervals, and
        the values inside them. Sums of several series add up.
        """
        return np.stack([getattr(self, name) for name in _SUMS])

    def report(self) -> Config:
        """Return the scores by step ahead, counted from 1."""
        return step_scores(self.totals())

    def export_state(self) -> Config:
        """Return everything as plain values."""
        return {
            "horizon": self.horizon,
            "n_rows": self.n_rows,
            "history": list(self.history),
            "last": self._last,
            **{name: getattr(self, name).tolist() for name in _SUMS},
            "made": self._made.tobytes(),
        }

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`.

        Raises `ConfigError` if it is of another horizon.
        """
        if state["horizon"] != self.horizon:
            raise ConfigError(
                f"`horizon` must be {state['horizon']}, as in the checkpoint, got {self.horizon}"
            )
        self.n_rows = state["n_rows"]
        self.history = deque(state["history"], maxlen=_SHOWN)
        self._last = state["last"]
        for name in _SUMS:
            getattr(self, name)[:] = state[name]
        self._made = np.frombuffer(state["made"]).reshape(self._made.shape).copy()


class ForecastAdapter(ModelAdapter):
    """Calls a forecaster: a label is the next value, and a prediction its forecast.

    A row without a label is a missing value of the series. A row's features are inputs of the
    forecasts that are made before its value.

    `model`: the forecaster. It has a head for each step that is scored.

    `scores`: scores by step ahead.
    """

    takes_blocks = True
    features = None  # a forecaster takes any
    takes_text = False
    _has_tickets = False
    _has_mode = False
    _has_proba = False
    _has_intervals = True
    _has_block_proba = False

    def __init__(self, model: LOCOForecaster) -> None:
        self.model: LOCOForecaster = model
        self.scores = HorizonScores(model.heads)

    def forecast(self, x: Mapping[Hashable, object]) -> tuple[Float64, Float64]:
        """Return the forecasts (horizon,) and intervals (horizon, 2), NaN before the first row."""
        horizon = self.scores.horizon
        return self._ahead(horizon, COVERAGE, [x, *({} for _ in range(horizon - 1))])

    def _ahead(
        self, horizon: int, coverage: float, xs: Sequence[Mapping[Hashable, object]] | None
    ) -> tuple[Float64, Float64]:
        if self.model.n_seen == 0:
            return np.full(horizon, np.nan), np.full((horizon, 2), np.nan)
        values = np.array(self.model.forecast(horizon, xs))
        return values, np.array(self.model.forecast_interval(horizon, coverage, xs))

    def fan(
        self,
        horizon: int | None = None,
        coverage: float = COVERAGE,
        xs: Sequence[Mapping[Hashable, object]] | None = None,
    ) -> Config:
        """Return the last values, and the forecasts of the next ones with their intervals.

        Raises `InputError` if an argument is out of its range.

        horizon: number of forecasts; None for the steps that are scored
        coverage, xs: as `LOCOForecaster.forecast_interval` takes them
        """
        n = self.scores.horizon if horizon is None else horizon
        values, bounds = self._ahead(n, coverage, xs)
        return {
            "history": list(self.scores.history),
            "forecast": values.tolist(),
            "low": bounds[:, 0].tolist(),
            "high": bounds[:, 1].tolist(),
        }

    def predict(self, row: Row) -> Label:
        """Return the forecast of the next value; None before the first one."""
        return self.predict_row(row, False).y_pred

    def predict_row(self, row: Row, with_proba: bool) -> RowPrediction:
        """Return the forecast of the next value and its interval, and keep those beyond it."""
        values, bounds = self.forecast(row.named)
        self.scores.add(values, bounds)
        if self.model.n_seen == 0:
            return RowPrediction(None)
        low, high = bounds[0].tolist()
        return RowPrediction(float(values[0]), None, (low, high))

    def observe(self, row: Row, with_proba: bool) -> RowPrediction:
        """Return the forecast of a value that is missing, and go on."""
        prediction = self.predict_row(row, with_proba)
        self._learn(row, math.nan)
        return prediction._replace(ticket=_NO_TICKET)

    def observe_block(self, block: Block, with_proba: bool) -> list[RowPrediction]:
        """Return the result of `observe` for each row of a block."""
        return [self.observe(row, with_proba) for row in rows_of(block)]

    def learn(self, row: Row, y: Label, ticket: TicketArray | None = None) -> None:
        """Learn the next value.

        Raises `InputError` if the value comes late: others were learned before it.
        """
        if ticket is not None:
            raise InputError("a forecaster learns values in their order, got a late one")
        self._learn(row, to_number(y))

    def _learn(self, row: Row, value: float) -> None:
        t = None if math.isnan(row.own_t) else row.own_t
        self.model.learn_one(value, row.named or None, t)
        self.scores.observe(value)

    def test_then_train(
        self,
        block: Block,
        y: Sequence[Label],
        held: Sequence[int] = (),
        in_detail: bool = True,
    ) -> Iterator[BlockPredictions]:
        """Forecast and then learn each value of a block, in one call; no row is held out."""
        is_first = self.model.n_seen == 0
        times = block.row_times
        t = None if np.isnan(times).all() else times
        given = (None, None) if not block.features else (block.X, block.features)
        values, bounds = self.model.learn_forecast_array(
            [to_number(value) for value in y], *given, coverage=COVERAGE, t=t
        )
        if is_first:
            values[0] = bounds[0] = np.nan
        for i, value in enumerate(y):
            self.scores.add(values[i], bounds[i])
            self.scores.observe(to_number(value))
        intervals: list[Interval] = [(low, high) for low, high in bounds[:, 0].tolist()]
        predictions = without_details(values[:, 0].tolist())._replace(interval=intervals)
        if is_first:
            predictions.y_pred[0] = None
            predictions.interval[0] = None
        yield predictions

    def predict_values(
        self,
        X: Float32,
        features: Features,
        context: Mapping[str, object],
        in_stream: bool | None = False,
    ) -> tuple[Float32, Sequence[Label]]:
        """Return the forecast of the next value for each row of features, (n_rows, 1)."""
        rows = [dict(zip(features, row, strict=True)) for row in X.tolist()]
        values = [self.forecast(row)[0][0] for row in rows]
        return np.array(values, np.float32).reshape(-1, 1), ()


def step_scores(totals: Float64) -> Config:
    """Return the scores by step ahead of the sums that `HorizonScores.totals` returns."""
    n = np.where(totals[0] > 0, totals[0], np.nan)
    bounded = np.where(totals[3] > 0, totals[3], np.nan)
    return {
        "forecast_mae": _by_step(totals[1] / n),
        "forecast_no_change_mae": _by_step(totals[2] / n),
        "forecast_coverage": _by_step(totals[4] / bounded),
    }


def _by_step(values: Float64) -> dict[str, float]:
    return {str(step): value for step, value in enumerate(values.tolist(), 1)}
