"""What the engine's side knows of one source, and how its messages become events."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from loco_stream.connectors.ls1.messages import SchemaPayload
from loco_stream.connectors.ls1.wire import Kind, Limits, Message, labels_of, pairs_of, rows_of
from loco_stream.errors import SourceError
from loco_stream.numbers import LARGEST
from loco_stream.stream import Ask, Block, Labels, Schema

__all__ = ["COUNTERS", "OLD_EPOCHS", "SCHEMAS", "Stream", "Streams", "describe"]

_MOST = 2**63 - 1  # a count holds
OLD_EPOCHS = 64  # earlier runs of one source whose rows are still recognised
SCHEMAS = ""  # the key of the schemas in a position: no source has an empty name
COUNTERS = (
    "messages", "rows", "labels", "asks", "replies", "acks", "gaps", "restarts", "duplicates",
    "malformed", "rejected", "ignored", "masked", "without_schema", "unsent",
)  # fmt: skip


class Stream:
    """One source by name: its schema, and the last seq handed out and the last durable one of each epoch."""

    def __init__(self, name: str, limits: Limits, stats: dict[str, int]) -> None:
        self.name = name
        self.note: SchemaPayload | None = None
        self.plain_note: dict[str, Any] = {}
        self.last: dict[int, int] = {}
        self.durable: dict[int, int] = {}
        self._limits, self._stats = limits, stats
        self._units: dict[str, str | None] = {}
        self._classes: dict[str, None] = {}

    def adopt(self, note: SchemaPayload) -> None:
        """Take a schema over; names may come and go, but a feature keeps its unit.

        Raises
        ------
        SourceError
            A feature in another unit than before, or more names over time than the bounds allow.
        """
        units = note.units or (None,) * len(note.features)
        for feature, unit in zip(note.features, units, strict=True):
            before = self._units.get(feature)
            if unit is not None and before is not None and unit != before:
                raise SourceError(f"feature {feature!r} was in {before!r}, not {unit!r}: a new unit needs a new name")
        merged = self._units | {f: u for f, u in zip(note.features, units, strict=True) if u or f not in self._units}
        classes = self._classes | dict.fromkeys(note.classes or ())
        if len(merged) > self._limits.features or len(classes) > self._limits.classes:
            raise SourceError(
                f"source {self.name!r} has named {len(merged)} features and {len(classes)} classes so far; "
                f"{self._limits.features} and {self._limits.classes} are allowed"
            )
        self.note, self._units, self._classes = note, merged, classes
        self.plain_note = msgspec.json.decode(msgspec.json.encode(note))

    def reach(self, epoch: int, seq: int) -> None:
        """SchemaPayload that the rows up to `seq` were handed out; the oldest epochs beyond 64 are forgotten."""
        self.last.pop(epoch, None)  # the newest epoch stands last
        self.last[epoch] = seq
        while len(self.last) > OLD_EPOCHS + 1:
            oldest = next(iter(self.last))
            del self.last[oldest]
            self.durable.pop(oldest, None)

    def event(
        self, message: Message, note: SchemaPayload, *, skip: int = 0, epoch: int = 0, tag: Any = None
    ) -> Block | Labels | Ask:
        """Read a message of kind 0, 1, 2 or 10 by `note`, without its first `skip` rows."""
        if message.kind is Kind.LABEL:
            of, raw = pairs_of(message, note.task)
            y = _labels(raw, note)
            self._stats["labels"] += len(y) - skip
            return Labels(of[skip:], y[skip:], message.seq + skip, self.name, epoch, tag)
        if message.n_features != len(note.features):
            raise SourceError(f"a row has {message.n_features} values and the schema {len(note.features)} features")
        y_all = _labels(labels_of(message, note.task), note) if message.kind is Kind.LABELLED else None
        rows = rows_of(message)[skip:]
        self._mask(rows)
        if message.kind is Kind.ASK:
            self._stats["asks"] += 1
            return Ask(rows, note.features, message.seq, self.name, tag)
        self._stats["rows"] += len(rows)
        y_kept = None if y_all is None else y_all[skip:]
        return Block(rows, y_kept, note.features, message.seq + skip, message.t, self.name, epoch, tag)

    def _mask(self, rows: NDArray[np.float32]) -> None:
        numbers = np.abs(rows) <= LARGEST
        if not numbers.all():
            rows[~numbers] = np.nan
            self._stats["masked"] += int(rows.size - numbers.sum())


def _labels(raw: NDArray[np.generic], note: SchemaPayload) -> list[Any]:
    values = raw.tolist()
    if note.task == "regression":
        return [_target(value) for value in values]
    classes = note.classes or ()
    for index in values:
        if not -1 <= index < len(classes):
            raise SourceError(f"label {index} is outside the schema's {len(classes)} classes (-1 = missing)")
    return [classes[index] if index >= 0 else None for index in values]


def _target(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    if abs(value) > LARGEST:
        raise SourceError(f"label {value:g} is out of range; allowed are numbers from {-LARGEST:g} to {LARGEST:g}")
    return value


def describe(note: SchemaPayload) -> Schema:
    """Return a schema as the engine knows it."""
    return Schema(note.task, note.features, note.classes, note.units, str(note.schema_id))


class Streams:
    """All sources of one socket, their common task and their position."""

    def __init__(self, limits: Limits, task: str | None = None) -> None:
        self.limits = limits
        self.task = task
        self.stats: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.by_name: dict[str, Stream] = {}

    def count_gap(self, n: int) -> None:
        """Count rows that are missing; forged seqs would otherwise take the count beyond what reports can hold."""
        self.stats["gaps"] = min(self.stats["gaps"] + n, _MOST)

    def find(self, name: str) -> Stream:
        """Return the state of a source, new or known.

        Raises
        ------
        SourceError
            More sources have sent rows than the bounds allow.
        """
        stream = self.by_name.get(name)
        if stream is None:
            if len(self.by_name) >= self.limits.sources:
                self._forget_one()
            stream = self.by_name[name] = Stream(name, self.limits, self.stats)
        return stream

    def _forget_one(self) -> None:
        silent = next((n for n, s in self.by_name.items() if not s.last), None)
        if silent is None:
            raise SourceError(f"{self.limits.sources} sources are served already, and no more are allowed")
        del self.by_name[silent]

    def adopt(self, stream: Stream, note: SchemaPayload) -> None:
        """Take over the schema of one source; all sources of an engine share its task."""
        if self.task is not None and note.task != self.task:
            raise SourceError(f"this engine learns {self.task}, and the schema says {note.task}")
        if note != stream.note:
            stream.adopt(note)
        self.task = note.task

    @property
    def schema(self) -> Schema | None:
        """The first schema seen, or only the task."""
        note = next((s.note for s in self.by_name.values() if s.note is not None), None)
        if note is not None:
            return describe(note)
        return None if self.task is None else Schema(task=self.task)

    @property
    def position(self) -> dict[str, Any]:
        """``{source: {epoch: seq}}`` of the rows handed out; under the empty name, the schemas."""
        told = {name: s for name, s in self.by_name.items() if s.last}
        schemas = {name: s.plain_note for name, s in told.items() if s.note is not None}
        return {name: {str(e): seq for e, seq in s.last.items()} for name, s in told.items()} | {SCHEMAS: schemas}

    def seek(self, position: Mapping[str, Any]) -> None:
        """Start from a position: everything up to it is durable, everything after it will come again."""
        notes = position.get(SCHEMAS, {})
        try:
            reached = {n: {int(e): int(q) for e, q in p.items()} for n, p in position.items() if n != SCHEMAS}
            schemas = {n: msgspec.convert(plain, SchemaPayload) for n, plain in notes.items()}
        except (AttributeError, TypeError, ValueError, msgspec.ValidationError):
            raise SourceError(f"a position is {{source: {{epoch: seq}}}}, not {dict(position)!r}") from None
        for stream in self.by_name.values():
            stream.last, stream.durable = {}, {}
        for name, epochs in reached.items():
            stream = self.find(name)
            stream.last, stream.durable = dict(epochs), dict(epochs)
            if name in schemas and stream.note is None:
                self.adopt(stream, schemas[name])

    def advance(self, position: Mapping[str, Any]) -> Iterable[Stream]:
        """Mark everything up to `position` durable; yield the sources it names."""
        for name, epochs in position.items():
            stream = self.by_name.get(name)
            if stream is None or name == SCHEMAS:
                continue
            for epoch, seq in epochs.items():
                stream.durable[int(epoch)] = max(int(seq), stream.durable.get(int(epoch), 0))
            yield stream
