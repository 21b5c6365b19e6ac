"""`python -m benchmarks speed`: time per sample (predict, learn, score) of all contenders."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import click

from benchmarks import contenders, data
from benchmarks.grid import Grid
from benchmarks.learner import RiverLearner
from benchmarks.machine import cpu_seconds, median
from benchmarks.options import Settings, common
from benchmarks.runs import Run

__all__ = ["command", "grids", "measure"]

_WARM_UP = 50
_CASES = {"Phishing": 1250, "digits": 1797, "Agrawal": 2500}
_BY_DICTS = (contenders.BY_DICTS, "LogReg", "HAT", "ARF10")
_BY_ARRAYS = ("default", "MLP .05")
_NAMES = (*_BY_DICTS, *_BY_ARRAYS)


def _loop(model: Any, rows: list[dict[int, float]], labels: list[int]) -> float:
    """Predict, score and learn row by row, as a user of river does."""
    from river.metrics import Accuracy

    metric = Accuracy()
    for x, y in zip(rows, labels, strict=True):
        prediction = model.predict_one(x)
        if prediction is not None:
            metric.update(y, prediction)
        model.learn_one(x, y)
    return float(metric.get())


def measure(stream: str, contender: str, n_samples: int) -> dict[str, Any]:
    """Time one pass over the first rows of a stream, after compiling with a temporary model."""
    X, y = data.load(stream)
    shape = (X.shape[1], int(y.max()) + 1)
    X = X[:n_samples]
    y = y[:n_samples]
    warm, model = (contenders.make(contender, *shape, seed=0) for _ in range(2))
    if contender in _BY_ARRAYS:
        warm.learn_predict_array(X[:_WARM_UP], y[:_WARM_UP])
        seconds, _ = cpu_seconds(lambda: model.learn_predict_array(X, y))
    else:
        assert isinstance(warm, RiverLearner)
        assert isinstance(model, RiverLearner)
        by_dicts = model.model
        rows = [dict(enumerate(row)) for row in X.tolist()]
        labels = y.tolist()
        _loop(warm.model, rows[:_WARM_UP], labels[:_WARM_UP])
        seconds, _ = cpu_seconds(lambda: _loop(by_dicts, rows, labels))
    return {"samples_per_second": len(y) / seconds, "n_samples": len(y), "n_features": shape[0]}


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return median samples per CPU second, and their ratio to ARF10's."""
    rates: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    widths: dict[str, int] = {}
    for key, values in results.items():
        stream, contender, _ = key.split("/")
        rates[contender][stream].append(values["samples_per_second"])
        widths[stream] = values["n_features"]
    grid = Grid(
        "samples per CPU second, predict + learn + score, median over repeats (times ARF10)",
        ["contender", *(f"{stream} ({width} features)" for stream, width in widths.items())],
    )
    of_arf = rates.get("ARF10", {})  # left out by `--only`
    for contender, row in rates.items():
        cells = []
        for stream in widths:
            rate = median(row[stream])
            base = of_arf.get(stream)
            cells.append(f"{rate:,.0f}" + (f" ({rate / median(base):.1f}x)" if base else ""))
        grid.row(contender if contender not in _BY_ARRAYS else f"{contender}, by arrays", *cells)
    return [grid]


@click.command("speed")
@click.option("--only", metavar="A,B", help=f"Contenders: {', '.join(_NAMES)}.")
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Passes, in which contenders take turns.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=100),
    help="Most rows per stream.",
)
@common(seeds=1)
def command(settings: Settings, only: str | None, repeats: int, samples: int | None) -> None:
    """Measure the CPU time per sample of LOCOClassifier (dicts and arrays) and of its peers.

    Contenders take turns, so that other load slows all of them alike: compare the ratios.

    \b
    Examples
      python -m benchmarks speed
      python -m benchmarks speed --only "default by dicts,ARF10" --repeats 9
    """
    runs = [
        Run(
            f"{stream}/{contender}/{repeat}",
            measure,
            {"stream": stream, "contender": contender, "n_samples": min(n, samples or n)},
        )
        for repeat in range(repeats)
        for stream, n in _CASES.items()
        for contender in contenders.pick(only, _NAMES, "--only")
    ]
    settings.anew().run("speed", runs, grids)
