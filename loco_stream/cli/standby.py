"""What orders, Prometheus and the page of a service get to know before there is an engine."""

from __future__ import annotations

import os
import signal
from typing import Any

__all__ = ["Standby"]


class Standby:
    """Stands for the engine of a service from its first second on.

    Hands everything on once there is one.

    The engine cannot be made before the first row, which tells the task, and code is compiled
    before that: with a live source this may take hours.

    Examples
    --------
    >>> standby = Standby()
    >>> standby.phase = "waiting for the first row"
    >>> standby.status, standby.alarm
    ({'phase': 'waiting for the first row', 'n_samples': 0}, None)
    """

    def __init__(self) -> None:
        self.engine: Any = None
        self.phase = "starting"
        self._stopped = False

    @property
    def status(self) -> dict[str, Any]:
        """The engine's status; before there is an engine, the phase."""
        engine = self.engine
        return (
            {"phase": self.phase, "n_samples": 0}
            if engine is None
            else {"phase": "running", **engine.status}
        )

    @property
    def alarm(self) -> str | None:
        """The engine's alarm."""
        return None if self.engine is None else self.engine.alarm

    @property
    def latency(self) -> Any:
        """The engine's latency; asked for only when its status has one."""
        return self.engine.latency

    def request_checkpoint(self) -> None:
        """Ask the engine for a checkpoint; before there is an engine, there is nothing to keep."""
        if self.engine is not None:
            self.engine.request_checkpoint()

    def stop(self) -> None:
        """End the service: by a signal while there is no engine, for its main thread waits for the first row."""
        if self.engine is not None:
            self.engine.stop()
        elif not self._stopped:
            self._stopped = True
            os.kill(os.getpid(), signal.SIGTERM)
