"""Any data set of river, replayed at a pace one can follow, with the page."""

from __future__ import annotations

import click

from loco_stream.demos.stage import Stage, conclude, demo_options, paced, play

__all__ = ["command"]


def _note(dataset: str, rate: float) -> str:
    return (
        f"Recorded: {dataset} of river, replayed at {rate:g} rows a second; each row is predicted, then learned. The "
        "dashed lines are what simple guesses would score: what counts is the distance to them."
    )


@click.command("river")
@click.argument("dataset", default="ImageSegments")
@click.option(
    "--rate",
    type=click.FloatRange(1.0),
    default=200.0,
    show_default=True,
    metavar="R",
    help="Rows a second.",
)
@demo_options(seconds=60.0, stays=True)
def command(dataset: str, rate: float, stage: Stage) -> None:
    """Replay DATASET of river, for example Phishing, ChickWeights or synth.SEA, and show it live.

    Look at the dashed lines: what repeating the last label, or always naming the likeliest, would
    score. Headless, no pace is kept: seconds times rate rows are learned as fast as it goes.
    """
    from loco_stream import LOCOClassifier, LOCORegressor, StreamEngine, TaskMonitor
    from loco_stream.connectors import RiverSource

    source = RiverSource(dataset)
    task = (
        source.schema.task if source.schema is not None and source.schema.task else "classification"
    )
    model = (
        LOCORegressor(seed=stage.seed) if task == "regression" else LOCOClassifier(seed=stage.seed)
    )
    with stage.page(dataset, _note(dataset, rate)) as watchers:
        rows = paced(source, rate) if watchers else source
        engine = StreamEngine(
            model,
            rows,
            monitor=TaskMonitor(problem=task, seed=stage.seed),
            watchers=watchers,
            task=task,
            forever=not stage.headless,
        )
        report = (
            engine.run(int(stage.seconds * rate)) if stage.headless else play(engine, stage.seconds)
        )
    if task == "regression":
        ours = report["mae"]
        simple = report["no_change_mae"]
        conclude(
            [
                (
                    ours < simple,
                    f"mean absolute error {ours:.4g}; repeating the last value {simple:.4g}",
                )
            ]
        )
    else:
        ours = report["accuracy"]
        simple = max(report["no_change_accuracy"], report["majority_accuracy"])
        conclude(
            [
                (
                    ours > simple,
                    f"accuracy {ours:.1%} of {report['n_samples']:,}; the better simple guess {simple:.1%}",
                )
            ]
        )
