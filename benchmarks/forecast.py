"""`python -m benchmarks forecast`: forecasts of 1 to 24 steps, made before every value."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import contenders
from benchmarks.grid import Grid
from benchmarks.holdout import by_name, spread
from benchmarks.machine import cpu_seconds
from benchmarks.options import Settings, common
from benchmarks.runs import Run

__all__ = ["command", "grids", "measure"]

Float64 = NDArray[np.float64]
STEPS = (1, 5, 10, 24)
HORIZON = STEPS[-1]
SCORED_FROM = 0.25  # share of the series that is learned before errors count
COVERAGE = 0.9
MISSING = 0.1  # share of the values that is missing, in two rows of each table
_LONGEST = 3000  # values of a series; SNARIMAX takes milliseconds for each


def _passengers() -> Float64:
    from river import datasets

    return np.array([y for _, y in datasets.AirlinePassengers()], np.float64)


def _water() -> Float64:
    from river import datasets

    return np.array([y for _, y in datasets.WaterFlow()], np.float64)


def _statsmodels(name: str, column: str) -> Float64:
    from statsmodels import datasets

    series = getattr(datasets, name).load_pandas().data[column]
    return np.asarray(series.interpolate(), np.float64)


def _noisy_season() -> Float64:
    rng = np.random.default_rng(0)
    steps = np.arange(2000)
    slow = 1.0 + 0.3 * np.sin(2 * np.pi * steps / 168)
    return slow * np.sin(2 * np.pi * steps / 24) + 0.2 * rng.normal(size=len(steps))


def _autoregressive() -> Float64:
    return _recursion(0.9)


def _walk() -> Float64:
    return _recursion(1.0)


def _recursion(share: float) -> Float64:
    noise = np.random.default_rng(1).normal(size=2000)
    values = np.zeros(2000)
    for i in range(1, 2000):
        values[i] = share * values[i - 1] + noise[i]
    return values


def _mackey_glass() -> Float64:
    noise = np.random.default_rng(2).normal(size=2000)
    values = np.full(2100, 1.2)
    for i in range(17, 2099):
        late = values[i - 17]
        values[i + 1] = 0.9 * values[i] + 0.2 * late / (1.0 + late**10)
    return values[100:] + 0.01 * noise


# Series and its period; a period of 1 is none.
SERIES: dict[str, tuple[Callable[[], Float64], int]] = {
    "AirlinePassengers": (_passengers, 12),
    "WaterFlow": (_water, 24),
    "CO2": (lambda: _statsmodels("co2", "co2"), 52),
    "sunspots": (lambda: _statsmodels("sunspots", "SUNACTIVITY"), 11),
    "noisy season": (_noisy_season, 24),
    "AR(.9)": (_autoregressive, 1),
    "random walk": (_walk, 1),
    "Mackey-Glass": (_mackey_glass, 1),
}


def _seasons(period: int) -> tuple[int, ...] | None:
    return (period,) if period > HORIZON else None


def _ours(y: Float64, period: int, seed: int) -> tuple[Float64, Float64 | None]:
    from loco_stream import LOCOForecaster

    model = LOCOForecaster(seasons=_seasons(period), seed=seed)
    return model.learn_forecast_array(y, coverage=COVERAGE)


def _is_missing(n: int, seed: int) -> NDArray[np.bool_]:
    """Return which of n values are missing; the first one is known."""
    is_missing = np.random.default_rng(seed).random(n) < MISSING
    is_missing[0] = False
    return is_missing


def _with_gaps(y: Float64, period: int, seed: int) -> tuple[Float64, Float64 | None]:
    return _ours(np.where(_is_missing(len(y), seed), np.nan, y), period, seed)


def _with_gaps_carried(y: Float64, period: int, seed: int) -> tuple[Float64, Float64 | None]:
    """Give the last value for a missing one, as for a model that takes none."""
    known = np.where(_is_missing(len(y), seed), 0, np.arange(len(y)))
    last = np.maximum.accumulate(known)
    return _ours(y[last], period, seed)


def _regressor_per_step(y: Float64, period: int, seed: int) -> tuple[Float64, Float64 | None]:
    """Forecast each of `STEPS` by a regressor of its own on the same inputs, taught late."""
    from loco_stream import LOCOForecaster, LOCORegressor

    inputs = LOCOForecaster(seasons=_seasons(period))._history  # the same rows
    rows, changes, levels = inputs.extend(y)
    forecasts = np.full((len(y), HORIZON), np.nan)
    for step in STEPS:
        model = LOCORegressor(memory=(0.3, 50.0), seed=seed)
        waiting: list[Any] = []
        for i in range(len(y)):
            if i >= step and not math.isnan(changes[i - 1, step - 1]):
                model.learn_one(waiting[i - step], float(changes[i - 1, step - 1]))
            waiting.append(model.observe_array(rows[i : i + 1])[0])
            forecasts[i, step - 1] = levels[i] + waiting[-1].prediction
    return forecasts, None


def _river(make: Callable[[int], Any]) -> Callable[..., tuple[Float64, Float64 | None]]:
    def forecast(y: Float64, period: int, seed: int) -> tuple[Float64, Float64 | None]:
        model = make(period)
        forecasts = np.full((len(y), HORIZON), np.nan)
        for i, value in enumerate(y.tolist()):
            with suppress(TypeError, ValueError, IndexError, OverflowError):  # not ready, diverged
                forecasts[i] = model.forecast(HORIZON)
            model.learn_one(value)
        return forecasts, None

    return forecast


def _snarimax(period: int, q: int = 12) -> Any:
    """Return a model as in river's example; `q` = 0 leaves out its past errors."""
    from river import linear_model, optim, preprocessing, time_series

    regressor = preprocessing.StandardScaler() | linear_model.LinearRegression(
        optimizer=optim.SGD(0.01), intercept_lr=0.3
    )
    if period == 1:
        return time_series.SNARIMAX(p=12, d=0, q=q, regressor=regressor)
    return time_series.SNARIMAX(p=12, d=1, q=q, m=period, sd=1, regressor=regressor)


