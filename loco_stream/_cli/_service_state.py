"""State of a service that its ports can read before there is an engine."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from typing import TYPE_CHECKING, Any

from loco_stream.errors import SourceError

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine
    from loco_stream.engine._latency import LatencyHistogram
    from loco_stream.stream import Source

_TICK = 0.1  # seconds between two looks whether the engine has ended
ANSWER_SECONDS = 30.0  # seconds; a rule is stored in a checkpoint


class ServiceState:
    """Stands in for the engine of a service until the engine exists, then forwards to it.

    The engine can only be made when the first row has shown the task, and kernels are compiled
    before that. With a live source both may take hours.

    Examples
    --------
    >>> state = ServiceState()
    >>> state.phase = "waiting for the first row"
    >>> state.status, state.alarm
    ({'phase': 'waiting for the first row', 'n_samples': 0}, None)
    """

    def __init__(self) -> None:
        self.engine: StreamEngine | None = None
        self.source: Source | None = None
        self.phase = "starting"
        self._stopped = False

    @property
    def status(self) -> Mapping[str, Any]:
        """The engine's status; without an engine, the phase and the state of the source."""
        if self.engine is None:
            return {"phase": self.phase, "n_samples": 0, **self._of_source()}
        return {"phase": "running", **self.engine.status}

    def _of_source(self) -> Mapping[str, Any]:
        if self.source is None:
            return {}
        from loco_stream.engine._data_quality import DataQuality

        counted = DataQuality(self.source, takes_text=True).report()
        unused = {key: counted[key] for key in ("n_unused", "unused")}
        return {**unused, "outage": self.source.outage or None}

    @property
    def alarm(self) -> str | None:
        """The engine's alarm."""
        return None if self.engine is None else self.engine.alarm

    @property
    def outage(self) -> str | None:
        """Why no rows can come, such as a lost connection."""
        source = self.source if self.engine is None else self.engine.source
        if source is None or not (reason := source.outage):
            return None
        return f"{source.name}: no rows come: {reason}"

    @property
    def latency(self) -> LatencyHistogram:
        """The engine's latency; only read when its status has one."""
        assert self.engine is not None
        return self.engine.latency

    def request_checkpoint(self) -> None:
        """Request a checkpoint from the engine; without an engine there is nothing to store."""
        if self.engine is not None:
            self.engine.request_checkpoint()

    def ask(self, query: Callable[[StreamEngine], Any]) -> Any:
        """Return the engine's answer to a query, given in its thread between two commits.

        Raises `SourceError` if there is no engine yet, or it did not answer in time or has ended;
        nothing is done then.
        """
        engine = self.engine
        if engine is None:
            raise SourceError(f"there is no model yet: the service is {self.phase}")
        answer = engine.queries.submit(query)
        deadline = time.monotonic() + ANSWER_SECONDS
        # an engine that has ended answers nothing, and the service waits for this thread
        while engine.report is None and not answer.done() and time.monotonic() < deadline:
            wait([answer], _TICK)
        if answer.cancel():
            why = "did not answer in time" if engine.report is None else "ends"
            raise SourceError(f"the service {why}; nothing was changed")
        return answer.result()

    def forget(self, source: str) -> None:
        """Forget the row numbers that a client of the HTTP API used for a source.

        Raises `SourceError` if there are none.
        """
        from loco_stream.engine._inbox import InboxSource

        def is_forgotten(engine: StreamEngine) -> bool:
            return isinstance(engine.source, InboxSource) and engine.source.forget(source)

        if not self.ask(is_forgotten):
            raise SourceError(f"no source of --http has sent numbered rows as {source!r:.60}")

    def start(self, engine: StreamEngine) -> None:
        """Let an engine answer from now on."""
        self.engine = engine

    def stop(self) -> None:
        """End the service.

        Without an engine a signal does it, because the main thread waits for the first row.
        """
        if self.engine is not None:
            self.engine.stop()
        elif not self._stopped:
            self._stopped = True
            os.kill(os.getpid(), signal.SIGTERM)
