"""What a page gets: the course of the scores, and a ring of the latest frames."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from loco_stream.metrics.curve import Curve

__all__ = ["Ring"]

_POINTS = 2048  # of the course: more than a wide page has pixels


class Ring:
    """The latest frames, numbered, each encoded once for all pages.

    Written by one thread, read by another.

    A page is only a number into the ring, so the memory does not depend on how slow a page is or
    how many there are. One that fell behind the ring gets the whole state anew.

    Parameters
    ----------
    run
        Name of this run; a page that comes from another run gets the whole state.
    frames
        Frames kept: 600 are a minute at ten a second.
    """

    def __init__(self, run: str, frames: int = 600) -> None:
        self._run = run
        self._frames: deque[bytes] = deque(maxlen=frames)
        self._last = 0  # number of the newest frame
        self._state: dict[str, Any] = {}
        self._course = Curve(_POINTS)
        self._lock = threading.Lock()
        self._encoder = msgspec.json.Encoder()  # writes NaN as null, as JSON wants it

    def publish(self, frame: Mapping[str, Any]) -> None:
        """Add a frame; what it does not mention stays as it was."""
        content = self._encoder.encode(frame)
        with self._lock:
            self._last += 1
            self._frames.append(_event("frame", f"{self._run}-{self._last}", content))
            self._state.update(frame)
            if "score" in frame:
                self._course.add(frame["score"])

    def remember(self, point: Sequence[Any]) -> None:
        """Add a point of the course without a frame: no page is open."""
        with self._lock:
            self._course.add(point)

    def state(self) -> bytes:
        """Return the whole state as JSON."""
        with self._lock:
            return self._encoder.encode(
                {**self._state, "run": self._run, "course": self._course.points}
            )

    def start(self, last_event_id: str) -> tuple[bytes, int]:
        """Return what a new page gets, and its number.

        Nothing if it can go on, else the whole state.
        """
        run, _, number = last_event_id.rpartition("-")
        with self._lock:
            oldest = self._last - len(self._frames)
            if run == self._run and number.isdecimal() and oldest <= int(number) <= self._last:
                return b"", int(number)
            last = self._last
        return _event("state", f"{self._run}-{last}", self.state()), last

    def since(self, number: int) -> tuple[bytes, int]:
        """Return the frames after a number, and the new number.

        The whole state for a page that fell behind.
        """
        with self._lock:
            missed = self._last - number
            if missed <= len(self._frames):
                kept = list(self._frames)
                return b"".join(kept[len(kept) - missed :]), self._last
        return self.start("")


def _event(name: str, identity: str, content: bytes) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), identity.encode(), content)
