"""The option --otlp: metrics and traces by OpenTelemetry."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from loco_stream._cli._logging import LOGGER
from loco_stream._cli._option_group import option_group
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from loco_stream.dashboard import Dashboard
    from loco_stream.engine.telemetry import Telemetry
    from loco_stream.fleet._metrics import FleetMetrics

_SECONDS = 60.0  # between two warnings


@dataclass(frozen=True, slots=True)
class TelemetryOptions:
    """Where metrics and traces are exported to."""

    otlp: str | None

    @contextmanager
    def open(self) -> Iterator[Telemetry | None]:
        """Export while the block runs; yield what watches the engine, or None."""
        if self.otlp is None:
            yield None
            return
        from loco_stream.engine.telemetry import Telemetry

        with _short_log(self.otlp):
            try:
                telemetry = Telemetry(self.otlp)
            except ConfigError as error:
                raise ConfigError(f"`--otlp`: {error}") from error
            try:
                yield telemetry
            finally:
                telemetry.close()


class _ExportHandler(logging.Handler):
    """Logs a failed export at most once a minute; the SDK logs each attempt."""

    def __init__(self, endpoint: str) -> None:
        super().__init__()
        self._endpoint = endpoint
        self._next = 0.0  # monotonic time from which on a failure is logged

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage().rstrip(".")
        now = time.monotonic()
        if record.levelno < logging.ERROR or now < self._next:
            LOGGER.debug("%s: %s", record.name, text)
            return
        self._next = now + _SECONDS
        LOGGER.warning("metrics or traces were not exported to %s: %s", self._endpoint, text)


@contextmanager
def _short_log(endpoint: str) -> Iterator[None]:
    """Log what the SDK logs as the package's own records while the block runs."""
    log = logging.getLogger("opentelemetry")
    handler = _ExportHandler(endpoint)
    propagates = log.propagate
    log.addHandler(handler)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.propagate = propagates


def observers(watchers: Iterable[Dashboard], telemetry: Telemetry | None) -> dict[str, Any]:
    """Return the options of an engine that is watched, and whose metrics are exported."""
    if telemetry is None:
        return {"watchers": watchers}
    return {"watchers": [*watchers, telemetry], "tracer": telemetry.tracer}


def fleet_watchers(telemetry: Telemetry | None) -> list[FleetMetrics]:
    """Return the watchers of a fleet whose metrics are exported."""
    if telemetry is None:
        return []
    from loco_stream.fleet._metrics import FleetMetrics

    metrics = FleetMetrics()
    telemetry.observe(metrics.instruments)
    return [metrics]


telemetry_options = option_group(
    "telemetry",
    TelemetryOptions,
    click.option(
        "--otlp",
        metavar="URL",
        help="Export metrics and traces to a collector of OpenTelemetry, for example "
        "http://127.0.0.1:4318; its other settings come from OTEL_* variables.",
    ),
)
