"""Calls of an asyncio library from a thread without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, TypeVar

T = TypeVar("T")
_CLOSING_SECONDS = 0.05


class AsyncClient:
    """An event loop in a thread of its own, so that a client answers its server at any time.

    Examples
    --------
    >>> import asyncio
    >>> client = AsyncClient("example")
    >>> client.run(asyncio.sleep(0, "done"))
    'done'
    >>> client.close()
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._loop.is_closed()

    def run(self, call: Coroutine[Any, Any, T], seconds: float | None = None) -> T:
        """Run a coroutine and return its result.

        Raises
        ------
        TimeoutError
            It took more than `seconds`; it is cancelled.
        """
        future = asyncio.run_coroutine_threadsafe(call, self._loop)
        try:
            return future.result(seconds)
        except FutureTimeoutError:
            future.cancel()
            raise TimeoutError(f"no answer within {seconds:g} s") from None

    def close(self) -> None:
        """End the loop and the thread."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(_end_others(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _end_others() -> None:
    """Cancel all other tasks, and let transports close."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await asyncio.sleep(_CLOSING_SECONDS)
