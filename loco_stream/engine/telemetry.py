"""Metrics and traces by OpenTelemetry; needs the extra `otel`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from loco_stream._persistence.content import State
from loco_stream.engine._readings import PREFIX, Instrument, Point, Reading, Watched, readings
from loco_stream.engine._tracing import Tracer
from loco_stream.errors import ConfigError
from loco_stream.metrics._keys import KEYS
from loco_stream.metrics.scores._definition import ReportKey
from loco_stream.version import __version__

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Meter, Observation
    from opentelemetry.sdk.metrics.export import (
        Metric,
        MetricExporter,
        MetricExportResult,
        MetricReader,
        MetricsData,
    )
    from opentelemetry.sdk.trace import SpanProcessor

    from loco_stream.engine._latency import LatencyHistogram

__all__ = ["Telemetry"]

_NAME = "loco-stream"
_SECONDS = 10.0  # between two exports of metrics
_TIMEOUT = 5.0  # seconds that a collector may take


class Telemetry:
    """Exports the metrics and spans of an engine by OTLP over HTTP.

    It is a watcher of the engine, and has the tracer for it. The metrics are those for Prometheus,
    under the same names. Headers and other settings come from the variables of OpenTelemetry, for
    example ``OTEL_EXPORTER_OTLP_HEADERS`` and ``OTEL_SERVICE_NAME``.

    Parameters
    ----------
    endpoint
        Base URL of a collector, for example ``http://127.0.0.1:4318``; ``/v1/metrics`` and
        ``/v1/traces`` are appended.
    reader, processor
        Where metrics and spans go instead of to `endpoint`. A reader does not get the histogram of
        latencies, which is added when metrics are exported.

    Raises
    ------
    ConfigError
        The library is not installed, or `endpoint` is not a URL.

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
        resource = Resource({"service.name": _NAME, "service.version": __version__}).merge(
            Resource.create()
        )
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._traces.add_span_processor(processor or _exporting_spans(endpoint))
        self._metrics = MeterProvider(
            [reader or _exporting_metrics(endpoint, self._latency)],
            resource=resource,
            shutdown_on_exit=False,
        )
        self.tracer: Tracer = self._traces.get_tracer(_NAME, __version__)
        self._engine: Watched | None = None
        self._began = time.time_ns()
        self._status: State = {}
        self._readings: dict[str, Reading] = {}

    def __call__(self, engine: Watched) -> None:
        """Observe an engine from its first status on."""
        if self._engine is None:
            self._engine = engine
            self._observe(self._meter())

    def observe(self, instruments: Iterable[Instrument]) -> None:
        """Observe metrics that are no engine's, such as those of a fleet."""
        meter = self._meter()
        for one in instruments:
            _make(meter, one)

    def _meter(self) -> Meter:
        return self._metrics.get_meter(_NAME, __version__)

    def close(self) -> None:
        """Export what is left, and end."""
        self._metrics.shutdown()
        self._traces.shutdown()

    def _observe(self, meter: Meter) -> None:
        for key in KEYS:
            if key.prometheus and key.kind != "histogram":
                name = f"{PREFIX}{key.prometheus}"
                is_counter = key.kind in ("counter", "parts")
                points = self._points_of(key)
                _make(meter, Instrument(name, key.description, is_counter, points))

    def _points_of(self, key: ReportKey) -> Callable[[], Iterable[Point]]:
        def points() -> Iterable[Point]:
            reading = self._read().get(key.name)
            return () if reading is None else reading.points

        return points

    def _latency(self) -> Metric | None:
        """Return the histogram of latencies; None before the first row."""
        if self._engine is None or self._engine.latency.n == 0:
            return None
        key = next(key for key in KEYS if key.kind == "histogram")
        name = f"{PREFIX}{key.prometheus}"
        return _histogram(name, key.description, self._engine.latency, self._began)

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


def _make(meter: Meter, one: Instrument) -> None:
    """Make an instrument that reads its numbers when metrics are collected."""
    from opentelemetry.metrics import Observation

    def observe(options: CallbackOptions) -> Iterator[Observation]:
        for point in one.points():
            yield Observation(point.value + 0, dict(point.labels))

    make = meter.create_observable_counter if one.is_counter else meter.create_observable_gauge
    make(one.name, [observe], description=one.description)


def _histogram(name: str, description: str, latency: LatencyHistogram, began: int) -> Metric:
    """Return latencies in seconds, in buckets of one octave each."""
    from opentelemetry.sdk.metrics.export import (
        AggregationTemporality,
        Histogram,
        HistogramDataPoint,
        Metric,
    )

    rows = latency.cumulative()
    counts = [n - before for (_, n), (_, before) in zip(rows, [(0.0, 0), *rows], strict=False)]
    total = rows[-1][1]  # the engine may have counted rows meanwhile
    point = HistogramDataPoint(
        attributes={},
        start_time_unix_nano=began,
        time_unix_nano=time.time_ns(),
        count=total,
        sum=latency.total_us * 1e-6,
        bucket_counts=[*counts, 0],
        explicit_bounds=[us * 1e-6 for us, _ in rows],
        min=0.0,
        max=latency.largest_us * 1e-6,
    )
    return Metric(name, description, "s", Histogram([point], AggregationTemporality.CUMULATIVE))


def _exporting_metrics(endpoint: str, further: Callable[[], Metric | None]) -> MetricReader:
    """Return what exports every few seconds, with a further metric that has no instrument."""
    from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader

    base: Any = _exporter("metric_exporter", "OTLPMetricExporter")

    class Exporter(base):
        def export(
            self, metrics_data: MetricsData, *args: float, **options: float
        ) -> MetricExportResult:
            result: MetricExportResult = super().export(
                _with_metric(metrics_data, further()), *args, **options
            )
            return result

    own: MetricExporter = Exporter(_url(endpoint, "metrics"), timeout=_TIMEOUT)
    return PeriodicExportingMetricReader(own, export_interval_millis=1000 * _SECONDS)


def _with_metric(data: MetricsData, metric: Metric | None) -> MetricsData:
    """Return metrics with one more in their first scope."""
    if metric is None or not data.resource_metrics:
        return data
    resource, *others = data.resource_metrics
    scope, *scopes = resource.scope_metrics
    scope = replace(scope, metrics=[*scope.metrics, metric])
    resource = replace(resource, scope_metrics=[scope, *scopes])
    return replace(data, resource_metrics=[resource, *others])


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
            f"`endpoint` must be http://HOST:PORT or https://HOST:PORT, got {endpoint!r}"
        )
    return f"{endpoint.rstrip('/')}/v1/{what}"
