"""What all sinks that send records elsewhere share.

A bounded queue, a thread, patience, and honest counts.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar

import msgspec

from loco_stream.errors import ConfigError
from loco_stream.records import KINDS, Record, check_kinds, of_prediction, of_report
from loco_stream.stream import Prediction, Predictions, Sink

__all__ = ["Outlet", "RefusedError", "encode", "mark"]

# seconds between tries; each is twice the last
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_GATHER = 0.01  # seconds in which predictions gather; the other kinds leave at once
_RARE = 10_000  # places for the kinds that are not predictions

encode = msgspec.json.Encoder(enc_hook=str).encode


class RefusedError(Exception):
    """The receiver will never take these records: trying again is no use."""


class Outlet(Sink):
    """Sends records from a thread of its own; the learner only puts them into a queue.

    Predictions wait in a queue of `queue` places, the other kinds in one of their own that is sent
    first. A record that finds no place is dropped and counted. What cannot be sent is tried again,
    after 0.1 s at first and 10 s at last. What is not delivered when a checkpoint is taken is
    stored in it, and sent by the engine that resumes.

    Parameters
    ----------
    name
        For reports and logs: without credentials.
    only
        Kinds to send, a comma list; None sends all that the sink is for.
    queue
        Predictions that may wait.
    wait
        Seconds the learner waits for a place in a full queue while the receiver takes nothing; once
        they are over, records are dropped until it takes some again. With 0 the learner never
        waits.
    batch
        Records sent in one go.
    linger
        Seconds that the end of the run waits for what is still to be sent.
    """

    guarantee = (
        "at least once: what the receiver did not take is sent again; source and seq tell repeats"
    )
    default_kinds: ClassVar[frozenset[str]] = frozenset(KINDS)
    errors: tuple[type[Exception], ...] = (OSError,)  # after which another try makes sense

    def __init__(
        self,
        name: str,
        *,
        only: str | None = None,
        queue: int = 10_000,
        wait: float = 0.0,
        batch: int = 100,
        linger: float = 5.0,
    ) -> None:
        for option, value in (("queue", queue), ("batch", batch)):
            if not value >= 1:
                raise ConfigError(f"{name}: {option} must be at least 1 record, not {value}")
        for option, seconds in (("wait", wait), ("linger", linger)):
            if not 0 <= seconds < math.inf:
                raise ConfigError(
                    f"{name}: {option} must be a number of seconds, 0 or more, not {seconds}"
                )
        self.name = name
        self.kinds = self.default_kinds if only is None else check_kinds(only)
        self.last_error = ""
        self._counts = {"sent": 0, "dropped": 0, "refused": 0, "retries": 0}
        self._most = queue
        self._wait = wait
        self._batch = batch
        self._linger = linger
        self._rare: deque[Record] = deque()
        self._predictions: deque[Prediction | Predictions | Record] = deque()
        self._n_put = self._n_taken = (
            0  # predictions, counted by the learner and by the thread: neither waits
        )
        self._asleep = True  # the thread, for want of records: it has to be woken
        self._flight: list[Record] = []
        self._moved = threading.Condition()
        self._taken_at = (
            time.monotonic()
        )  # when the receiver took something, or there was nothing to take
        self._ending: float | None = None
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None

    @abstractmethod
    def send(self, records: Sequence[Record]) -> None:
        """Send records and return when the receiver has them.

        Raises
        ------
        RefusedError
            It will never take them.
        OSError
            Or another of `errors`: all of them are sent again later. Any other exception ends the
            sink.
        """

    def disconnect(self) -> None:
        """Let go of the connection; `send` opens it again."""

    def write(self, prediction: Prediction) -> None:
        """Put a prediction into the queue."""
        if self._n_put - self._n_taken < self._most or self._has_room():
            self._predictions.append(prediction)
            self._n_put += 1
            if self._asleep:
                self._wake()
        else:
            self._counts["dropped"] += 1

    def write_block(self, predictions: Predictions) -> None:
        """Put the predictions of a block into the queue, as many as find a place.

        The thread makes records of them.
        """
        while len(predictions) and self._has_room():
            fit = predictions.slice(0, self._most - self._n_waiting)
            self._predictions.append(fit)
            self._n_put += len(fit)
            predictions = predictions.slice(len(fit), len(predictions))
            if self._asleep:
                self._wake()
        self._counts["dropped"] += len(predictions)

    def write_record(self, record: Record) -> None:
        """Put a record of another kind into the queue; it leaves before the predictions."""
        if len(self._rare) < _RARE:
            self._rare.append(record)
            self._wake()
        else:
            self._counts["dropped"] += 1

    def drain(self, report: Mapping[str, Any]) -> None:
        """Begin the end without waiting.

        Send the report, and give the records `linger` seconds to leave.
        """
        if "report" in self.kinds and self._failure is None:
            self.write_record(of_report(report))
        with self._moved:
            self._ending = time.monotonic() + self._linger
            self._moved.notify_all()

    def close(self, report: Mapping[str, Any]) -> None:
        """Wait until `linger` is over or all have left, since `drain` if that was called.

        `notes` says what is left.
        """
        if self._ending is None:
            self.drain(report)
        if self._thread is not None and self._ending is not None:
            self._thread.join(max(0.0, self._ending + 0.5 - time.monotonic()))
        if self._failure is not None:
            raise self._failure

    @property
    def stats(self) -> dict[str, int]:
        """Number of records sent, dropped and refused, and of repeated tries."""
        return dict(self._counts)

    @property
    def notes(self) -> list[str]:
        """A sentence on what did not arrive, none if all did."""
        left = len(self._flight) + len(self._rare) + self._n_waiting
        stats = self._counts
        lost = {
            "dropped as the queue was full": stats["dropped"],
            "refused": stats["refused"],
            "not sent": left,
        }
        told = ", ".join(f"{count:,} {what}" for what, count in lost.items() if count)
        return (
            [f"{self.name}: of the records {told}; {self.last_error or 'no error'}"] if told else []
        )

    def export_state(self) -> list[bytes]:
        """Return what is not delivered, as JSON."""
        return [encode(record) for record in self._waiting()]

    def restore_state(self, undelivered: Sequence[bytes]) -> None:
        """Send what an earlier run had not delivered, before anything else."""
        for text in undelivered:
            record = msgspec.json.decode(text)
            rare = record["kind"] != "prediction"
            (self._rare if rare else self._predictions).append(record)
            self._n_put += not rare
        if undelivered:
            self._wake()

    @property
    def _n_waiting(self) -> int:
        return self._n_put - self._n_taken

    def _waiting(self) -> list[Record]:
        with self._moved:
            return [
                *self._flight,
                *self._rare,
                *chain.from_iterable(map(_plain, self._predictions)),
            ]

    def _wake(self) -> None:
        """Let the thread look at the queues at once.

        Without this it looks every 10 ms while predictions come.
        """
        with self._moved:
            if self._failure is not None:
                raise self._failure
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name=f"sink {self.name}", daemon=True
                )
                self._thread.start()
            if self._asleep:
                self._taken_at = time.monotonic()
            self._asleep = False
            self._moved.notify_all()

    def _has_room(self) -> bool:
        """Wait for a place while the receiver has taken something in the last `wait` seconds."""
        if not self._wait or self._n_waiting < self._most:
            return self._n_waiting < self._most
        with self._moved:
            while self._failure is None and self._n_waiting >= self._most:
                left = self._taken_at + self._wait - time.monotonic()
                if left <= 0:
                    return False
                self._moved.wait(left)
        return self._n_waiting < self._most

    def _run(self) -> None:
        try:
            while (records := self._next()) and self._deliver(records):
                pass
        except Exception as error:
            with self._moved:
                self._failure = error
                self._asleep = True  # whoever writes finds out
                self._moved.notify_all()
        finally:
            self.disconnect()

    def _next(self) -> list[Record]:
        """Return the next records; none when the run is over."""
        with self._moved:
            self._moved.wait_for(self._has_work)
            self._asleep = False
            if self._n_waiting < self._batch:
                self._moved.wait_for(lambda: self._rare or self._ending is not None, _GATHER)
            if self._rare:
                self._flight = [
                    self._rare.popleft() for _ in range(min(self._batch, len(self._rare)))
                ]
            else:
                self._flight = self._taken()
            return self._flight

    def _has_work(self) -> bool:
        # before each look, so that nothing is put in unseen; a wake may come when all is taken
        self._asleep = True
        return bool(self._rare or self._predictions or self._ending is not None)

    def _taken(self) -> list[Record]:
        """Take predictions out of the queue, a batch at most."""
        records: list[Record] = []
        while self._predictions and (places := self._batch - len(records)):
            item = self._predictions.popleft()
            if isinstance(item, Predictions) and len(item) > places:
                self._predictions.appendleft(item.slice(places, len(item)))
                item = item.slice(0, places)
            records += _plain(item)
        self._n_taken += len(records)
        return records

    def _deliver(self, records: list[Record]) -> bool:
        """Try until the receiver has the records or refuses them.

        False when the end of the run has waited enough.
        """
        pause = _FIRST_PAUSE
        outcome = ""
        while not outcome:
            try:
                self.send(records)
                outcome = "sent"
            except RefusedError as error:
                self.last_error = str(error)
                outcome = "refused"
            except self.errors as error:
                self.last_error = f"{type(error).__name__}: {error}"
                self._counts["retries"] += 1
                self.disconnect()
                if not self._pause(pause):
                    return False
                pause = min(2 * pause, _LONGEST_PAUSE)
        with self._moved:
            self._counts[outcome] += len(records)
            self._flight, self._taken_at = [], time.monotonic()
            self._moved.notify_all()
        return True

    def _pause(self, seconds: float) -> bool:
        """Wait between two tries; False when there is no time for another."""
        with self._moved:
            if self._ending is None:
                self._moved.wait_for(lambda: self._ending is not None, seconds)
                return True
            left = self._ending - time.monotonic()
        time.sleep(max(0.0, min(seconds, left)))
        return left > 0


def mark(secret: str) -> str:
    """Return six characters that tell apart what must not be shown.

    Examples
    --------
    >>> mark("/services/T0/B0/token")
    '8824d6'
    """
    return hashlib.sha256(secret.encode()).hexdigest()[:6]


def _plain(item: Prediction | Predictions | Record) -> list[Record]:
    if isinstance(item, Predictions):
        return [of_prediction(prediction) for prediction in item]
    return [of_prediction(item) if isinstance(item, Prediction) else item]
