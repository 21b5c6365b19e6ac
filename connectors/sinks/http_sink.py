"""Records to a webhook."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

from loco_stream._checks import checks_types
from loco_stream._text import reason_of
from loco_stream.connectors._base.buffered_sink import (
    AT_LEAST_ONCE,
    BufferedSink,
    RefusedError,
    digest,
    encode,
)
from loco_stream.connectors._base.checks import check_positive
from loco_stream.connectors._base.connector import Connector
from loco_stream.connectors._base.deadline import deadline
from loco_stream.connectors._base.options import Seconds
from loco_stream.errors import ConfigError
from loco_stream.stream import Record

_RETRY_STATUS = frozenset({408, 425, 429})  # besides 5xx
_MAX_ANSWER = 65_536
_SHOWN = 200  # bytes of an answer with the reason of a refusal


class HTTPSink(BufferedSink):
    """Posts records as JSON, or several at once as JSON lines.

    JSON lines have the content type ``application/x-ndjson``.
    Status 2xx accepts the records; 408, 425, 429 and 5xx are tried again; any other refuses them,
    redirections too. The certificate of an https receiver is verified.

    Parameters
    ----------
    url
        Where to post. Reports and logs show host, port and a digest of the path, which may be a
        secret.
    user
        User name for basic authentication, with the secret as password.
    secret
        Password, or bearer token without `user`.
    ca
        File of certificates to trust instead of those of the system.
    timeout
        Time for the connection and for each answer.
    batch
        Number of records per post.
    options
        Those of `BufferedSink`.

    Raises
    ------
    ConfigError
        The URL has no host or holds a password, or there is no such file.

    Examples
    --------
    It connects with the first record.

    >>> from loco_stream.connectors import HTTPSink
    >>> sink = HTTPSink("https://example.org/hook", only="drift")
    >>> sink.name
    'https://example.org/#6fc2d0'
    """

    errors: tuple[type[Exception], ...] = (OSError, http.client.HTTPException)

    @checks_types
    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        secret: str | None = None,
        ca: str | None = None,
        timeout: Seconds = 5.0,
        batch: int = 1,
        **options: Any,
    ) -> None:
        parts, host = _split(url)
        if "@" in parts.netloc:
            raise ConfigError(
                f"the URL of {parts.scheme}: must not hold a password, as reports and logs show "
                "it: give it as `user` and `secret`"
            )
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        name = f"{parts.scheme}://{parts.netloc}/#{digest(path)}"
        check_positive(timeout=timeout)
        super().__init__(name, batch=batch, **options)
        self._host = host
        self._port = parts.port
        self._path = path
        self._timeout = timeout
        self._tls = _tls_context(ca) if parts.scheme == "https" else None
        self.headers = _authorization(user, secret)
        self._connection: http.client.HTTPConnection | None = None

    def body(self, records: Sequence[Record]) -> tuple[str, bytes]:
        """Return content type and body of a request."""
        if len(records) == 1:
            return "application/json", encode(records[0])
        return "application/x-ndjson", b"".join(encode(record) + b"\n" for record in records)

    def send(self, records: Sequence[Record]) -> None:
        """Post records."""
        kind, body = self.body(records)
        was_open = self._connection is not None
        try:
            status, reason, answer = self._post(kind, body)
        except (ConnectionError, http.client.BadStatusLine):
            if not was_open:
                raise
            # The receiver had closed an idle connection, which is no failure.
            self.disconnect()
            status, reason, answer = self._post(kind, body)
        if status in _RETRY_STATUS or status >= 500:
            raise OSError(f"{self.name} answers {status} {reason}")
        if not 200 <= status < 300:
            why = f": {answer[:_SHOWN].decode(errors='replace')!r}" if answer else ""
            raise RefusedError(f"{self.name} answers {status} {reason}{why}")

    def disconnect(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, kind: str, body: bytes) -> tuple[int, str, bytes]:
        if self._connection is None:
            self._connection = self._connect()
        connection = self._connection
        headers = {"Content-Type": kind, **self.headers}
        with deadline(connection, self._timeout):
            connection.request("POST", self._path, body, headers)
            with connection.getresponse() as answer:
                text = answer.read(_MAX_ANSWER)
                if not answer.isclosed():  # the rest of a long answer is not read
                    self.disconnect()
                return answer.status, answer.reason, text

    def _connect(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout, context=self._tls
        )


def _authorization(user: str | None, secret: str | None) -> dict[str, str]:
    if user is not None:
        login = base64.b64encode(f"{user}:{secret or ''}".encode()).decode()
        return {"Authorization": f"Basic {login}"}
    return {} if secret is None else {"Authorization": f"Bearer {secret}"}


def _split(url: str) -> tuple[SplitResult, str]:
    """Return the parts of a URL and its host; errors do not show it, as it may be a secret."""
    form = "the URL of a webhook must be http://HOST:PORT/PATH or https://HOST:PORT/PATH"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a port that is no number, or brackets that are not closed
        port = 0
    if port == 0:
        raise ConfigError(f"{form} with a port of 1 to 65535, got another host or port")
    if not parts.hostname:
        raise ConfigError(f"{form}, got no host")
    return parts, parts.hostname


def _tls_context(ca: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ConfigError(f"cannot read the certificates {ca}: {reason_of(error)}") from None


def _connector(scheme: str) -> Connector:
    return Connector(
        scheme,
        HTTPSink,
        {f"{scheme}://HOST/PATH": AT_LEAST_ONCE},
        secret="LOCO_STREAM_HTTP_SECRET",
        keeps_query=True,
        keeps_scheme=True,
        is_variant=scheme == "http",
    )


CONNECTORS = (_connector("http"), _connector("https"))
