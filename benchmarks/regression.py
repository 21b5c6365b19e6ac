"""`python -m benchmarks regression`: prequential errors on three drifting regression streams."""

from __future__ import annotations

from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import contenders, data
from benchmarks.grid import Grid
from benchmarks.holdout import by_name, spread
from benchmarks.learner import warm
from benchmarks.machine import cpu_seconds
from benchmarks.options import Settings, common
from benchmarks.rivals import REGRESSORS
from benchmarks.runs import Run

__all__ = ["command", "grids", "measure"]

_OURS = ("default", "frozen")
_NAMES = (*_OURS, *REGRESSORS)
_SETTLED = 500  # rows before which intervals are not scored


def measure(stream: str, contender: str, seed: int) -> dict[str, Any]:
    """Predict, score and learn one stream; its first row has no prediction and no score."""
    X, y = data.load(stream)
    model, spare = (contenders.make_regressor(contender, X.shape[1], seed) for _ in range(2))
    warm(spare, X, y)
    seconds, raw = cpu_seconds(lambda: model.learn_predict_array(X, y))
    predictions = np.array(
        [np.nan if value is None else value for value in raw.tolist()], dtype=np.float64
    )
    known = ~np.isnan(predictions)
    known[0] = False  # no target was learned yet
    error = predictions[known] - y[known]
    return {
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt(np.square(error).mean())),
        "r2": float(1.0 - np.square(error).sum() / np.square(y[known] - y[known].mean()).sum()),
        "worst": float(np.abs(error).max()),
        "samples_per_second": len(y) / seconds,
        **_intervals(contender, X, y, seed),
    }


def _intervals(
    contender: str, X: NDArray[np.float64], y: NDArray[np.float64], seed: int
) -> dict[str, float | None]:
    """Return coverage and mean width of 90 % intervals after row 500; None for a peer."""
    if contender not in _OURS:
        return {"coverage": None, "width": None}
    from loco_stream import LOCORegressor

    model = LOCORegressor(**contenders.parameters(contenders.VARIANTS[contender]), seed=seed)
    _, bounds = model.learn_predict_interval_array(X, y, 0.9)
    low, high = bounds[_SETTLED:].T
    return {
        "coverage": float(((low <= y[_SETTLED:]) & (y[_SETTLED:] <= high)).mean()),
        "width": float((high - low).mean()),
    }


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return one table per stream; the smallest MAE and RMSE are marked."""
    grouped = by_name(results)
    out = []
    for stream in dict.fromkeys(key[0] for key in grouped):
        rows = {key[1]: runs for key, runs in grouped.items() if key[0] == stream}
        columns = [
            "MAE",
            "RMSE",
            "R2",
            "worst error",
            "inside 90 % interval",
            "its width",
            "samples/CPU s",
        ]
        grid = Grid(stream, ["contender", *columns])
        for contender, runs in rows.items():
            keys = ("mae", "rmse", "r2", "worst", "coverage", "width")
            figures = [
                "-" if runs[0][key] is None else f"{spread(runs, key)[0]:.3f}" for key in keys
            ]
            grid.row(contender, *figures, f"{spread(runs, 'samples_per_second')[0]:,.0f}")
        for column, key in enumerate(("mae", "rmse"), start=1):
            grid.mark_best(column, [spread(runs, key)[0] for runs in rows.values()], largest=False)
        out.append(grid)
    return out


@click.command("regression")
@click.option("--only", metavar="A,B", help=f"Contenders: {', '.join(_NAMES)}.")
@click.option("--streams", "names", metavar="A,B", help=f"Streams: {', '.join(data.REGRESSION)}.")
@common(seeds=3)
def command(settings: Settings, only: str | None, names: str | None) -> None:
    """Measure MAE, RMSE and R2 of LOCORegressor and its variants and of river's regressors.

    \b
    Examples
      python -m benchmarks regression
      python -m benchmarks regression --streams ChickWeights --only default,AMRules
    """
    runs = [
        Run(
            f"{stream}/{contender}/{seed}",
            measure,
            {"stream": stream, "contender": contender, "seed": seed},
            contenders.code(contender),
        )
        for stream in contenders.pick(names, data.REGRESSION, "--streams")
        for contender in contenders.pick(only, _NAMES, "--only")
        for seed in range(settings.seeds if contenders.seeded(contender) else 1)
    ]
    settings.run("regression", runs, grids)
