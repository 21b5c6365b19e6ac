"""`python -m benchmarks sizing`: CPU time per row, memory and file size of one model by width."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import contenders
from benchmarks.grid import Grid
from benchmarks.machine import cpu_seconds
from benchmarks.options import Settings, common
from benchmarks.runs import Run

__all__ = ["command", "grids", "measure"]

_ROWS = 1000
_BEFORE = 400  # scales settle after 300 rows
_CLASSES = 3
_MODELS = ("default", "fast", "accurate", "memory=(0.3, 50)", "max_delay=5", "anomaly detector")
_CASES = {
    4: _MODELS,
    16: _MODELS,
    64: ("default", "fast", "anomaly detector"),
    256: ("default", "fast"),
    784: ("default", "fast"),
}


def _rows(n_features: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    X = np.random.default_rng(0).normal(size=(_BEFORE + _ROWS, n_features))
    return X, np.clip(np.floor(X[:, 0] + X[:, 1] + 1.5), 0, _CLASSES - 1).astype(np.int64)


def _make(name: str) -> Any:
    from loco_stream import LOCOClassifier, LOCODetector

    if name == "anomaly detector":
        return LOCODetector(seed=0)
    if name in ("default", "fast", "accurate"):
        return LOCOClassifier.preset(name, seed=0)
    if name == "max_delay=5":
        return LOCOClassifier(max_delay=5, seed=0)
    return LOCOClassifier(memory=(0.3, 50.0), seed=0)


def _learn(model: Any, X: NDArray[np.float64], y: NDArray[np.int64]) -> None:
    if hasattr(model, "learn_score_array"):
        model.learn_score_array(X)
    else:
        model.learn_predict_array(X, y)


def measure(model: str, n_features: int) -> dict[str, Any]:
    """Predict and learn rows in one block, after rows that settle the scales and compile."""
    from loco_stream import save

    X, y = _rows(n_features)
    learner = _make(model)
    _learn(learner, X[:_BEFORE], y[:_BEFORE])
    seconds, _ = cpu_seconds(lambda: _learn(learner, X[_BEFORE:], y[_BEFORE:]))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "model.loco")
        save(learner, file)
        size = file.stat().st_size
    return {
        "microseconds": 1e6 * seconds / _ROWS,
        "state_bytes": sum(array.nbytes for array in learner.export_state()[1].values()),
        "file_bytes": size,
    }


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the table of the guide.

    The CPU time is the least of all passes, since other load only adds to it; sizes do not vary.
    """
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for key, values in results.items():
        width, model, _ = key.split("/")
        grouped.setdefault((width, model), []).append(values)
    grid = Grid(
        f"one model after {_BEFORE + _ROWS} rows of {_CLASSES} classes, predict + learn, arrays",
        ["features", "model", "CPU us/row", "rows/CPU s", "state, MB", "file, MB"],
    )
    for (width, model), runs in grouped.items():
        cost = min(run["microseconds"] for run in runs)
        sizes = [f"{runs[0][name] / 1e6:.2f}" for name in ("state_bytes", "file_bytes")]
        grid.row(width, model, f"{cost:.0f}", f"{1e6 / cost:,.0f}", *sizes)
    return [grid]


@click.command("sizing")
@click.option("--repeats", type=click.IntRange(min=1), default=5, show_default=True, help="Passes.")
@common(seeds=1)
def command(settings: Settings, repeats: int) -> None:
    """Measure what one model costs: CPU time per row, memory of its state, size of its file.

    \b
    Examples
      python -m benchmarks sizing
    """
    runs = [
        Run(
            f"{width}/{model}/{repeat}",
            measure,
            {"model": model, "n_features": width},
            contenders.code("default"),
        )
        for repeat in range(repeats)
        for width, models in _CASES.items()
        for model in models
    ]
    settings.anew().run("sizing", runs, grids)
