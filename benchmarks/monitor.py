"""`python -m benchmarks monitor`.

Error and cost of the accuracy matrix that the monitor estimates while the stream runs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from statistics import fmean, median, stdev
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from benchmarks import contenders, data, scenarios
from benchmarks.grid import Grid
from benchmarks.learner import correct
from benchmarks.machine import cpu_seconds, fingerprint
from benchmarks.options import Settings, common, print_missing
from benchmarks.runs import Run
from loco_stream import LOCOClassifier, TaskMonitor, metrics
from loco_stream.errors import SourceError

__all__ = ["command", "deviations", "grids", "measure_cost", "measure_matrix"]

# scenario -> share of samples withheld; short tasks need a larger one
_SHARES = {
    "class-incremental digits": 0.1,
    "split MNIST": 0.05,
    "A-B-A-B inputs": 0.1,
    "A-B-A-B labels": 0.02,
}
_BORDERS = ("given", "auto")
_MEASURES = ("average_accuracy", "forgetting", "backward_transfer")
_COSTS = ("no monitor", "holdout=0", "default")
_REPEATS = 5


def _learn(
    model: LOCOClassifier,
    monitor: TaskMonitor | None,
    task: scenarios.Task,
    start: int,
    features: tuple[int, ...],
) -> None:
    """Test, monitor and learn the rows of a task one by one, as the engine does."""
    for i, label in enumerate(task.y.tolist(), start=start):
        x = task.X[i - start : i - start + 1]
        answer = model.predict_array(x, features, in_stream=True)[0] if i else None
        if monitor is None:
            model.learn_array(x, [label], features)
            continue
        monitor.update(label, answer, x, i, features)
        if not monitor.hold_out(x, label, i, features):
            model.learn_array(x, [label], features)
        monitor.rescore(model)


def deviations(
    found: NDArray[np.float64],
    errors: NDArray[np.float64],
    true: NDArray[np.float64],
    n_test: NDArray[np.float64],
) -> list[float]:
    """Return deviations from full test sets in standard errors, on and below the diagonal.

    Test sets are samples too, of sizes `n_test` (tasks,): the variances of both add.
    """
    error = np.sqrt(errors**2 + true * (1.0 - true) / n_test)
    below = np.tril_indices(len(true))
    return [float(value) for value in ((found - true) / error)[below]]


def measure_matrix(scenario: str, borders: str, seed: int, directory: str | None) -> dict[str, Any]:
    """Compare the monitor's matrix and measures with those of full test sets."""
    tasks = scenarios.build(scenario, directory)
    features = tuple(range(tasks[0].X.shape[1]))
    model = LOCOClassifier(seed=seed)
    monitor = TaskMonitor(share=_SHARES[scenario], tasks=borders, seed=seed)
    true = np.full((len(tasks), len(tasks)), np.nan)
    start = 0
    for number, task in enumerate(tasks):
        if number and borders == "given":
            monitor.begin_task(str(task.concept), start)
        _learn(model, monitor, task, start, features)
        start += len(task.y)
        for j, known in enumerate(tasks[: number + 1]):
            answers = model.predict_array(known.Xt, features, in_stream=False)
            right, n = correct(answers, known.yt)
            true[number, j] = right / n
    monitor.measure(model)
    report = monitor.report()
    found, errors = (
        np.array(report[key], float) for key in ("accuracy_matrix", "accuracy_matrix_se")
    )
    if found.shape != true.shape:
        return {"n_found": len(found), "n_tasks": len(tasks)}
    sizes = np.array([len(task.yt) for task in tasks], float)
    return {
        "n_found": len(found),
        "n_tasks": len(tasks),
        "deviations": deviations(found, errors, true, sizes),
        "measures": {
            name: (report[name] - float(getattr(metrics, name)(true))) / report[f"{name}_se"]
            for name in _MEASURES
        },
    }


