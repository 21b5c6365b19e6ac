"""The option --otlp: metrics and traces by OpenTelemetry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from loco_stream.cli._option_group import option_group

if TYPE_CHECKING:
    from loco_stream.engine.telemetry import Telemetry

__all__ = ["TelemetryOptions", "telemetry_options", "with_telemetry"]


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

        telemetry = Telemetry(self.otlp)
        try:
            yield telemetry
        finally:
            telemetry.close()


def with_telemetry(
    engine_options: Mapping[str, Any], telemetry: Telemetry | None
) -> Mapping[str, Any]:
    """Return the options of an engine that is observed."""
    if telemetry is None:
        return engine_options
    watchers = [*engine_options["watchers"], telemetry]
    return {**engine_options, "watchers": watchers, "tracer": telemetry.tracer}


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
