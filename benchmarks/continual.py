"""`python -m benchmarks continual`.

Retention and adaptation on sequences of tasks with unmarked borders.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any

import click
import numpy as np

from benchmarks import contenders, data, scenarios
from benchmarks.grid import Grid, percent
from benchmarks.learner import Learner, correct, prequential_accuracy, warm
from benchmarks.machine import cpu_seconds, fingerprint
from benchmarks.options import Settings, common, print_missing, share_option
from benchmarks.picture import heat_maps
from loco_stream import metrics
from loco_stream._prediction_mode import mode_arguments
from loco_stream.errors import SourceError

__all__ = ["NAMES", "command", "grids", "measure"]

NAMES = (
    "default",
    "frozen",
    "fast part alone",
    "learned credit",
    "retention 0",
    "3 layers last",
    "3 layers last frozen",
    contenders.RELEASE,
    "HAT",
    "softmax",
    "ARF10",
    "KNN",
    "MLP .05",
    "SLDA",
    "RFF256+RLS",
    "RFF1000+RLS",
)
_RETURN = 100  # samples compared: the first of a return, and the last of the visit before


def _train(
    model: Learner, tasks: list[scenarios.Task]
) -> tuple[list[list[float]], list[list[bool]]]:
    """Learn the tasks in order and return R and each task's prequential hits.

    R holds the accuracy on task j after task i. Entries with j > i are NaN: no measure needs them,
    and slow peers spend more time on testing than on learning.
    """
    matrix = []
    hits = []
    for number, task in enumerate(tasks, start=1):
        predictions = model.learn_predict_array(task.X, task.y)
        hits.append([p == t for p, t in zip(predictions.tolist(), task.y.tolist(), strict=True)])
        tested = [_accuracy(model, known) for known in tasks[:number]]
        matrix.append(tested + [float("nan")] * (len(tasks) - number))
    return matrix, hits


def _accuracy(model: Learner, task: scenarios.Task, in_stream: bool | None = False) -> float:
    """Return the accuracy on test rows, which are not the stream's next; None: unknown to it."""
    mode = mode_arguments(model.predict_array, in_stream)
    right, _ = correct(model.predict_array(task.Xt, **mode), task.yt)
    return right / len(task.yt)


def _returns(tasks: list[scenarios.Task], hits: list[list[bool]]) -> list[float]:
    """Return the first accuracy of each revisit over the last accuracy of the visit before."""
    last: dict[int, float] = {}
    ratios = []
    for task, hit in zip(tasks, hits, strict=True):
        if task.concept in last:
            ratios.append(fmean(hit[:_RETURN]) / max(last[task.concept], 1e-9))
        last[task.concept] = fmean(hit[-_RETURN:])
    return ratios


def measure(
    scenario: str, contender: str, seed: int, directory: str | None, share: float
) -> dict[str, Any]:
    """Run one contender through one scenario in one pass and compute its measures."""
    tasks = scenarios.build(scenario, directory, share)
    n_classes = 1 + max(int(task.y.max()) for task in tasks)
    model, spare = (
        contenders.make(contender, tasks[0].X.shape[1], n_classes, seed) for _ in range(2)
    )
    warm(spare, tasks[0].X, tasks[0].y)
    seconds, (rows, hits) = cpu_seconds(lambda: _train(model, tasks))
    matrix = np.array(rows)
    flat = np.array([hit for task in hits for hit in task])
    return {
        "prequential": prequential_accuracy(flat, np.ones(len(flat), dtype=bool)),
        "accuracy_matrix": rows,
        "average_accuracy": float(metrics.average_accuracy(matrix)),
        "by_evidence": fmean(_accuracy(model, task, None) for task in tasks),
        "backward_transfer": float(metrics.backward_transfer(matrix)),
        "forgetting": float(metrics.forgetting(matrix)),
        "returns": _returns(tasks, hits),
        "cpu_seconds": seconds,
    }