def _holt_winters(period: int) -> Any:
    from river import time_series

    if period == 1:
        return time_series.HoltWinters(alpha=0.3, beta=0.1)
    return time_series.HoltWinters(alpha=0.3, beta=0.1, gamma=0.6, seasonality=period)


def _last_value(y: Float64, period: int, seed: int) -> tuple[Float64, Float64 | None]:
    last = np.concatenate([[np.nan], y[:-1]])
    return np.repeat(last[:, None], HORIZON, axis=1), None


def _last_season(y: Float64, period: int, seed: int) -> tuple[Float64, Float64 | None]:
    forecasts = np.full((len(y), HORIZON), np.nan)
    for j in range(HORIZON):
        lag = period * math.ceil((j + 1) / period) - j
        forecasts[lag:, j] = y[: len(y) - lag]
    return forecasts, None


CONTENDERS: dict[str, Callable[..., tuple[Float64, Float64 | None]]] = {
    "LOCOForecaster": _ours,
    "a tenth missing": _with_gaps,
    "a tenth missing, last value given": _with_gaps_carried,
    "regressor per step": _regressor_per_step,
    "SNARIMAX": _river(_snarimax),
    "SNARIMAX without MA": _river(lambda period: _snarimax(period, q=0)),
    "HoltWinters": _river(_holt_winters),
    "last value": _last_value,
    "last season": _last_season,
}
_SEEDED = (
    "LOCOForecaster",
    "a tenth missing",
    "a tenth missing, last value given",
    "regressor per step",
)


def measure(series: str, contender: str, seed: int) -> dict[str, Any]:
    """Forecast before every value; errors count after a quarter of the series."""
    load, period = SERIES[series]
    y = load()[:_LONGEST]
    forecast = CONTENDERS[contender]
    if contender in _SEEDED:
        forecast(y[:60], period, seed)  # compiled beforehand
    seconds, (forecasts, intervals) = cpu_seconds(lambda: forecast(y, period, seed))
    found: dict[str, Any] = {"values_per_second": len(y) / seconds}
    first = max(int(SCORED_FROM * len(y)), HORIZON)
    for step in STEPS:
        rows = np.arange(first, len(y) - step + 1)
        truth = y[rows + step - 1]
        errors = np.abs(forecasts[rows, step - 1] - truth)
        found[f"mae_{step}"] = float(errors.mean()) if np.isfinite(errors).all() else None
        if intervals is not None:
            low, high = intervals[rows, step - 1].T
            found[f"coverage_{step}"] = float(((low <= truth) & (truth <= high)).mean())
    return found


def _figure(runs: list[dict[str, Any]], key: str, style: str) -> str:
    if any(run.get(key) is None for run in runs):
        return "-"
    return format(spread(runs, key)[0], style)


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return one table per series; the smallest errors are marked."""
    grouped = by_name(results)
    out = []
    for series in dict.fromkeys(key[0] for key in grouped):
        rows = {key[1]: runs for key, runs in grouped.items() if key[0] == series}
        columns = [f"MAE at {step}" for step in STEPS]
        columns += [f"inside 90 % at {step}" for step in STEPS]
        grid = Grid(series, ["contender", *columns, "values/CPU s"])
        for contender, runs in rows.items():
            figures = [_figure(runs, f"mae_{step}", ".4g") for step in STEPS]
            figures += [_figure(runs, f"coverage_{step}", ".3f") for step in STEPS]
            grid.row(contender, *figures, _figure(runs, "values_per_second", ",.0f"))
        for column, step in enumerate(STEPS, start=1):
            values = [_smallest(runs, f"mae_{step}") for runs in rows.values()]
            grid.mark_best(column, values, largest=False)
        out.append(grid)
    return out


def _smallest(runs: list[dict[str, Any]], key: str) -> float:
    return math.inf if any(run[key] is None for run in runs) else spread(runs, key)[0]


@click.command("forecast")
@click.option("--only", metavar="A,B", help=f"Contenders: {', '.join(CONTENDERS)}.")
@click.option("--series", "names", metavar="A,B", help=f"Series: {', '.join(SERIES)}.")
@common(seeds=3)
def command(settings: Settings, only: str | None, names: str | None) -> None:
    """Measure the errors of forecasts 1, 5, 10 and 24 steps ahead, and of their intervals.

    \b
    Examples
      python -m benchmarks forecast
      python -m benchmarks forecast --series AirlinePassengers --only LOCOForecaster,SNARIMAX
    """
    runs = [
        Run(
            f"{series}/{contender}/{seed}",
            measure,
            {"series": series, "contender": contender, "seed": seed},
            contenders.code("default"),
        )
        for series in contenders.pick(names, tuple(SERIES), "--series")
        for contender in contenders.pick(only, tuple(CONTENDERS), "--only")
        for seed in range(settings.seeds if contender in _SEEDED else 1)
    ]
    settings.run("forecast", runs, grids)