def measure_cost(repeats: int) -> dict[str, Any]:
    """Return microseconds per sample with and without monitors, row by row by arrays.

    The stream is A-B-A-B labels; all kinds take turns.
    """
    kinds: tuple[Callable[[], TaskMonitor | None], ...] = (
        lambda: None,
        lambda: TaskMonitor(holdout=0),
        TaskMonitor,
    )
    makers = dict(zip(_COSTS, kinds, strict=True))
    tasks = scenarios.build("A-B-A-B labels")
    n = sum(len(task.y) for task in tasks)
    found: dict[str, list[float]] = {name: [] for name in makers}

    def stream(monitor: TaskMonitor | None) -> None:
        model = LOCOClassifier(seed=0)
        start = 0
        for task in tasks:
            _learn(model, monitor, task, start, tuple(range(task.X.shape[1])))
            start += len(task.y)

    stream(TaskMonitor())  # compiles
    for _ in range(repeats):
        for name, make in makers.items():
            seconds, _ = cpu_seconds(partial(stream, make()))
            found[name].append(1e6 * seconds / n)
    return {"microseconds": found}


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return the deviations of the monitor's matrix from full test sets, and its cost."""
    rows: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    costs = []
    for key, values in results.items():
        kind, scenario, borders, _ = key.split("/")
        if kind == "cost":
            costs.append(_cost_grid(values["microseconds"]))
        else:
            rows[scenario, borders].append(values)
    columns = [
        "scenario",
        "borders",
        "tasks found",
        "entries",
        "within 2 se",
        "mean",
        "sd",
        "measures within 2 se",
    ]
    grid = Grid("the monitor's accuracy matrix against full test sets, in standard errors", columns)
    for (scenario, borders), runs in rows.items():
        complete = [run for run in runs if "deviations" in run]
        entries = [value for run in complete for value in run["deviations"]]
        measured = [value for run in complete for value in run["measures"].values()]
        counts = f"{len(complete)}/{len(runs)} runs"
        if entries:
            spread = (f"{fmean(entries):+.2f}", f"{stdev(entries):.2f}")
            grid.row(
                scenario,
                borders,
                counts,
                str(len(entries)),
                _within(entries),
                *spread,
                _within(measured),
            )
        else:
            grid.row(scenario, borders, counts, *["-"] * 5)
    return ([grid] if rows else []) + costs


def _within(values: list[float]) -> str:
    return f"{100 * fmean(abs(value) <= 2.0 for value in values):.1f} %"


def _cost_grid(microseconds: dict[str, list[float]]) -> Grid:
    grid = Grid("CPU cost of monitoring, row by row", ["monitor", "us/sample", "of throughput"])
    plain = median(microseconds[_COSTS[0]])
    for name, found in microseconds.items():
        grid.row(name, f"{median(found):.1f}", f"{100 * (1 - plain / median(found)):.1f} %")
    return grid


@click.command("monitor")
@click.option("--scenarios", "chosen", metavar="A,B", help=f"Scenarios: {', '.join(_SHARES)}.")
@click.option(
    "--borders",
    metavar="A,B",
    help="given: borders are marked in the stream; auto: detectors find them.",
)
@click.option(
    "--repeats",
    type=click.IntRange(min=1),
    default=_REPEATS,
    show_default=True,
    help="Repeats of the cost measurement.",
)
@common(seeds=4)
def command(settings: Settings, chosen: str | None, borders: str | None, repeats: int) -> None:
    """Compare the monitor's accuracy matrix with full test sets, and time the monitor.

    If the standard errors are right, about 95 of 100 entries are within two of the truth. With
    borders from detectors, only runs with the true number of tasks can be compared.

    \b
    Examples
      python -m benchmarks monitor
      python -m benchmarks monitor --scenarios "A-B-A-B labels" --borders given
    """
    names = contenders.pick(chosen, tuple(_SHARES), "--scenarios")
    try:
        data.require("MNIST", settings.directory)
    except SourceError as error:
        print_missing([f"split MNIST: {error}"])
        names = [name for name in names if name != "split MNIST"]
    runs = [
        Run(
            f"matrix/{scenario}/{border}/{seed}",
            measure_matrix,
            {
                "scenario": scenario,
                "borders": border,
                "seed": seed,
                "directory": settings.directory,
            },
            fingerprint(),
        )
        for scenario in names
        for border in contenders.pick(borders, _BORDERS, "--borders")
        for seed in range(settings.seeds)
    ]
    runs.append(
        Run(
            "cost/A-B-A-B labels/none/0",
            measure_cost,
            {"repeats": repeats},
            f"{fingerprint()} {repeats}",
        )
    )
    settings.run("monitor", runs, grids)
