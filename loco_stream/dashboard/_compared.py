"""Other running pages whose runs are drawn beside the own one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

import msgspec

from loco_stream.connectors._base.deadline import deadline
from loco_stream.errors import ConfigError

_TIMEOUT = 3.0  # seconds without a byte
_ANSWER_SECONDS = 6.0  # longest time of an answer, also of headers that come byte by byte
_MAX_BYTES = 16_000_000
_MIN_SECONDS = 1.0  # between two requests to the same page, however many pages are open here
# of the network, of HTTP, of names and texts that cannot be encoded or decoded, and of JSON
_ERRORS = (OSError, HTTPException, ValueError, RecursionError, msgspec.MsgspecError)


class _Score(msgspec.Struct):
    name: str
    label: str
    role: str


class _Changes(msgspec.Struct):
    drifts: list[Any] = []


class _State(msgspec.Struct):
    """What is shown of another run; anything else that its page sends is dropped."""

    title: str = ""
    model: str = ""
    settings: str = ""
    task: str = ""
    scores: list[_Score] = []
    course: list[list[float | None]] = []
    rate: float | None = None
    ended: bool = False
    tasks: _Changes | None = None


class ComparedRuns:
    """Reads the state of other pages, on behalf of the browsers that show this one.

    Only whoever starts the page names the others. A browser can neither add one nor reach one.

    Raises `ConfigError` if an address is not that of a page.

    urls: addresses of the other pages
    token: token that is sent to them; None sends none
    """

    def __init__(self, urls: Sequence[str], token: str | None) -> None:
        self._urls = [_checked(url) for url in urls]
        self._token = token
        self._answers: list[dict[str, Any]] = []
        self._asked_at = -_MIN_SECONDS
        self._lock = asyncio.Lock()

    @property
    def n_runs(self) -> int:
        """Number of other pages."""
        return len(self._urls)

    async def states(self) -> list[dict[str, Any]]:
        """Return the state of each run; at most one request per second to each."""
        async with self._lock:
            if self._urls and time.monotonic() - self._asked_at >= _MIN_SECONDS:
                requests = (asyncio.to_thread(_state, url, self._token) for url in self._urls)
                self._answers = await asyncio.gather(*requests)
                self._asked_at = time.monotonic()
            return self._answers


def _checked(url: str) -> str:
    """Return the address of a page with a slash at its end."""
    try:
        parts = urlsplit(url)
        is_page = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:  # a port that is no number, a bracket that is not closed
        is_page = False
    if not is_page or "@" in parts.netloc or parts.query or parts.path not in ("", "/"):
        raise ConfigError(
            f"`compare` must be the address of a page like http://127.0.0.1:8766/, got {url!r}",
            option="compare",
        )
    return f"{parts.scheme}://{parts.netloc}/"


def _state(url: str, token: str | None) -> dict[str, Any]:
    """Return what is shown of a run, or why it cannot be shown."""
    try:
        state = msgspec.json.decode(_content(url, token), type=_State)
    except _ERRORS as error:  # one page that fails must not hide the others
        return {"url": url, "error": str(error)}
    return {**msgspec.to_builtins(state), "url": url}


def _content(url: str, token: str | None) -> bytes:
    """Return the answer of a page; one that is too large is cut and will not be decoded.

    No redirect is followed, as the page would send the token elsewhere, and no proxy is used.

    Raises `TimeoutError` if the answer took longer than `_ANSWER_SECONDS`, or nothing came for
    `_TIMEOUT`.
    """
    parts = urlsplit(url)
    connect = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    connection = connect(parts.netloc, timeout=_TIMEOUT)
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    with closing(connection), deadline(connection, _ANSWER_SECONDS):
        connection.request("GET", "/state", headers=headers)
        answer = connection.getresponse()
        content = answer.read(_MAX_BYTES)
    if answer.status != 200:
        raise HTTPException(f"HTTP Error {answer.status}: {answer.reason}")
    return content
