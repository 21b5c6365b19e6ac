"""Metrics for Prometheus over HTTP; needs the extra `metrics`."""

from __future__ import annotations

import base64
import hmac
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeAlias
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from loco_stream._text import reason_of
from loco_stream.engine._readings import Point, Watched, readings
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from prometheus_client.registry import Collector


Request: TypeAlias = Any  # a socket, as socketserver passes it
Address: TypeAlias = Any
Family: TypeAlias = Any  # a metric family of prometheus_client

_LOCAL = ("127.0.0.1", "localhost")
SCHEMES = ("bearer", "basic", "token")
"""Ways in which a client may show its token; the last is that of clients of InfluxDB."""

_THREADS = 16  # connections at a time; a further one closes the one that is silent longest
_SECONDS = 5.0  # until a silent client is disconnected
_GRACE = 0.5  # seconds in which the thread of a closed connection ends
_PAUSE = 0.1  # seconds after a connection that could not be accepted


def serve_metrics(
    collector: Collector,
    port: int,
    host: str = "127.0.0.1",
    token: str | None = None,
    allowed_hosts: Sequence[str] = (),
) -> Callable[[], None]:
    """Answer ``GET /metrics`` from a few threads; return a function that ends the server.

    On the loopback address only requests to a local or allowed host name are answered, so that a
    web page whose name is redirected to this machine cannot read the numbers.

    Raises `ConfigError` if prometheus-client is missing, or the port is in use.

    collector: of the metrics
    port, host: where to listen
    token: bearer token, or password with any user name, that requests must show; None needs none
    allowed_hosts: further host names to which requests are answered
    """
    try:
        from prometheus_client import CollectorRegistry, make_wsgi_app
    except ImportError as error:
        raise ConfigError(
            "metrics for Prometheus need prometheus-client: pip install 'loco-stream[metrics]'"
        ) from error
    registry = CollectorRegistry()
    registry.register(collector)
    app = make_wsgi_app(registry)
    server = _listen(host, port)
    hosts = (*_LOCAL, *allowed_hosts) if host in _LOCAL or allowed_hosts else ()
    server.set_app(_guarded(app, hosts, token))
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


def _listen(host: str, port: int) -> _Server:
    try:
        return _Server((host, port), _Handler)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"cannot serve metrics on {host}:{port}: {reason_of(error)}") from error


def _guarded(app: WSGIApplication, hosts: Sequence[str], token: str | None) -> WSGIApplication:
    """Refuse requests to other hosts, if there are any, and requests without the token."""

    def guarded(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        plain = [("Content-Type", "text/plain")]
        if hosts and _host_name(environ) not in hosts:
            start("403 Forbidden", plain)
            return [f"metrics are served to {' and '.join(hosts)} only\n".encode()]
        shown = environ.get("HTTP_AUTHORIZATION", "")
        if token is not None and not shows_token(shown, token):
            start("401 Unauthorized", [*plain, ("WWW-Authenticate", 'Basic realm="loco-stream"')])
            return [b"send the token: Authorization: Bearer TOKEN\n"]
        return app(environ, start)

    return guarded


def _host_name(environ: WSGIEnvironment) -> str:
    """Return the host that was asked for, without its port."""
    host: str = environ.get("HTTP_HOST", "")
    return (host.rpartition(":")[0] or host).lower()


def shows_token(header: str, token: str, schemes: Collection[str] = SCHEMES) -> bool:
    """Whether an Authorization header shows the token, as bearer token or as password.

    header: the header's value
    schemes: of `SCHEMES`, those that are allowed; another one shows no token

    Examples
    --------
    >>> headers = ("Bearer secret", "Basic dXNlcjpzZWNyZXQ=", "secret")
    >>> [shows_token(header, "secret") for header in headers]
    [True, True, False]
    """
    scheme, _, shown = header.partition(" ")
    if scheme.lower() not in schemes:
        return False
    if scheme.lower() == "basic":
        try:
            shown = base64.b64decode(shown, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    return hmac.compare_digest(shown.encode(), token.encode())


def family_of(
    name: str, description: str, is_counter: bool, labels: Sequence[str], points: Iterable[Point]
) -> Family:
    """Return a metric family of points that have these labels."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    kind = CounterMetricFamily if is_counter else GaugeMetricFamily
    family = kind(name, description, labels=labels)
    for point in points:
        family.add_metric([point.labels[label] for label in labels], point.value)
    return family


class _Handler(WSGIRequestHandler):
    timeout = _SECONDS
    server: _Server

    def parse_request(self) -> bool:
        """Read the request, after which the connection is not silent any more."""
        is_complete = super().parse_request()
        self.server.silent.pop(self.connection, None)
        return is_complete

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing: scrapes are frequent."""


class _Server(WSGIServer):
    """Answers each connection in one of a few threads.

    silent: connections whose request has not come, the oldest first
    """

    def __init__(self, address: tuple[str, int], handler: type[WSGIRequestHandler]) -> None:
        self.silent: dict[Request, None] = {}
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="metrics")
        self._free = threading.Semaphore(_THREADS)
        super().__init__(address, handler)

    def get_request(self) -> tuple[Request, Address]:
        """Accept a connection; wait if there is no file descriptor: each further try fails too."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(_PAUSE)
            raise

    def process_request(self, request: Request, client_address: Address) -> None:
        """Pass the connection to a thread; if none is free, the oldest silent one is closed."""
        if not self._free.acquire(blocking=False):
            self._end_silent()
            if not self._free.acquire(timeout=_GRACE):
                self.shutdown_request(request)
                return
        self.silent[request] = None
        self._pool.submit(self._answer, request, client_address)

    def _end_silent(self) -> None:
        """Let the thread of the connection that is silent longest read the end of its stream."""
        for request in list(self.silent):
            self.silent.pop(request, None)
            with suppress(OSError):  # closed in the meantime
                request.shutdown(socket.SHUT_RDWR)
                return

    def _answer(self, request: Request, client_address: Address) -> None:
        try:
            self.finish_request(request, client_address)
        except OSError:
            pass  # the client is gone
        finally:
            self.silent.pop(request, None)
            self.shutdown_request(request)
            self._free.release()

    def server_close(self) -> None:
        """Close the port and silent connections, and wait for running answers."""
        super().server_close()
        while self.silent:
            self._end_silent()
        self._pool.shutdown()


class EngineCollector:
    """Reads the last status of the engine, which never waits for a scrape."""

    def __init__(self, engine: Watched) -> None:
        self._engine = engine

    def collect(self) -> Iterator[Family]:
        """Yield the current metrics."""
        for one in readings(self._engine.status):
            text = one.key.description
            if one.key.kind == "histogram":
                yield self._latencies(one.name, text)
            else:
                yield family_of(one.name, text, one.is_counter, one.labels, one.points)

    def _latencies(self, name: str, description: str) -> Family:
        from prometheus_client.core import HistogramMetricFamily

        latency = self._engine.latency
        buckets = [(f"{us * 1e-6:.3g}", rows) for us, rows in latency.cumulative()]
        family = HistogramMetricFamily(name, description)
        seconds = latency.total_us * 1e-6
        family.add_metric([], [*buckets, ("+Inf", latency.n)], sum_value=seconds)
        return family
