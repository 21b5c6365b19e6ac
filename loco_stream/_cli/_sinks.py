"""The options --sink and --on-drift: where records of predictions, drifts and reports go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from loco_stream._cli._logging import LOGGER, CommandError
from loco_stream._cli._option_group import RepeatedOption, checked_by, option_group
from loco_stream._text import listed
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from loco_stream.stream import Sink


def check_delivered(report: Mapping[str, Any]) -> None:
    """End the command with exit code 1 if sinks lost records; call it when all else is done."""
    if losses := _losses(report):
        raise CommandError(losses)


@contextmanager
def losses_logged(report: Mapping[str, Any]) -> Iterator[None]:
    """Log what sinks lost if the block cannot write the report."""
    try:
        yield
    except ConfigError:
        if losses := _losses(report):
            LOGGER.error("%s", losses)
        raise


def _losses(report: Mapping[str, Any]) -> str:
    """Return how many records each sink lost, "" for none."""
    lost = report.get("n_lost_records", 0)
    if not lost:
        return ""
    what = "1 record was" if lost == 1 else f"{lost:,} records were"
    names = [f"{name} ({n:,})" for name, n in report["lost_records"].items()]
    return f"{what} lost by sinks: {listed(names)}"


def check_command(command: str) -> None:
    """Raise `ConfigError` if there is no such program; for --on-drift and --on-alarm."""
    from loco_stream.connectors.sinks.exec_sink import words_of

    words_of(command)


@dataclass(frozen=True, slots=True)
class SinkOptions:
    """URLs of sinks, and a command to run at each drift."""

    sinks: tuple[str, ...]
    on_drift: str | None

    def open(self) -> list[Sink]:
        """Open the sinks and log the delivery guarantee of each."""
        from loco_stream.connectors import open_sink
        from loco_stream.connectors._urls import sink_urls
        from loco_stream.connectors.sinks.exec_sink import ExecSink

        opened = [open_sink(url) for url in sink_urls(self.sinks)]
        if self.on_drift is not None:
            opened.append(ExecSink(self.on_drift, only="drift"))
        names = [sink.name for sink in opened]
        for sink in opened:
            # counts and undelivered records are stored under the name of a sink
            if names.count(sink.name) > 1:
                raise ConfigError(
                    f"`--sink` must name each receiver once, got {sink.name} twice; "
                    "?only=KIND,KIND selects several kinds of records"
                )
            LOGGER.info("sink %s: delivery: %s", sink.name, sink.guarantee)
        return opened


sink_options = option_group(
    "outputs",
    SinkOptions,
    click.option(
        "--sink",
        "sinks",
        cls=RepeatedOption,
        metavar="URL",
        help="Send records to a receiver, for example jsonl:PATH or https://HOST/HOOK?only=drift; "
        "@FILE reads URLs from a file. `loco-stream run --help` lists all kinds. Repeatable.",
    ),
    click.option(
        "--on-drift",
        metavar="COMMAND",
        callback=checked_by(check_command),
        help="Run COMMAND at each drift, without a shell, with the record on its standard input.",
    ),
)
