"""The way of a commit: validated, logged, learned, acknowledged, and saved in checkpoints."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass

from loco_stream import __version__
from loco_stream._persistence.content import Config, Saved, State
from loco_stream._persistence.files import StrPath
from loco_stream._text import counted, listed
from loco_stream.engine._admission import Admission
from loco_stream.engine._checkpoint_schema import check_types
from loco_stream.engine._codec import encode_commit, separate_encodable
from loco_stream.engine._events import EventHandler
from loco_stream.engine._label_watch import LabelWatch
from loco_stream.engine._listeners import Listeners
from loco_stream.engine._missing_values import MissingValues
from loco_stream.engine._quarantine import Quarantine
from loco_stream.engine._source_reader import SourceReader
from loco_stream.engine._state import export_trainer, restore_model, restore_trainer
from loco_stream.engine._store import Store
from loco_stream.engine._task import task_of_labels
from loco_stream.engine._tracing import Tracer, no_span
from loco_stream.engine._validation import ValidEvents, n_entries, validate_events
from loco_stream.errors import CheckpointError, ConfigError, InputError, SourceError
from loco_stream.monitor import TaskMonitor
from loco_stream.stream import Block, Event, Position, Sample

_log = logging.getLogger("loco_stream.engine.commits")


@dataclass(slots=True)
class Cursor:
    """How far a run has come.

    position: position of the source after the last commit
    commit: number of the last commit
    skip: rows of the next commit that were learned before
    """

    position: Position
    commit: int = 0
    skip: int = 0


class CommitPipeline:
    """Takes commits from a source into the model, exactly once each.

    reader: the source
    handler: learns events
    listeners: sinks with undelivered records, which are part of a checkpoint
    open_store: opens the checkpoint folder; None without one
    folder: path of the checkpoint folder; None without one
    settings: plain values stored with each checkpoint
    set_task: called with the task that the first label shows; None if the task is settled
    admission: bounds the names that rows bring to the model
    tracer: makes a span per commit, block and checkpoint
    missing: replaces numbers that stand for a missing value; None replaces none

    Its attributes:
    cursor: how far the run has come
    store: the open checkpoint folder, None without one or before `open`
    is_save_requested: whether the next commit or tick is followed by a checkpoint
    """

    def __init__(
        self,
        reader: SourceReader,
        handler: EventHandler,
        listeners: Listeners,
        open_store: Callable[[], Store] | None,
        settings: State,
        set_task: Callable[[str], None] | None,
        admission: Admission,
        folder: StrPath | None,
        *,
        tracer: Tracer | None,
        missing: MissingValues | None,
    ) -> None:
        self._admission = admission
        self._span = no_span if tracer is None else tracer.start_as_current_span
        self.cursor = Cursor(reader.start)
        self.store: Store | None = None
        self.is_save_requested = False
        self._reader = reader
        self._handler = handler
        self._listeners = listeners
        self._open_store = open_store
        self._folder = folder
        self._settings = dict(settings)
        self._set_task = set_task
        self._missing = missing
        # of a settled classification, the number of a missing value is a class
        self._watch = LabelWatch(reader.source, missing=missing if set_task else None)
        self._ticked = math.nan
        self._source_before = ""  # of the run that is resumed
        self._fingerprint: State | None = None  # the saved one, until the source has been read

    @property
    def folder(self) -> str | None:
        """Path of the checkpoint folder; None without one."""
        return None if self._folder is None else os.fspath(self._folder)

    @property
    def alarm(self) -> str | None:
        """Why rows are not durable or not learned at the moment; None if they are."""
        return (self.store and self.store.alarm) or self._handler.alarm

    @property
    def waiting_for(self) -> str:
        """What the run waits for to begin to learn; empty once it has learned."""
        is_overdue = self._watch.is_waiting and self._watch.n > 0
        return self._watch.sentence if is_overdue else ""

    @property
    def _problem(self) -> str:
        measures = self._handler.trainer.measures
        assert measures is not None
        return measures.problem

    def open(self) -> None:
        """Open the folder, and resume the run in it."""
        self._handler.trainer.now = time.time()
        self.store = store = None if self._open_store is None else self._open_store()
        if store is not None:
            self._handler.quarantine = Quarantine(store.path)
        if store is not None and store.is_used:
            self.cursor = self._resume(store)
            self._continue_source()
        elif store is not None:
            self.save_now()  # the log is replayed from it if the next one is never written
        adapter = self._handler.trainer.adapter
        self._admission.start(adapter.features or (), adapter.classes)
        self._ticked = time.monotonic()

    def take(
        self,
        events: Sequence[Event],
        position: Position,
        skip: int,
        hold: Callable[[float, str], bool],
    ) -> bool:
        """Log, learn and acknowledge a commit; False if the run was stopped before it was logged.

        events: of the commit; none for a tick
        position: position of the source after the commit
        skip: rows of the next commit that are learned already
        hold: waits while the disk refuses the log; returns False if the run was stopped
        """
        store = self.store
        if events:
            self._fingerprint = None
        number = self.cursor.commit + bool(events)
        attributes = {"commit": number, "events": len(events)}
        with self._span("loco.commit", attributes=attributes) if events else nullcontext():
            now = self._now()
            self._handler.arrived = time.time()
            self._look_for_labels(events)
            valid = self._validate(events)
            storable = position
            if events and store is not None and store.has_log:
                storable, payload = self._encode(valid, position, skip, now)
                if not store.log(number, payload, hold):
                    return False
            for event, reason in valid.refused:
                self._handler.set_aside(event, reason)
            rows = self._learn(valid.events, _record(valid, storable, skip), now)
            if events:
                _log.debug("commit %d: %d rows", number, rows)
            self.cursor = Cursor(storable, number, skip)
            if events and not skip:
                self._reader.ack(position)
            self._save_if_due(rows, is_first=bool(events) and number == 1)
        return True

    def _save_if_due(self, rows: int, *, is_first: bool) -> None:
        """Write a checkpoint after a commit of so many rows, if it is time."""
        store = self.store
        if store is None:
            return
        if is_first and self._reader.source.is_live:
            self.is_save_requested |= not store.has_log  # the position is known from now on
        if store.is_due(rows) or self.is_save_requested:
            self.is_save_requested = False
            self.save()

    def save(self) -> None:
        """Write a checkpoint of everything in the background."""
        store = self.store
        if store is None:
            return
        trainer = self._handler.trainer
        source = self._reader.source
        schema = source.schema
        attributes = {"commit": self.cursor.commit, "rows": trainer.n_samples}
        with self._span("loco.checkpoint", attributes=attributes):
            config, arrays = export_trainer(trainer)
            config |= {
                "events": self._handler.export_state(),
                "version": __version__,
                "source": source.name,
                "schema": None if schema is None else asdict(schema),
                "labels_from": source.labels_from,
                "fingerprint": self._fingerprint or source.fingerprint,
                "settings": self._settings,
                "task": self._problem,
                "n_samples": trainer.n_samples,
                "commit": self.cursor.commit,
                "position": self.cursor.position,
                "skip": self.cursor.skip,
                "undelivered": self._listeners.export_state(),
            }
            store.save(self.cursor.commit, config, arrays)

    def save_now(self) -> None:
        """Write a checkpoint of everything and wait until it is durable.

        Raises `CheckpointError` if it could not be written.
        """
        if self.store is not None:
            self.save()
            self.store.flush()

    def finish(self) -> None:
        """Write the last checkpoint and wait for it."""
        if self.store is not None:
            self.save()
            self.store.finish()

    def close(self) -> None:
        """Close the source and unlock the folder."""
        with ExitStack() as parts:  # an error of one keeps no other open
            if self.store is not None:
                parts.callback(self.store.close)
            parts.callback(self._reader.source.close)
            parts.callback(self._reader.close)

    def _now(self) -> float:
        """Return seconds since 1970 as this run counts them, whatever the clock is set to."""
        before = self._ticked
        self._ticked = time.monotonic()
        return self._handler.trainer.now + self._ticked - before

    def _look_for_labels(self, events: Sequence[Event]) -> None:
        """Until the first label has come, look for it: it decides the task."""
        if not self._watch.is_waiting or self._handler.trainer.is_watching:
            return
        labels = self._watch.look(events)
        if labels:
            schema = self._reader.source.schema  # inferred from more labels, those to come
            task = (schema and schema.task) or task_of_labels(labels)
            if self._set_task is not None:
                self._set_task(task)
                self.is_save_requested = True  # the log alone would show it by these labels
            if self._settings.get("task", task) is None:
                self._settings["task"] = self._problem

    def _validate(self, events: Sequence[Event]) -> ValidEvents:
        """Separate what cannot be learned; a strict run ends there."""
        is_open = self._set_task is not None and self._watch.is_waiting
        is_stored = self._open_store is not None
        valid = validate_events(
            events, self._problem, self._missing, is_open=is_open, is_stored=is_stored
        )
        self._admission.admit(valid, self._problem)
        self._check_strictness(valid)
        return valid

    def _check_strictness(self, valid: ValidEvents) -> None:
        if valid.n_refused and self._handler.strict:
            source = self._reader.source
            if source.location:
                raise InputError(f"{source.location}: {valid.reason}", option="on_bad")
            event, reason = valid.refused[0]
            raise InputError(f"{_place(event)} of {source.name}: {reason}", option="on_bad")

    def _encode(
        self, valid: ValidEvents, position: Position, skip: int, now: float
    ) -> tuple[Position, bytes]:
        """Return the position to store, and the commit as bytes.

        A row that cannot be encoded is refused: if it ended the run, its sender would deliver it
        again, and it would end every run. If the position itself cannot be encoded, the last one is
        stored instead, and the source delivers some rows again after a restart.
        """
        try:
            return position, encode_commit(valid.events, _record(valid, position, skip), now)
        except Exception as error:
            kept, refused = separate_encodable(valid.events)
            _log.warning("a commit cannot be logged as it is: %r", error)
        valid.events[:] = kept
        for event, fault in refused:
            reason = f"the log cannot hold it: {type(fault).__name__}: {fault}"
            valid.refuse(event, n_entries(event), "not storable", reason)
        self._check_strictness(valid)
        try:
            return position, encode_commit(kept, _record(valid, position, skip), now)
        except Exception as error:
            self._handler.refuse(
                {"position not storable": 0}, f"a position cannot be stored: {error!r}"
            )
            last = self.cursor.position
            return last, encode_commit(kept, _record(valid, last, skip), now)

    def _learn(self, events: Sequence[Event], record: State, now: float) -> int:
        """Learn valid events that arrived at a time; return their rows."""
        if record["refused"]:
            self._handler.refuse(record["refused"], record["reason"])
        # a log of release 0.2 has no such count
        self._handler.count_fill_values(record.get("n_fill_values", 0))
        trainer = self._handler.trainer
        trainer.now = now
        trainer.pending.expire(now)
        return sum(map(self._handle, events))

    def _handle(self, event: Event) -> int:
        """Learn an event; return its rows."""
        if not isinstance(event, Block):
            return self._handler.handle(event)
        with self._span("loco.block", attributes={"rows": len(event.X)}):
            return self._handler.handle(event)

    def _resume(self, store: Store) -> Cursor:
        """Restore the newest checkpoint, learn the log after it, and return the cursor.

        A commit that raises is set aside in a file. Then everything starts over without it, since
        half of the commit may have changed the model, and a checkpoint is written after it: each
        such commit costs one replay.

        Raises `CheckpointError` if no checkpoint is intact, or the log lacks a commit.
        """
        monitor = self._handler.trainer.monitor
        watching = {} if monitor is None else monitor.settings
        new: set[int] = set()  # set aside in this process
        while True:
            saved = store.load(self._settings)
            self.restore(saved)
            if not new:  # once: the sinks keep it
                self._begin_again(store, saved.config)
                store.note(_other_monitor(watching, saved.config))
            self.cursor = Cursor(
                saved.config["position"], saved.config["commit"], saved.config["skip"]
            )
            if self._replay(store, new):
                at = self.cursor
                more = f" and {counted(at.skip, 'row')} of the next" if at.skip else ""
                samples = counted(self._handler.trainer.n_samples, "sample")
                _log.info("resumed at commit %d%s, after %s", at.commit, more, samples)
                _log.debug("position of the source: %s", at.position)
                return self.cursor

    def _continue_source(self) -> None:
        """Go to the position of the cursor in the source.

        Raises `SourceError`, which names the earlier source if that is another one.
        """
        now = self._reader.source.name
        try:
            self._reader.seek(self.cursor.position)
        except SourceError as error:
            if now == self._source_before:
                raise
            raise SourceError(
                f"{self.folder} was begun with {self._source_before}, so it cannot continue "
                f"with {now}: {error}"
            ) from error

    def _begin_again(self, store: Store, saved: State) -> None:
        """Give sinks what they had not delivered, and note what differs in the source."""
        self._listeners.restore_state(saved["undelivered"])
        source = self._reader.source
        self._source_before = saved["source"]
        if not source.is_live and source.name != saved["source"]:
            store.note([f"rows come from {source.name}; before the resume, from {saved['source']}"])
        self._fingerprint = saved["fingerprint"]
        store.note(self._other_labels(saved))
        store.note(self._other_features(saved))

    def _other_labels(self, saved: State) -> Iterator[str]:
        """Yield a sentence if labels come from another column than before.

        Raises `ConfigError` if the source is a recording.
        """
        before = saved.get("labels_from")
        now = self._reader.source.labels_from
        if not before or not now or before == now:
            return
        if saved["fingerprint"]:
            raise ConfigError(
                f"{self.folder} was begun with labels from {before}, so it cannot continue "
                f"with labels from {now}"
            )
        yield f"labels come from {now}; before the resume, from {before}"

    def _other_features(self, saved: State) -> Iterator[str]:
        """Yield in sentences which features the source has that it had not before, or had."""
        known = saved["schema"] and saved["schema"]["features"]
        schema = self._reader.source.schema
        now = None if schema is None else schema.features
        if known is None or now is None:
            return
        if new := [name for name in now if name not in known]:
            yield f"features that rows have since the resume, and had not before: {listed(new)}"
        if gone := [name for name in known if name not in now]:
            yield (
                f"features that rows had before the resume, and no longer have: {listed(gone)}; "
                "what was learned of them is kept"
            )

    def _replay(self, store: Store, new: set[int]) -> bool:
        """Learn the commits in the log; False if one had to be set aside."""
        for commit, events, record, now in store.replay(self.cursor.commit):
            if commit in store.set_aside_commits:
                self._handler.n_set_aside += 1
            else:
                try:
                    self._look_for_labels(events)
                    self._learn(events, record, now)
                except Exception as error:
                    store.set_aside(commit, error)
                    new.add(commit)
                    return False
            self.cursor = Cursor(record["position"], commit, record["skip"])
            if commit in new:
                self.save()
                store.finish()
        return True

    def restore(self, saved: Saved) -> None:
        """Restore model, scores, monitor and counts.

        Raises `CheckpointError` if the checkpoint holds another kind of model, or is incomplete.
        """
        config: Config = saved.config
        check_types(config)
        if config["fingerprint"]:
            self._reader.source.verify(config["fingerprint"])
        trainer = self._handler.trainer
        try:
            trainer.adapter.model = restore_model(trainer.adapter.model, saved)
            restore_trainer(trainer, saved)
            self._handler.restore_state(config["events"])
            self._watch.resume(self._handler.n_rows, trainer.n_samples)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise CheckpointError(f"the checkpoint cannot be restored: {error!r}") from error


def _other_monitor(given: Config, saved: State) -> Iterator[str]:
    """Yield a sentence if the saved monitor continues in place of one with other settings.

    given: settings of the monitor of this engine; that of an engine without one asks for nothing
    """
    if not given or given == TaskMonitor(holdout=0, problem=given["problem"]).settings:
        return
    kept = saved["monitor"]["settings"]
    other = [
        f"{name} = {kept[name]!r}, not {value!r}"
        for name, value in given.items()
        if name != "problem" and kept.get(name, value) != value
    ]
    if other:
        yield (
            f"the run continues with the monitor it was begun with: {', '.join(other)}; begin a "
            "run in another folder to change it"
        )


def _place(event: Event) -> str:
    """Return what names a refused event in an error: its row, if it has one, counted from 0."""
    return f"row {event.seq:,}" if isinstance(event, Sample | Block) else "an event"


def _record(valid: ValidEvents, position: Position, skip: int) -> State:
    """Return what the log holds of a commit besides its events and time."""
    return {
        "position": position,
        "skip": skip,
        "refused": valid.kinds,
        "reason": valid.reason,
        "n_fill_values": valid.n_fill_values,
    }
