"""Spans of what an engine does, for a tracer of OpenTelemetry."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol, runtime_checkable


@runtime_checkable
class Tracer(Protocol):
    """What an engine needs of a tracer; those of OpenTelemetry have it."""

    def start_as_current_span(
        self, name: str, *, attributes: Mapping[str, int]
    ) -> AbstractContextManager[object]:
        """Return a context that is a span while its block runs."""


def no_span(name: str, *, attributes: Mapping[str, int]) -> AbstractContextManager[object]:
    """Return a context that does nothing."""
    return nullcontext()