def _mean(runs: list[dict[str, Any]], key: str) -> float:
    return fmean(run[key] for run in runs)


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return one table per scenario."""
    grouped: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for key, values in results.items():
        scenario, contender, _ = key.split("/")
        grouped[scenario][contender].append(values)
    return [_grid(scenario, rows) for scenario, rows in grouped.items()]


def _grid(scenario: str, rows: dict[str, list[dict[str, Any]]]) -> Grid:
    columns = ["contender", "prequential", "final", "by evidence", "BWT", "forgetting", "CPU s"]
    returning = any(run["returns"] for runs in rows.values() for run in runs)
    title = f"{scenario}: % while learning, % at the end over all tasks"
    grid = Grid(
        title + "; return in % of the last visit" * returning, columns + ["return"] * returning
    )
    shares = ("prequential", "average_accuracy", "by_evidence")
    for contender, runs in rows.items():
        cells = [percent(_mean(runs, share)) for share in shares]
        cells += [f"{_mean(runs, 'backward_transfer'):+.3f}", f"{_mean(runs, 'forgetting'):.3f}"]
        cells.append(f"{_mean(runs, 'cpu_seconds'):.1f}")
        grid.row(
            contender,
            *cells,
            *([percent(fmean(min(run["returns"]) for run in runs))] if returning else []),
        )
    for column, key in enumerate(shares, start=1):
        grid.mark_best(column, [_mean(runs, key) for runs in rows.values()])
    return grid


def _picture(results: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw R of every contender on the first scenario measured."""
    first = next(iter(results)).split("/")[0]
    chosen = {key.split("/")[1]: run for key, run in results.items() if key.startswith(f"{first}/")}
    heat_maps({name: run["accuracy_matrix"] for name, run in chosen.items()}, path)


def _present(names: list[str], directory: str | None) -> tuple[list[str], list[str]]:
    """Return the scenarios with data on this machine, and notes on the others."""
    here: list[str] = []
    absent: dict[str, list[str]] = {}
    for name in names:
        try:
            data.require(scenarios.SCENARIOS[name].needs, directory)
        except SourceError as error:
            absent.setdefault(str(error), []).append(name)
        else:
            here.append(name)
    return here, [f"{', '.join(left_out)}: {why}" for why, left_out in absent.items()]


@click.command("continual")
@click.option("--only", metavar="A,B", help=f"Contenders: {', '.join(NAMES)}.")
@click.option(
    "--scenarios", "chosen", metavar="A,B", help=f"Scenarios: {', '.join(scenarios.SCENARIOS)}."
)
@share_option
@common(seeds=2)
def command(settings: Settings, only: str | None, chosen: str | None, share: float) -> None:
    """Measure accuracy, forgetting, transfer and revisits of old concepts on task sequences.

    Accuracy is taken while learning, and at the end over all tasks: of rows from anywhere, and by
    evidence, where the model does not know that they are not the stream's next ones. Models have
    one head, default settings and no task labels, and make one pass.

    \b
    Examples
      python -m benchmarks continual --scenarios "class-incremental digits" --only default,HAT
      python -m benchmarks continual --data ~/data --jobs 2
    """
    names, notes = _present(
        contenders.pick(chosen, tuple(scenarios.SCENARIOS), "--scenarios"), settings.directory
    )
    wanted, absent = contenders.present(contenders.pick(only, NAMES, "--only"))
    print_missing(notes + absent)
    runs = [
        contenders.run(
            f"{scenario}/{contender}/{seed}",
            measure,
            {
                "scenario": scenario,
                "contender": contender,
                "seed": seed,
                "directory": settings.directory,
                "share": share,
            },
            f"{fingerprint('benchmarks/scenarios.py')} {share}",
        )
        for contender in wanted
        for scenario in names
        for seed in range(settings.seeds if contenders.seeded(contender) else 1)
    ]
    settings.run("continual", runs, grids, _picture)
