"""Base class of sinks that send records from a thread, through a bounded queue."""

from __future__ import annotations

import hashlib
import logging
import math
import threading
import time
from abc import abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, ClassVar

import msgspec

from loco_stream._checks import checks_types
from loco_stream.connectors._base.checks import check_seconds
from loco_stream.connectors._base.options import Seconds, explains_options
from loco_stream.errors import ConfigError
from loco_stream.records import KINDS, check_kinds, of_prediction, of_report
from loco_stream.stream import Prediction, Predictions, Record, Sink

AT_LEAST_ONCE = "at least once (a receiver drops repeats by source and seq)"

# Seconds between tries: each is twice the last.
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0
_REFUSAL_SECONDS = 60.0  # between two warnings of refused records
_GATHER_SECONDS = 0.01  # in which predictions are collected; other records are sent at once
_MAX_OTHERS = 10_000  # records in the queue that are not predictions
_log = logging.getLogger(__name__)

encode = msgspec.json.Encoder(enc_hook=str).encode


class RefusedError(Exception):
    """The receiver will never accept these records, so that sending them again is useless."""


class BufferedSink(Sink):
    """Sends records from its own thread; the learner only puts them into a queue.

    Predictions and other records have separate queues; the latter are sent first. A record that
    finds its queue full is dropped and counted. If sending fails, it is tried again after 0.1 s at
    first and 10 s at last. Records that are not delivered are stored in checkpoints, and sent by
    the engine that resumes.

    Parameters
    ----------
    name
        Name in reports and logs, without credentials.
    only
        Kinds of records to send, separated by commas. By default all that the sink supports.
    queue
        Number of predictions that may wait.
    wait
        Time that the learner waits for room in a full queue while the receiver takes nothing. After
        it, records are dropped until the receiver takes some again. With 0 the learner never waits.
    batch
        Number of records sent together.
    linger
        Time that the end of the run waits for records that are still to be sent.

    Examples
    --------
    >>> class PrintingSink(BufferedSink):
    ...     def send(self, records):
    ...         for record in records:
    ...             print(record["kind"], record["seq"])
    >>> sink = PrintingSink("printer", only="drift")
    >>> sink.write_record({"kind": "drift", "source": "press", "seq": 9, "t": None})
    >>> sink.close({})
    drift 9
    """

    guarantee = AT_LEAST_ONCE
    default_kinds: ClassVar[frozenset[str]] = frozenset(KINDS)
    errors: tuple[type[Exception], ...] = (OSError,)  # after which sending is tried again

    @explains_options
    @checks_types
    def __init__(
        self,
        name: str,
        *,
        only: str | None = None,
        queue: int = 10_000,
        wait: Seconds = 0.0,
        batch: int = 100,
        linger: Seconds = 5.0,
    ) -> None:
        for option, value in (("queue", queue), ("batch", batch)):
            if not value >= 1:
                raise ConfigError(f"{name}: `{option}` must be at least 1 record, got {value}")
        check_seconds(f"{name}: ", wait=wait, linger=linger)
        self.name = name
        self.kinds = self.default_kinds if only is None else check_kinds(only)
        self.last_error = ""
        self._counts = {"sent": 0, "dropped": 0, "refused": 0, "retries": 0}
        self._max_predictions = queue
        self._wait = wait
        self._batch = batch
        self._linger = linger
        self._predictions: deque[Prediction | Predictions | Record] = deque()
        self._others: deque[Record] = deque()
        self._sending: list[Record] = []
        # Predictions put by the learner and taken by the thread: two counts, so that neither waits.
        self._n_put = 0
        self._n_taken = 0
        self._changed = threading.Condition()
        self._asleep = True  # whether the thread has to be woken
        self._is_failing = False  # between a failed try and the next records that arrive
        self._refusal_due = -math.inf  # monotonic time from which on a refusal is logged
        self._waits_while_failing = True
        self._has_checkpoint = False
        self._accepted_at = time.monotonic()  # when the receiver last took records or had none
        self._deadline: float | None = None  # once the end of the run has begun
        self._failure: Exception | None = None
        self._thread: threading.Thread | None = None

    @abstractmethod
    def send(self, records: Sequence[Record]) -> None:
        """Send records, and return when the receiver has them.

        Raises
        ------
        RefusedError
            The receiver will never accept them.
        OSError
            Or another of `errors`: all of them are sent again later. Any other exception ends the
            sink.
        """

    def disconnect(self) -> None:
        """Close the connection; `send` opens it again."""

    # Called by the engine

    def begin(self, run: Mapping[str, Any]) -> None:
        """Note whether a checkpoint keeps the records that are not sent."""
        self._has_checkpoint = run.get("checkpoint") is not None

    def write(self, prediction: Prediction) -> None:
        """Put a prediction into the queue."""
        if self._n_put - self._n_taken < self._max_predictions or self._has_room():
            self._predictions.append(prediction)
            self._n_put += 1
            if self._asleep:
                self._wake()
        else:
            self._drop(1)

    def write_block(self, predictions: Predictions) -> None:
        """Put the predictions of a block into the queue, as many as have room."""
        while len(predictions) and self._has_room():
            part = predictions.slice(0, self._max_predictions - self._n_waiting)
            self._predictions.append(part)
            self._n_put += len(part)
            predictions = predictions.slice(len(part), len(predictions))
            if self._asleep:
                self._wake()
        self._drop(len(predictions))

    def write_record(self, record: Record) -> None:
        """Put a record of another kind into its queue, which is sent first."""
        if len(self._others) < _MAX_OTHERS:
            self._others.append(record)
            self._wake()
        else:
            self._drop(1)

    def _drop(self, n: int) -> None:
        if n and not self._counts["dropped"]:
            _log.warning("%s: the queue is full: records are dropped and counted", self.name)
        self._counts["dropped"] += n

    def drain(self, report: Mapping[str, Any]) -> None:
        """Start to finish: queue the report, and let `linger` begin."""
        if "report" in self.kinds and self._failure is None:
            self.write_record(of_report(report))
        with self._changed:
            self._deadline = time.monotonic() + self._linger
            self._changed.notify_all()

    def close(self, report: Mapping[str, Any]) -> None:
        """Wait until everything is sent, or `linger` is over; `notes` then counts what is left."""
        if self._deadline is None:
            self.drain(report)
        if self._thread is not None and self._deadline is not None:
            self._thread.join(max(0.0, self._deadline + 0.5 - time.monotonic()))
        if self._failure is not None:
            raise self._failure

    @property
    def stats(self) -> dict[str, int]:
        """Numbers of records sent, dropped and refused, and of repeated tries."""
        return dict(self._counts)

    @property
    def notes(self) -> list[str]:
        """A sentence on the records that did not arrive, if any."""
        lost = {
            "dropped as the queue was full": self._counts["dropped"],
            "refused": self._counts["refused"],
            "not sent": self._n_left,
        }
        counts = ", ".join(f"{count:,} {what}" for what, count in lost.items() if count)
        if not counts:
            return []
        return [f"{self.name}: of the records {counts}; {self.last_error or 'no error'}"]

    @property
    def n_lost(self) -> int:
        """Records dropped and refused; once closed, also those not sent and in no checkpoint."""
        lost = self._counts["dropped"] + self._counts["refused"]
        is_closed = self._deadline is not None
        return lost + (self._n_left if is_closed and not self._has_checkpoint else 0)

    def export_state(self) -> list[bytes]:
        """Return the records that are not delivered, as JSON."""
        with self._changed:
            predictions = chain.from_iterable(map(_records_of, self._predictions))
            return [encode(record) for record in (*self._sending, *self._others, *predictions)]

    def restore_state(self, state: Sequence[bytes]) -> None:
        """Queue the records that an earlier process had not delivered."""
        for text in state:
            record = msgspec.json.decode(text)
            if record["kind"] == "prediction":
                self._predictions.append(record)
                self._n_put += 1
            else:
                self._others.append(record)
        if state:
            self._wake()

    @property
    def _n_waiting(self) -> int:
        return self._n_put - self._n_taken

    @property
    def _n_left(self) -> int:
        return len(self._sending) + len(self._others) + self._n_waiting

    def _wake(self) -> None:
        """Let the thread look at the queues at once; while it is awake it does so every 10 ms."""
        with self._changed:
            if self._failure is not None:
                raise self._failure
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name=f"sink {self.name}", daemon=True
                )
                self._thread.start()
            if self._asleep:
                self._accepted_at = time.monotonic()
            self._asleep = False
            self._changed.notify_all()

    def _has_room(self) -> bool:
        """Whether the queue has room; wait for it while the receiver takes records."""
        if not self._wait or self._n_waiting < self._max_predictions:
            return self._n_waiting < self._max_predictions
        with self._changed:
            while self._failure is None and self._n_waiting >= self._max_predictions:
                if self._is_failing and not self._waits_while_failing:
                    return False
                left = self._accepted_at + self._wait - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return self._n_waiting < self._max_predictions

    # Run by the thread

    def _run(self) -> None:
        try:
            while (records := self._next()) and self._deliver(records):
                pass
        except Exception as error:
            with self._changed:
                self._failure = error
                self._asleep = True  # so that the next write raises
                self._changed.notify_all()
        finally:
            self.disconnect()

    def _next(self) -> list[Record]:
        """Return the next records; none at the end of the run."""
        with self._changed:
            self._changed.wait_for(self._has_work)
            self._asleep = False
            if self._n_waiting < self._batch:
                self._changed.wait_for(
                    lambda: self._others or self._deadline is not None, _GATHER_SECONDS
                )
            if self._others:
                n = min(self._batch, len(self._others))
                self._sending = [self._others.popleft() for _ in range(n)]
            else:
                self._sending = self._take_predictions()
            return self._sending

    def _has_work(self) -> bool:
        # Set before each look, so that nothing is put in unseen; a wake without work is harmless.
        self._asleep = True
        return bool(self._others or self._predictions or self._deadline is not None)

    def _take_predictions(self) -> list[Record]:
        """Take up to a batch of predictions out of the queue."""
        records: list[Record] = []
        while self._predictions and (room := self._batch - len(records)):
            item = self._predictions.popleft()
            if isinstance(item, Predictions) and len(item) > room:
                self._predictions.appendleft(item.slice(room, len(item)))
                item = item.slice(0, room)
            records += _records_of(item)
        self._n_taken += len(records)
        return records

    def _deliver(self, records: list[Record]) -> bool:
        """Send records until they are accepted or refused; False if the run ends before."""
        pause = _FIRST_PAUSE
        outcome = ""
        while not outcome:
            try:
                self.send(records)
                outcome = "sent"
            except RefusedError as error:
                self.last_error = str(error)
                outcome = "refused"
                self._note_refusal(len(records), error)
            except self.errors as error:
                self._note_retry(error)
                self.disconnect()
                if not self._pause(pause):
                    return False
                pause = min(2 * pause, _LONGEST_PAUSE)
        if self._is_failing:
            self._is_failing = False
            _log.info("%s: records are sent again", self.name)
        with self._changed:
            self._counts[outcome] += len(records)
            self._sending = []
            self._accepted_at = time.monotonic()
            self._changed.notify_all()
        return True

    def _note_refusal(self, n: int, error: Exception) -> None:
        """Log a refusal, at most once a minute: a wrong address refuses every prediction."""
        now = time.monotonic()
        is_due = now >= self._refusal_due
        if is_due:
            self._refusal_due = now + _REFUSAL_SECONDS
        n += self._counts["refused"]
        level = logging.WARNING if is_due else logging.DEBUG
        _log.log(level, "%s refuses records, %d so far: %s", self.name, n, error)

    def _note_retry(self, error: Exception) -> None:
        self.last_error = f"{type(error).__name__}: {error}"
        self._counts["retries"] += 1
        level = logging.DEBUG if self._is_failing else logging.WARNING  # one warning per outage
        _log.log(level, "%s: %s; trying again", self.name, self.last_error)
        with self._changed:
            self._is_failing = True
            self._changed.notify_all()

    def _pause(self, seconds: float) -> bool:
        """Wait before the next try; False if the run ends before it."""
        with self._changed:
            if self._deadline is None:
                self._changed.wait_for(lambda: self._deadline is not None, seconds)
                return True
            left = self._deadline - time.monotonic()
        time.sleep(max(0.0, min(seconds, left)))
        return left > 0


def digest(secret: str) -> str:
    """Return six characters that differ between texts that must not be shown.

    Examples
    --------
    >>> digest("/services/T0/B0/token")
    '8824d6'
    """
    return hashlib.sha256(secret.encode()).hexdigest()[:6]


def _records_of(item: Prediction | Predictions | Record) -> list[Record]:
    if isinstance(item, Predictions):
        return [of_prediction(prediction) for prediction in item]
    return [of_prediction(item) if isinstance(item, Prediction) else item]
