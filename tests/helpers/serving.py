"""Iteration over live sources in tests."""

from __future__ import annotations

import threading
import time

import numpy as np

from loco_stream.stream import Block, PredictRequest

FREE = "tcp://127.0.0.1:*"


def rows_of(events):
    return [row.tolist() for e in events if isinstance(e, Block) for row in e.X]


def drain(source, done, seconds=60.0):
    """Iterate until `done(events)`, and ack each list as an engine does."""
    events = []
    deadline = time.monotonic() + seconds
    for batch in source:
        events += batch
        for event in batch:
            answer(source, event)
        if batch:
            source.ack(source.position)
        if done(events):
            return events
        assert time.monotonic() < deadline, (
            f"only {len(events)} events arrived: {source.stats} {source.last_error}"
        )
    return events


def wait_until(holds, seconds=60.0):
    """Wait until a condition of another thread or process holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "the condition did not hold in time"
        time.sleep(0.01)


def answer(source, event):
    """Reply with probabilities that tell the first feature."""
    if isinstance(event, (PredictRequest, Block)) and event.tag is not None:
        p = np.clip(event.X[:, :1], 0, 1)
        source.reply(event, np.hstack([1 - p, p]), ["n", "y"])


class Serving:
    """A source that a thread iterates until the end of the block."""

    def __init__(self, source):
        self.source = source
        self.events = []
        self.error = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self):
        try:
            for batch in self.source:
                self.events += batch
                for event in batch:
                    answer(self.source, event)
                if batch:
                    self.source.ack(self.source.position)
                if self._stop.is_set():
                    break
        except BaseException as error:
            self.error = error
        finally:
            self.source.close()

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()
        assert self.error is None


def ask_for_more(source, send):
    """Send until something arrives."""
    deadline = time.monotonic() + 60
    for batch in source:
        if batch:
            return batch
        assert time.monotonic() < deadline, source.stats
        send()
    raise AssertionError("the stream ended")
