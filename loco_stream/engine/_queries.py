"""Queries of other threads to a runner, answered in the thread that learns."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeAlias

from loco_stream.errors import SourceError

_MAX_WAITING = 32

Query: TypeAlias = Callable[[Any], object]


class RunnerQueries:
    """A watcher that answers queries between two commits.

    No other thread than the runner's uses what the runner works with.
    """

    def __init__(self) -> None:
        self._queries: queue.Queue[tuple[Query, Future[object]]] = queue.Queue(_MAX_WAITING)

    def __call__(self, runner: object) -> None:
        """Answer the waiting queries, in the runner's thread."""
        while not self._queries.empty():
            query, answer = self._queries.get()
            if answer.set_running_or_notify_cancel():
                try:
                    answer.set_result(query(runner))
                except Exception as error:
                    answer.set_exception(error)

    def submit(self, query: Query) -> Future[object]:
        """Return the future answer to a query.

        Raises `SourceError` if too many queries are waiting.
        """
        answer: Future[object] = Future()
        try:
            self._queries.put_nowait((query, answer))
        except queue.Full:
            raise SourceError(f"{_MAX_WAITING} queries are waiting; try again later") from None
        return answer
