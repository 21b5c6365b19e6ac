"""What the HTTP API reads of a service."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from loco_stream.engine import StreamEngine


class Service(Protocol):
    """A service, which may not have an engine yet."""

    @property
    def engine(self) -> StreamEngine | None:
        """The engine; None before the first row."""

    @property
    def status(self) -> Mapping[str, Any]:
        """The engine's status; without an engine, ``phase`` and ``n_samples``."""

    @property
    def alarm(self) -> str | None:
        """Why rows or checkpoints do not become durable; None if they do."""

    @property
    def outage(self) -> str | None:
        """Why no rows can come from the source; None if they can."""
