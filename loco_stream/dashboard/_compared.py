"""Other running pages whose runs are drawn beside the own one."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import msgspec

from loco_stream.errors import ConfigError

__all__ = ["ComparedRuns"]

_TIMEOUT = 3.0  # seconds without a byte
_ANSWER_SECONDS = 6.0  # longest time of an answer, also of one that comes in drops
_MAX_BYTES = 16_000_000
_PART_BYTES = 1 << 16
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
    task: str = ""
    scores: list[_Score] = []
    course: list[list[float | None]] = []
    rate: float | None = None
    ended: bool = False
    tasks: _Changes | None = None


class ComparedRuns:
    """Reads the state of other pages, on behalf of the browsers that show this one.

    Only whoever starts the page names the others. A browser can neither add one nor reach one.

    Parameters
    ----------
    urls
        Addresses of the other pages.
    token
        Token that is sent to them; None sends none.

    Raises
    ------
    ConfigError
        An address is not that of a page.
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


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A page that is compared must not send the token elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _state(url: str, token: str | None) -> dict[str, Any]:
    """Return what is shown of a run, or why it cannot be shown."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects())
    request = urllib.request.Request(f"{url}state", headers=headers)
    try:
        with opener.open(request, timeout=_TIMEOUT) as answer:
            state = msgspec.json.decode(_content(answer), type=_State)
    except _ERRORS as error:  # one page that fails must not hide the others
        return {"url": url, "error": str(error)}
    return {**msgspec.to_builtins(state), "url": url}


def _content(answer: HTTPResponse) -> bytes:
    """Return an answer; one that is too large is cut and will not be decoded."""
    content = bytearray()
    deadline = time.monotonic() + _ANSWER_SECONDS
    while len(content) < _MAX_BYTES and (part := answer.read1(_PART_BYTES)):
        content += part
        if time.monotonic() > deadline:
            raise TimeoutError(f"the answer took longer than {_ANSWER_SECONDS:g} s")
    return bytes(content)
