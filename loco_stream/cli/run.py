"""`loco-stream run`: learn from a stream until it ends, then report."""

from __future__ import annotations

import json
from typing import Any

import click

from loco_stream.cli.options import (
    bad_option,
    is_strict,
    model_options,
    open_stream,
    warm_up,
)
from loco_stream.cli.page import live_page, page_options
from loco_stream.cli.signals import Interrupt, clean_end
from loco_stream.cli.sinks import open_sinks, sink_options
from loco_stream.errors import LocoStreamError
from loco_stream.persistence.outputs import check_output, check_picture

__all__ = ["command"]


@click.command("run")
@click.argument("source")
@click.option("--report", metavar="FILE.json", help="Write the report there.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the report as one JSON object instead of a table.",
)
@click.option(
    "--plot", metavar="FILE.png", help="Draw the course of the score and the drift marks there."
)
@click.option(
    "--predictions",
    metavar="FILE.jsonl",
    help="Write every prediction there, one JSON object a line.",
)
@click.option("--max-samples", type=click.IntRange(1), metavar="N", help="Stop after N samples.")
@click.option(
    "--checkpoint", metavar="DIR", help="Keep checkpoints in DIR, to go on later with --resume."
)
@click.option(
    "--resume", is_flag=True, help="Go on from the newest checkpoint in --checkpoint DIR."
)
@click.option(
    "--keys",
    metavar="DIR",
    help="Keys made by `loco-stream keygen`: turns CURVE on for zmq sources.",
)
@bad_option(None)
@click.option("--quiet", is_flag=True, help="No progress line.")
@sink_options
@page_options
@model_options
def command(
    source: str,
    report: str | None,
    as_json: bool,
    plot: str | None,
    predictions: str | None,
    max_samples: int | None,
    checkpoint: str | None,
    resume: bool,
    keys: str | None,
    on_bad: str | None,
    quiet: bool,
    sinks: tuple[str, ...],
    on_drift: str | None,
    dashboard: bool,
    dashboard_port: int,
    **options: Any,
) -> None:
    """Predict, score and learn every row of SOURCE, then report.

    \b
    SOURCE is one of
      river:ImageSegments                     a data set of river
      river:synth.SEA?seed=1&variant=2        any generator of river
      csv:rows.csv?target=kind                a table; also jsonl: npy: parquet:
      zmq+pull://127.0.0.1:5555               rows from other processes
      zmq+sub://...  zmq+reliable://...  mqtt://...  lsl:NAME

    \b
    Examples
      loco-stream run river:ImageSegments --seed 1 --report out.json --plot out.png
      loco-stream run river:Bikes --max-samples 20000
      loco-stream run river:Phishing --quiet --json | jq .accuracy
      loco-stream run river:Phishing --delay 100 --set rule=frozen
      loco-stream run river:synth.LED --max-samples 9000 --on-drift "logger -t loco"
      loco-stream run "csv:rows.csv?target=kind" --checkpoint state/
      loco-stream run "csv:rows.csv?target=kind" --checkpoint state/ --resume

    Ctrl-C ends the run with the report of what was seen; a second one ends it at once.
    """
    from loco_stream.cli.session import Session, stored_settings

    for option, path in (("--report", report), ("--plot", plot), ("--predictions", predictions)):
        check_output(option, path)
    check_picture("--plot", plot)
    if resume and checkpoint is None:
        raise click.UsageError("--resume needs --checkpoint DIR")
    settings = stored_settings(checkpoint if resume else None, options)
    listeners = [*_sinks(predictions), *open_sinks(sinks, on_drift)]
    stream = open_stream(source, settings["task"], keys, on_bad=on_bad)
    click.echo(f"{stream.name}: {stream.guarantee}", err=True)
    engine_options = {"checkpoint": checkpoint, "resume": resume, "sinks": listeners}
    engine_options["strict"] = is_strict(stream, on_bad)
    session = None
    with clean_end() as handler, live_page(dashboard, dashboard_port) as watchers:
        try:
            warm_up(blocks=source.startswith(("zmq", "npy")))
            engine_options["watchers"] = watchers
            session = Session(stream, settings, engine_options)
            result = session.run(handler, max_samples, quiet)
        except Interrupt:
            raise click.ClickException("stopped before the first row") from None
        except LocoStreamError:
            if session is not None and session.report is not None:
                _keep(session.report, report, plot)  # what was done is not lost
            raise
        _show(
            result, as_json, report, plot
        )  # a signal that comes after the last row must not cost the report


def _sinks(predictions: str | None) -> list[Any]:
    from loco_stream.connectors import open_sink

    return [] if predictions is None else [open_sink(f"jsonl:{predictions}?only=prediction")]


def _keep(result: Any, report: str | None, plot: str | None) -> None:
    if report is not None:
        result.save(report)
    if plot is not None:
        result.plot(plot)


def _show(result: Any, as_json: bool, report: str | None, plot: str | None) -> None:
    from rich.console import Console

    _keep(result, report, plot)
    if as_json:
        click.echo(json.dumps(result.to_dict(), allow_nan=False))
        for sentence in result["unused"]:
            click.echo(f"not used: {sentence}", err=True)
    else:
        Console().print(result.table())
    for note in result["notes"]:
        click.echo(f"note: {note}", err=True)
