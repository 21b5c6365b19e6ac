"""A data set of river, replayed at a pace that can be followed, with the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from loco_stream._ranges import FloatRange
from loco_stream.demos._demo import Demo, check_claims, demo_options, paced, run_for

if TYPE_CHECKING:
    from loco_stream.engine import Report
    from loco_stream.stream import Source


def _note(dataset: str, rate: float) -> str:
    return (
        f"Recorded data: {dataset} of river, replayed at {rate:g} rows per second. Each row is "
        "predicted, then learned. The dashed lines are simple baselines; the distance to them "
        "counts."
    )


@click.command("river")
@click.argument("dataset", default="ImageSegments")
@click.option(
    "--rate",
    type=FloatRange(1.0),
    default=200.0,
    metavar="R",
    help="Rows per second.",
)
@demo_options(seconds=60.0, stays=True)
def command(dataset: str, rate: float, demo: Demo) -> None:
    """Replay a data set of river and show it live.

    DATASET is for example Phishing, ChickWeights or synth.SEA.

    Look at the dashed lines: the scores of repeating the last label and of always predicting the
    most frequent one. A headless run learns seconds times rate rows at full speed.

    \b
    Examples
      loco-stream demo river --open
      loco-stream demo river synth.SEA --rate 500
    """
    from loco_stream import LOCOClassifier, LOCORegressor, StreamEngine, TaskMonitor
    from loco_stream.connectors import RiverSource

    source = RiverSource(dataset)
    task = _task_of(source)
    estimator = LOCORegressor if task == "regression" else LOCOClassifier
    with demo.page(dataset, _note(dataset, rate)) as watchers:
        engine = StreamEngine(
            estimator(seed=demo.seed),
            paced(source, rate) if watchers else source,
            monitor=TaskMonitor(problem=task, seed=demo.seed),
            watchers=watchers,
            task=task,
            forever=not demo.headless,
        )
        if demo.headless:
            report = engine.run(int(demo.seconds * rate))
        else:
            report = run_for(engine, demo.seconds)
    check_claims([_regression(report) if task == "regression" else _classification(report)])


def _regression(report: Report) -> tuple[bool, str]:
    error = report["mae"]
    baseline = report["no_change_mae"]
    text = f"mean absolute error {error:.4g}; repeating the last value {baseline:.4g}"
    return error < baseline, text


def _classification(report: Report) -> tuple[bool, str]:
    accuracy = report["accuracy"]
    baseline = max(report["no_change_accuracy"], report["majority_accuracy"])
    rows = f"{report['n_samples']:,} rows"
    return accuracy > baseline, f"accuracy {accuracy:.1%} of {rows}; best baseline {baseline:.1%}"


def _task_of(source: Source) -> str:
    """Return the task that a source declares, classification by default."""
    schema = source.schema
    return (schema.task if schema is not None else None) or "classification"
