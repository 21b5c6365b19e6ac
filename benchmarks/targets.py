"""`python -m benchmarks targets`: several targets by one model, and by one model per target."""

from __future__ import annotations

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
NUMBERS = (1, 2, 4, 8, 16, 32)
CONTENDERS = ("one model", "model per target")
_ROWS = 4000
_FEATURES = 8
_SETTLED = 1000


def _stream(n_targets: int, seed: int) -> tuple[Float64, Float64]:
    """Return rows and targets: smooth functions of shared directions, with noise of 10 %."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(_ROWS, _FEATURES))
    hidden = np.sin(X @ rng.normal(size=(_FEATURES, 6)))
    Y = hidden @ rng.normal(size=(6, max(NUMBERS)))
    Y = Y / Y.std(axis=0) + 0.1 * rng.normal(size=Y.shape)
    return X, np.ascontiguousarray(Y[:, :n_targets])


def measure(targets: int, contender: str, seed: int) -> dict[str, Any]:
    """Predict, then learn each row; errors are in standard deviations of the targets."""
    X, Y = _stream(targets, seed)
    _run(contender, X[:50], Y[:50], seed)  # compiled beforehand
    seconds, predictions = cpu_seconds(lambda: _run(contender, X, Y, seed))
    errors = np.abs(predictions - Y)[_SETTLED:].mean(axis=0)
    return {"mae": float(errors.mean()), "microseconds": 1e6 * seconds / _ROWS}


def _run(contender: str, X: Float64, Y: Float64, seed: int) -> Float64:
    from loco_stream import LOCOMultiTargetRegressor, LOCORegressor

    if contender == "one model":
        return LOCOMultiTargetRegressor(seed=seed).learn_predict_array(X, Y)
    columns = [LOCORegressor(seed=seed).learn_predict_array(X, y) for y in Y.T]
    return np.stack(columns, axis=1)


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the table of errors and of the cost of a row."""
    grouped = by_name(results)
    single = spread(grouped["1", CONTENDERS[0]], "microseconds")[0]
    grid = Grid(
        "targets", ["targets", "contender", "MAE", "CPU us/row", "of one target", "1 + .15 d"]
    )
    for (number, contender), runs in grouped.items():
        cost = spread(runs, "microseconds")[0]
        allowed = f"{1 + 0.15 * int(number):.2f}" if int(number) > 1 else "1.00"
        error = f"{spread(runs, 'mae')[0]:.4f}"
        grid.row(number, contender, error, f"{cost:.1f}", f"{cost / single:.2f}", allowed)
    return [grid]


@click.command("targets")
@common(seeds=3)
def command(settings: Settings) -> None:
    """Measure error and cost of 1 to 32 targets on one network and on one per target.

    \b
    Examples
      python -m benchmarks targets
    """
    runs = [
        Run(
            f"{number}/{contender}/{seed}",
            measure,
            {"targets": number, "contender": contender, "seed": seed},
            contenders.code("default"),
        )
        for seed in range(settings.seeds)
        for number in NUMBERS
        for contender in CONTENDERS
    ]
    settings.anew().run("targets", runs, grids)
