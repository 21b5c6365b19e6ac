"""What a running engine tells Prometheus; needs the extra `metrics`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from socket import socket
from typing import TYPE_CHECKING, Any, Protocol
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from loco_stream.errors import ConfigError
from loco_stream.metrics.keys import Key, keys_of

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from loco_stream.engine.latency import LatencyHistogram

__all__ = ["serve_metrics"]

_LOCAL = ("127.0.0.1", "localhost")
_THREADS = 4  # answers at a time; further connections are closed at once
_SECONDS = 5.0  # that a client may be silent


class Watched(Protocol):
    """An engine, or what stands for it until there is one."""

    @property
    def status(self) -> Mapping[str, Any]:
        """The numbers of this moment."""

    @property
    def latency(self) -> LatencyHistogram:
        """How long rows took; asked for when the status has it."""


def serve_metrics(engine: Watched, port: int, host: str = "127.0.0.1") -> Callable[[], None]:
    """Answer ``GET /metrics`` from a few threads; returns what ends it.

    On this machine's own address, only a request to a local name is answered: a page of a stranger
    that had its name point here must not read the numbers.

    Raises
    ------
    ConfigError
        prometheus-client is missing, or the port is in use.
    """
    try:
        from prometheus_client import CollectorRegistry, make_wsgi_app
    except ImportError as error:
        raise ConfigError(
            "metrics need prometheus-client: pip install 'loco-stream[metrics]'"
        ) from error
    registry = CollectorRegistry()
    registry.register(_Collector(engine))
    try:
        server = _Server((host, port), _Handler)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot serve metrics on {host}:{port}: {reason}") from error
    app = make_wsgi_app(registry)
    server.set_app(_local_only(app) if host in _LOCAL else app)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


def _local_only(app: WSGIApplication) -> WSGIApplication:
    def guarded(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        name = environ.get("HTTP_HOST", "").rpartition(":")[0] or environ.get("HTTP_HOST", "")
        if name.lower() in _LOCAL:
            return app(environ, start)
        start("403 Forbidden", [("Content-Type", "text/plain")])
        return [b"metrics are for this machine: ask for 127.0.0.1 or localhost\n"]

    return guarded


class _Handler(WSGIRequestHandler):
    timeout = _SECONDS

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing: a scrape is no event."""


class _Server(WSGIServer):
    """Answers each connection in one of a few threads."""

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="metrics")
        self._free = threading.Semaphore(_THREADS)
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Hand the connection to a thread, or close it if none is free."""
        if self._free.acquire(blocking=False):
            self._pool.submit(self._answer, request, client_address)
        else:
            self.shutdown_request(request)

    def _answer(self, request: socket, client_address: tuple[str, int]) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            pass  # the client is gone
        finally:
            self.shutdown_request(request)
            self._free.release()

    def server_close(self) -> None:
        """Close the port, and wait for the answers under way."""
        super().server_close()
        self._pool.shutdown()


class _Collector:
    """Reads the engine's last status; the learner never waits for a scrape."""

    def __init__(self, engine: Watched) -> None:
        self._engine = engine

    def describe(self) -> Iterator[Any]:
        """Name nothing before the first scrape.

        What there is depends on the task and the source.
        """
        return iter(())

    def collect(self) -> Iterator[Any]:
        """Yield the metrics as they are now."""
        status = self._engine.status
        for key in keys_of("regression" if "mae" in status else "classification"):
            if key.prometheus and (key.kind == "flag" or status.get(key.name) is not None):
                yield self._family(key, status.get(key.name))

    def _family(self, key: Key, value: Any) -> Any:
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            HistogramMetricFamily,
        )

        name = f"loco_{key.prometheus}"
        if key.kind == "counter":
            return CounterMetricFamily(name, key.what, value=value)
        if key.kind in ("parts", "shares"):
            kind = CounterMetricFamily if key.kind == "parts" else GaugeMetricFamily
            parts = kind(name, key.what, labels=["what"])
            for what, count in value.items():
                parts.add_metric([str(what)], count)
            return parts
        if key.kind == "classes":
            classes = GaugeMetricFamily(name, key.what, labels=["label", "score"])
            for label, scores in value.items():
                for score, number in scores.items():
                    classes.add_metric([label, score], number)
            return classes
        if key.kind == "histogram":
            latency = self._engine.latency
            buckets = [(f"{us * 1e-6:.3g}", rows) for us, rows in latency.cumulative()]
            family = HistogramMetricFamily(name, key.what)
            family.add_metric(
                [], [*buckets, ("+Inf", latency.n)], sum_value=latency.total_us * 1e-6
            )
            return family
        return GaugeMetricFamily(name, key.what, value=bool(value) if key.kind == "flag" else value)
