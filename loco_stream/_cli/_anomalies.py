"""The options of the anomaly detector: beside a labelled stream, and of a stream without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from loco_stream._cli._logging import LOGGER
from loco_stream._cli._option_group import checked_by, flag, given, option_group, seed_option
from loco_stream._cli._sinks import check_command
from loco_stream._ranges import IntRange
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from loco_stream.estimators._detector import LOCODetector
    from loco_stream.stream import Sink

_EVERY = click.option(
    "--every",
    type=IntRange(10),
    default=1000,
    metavar="N",
    help="Rows per false alarm of the anomaly detector, on average while nothing changes. A larger "
    "N gives fewer and more certain alarms. Every row is scored, whatever N is.",
)
_ON_ALARM = click.option(
    "--on-alarm",
    metavar="COMMAND",
    callback=checked_by(check_command),
    help="Run COMMAND at each alarm of the anomaly detector, without a shell, with the record on "
    "its standard input.",
)


@dataclass(frozen=True, slots=True)
class AlarmOptions:
    """How often the detector may raise a false alarm, and what runs at each alarm."""

    every: int
    on_alarm: str | None

    def detector(self, seed: int) -> LOCODetector:
        """Return the detector."""
        from loco_stream.estimators._detector import LOCODetector

        return LOCODetector(every=self.every, seed=seed)

    def sinks(self) -> list[Sink]:
        """Return the sink that runs the command, if there is one."""
        if self.on_alarm is None:
            return []
        from loco_stream.connectors.sinks.exec_sink import ExecSink

        sink = ExecSink(self.on_alarm, only="anomaly")
        LOGGER.info("sink %s: delivery: %s", sink.name, sink.guarantee)
        return [sink]


@dataclass(frozen=True, slots=True)
class WatchOptions(AlarmOptions):
    """A detector of a stream without labels."""

    seed: int

    def stored(self) -> dict[str, object]:
        """Return the values that a resumed run continues with."""
        return {"every": self.every, "seed": self.seed}


@dataclass(frozen=True, slots=True)
class BesideOptions(AlarmOptions):
    """A detector beside a labelled stream, if it is wanted."""

    watch: bool

    def check(self) -> None:
        """Raise `ConfigError` if an option of the detector is given without --watch."""
        for name in ("every", "on_alarm"):
            if given(name) and not self.watch:
                raise ConfigError(f"`{flag(name)}` needs --watch")

    def stored(self) -> dict[str, object]:
        """Return the values that a resumed run continues with; none without a detector."""
        return {"watch": True, "every": self.every} if self.watch else {}


watch_options = option_group(
    "alarms",
    WatchOptions,
    _EVERY,
    _ON_ALARM,
    seed_option("the detector"),
)
beside_options = option_group(
    "alarms",
    BesideOptions,
    click.option("--watch", is_flag=True, help="Also run an anomaly detector on every row."),
    _EVERY,
    _ON_ALARM,
)


key_alarm_options = option_group(
    "alarms",
    BesideOptions,
    click.option(
        "--watch",
        is_flag=True,
        help="Give each key an anomaly detector, and no model that learns labels.",
    ),
    _EVERY,
    _ON_ALARM,
)
