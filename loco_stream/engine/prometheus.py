"""What a running engine tells Prometheus; needs the extra `metrics`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from loco_stream.engine.core import StreamEngine

__all__ = ["serve_metrics"]

_COUNTERS = {
    "n_samples": ("rows_learned", "labelled rows predicted, scored and learned or held out"),
    "n_unlabelled": ("rows_unlabelled", "rows predicted whose label had not come"),
    "n_rejected": ("rows_rejected", "rows the model refused"),
    "n_asked": ("rows_asked", "rows predicted on request"),
    "n_held_out": ("rows_held_out", "rows withheld from training to measure forgetting"),
    "n_expired": ("labels_expired", "rows that left before their label came"),
    "n_orphaned": ("labels_orphaned", "labels whose row had left or never came"),
    "skipped_updates": ("updates_skipped", "learning steps left out because they were not finite"),
    "n_drifts": ("drifts", "drift alarms"),
}
_GAUGES = {
    "n_pending": ("rows_pending", "rows that wait for their label"),
    "samples_per_second": ("rows_per_second", "rows over the wall time since the first one"),
    "accuracy": ("accuracy", "share of right answers, all rows"),
    "window_accuracy": ("window_accuracy", "share of right answers in the last window"),
    "mae": ("mean_absolute_error", "mean absolute error, units of the label, all rows"),
    "window_mae": ("window_mean_absolute_error", "mean absolute error in the last window"),
    "checkpoint_age": ("checkpoint_age_seconds", "seconds since the last durable checkpoint"),
}


def serve_metrics(engine: StreamEngine, port: int, host: str = "127.0.0.1") -> Callable[[], None]:
    """Answer ``GET /metrics`` from a thread; returns what ends it.

    Raises
    ------
    ConfigError
        prometheus-client is missing, or the port is in use.
    """
    try:
        from prometheus_client import CollectorRegistry, start_http_server
    except ImportError as error:
        raise ConfigError("--metrics-port needs prometheus-client: pip install 'loco-stream[metrics]'") from error
    registry = CollectorRegistry()
    registry.register(_Collector(engine))
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot serve metrics on {host}:{port}: {reason}") from error

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


class _Collector:
    """Reads the engine's last status; the learner never waits for a scrape."""

    def __init__(self, engine: StreamEngine) -> None:
        self._engine = engine

    def describe(self) -> Iterator[Any]:
        """Name nothing before the first scrape: what there is depends on the task and the source."""
        return iter(())

    def collect(self) -> Iterator[Any]:
        """Yield the metrics as they are now."""
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        status = self._engine.status
        for key, (name, text) in _COUNTERS.items():
            if key in status:
                yield CounterMetricFamily(f"loco_{name}", text, value=status[key])
        for key, (name, text) in _GAUGES.items():
            if status.get(key) is not None:
                yield GaugeMetricFamily(f"loco_{name}", text, value=status[key])
        yield GaugeMetricFamily(
            "loco_alarm", "1 while the disk refuses the log or a checkpoint", self._engine.alarm is not None
        )
        transport = CounterMetricFamily(
            "loco_transport", "counted by the source: rows, gaps, duplicates, ...", labels=["what"]
        )
        for name, value in status.get("transport", {}).items():
            transport.add_metric([name], value)
        yield transport
        lag = self._engine.lag
        if lag is not None:
            yield GaugeMetricFamily("loco_lag_seconds", "age of the newest row by its event time", value=lag)
        latency = self._engine.latency
        buckets = [(f"{us * 1e-6:.3g}", rows) for us, rows in latency.cumulative()]
        family = HistogramMetricFamily("loco_latency_seconds", "from a row's arrival to predicted, scored and learned")
        family.add_metric([], [*buckets, ("+Inf", latency.n)], sum_value=latency.total_us * 1e-6)
        yield family
