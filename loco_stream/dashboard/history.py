"""What a page gets: a course of the scores that fits any run, and a ring of the latest frames."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["Course", "Ring"]

_POINTS = 2048


class Course:
    """Scores over the stream in at most 2048 points: when they are full, every other one goes.

    Examples
    --------
    >>> course = Course(points=4)
    >>> for n in range(6):
    ...     course.add([n, 0.5])
    >>> course.points
    [[0, 0.5], [2, 0.5], [4, 0.5], [5, 0.5]]
    """

    def __init__(self, points: int = _POINTS) -> None:
        self.points: list[Sequence[Any]] = []
        self._most = points

    def add(self, point: Sequence[Any]) -> None:
        """Add a point; one at the same place as the last replaces it."""
        if self.points and self.points[-1][0] >= point[0]:
            self.points[-1] = point
            return
        if len(self.points) >= self._most:
            del self.points[1::2]
        self.points.append(point)


class Ring:
    """The latest frames, numbered, each encoded once for all pages; written by one thread, read by another.

    A page is only a number into the ring, so the memory does not depend on how slow a page is or how many
    there are. One that fell behind the ring gets the whole state anew.

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
        self._course = Course()
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
            return self._encoder.encode({**self._state, "run": self._run, "course": self._course.points})

    def start(self, last_event_id: str) -> tuple[bytes, int]:
        """Return what a new page gets, and its number: nothing if it can go on, else the whole state."""
        run, _, number = last_event_id.rpartition("-")
        with self._lock:
            oldest = self._last - len(self._frames)
            if run == self._run and number.isdecimal() and oldest <= int(number) <= self._last:
                return b"", int(number)
            last = self._last
        return _event("state", f"{self._run}-{last}", self.state()), last

    def since(self, number: int) -> tuple[bytes, int]:
        """Return the frames after a number, and the new number; the whole state for a page that fell behind."""
        with self._lock:
            missed = self._last - number
            if missed <= len(self._frames):
                kept = list(self._frames)
                return b"".join(kept[len(kept) - missed :]), self._last
        return self.start("")


def _event(name: str, identity: str, content: bytes) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), identity.encode(), content)
