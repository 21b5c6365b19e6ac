"""Metrics and traces by OpenTelemetry; needs the extra `otel`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from loco_stream.engine.readings import PREFIX, Reading, readings
from loco_stream.engine.tracing import Tracer
from loco_stream.errors import ConfigError
from loco_stream.metrics.keys import KEYS
from loco_stream.metrics.scores.definition import ReportKey
from loco_stream.persistence.content import State
from loco_stream.version import __version__

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import SpanProcessor

__all__ = ["Telemetry"]

_NAME = "loco-stream"
_SECONDS = 10.0  # between two exports of metrics
_TIMEOUT = 5.0  # seconds that a collector may take


class Watched(Protocol):
    """An engine, or its stand-in before it exists."""

    @property
    def status(self) -> State:
        """The current numbers."""


class Telemetry:
    """Exports the metrics and spans of an engine by OTLP over HTTP.

    It is a watcher of the engine, and has the tracer for it. The metrics are those for Prometheus,
    under the same names, but for the histogram of latencies, which OpenTelemetry cannot observe.
    Headers and other settings come from the variables of OpenTelemetry, for example
    ``OTEL_EXPORTER_OTLP_HEADERS`` and ``OTEL_SERVICE_NAME``.

    Parameters
    ----------
    endpoint
        Base URL of a collector, for example ``http://127.0.0.1:4318``; ``/v1/metrics`` and
        ``/v1/traces`` are appended.
    reader, processor
        Where metrics and spans go instead of to `endpoint`.

    Raises
    ------
    ConfigError
        The library is not installed, or `endpoint` is no URL.

    Examples
    --------
    >>> from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    >>> from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    >>> from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    >>> from river import datasets, naive_bayes
    >>> from loco_stream import StreamEngine
    >>> spans = InMemorySpanExporter()
    >>> telemetry = Telemetry(
    ...     reader=InMemoryMetricReader(), processor=SimpleSpanProcessor(spans)
    ... )
    >>> engine = StreamEngine(
    ...     naive_bayes.GaussianNB(),
    ...     datasets.Phishing(),
    ...     watchers=[telemetry],
    ...     tracer=telemetry.tracer,
    ... )
    >>> report = engine.run(max_samples=10)
    >>> telemetry.close()
    >>> {span.name for span in spans.get_finished_spans()}
    {'loco.commit'}
    """

    def __init__(
        self,
        endpoint: str = "",
        *,
        reader: MetricReader | None = None,
        processor: SpanProcessor | None = None,
    ) -> None:
        try:
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.resources import Resource
            from opentelemetry.sdk.trace import TracerProvider
        except ImportError as error:
            raise ConfigError(
                "OpenTelemetry needs its SDK: pip install 'loco-stream[otel]'"
            ) from error
        named = {"service.name": _NAME, "service.version": __version__}
        resource = Resource(named).merge(Resource.create())
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._traces.add_span_processor(processor or _exporting_spans(endpoint))
        self._metrics = MeterProvider(
            [reader or _exporting_metrics(endpoint)], resource=resource, shutdown_on_exit=False
        )
        self.tracer: Tracer = self._traces.get_tracer(_NAME, __version__)
        self._engine: Watched | None = None
        self._status: State = {}
        self._readings: dict[str, Reading] = {}

    def __call__(self, engine: Watched) -> None:
        """Observe an engine from its first status on."""
        if self._engine is None:
            self._engine = engine
            self._observe(self._metrics.get_meter(_NAME, __version__))

    def close(self) -> None:
        """Export what is left, and end."""
        self._metrics.shutdown()
        self._traces.shutdown()

    def _observe(self, meter: Meter) -> None:
        for key in KEYS:
            if key.prometheus and key.kind != "histogram":
                is_counter = key.kind in ("counter", "parts")
                make = (
                    meter.create_observable_counter if is_counter else meter.create_observable_gauge
                )
                make(
                    f"{PREFIX}{key.prometheus}", [self._callback(key)], description=key.description
                )

    def _callback(self, key: ReportKey) -> Callable[[CallbackOptions], Iterator[Observation]]:
        from opentelemetry.metrics import Observation

        def observe(options: CallbackOptions) -> Iterator[Observation]:
            reading = self._read().get(key.name)
            for point in () if reading is None else reading.points:
                yield Observation(point.value + 0, dict(point.labels))

        return observe

    def _read(self) -> dict[str, Reading]:
        """Return the current metrics by key, made once per status."""
        assert self._engine is not None
        status = self._engine.status
        if status is not self._status:
            self._status = status
            self._readings = {one.key.name: one for one in readings(status)}
        return self._readings


def _exporting_spans(endpoint: str) -> SpanProcessor:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter: Any = _exporter("trace_exporter", "OTLPSpanExporter")
    return BatchSpanProcessor(exporter(_url(endpoint, "traces"), timeout=_TIMEOUT))


def _exporting_metrics(endpoint: str) -> MetricReader:
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    exporter: Any = _exporter("metric_exporter", "OTLPMetricExporter")
    own = exporter(_url(endpoint, "metrics"), timeout=_TIMEOUT)
    return PeriodicExportingMetricReader(own, export_interval_millis=1000 * _SECONDS)


def _exporter(module: str, name: str) -> object:
    from importlib import import_module

    try:
        found: object = getattr(
            import_module(f"opentelemetry.exporter.otlp.proto.http.{module}"), name
        )
    except ImportError as error:
        raise ConfigError(
            "OpenTelemetry needs its exporter for OTLP: pip install 'loco-stream[otel]'"
        ) from error
    return found


def _url(endpoint: str, what: str) -> str:
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigError(
            f"the endpoint of OpenTelemetry must be http://HOST:PORT, got {endpoint!r}"
        )
    return f"{endpoint.rstrip('/')}/v1/{what}"
