"""The engine: rows in, predictions, scores and learning steps out, nothing lost on the way."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

from loco_stream._compiler.timing import compile_seconds
from loco_stream.engine.admission import Admitted, admit
from loco_stream.engine.latency import LatencyHistogram
from loco_stream.engine.ledger import Ledger
from loco_stream.engine.listeners import Listeners
from loco_stream.engine.model_adapter import ModelAdapter, task_of
from loco_stream.engine.pending import Pending
from loco_stream.engine.progress import watch
from loco_stream.engine.report import Report
from loco_stream.engine.resume import Place, resume, save
from loco_stream.engine.score import Score
from loco_stream.engine.source_reader import SourceReader, as_source, head, n_rows, tail
from loco_stream.engine.status import Board
from loco_stream.engine.store import Store
from loco_stream.engine.trainer import Answered, Trainer
from loco_stream.engine.wal import parse_durability
from loco_stream.errors import ConfigError, InputError
from loco_stream.monitor import TaskMonitor
from loco_stream.records import Record
from loco_stream.stream import Event, Sink

__all__ = ["StreamEngine"]

_LOOK_SECONDS = 0.1  # between looks for a stop when the stream has ended


class _Stop(BaseException):
    """Raised into a source that waits, by `stop` from a signal handler."""


class StreamEngine:
    """Runs a model on a stream: predict, score, learn, and tell what happened.

    Every row is predicted before its label is used. One engine makes one run.

    Parameters
    ----------
    model
        Any model with `predict_one` and `learn_one`; one with array doors learns blocks in one
        call.
    source
        A `Source`, or any iterable of (x, y) pairs, for example a data set of river.
    sinks
        `Sink` objects; each gets every prediction, and the report at the end.
        `loco_stream.connectors.open_sink` makes those that send records elsewhere.
    monitor
        A `TaskMonitor`; None watches for drift but withholds no sample: the score is that of
        river's validation.
    checkpoint
        Folder of checkpoints (and of the write-ahead log, where the source needs one); None keeps
        nothing.
    delay
        Samples between a row and its label; the scores of a model of river equal its
        ``progressive_val_score(delay=...)``, and one that gives tickets learns from them. None
        means at once.
    task
        "classification" or "regression"; None asks the model.
    window
        Samples in the sliding window of the scores.
    resume
        False refuses a folder that holds an earlier run; True goes on with it, and refuses an empty
        one; None goes on if there is something.
    checkpoint_every
        Rows between checkpoints; 10,000 are learned again in about a second. One is also taken
        every 60 seconds.
    durability
        "batch", "interval:<seconds>s" or "off": when the write-ahead log is synced. None means
        "batch" for a source that forgets a row once it is acknowledged, and "off" for any other.
    max_pending, max_age
        Rows, and seconds of running time, that predictions wait for late labels.
    strict
        Raise when the model refuses a row; False counts it as rejected and goes on.
    forever
        Stay when the stream has ended, until `stop` is called.
    settings
        Plain values stored with each checkpoint; a run resumed with others is refused.
    watchers
        Each is called with the engine, in its thread, when it has resumed, ten times a second, and
        at the end.

    Raises
    ------
    ConfigError
        An option out of range, or a checkpoint folder that is in use or not empty.
    CheckpointError
        Nothing sound to resume.

    Examples
    --------
    >>> from river import datasets, naive_bayes
    >>> from loco_stream import StreamEngine
    >>> report = StreamEngine(naive_bayes.GaussianNB(), datasets.Phishing()).run(max_samples=500)
    >>> report.to_dict()["n_samples"], round(report.to_dict()["accuracy"], 3)
    (500, 0.858)
    """

    def __init__(
        self,
        model: Any,
        source: Any,
        sinks: Iterable[Sink] = (),
        monitor: TaskMonitor | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        delay: int | None = None,
        *,
        task: str | None = None,
        window: int = 500,
        resume: bool | None = False,
        checkpoint_every: int = 10_000,
        durability: str | None = None,
        max_pending: int = 10_000,
        max_age: float = 3600.0,
        strict: bool = True,
        forever: bool = False,
        settings: Mapping[str, Any] | None = None,
        watchers: Iterable[Callable[[StreamEngine], None]] = (),
    ) -> None:
        if checkpoint_every < 1:
            raise ConfigError(f"checkpoint_every must be at least 1 row, not {checkpoint_every}")
        self._source_reader = (
            source if isinstance(source, SourceReader) else SourceReader(as_source(source))
        )
        self.source = self._source_reader.source
        self.durability = durability or (
            "batch" if checkpoint and getattr(self.source, "needs_log", False) else "off"
        )
        if parse_durability(self.durability) is not None and checkpoint is None:
            raise ConfigError(f"durability {self.durability} needs a checkpoint folder")
        self._listeners = Listeners(sinks, watchers)
        self._model_adapter = ModelAdapter(model)
        self._score = Score(
            task or task_of(model), window, lambda: self._source_reader.waited + compile_seconds()
        )
        self.monitor = TaskMonitor(holdout=0, task=self._score.task) if monitor is None else monitor
        self._trainer = Trainer(
            self._model_adapter,
            self._score,
            self.monitor,
            Pending(max_pending, max_age),
            delay,
            self.source.reply,
            Ledger(self.source, self._model_adapter.takes_text),
            strict,
        )
        self._checkpoint = checkpoint
        self._resume = resume
        self._every = checkpoint_every
        self._forever = forever
        self._settings = dict(settings or {})
        self._store: Store | None = None
        self._place = Place(self._source_reader.start)
        self._stopping = self._save_asked = False
        self._waiting: int | None = None
        self._ran = False
        self._ticked = math.nan
        self.stream_ended = False
        self.report: Report | None = None  # once the run has ended, also by an error
        self._board = Board(self._trainer, self.source, self._listeners)

    def __repr__(self) -> str:
        model = type(self.model).__name__
        monitor = self.monitor
        return f"StreamEngine({model}, {self.source.name!r}, monitor={monitor!r}, n_samples={self._trainer.n_samples})"

    @property
    def model(self) -> Any:
        """The model as it is now; after a resume it is not the object that was handed in."""
        return self._model_adapter.model

    def stop(self) -> None:
        """End the run after the rows at hand.

        May be called from a signal handler or another thread.

        A source that waits in the thread of the handler is interrupted at once; from another thread
        it ends with the next rows, or with the source's next empty list.
        """
        self._stopping = True
        if self._waiting == threading.get_ident():
            raise _Stop

    def request_checkpoint(self) -> None:
        """Write a checkpoint with the next commit, or the source's next empty list.

        From any thread.
        """
        self._save_asked = True

    def asked(self, names: Iterable[Hashable], rows: int = 1) -> None:
        """Count rows about which the model was asked beside the source, and the features in them; from any thread."""
        self._trainer.asked(names, rows)

    def on(self, kind: str, function: Callable[[Record], object]) -> None:
        """Call a function with every record of one kind, in the engine's thread.

        See `loco_stream.records`.

        What it raises is counted, and said once in the report's notes; the engine goes on.

        Parameters
        ----------
        kind
            "prediction", "drift", "task", "status" (every 5 seconds) or "report" (at the end).
        function
            Gets the record, a dict.

        Raises
        ------
        ConfigError
            There is no such kind, or the engine runs already.

        Examples
        --------
        >>> from river import datasets, naive_bayes
        >>> from loco_stream import StreamEngine
        >>> engine, told = StreamEngine(naive_bayes.GaussianNB(), datasets.Phishing()), []
        >>> engine.on("prediction", told.append)
        >>> _ = engine.run(max_samples=3)
        >>> [record["seq"] for record in told]
        [0, 1, 2]
        """
        if self._ran:
            raise ConfigError("an engine that runs takes no more callbacks: call `on` before `run`")
        self._listeners.on(kind, function)

    def run(self, max_samples: int | None = None, progress: bool = False) -> Report:
        """Run until the stream ends, `max_samples` rows have come, or `stop` is called.

        At the end the labels that `delay` held back are learned, a checkpoint is written, the sinks
        get the report and the source is closed. With `progress`, a line on a terminal or below the
        notebook's cell tells how it goes.

        Returns
        -------
        Report
            What was measured; see `Report`.

        Raises
        ------
        ConfigError
            The engine has run before, or max_samples is below 1.
        SourceError, InputError
            The stream is broken, or the model refused a row (`strict`).
        """
        if self._ran:
            raise ConfigError(
                "an engine makes one run; make a new one with the same model to go on"
            )
        if max_samples is not None and max_samples < 1:
            raise ConfigError(f"max_samples must be at least 1, not {max_samples}")
        self._ran = True
        whole = False
        self._trainer.listen(self._listeners)
        with watch(self, False, max_samples) if progress else nullcontext():
            try:
                self._trainer.now = time.time()
                self._open()
                self._ticked = time.monotonic()
                self._board.publish(self, self._store)
                self._loop(max_samples)
                self._close_books()
                whole = not self._stopping
            finally:
                self._board.look(self, self._store)
                self.report = self._board.report(self.model, interrupted=not whole)
                self._release(self.report)
        return self.report

    def _loop(self, max_samples: int | None) -> None:
        left = max_samples
        while (commit := self._next()) is not None:
            (events, position), skip = commit, self._place.skip
            if skip:  # rows that an earlier run learned before it stopped within a commit
                events = tail(events, skip)
            rows = sum(map(n_rows, events))
            if left is not None and rows > left:
                self._take(head(events, left), self._place.position, skip + left)
                return
            # A live source may cut its rows into other commits this time: a short one leaves some
            # still to skip.
            if not self._take(events, position, max(skip - sum(map(n_rows, commit[0])), 0)):
                return
            left = None if left is None else left - rows
            if left == 0:
                return

    def _take(self, events: Sequence[Event], position: dict[str, Any], skip: int) -> bool:
        """Log a commit, learn it, acknowledge it; False when stopped before it was logged."""
        store = self._store
        place = self._place
        now = self._now()
        self._trainer.arrived = time.time()
        admitted = self._admit(events)
        where = {
            "position": position,
            "skip": skip,
            "refused": admitted.kinds,
            "reason": admitted.reason,
        }
        if events and store is not None:
            logged = store.record(
                place.commit + 1, admitted.events, where, now, lambda: self._stopping
            )
            if not logged:
                return False
        rows = self._learn(admitted.events, where, now)
        place.commit += bool(events)
        place.position = position
        place.skip = skip
        if events and not skip:
            self._source_reader.ack(position)
        if store is not None and (store.due(rows) or self._save_asked):
            self._save_asked = False
            self._save(store)
        self._board.publish(self, self._store)
        return True

    def _now(self) -> float:
        """Return seconds since 1970 as this run counts them.

        An age never depends on a clock that is set meanwhile.
        """
        since = self._ticked
        self._ticked = time.monotonic()
        return self._trainer.now + self._ticked - since

    def _admit(self, events: Sequence[Event]) -> Admitted:
        """Leave outside what nobody could learn, before it is logged; a strict run ends there."""
        admitted = admit(events, self._score.task)
        if admitted.refused and self._trainer.strict:
            place = getattr(self.source, "place", "") or f"a row of {self.source.name}"
            raise InputError(f"{place}: {admitted.reason}", option="on_bad")
        return admitted

    def _learn(self, events: Sequence[Event], where: Mapping[str, Any], now: float) -> int:
        if refused := where.get("refused"):  # older logs do not say, or not of which kind
            self._trainer.refuse(
                {"refused": refused} if isinstance(refused, int) else refused, where["reason"]
            )
        self._trainer.now = now
        self._trainer.pending.expire(now)
        return sum(self._trainer.handle(event) for event in events)

    def _next(self) -> tuple[Sequence[Event], dict[str, Any]] | None:
        if self._stopping:
            return None
        self._waiting = threading.get_ident()
        try:
            commit = self._source_reader.next()
            if commit is None and self._forever:
                self._stay()
            return commit
        except _Stop:
            return None
        finally:
            self._waiting = None

    def _stay(self) -> None:
        """Keep what the ended stream taught, and wait for `stop`."""
        if self._store is not None:
            self._save(self._store)
        self.stream_ended = True
        while not self._stopping:
            self._board.publish(self, self._store)
            self._source_reader.rest(_LOOK_SECONDS)

    def _open(self) -> None:
        """Take the checkpoint folder, and go on from what is in it."""
        if self._checkpoint is None:
            return
        self._store = store = Store(self._checkpoint, self._resume, self._every, self.durability)
        if not store.used:
            self._save(
                store
            )  # what the log is replayed from if the first real checkpoint never comes
            store.flush()
            return
        self._place = resume(
            store, self._trainer, self.source, self._settings, self._learn, self._listeners
        )
        self._source_reader.seek(self._place.position)

    def _save(self, store: Store) -> None:
        save(store, self._trainer, self._place, self.source, self._settings, self._listeners)

    def _close_books(self) -> None:
        """Make the end durable, then learn what `delay` held back.

        A resumed run holds it back again.

        Withheld samples are predicted once more, so that the last row of the accuracy matrix is of
        this model.
        """
        if self._store is not None:
            self._save(self._store)
            self._store.finish()
        if not self._stopping:
            self._trainer.flush()
        self.monitor.measure(
            self.model
        )  # not before the checkpoint: a resumed run has not come to its end

    def _release(self, report: Report) -> None:
        self._source_reader.close()
        self.source.close()
        if self._store is not None:
            self._store.close()
        told = len(self._listeners.notes)
        self._listeners.close(report.to_dict())
        report["notes"].extend(self._listeners.notes[told:])
        report["sinks"].update(self._listeners.counters())

    @property
    def curve(self) -> dict[str, list[float]]:
        """The course of the scores over the stream in at most 512 points.

        `at`, windowed, overall.
        """
        return self._score.curve_report()

    @property
    def last_answer(self) -> Answered | None:
        """The last row whose label is known, with what was said of it; None before one."""
        return self._trainer.last

    @property
    def latency(self) -> LatencyHistogram:
        """How long rows took, in this process."""
        return self._score.latency

    @property
    def alarm(self) -> str | None:
        """What keeps rows or checkpoints from becoming durable right now; None when all is well."""
        return None if self._store is None else self._store.alarm

    @property
    def lag(self) -> float | None:
        """Seconds between the event time of the newest row and its arrival.

        None without event times.
        """
        return self._trainer.lag

    @property
    def status(self) -> dict[str, Any]:
        """The numbers of this moment, ten times a second anew.

        Others may read them from any thread.
        """
        return self._board.status
