"""Records to a webhook."""

from __future__ import annotations

import base64
import http.client
import ssl
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from loco_stream.connectors.outlet import Outlet, RefusedError, encode, mark
from loco_stream.errors import ConfigError
from loco_stream.records import Record

__all__ = ["HTTPRecords"]

_AGAIN = frozenset({408, 425, 429})  # besides 5xx: the receiver asks for another try


class HTTPRecords(Outlet):
    """Posts records: one as a JSON map, with `batch` above 1 as one map a line (``application/x-ndjson``).

    An answer of 2xx takes them; 408, 425, 429 and 5xx are tried again; any other refuses them for
    good, redirections too. The certificate of an https receiver is checked against the system's
    authorities, or those in `ca`.

    Parameters
    ----------
    url
        Where to. Reports and logs show host, port and a digest of the path, for a path may be a
        secret.
    user
        With the secret as password, for basic authentication.
    secret
        Without a user, the bearer token.
    ca
        File of certificates to trust instead of the system's.
    timeout
        Seconds for the connection and for each answer.
    options
        Those of `Outlet`.

    Raises
    ------
    ConfigError
        The URL has no host, or there is no such file.
    """

    errors: tuple[type[Exception], ...] = (OSError, http.client.HTTPException)

    def __init__(
        self,
        url: str,
        *,
        user: str | None = None,
        secret: str | None = None,
        ca: str | None = None,
        timeout: float = 5.0,
        **options: Any,
    ) -> None:
        parts = urlsplit(url)
        if not parts.hostname:
            raise ConfigError(
                f"a webhook is http://HOST:PORT/PATH, and {parts.scheme}: names no host"
            )
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        super().__init__(
            f"{parts.scheme}://{parts.netloc}/#{mark(path)}", **{"batch": 1, **options}
        )
        self._host = parts.hostname
        self._port = parts.port
        self._timeout = timeout
        self._path = path
        self._tls = _trust(ca) if parts.scheme == "https" else None
        self.headers = _authorization(user, secret)
        self._connection: http.client.HTTPConnection | None = None

    def body(self, records: Sequence[Record]) -> tuple[str, bytes]:
        """Return the type and the bytes of a request."""
        if len(records) == 1:
            return "application/json", encode(records[0])
        return "application/x-ndjson", b"".join(encode(record) + b"\n" for record in records)

    def send(self, records: Sequence[Record]) -> None:
        """Post."""
        kind, body = self.body(records)
        reused = self._connection is not None
        try:
            status, reason = self._post(kind, body)
        except (ConnectionError, http.client.BadStatusLine):
            if not reused:
                raise
            # the receiver had closed a connection that was idle: that is no failure
            self.disconnect()
            status, reason = self._post(kind, body)
        if status in _AGAIN or status >= 500:
            raise OSError(f"{self.name} answers {status} {reason}")
        if not 200 <= status < 300:
            raise RefusedError(f"{self.name} answers {status} {reason}")

    def disconnect(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, kind: str, body: bytes) -> tuple[int, str]:
        if self._connection is None:
            self._connection = (
                http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
                if self._tls is None
                else http.client.HTTPSConnection(
                    self._host, self._port, timeout=self._timeout, context=self._tls
                )
            )
        self._connection.request("POST", self._path, body, {"Content-Type": kind, **self.headers})
        with self._connection.getresponse() as answer:
            answer.read(65_536)
            if not answer.isclosed():  # a long answer is not waited for
                self.disconnect()
            return answer.status, answer.reason


def _authorization(user: str | None, secret: str | None) -> dict[str, str]:
    if user is not None:
        return {
            "Authorization": "Basic " + base64.b64encode(f"{user}:{secret or ''}".encode()).decode()
        }
    return {} if secret is None else {"Authorization": f"Bearer {secret}"}


def _trust(ca: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ConfigError(f"cannot read the certificates {ca}: {error.strerror or error}") from None
