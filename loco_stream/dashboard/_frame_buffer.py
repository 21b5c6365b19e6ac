"""The state of a page: the course of the scores, and a ring buffer of the latest frames."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping, Sequence

import msgspec

from loco_stream.metrics._curve import Curve

_POINTS = 2048  # points of the course: more than a wide page has pixels


class FrameBuffer:
    """The latest frames, numbered, and each encoded once for all pages.

    One thread writes, another reads. A page only keeps the number of its last frame, so that memory
    depends neither on the number of pages nor on their speed. A page that falls behind the buffer
    receives the whole state.

    run: name of this run; a page of another run receives the whole state
    frames: frames kept: 600 are one minute at 10 Hz
    """

    def __init__(self, run: str, frames: int = 600) -> None:
        self._run = run
        self._frames: deque[bytes] = deque(maxlen=frames)
        self._last = 0  # number of the newest frame
        self._state: dict[str, object] = {}
        self._course = Curve(_POINTS)
        self._lock = threading.RLock()
        self._encoder = msgspec.json.Encoder()  # writes NaN as null, which JSON requires

    def publish(self, frame: Mapping[str, object], point: Sequence[float | None] = ()) -> None:
        """Add a frame; fields that it lacks keep their values.

        frame: the fields that changed
        point: a point of the course, sent as field ``score``; empty for none
        """
        if point:
            frame = {**frame, "score": point}
        content = self._encoder.encode(frame)
        with self._lock:
            self._last += 1
            self._frames.append(_event("frame", f"{self._run}-{self._last}", content))
            self._state.update(frame)
            if point:
                self._course.add(point)

    def add_point(self, point: Sequence[float | None]) -> None:
        """Add a point of the course without a frame, while no page is open."""
        with self._lock:
            self._state["score"] = point
            self._course.add(point)

    def keep(self, fields: Mapping[str, object]) -> None:
        """Set fields of the state that no frame sends: open pages gather them from frames."""
        with self._lock:
            self._state.update(fields)

    def state(self) -> bytes:
        """Return the whole state as JSON; ``event`` identifies its newest frame."""
        with self._lock:
            return self._encoder.encode(
                {
                    **self._state,
                    "run": self._run,
                    "event": f"{self._run}-{self._last}",
                    "course": self._course.points,
                }
            )

    def start(self, last_event_id: str) -> tuple[bytes, int]:
        """Return the first event of a page, and the number of its frame.

        The event is empty if the page continues after `last_event_id`, else it holds the whole
        state.
        """
        run, _, number = last_event_id.rpartition("-")
        with self._lock:
            oldest = self._last - len(self._frames)
            is_number = number.isdecimal() and len(number) < 20
            if run == self._run and is_number and oldest <= int(number) <= self._last:
                return b"", int(number)
            return _event("state", f"{self._run}-{self._last}", self.state()), self._last

    def since(self, number: int) -> tuple[bytes, int]:
        """Return the frames after a number, and the number of the last one.

        A page that fell behind receives the whole state.
        """
        with self._lock:
            missed = self._last - number
            if missed <= len(self._frames):
                kept = list(self._frames)
                return b"".join(kept[len(kept) - missed :]), self._last
        return self.start("")


def _event(name: str, identity: str, content: bytes) -> bytes:
    return b"event: %b\nid: %b\ndata: %b\n\n" % (name.encode(), identity.encode(), content)
