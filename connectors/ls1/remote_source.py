"""What the engine's side knows of one source, and how its messages become events."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from loco_stream.connectors.ls1.limits import Limits
from loco_stream.connectors.ls1.messages import SchemaPayload
from loco_stream.connectors.ls1.model_names import ModelNames
from loco_stream.connectors.ls1.wire import Kind, Message, labels_of, pairs_of, rows_of
from loco_stream.connectors.values import sequence_id
from loco_stream.errors import SourceError
from loco_stream.numbers import LARGEST
from loco_stream.stream import Block, Labels, PredictRequest, Schema

__all__ = ["COUNTERS", "OLD_EPOCHS", "SCHEMAS", "KeyList", "Stream", "Streams", "describe"]

_MOST = 2**63 - 1  # a count holds
OLD_EPOCHS = 64  # earlier runs of one source whose rows are still recognised
SCHEMAS = ""  # the key of the schemas in a position: no source has an empty name
COUNTERS = (
    "messages",
    "rows",
    "labels",
    "asks",
    "replies",
    "acks",
    "gaps",
    "restarts",
    "duplicates",
    "malformed",
    "rejected",
    "ignored",
    "masked",
    "without_schema",
    "unsent",
)


class KeyList(Protocol):
    """Which public keys are admitted, and whose they are."""

    def admits(self, key: bytes) -> bool:
        """Whether a public key is on the list now."""

    def key_of(self, client: str) -> str:
        """Return the public key of the client of this name, empty if there is none."""


class Stream:
    """One source by name: its schema, and the last seq handed out and the last durable one of each epoch."""

    def __init__(self, name: str, limits: Limits, stats: dict[str, int]) -> None:
        self.name = name
        self.schema: SchemaPayload | None = None
        self.plain_schema: dict[str, Any] = {}
        self.last: dict[int, int] = {}
        self.durable: dict[int, int] = {}
        self.owner = ""  # under CURVE the key that may use the name
        self.claimed: SchemaPayload | None = None  # the schema whose names the model was given last
        self.connected = False
        self.ended: bool | None = (
            None  # whether it has said end of stream; None before the first row
        )
        self.heard = 0.0
        self._limits = limits
        self._stats = stats
        self._units: dict[str, str | None] = {}
        self._classes: dict[str, None] = {}

    def adopt(self, schema: SchemaPayload) -> None:
        """Take a schema over; names may come and go, but a feature keeps its unit.

        Raises
        ------
        SourceError
            A feature in another unit than before, or more names over time than the bounds allow.
        """
        units = schema.units or (None,) * len(schema.features)
        for feature, unit in zip(schema.features, units, strict=True):
            before = self._units.get(feature)
            if unit is not None and before is not None and unit != before:
                raise SourceError(
                    f"feature {feature!r} was in {before!r}, not {unit!r}: a new unit needs a new name"
                )
        merged = self._units | {
            f: u for f, u in zip(schema.features, units, strict=True) if u or f not in self._units
        }
        classes = self._classes | dict.fromkeys(schema.classes or ())
        if len(merged) > self._limits.features or len(classes) > self._limits.classes:
            raise SourceError(
                f"source {self.name!r} has named {len(merged)} features and {len(classes)} classes so far; "
                f"{self._limits.features} and {self._limits.classes} are allowed"
            )
        self.schema = schema
        self._units = merged
        self._classes = classes
        self.plain_schema = msgspec.json.decode(msgspec.json.encode(schema))

    @property
    def n_rows(self) -> int:
        """Rows and late labels taken in the epochs that are remembered."""
        return sum(self.last.values())

    def reach(self, epoch: int, seq: int) -> None:
        """Record that the rows up to `seq` were handed out.

        Beyond 64 old epochs the one with the fewest rows is forgotten, the oldest of several: many
        short runs under a source's name do not displace the run that did the work.
        """
        self.last.pop(epoch, None)  # the newest epoch stands last
        self.last[epoch] = seq
        while len(self.last) > OLD_EPOCHS + 1:
            least = min((e for e in self.last if e != epoch), key=self.last.__getitem__)
            del self.last[least]
            self.durable.pop(least, None)

    def event(
        self,
        message: Message,
        schema: SchemaPayload,
        *,
        skip: int = 0,
        epoch: int = 0,
        tag: Any = None,
    ) -> Block | Labels | PredictRequest:
        """Read a message of kind 0, 1, 2 or 10 by `schema`, without its first `skip` rows."""
        if message.kind is Kind.LABEL:
            of, raw = pairs_of(message, schema.task)
            y = _labels(raw, schema)
            self._stats["labels"] += len(y) - skip
            return Labels(of[skip:], y[skip:], message.seq + skip, self.name, epoch, tag)
        if message.n_features != len(schema.features):
            raise SourceError(
                f"a row has {message.n_features} values and the schema {len(schema.features)} features"
            )
        y_all = (
            _labels(labels_of(message, schema.task), schema)
            if message.kind is Kind.LABELLED
            else None
        )
        rows = rows_of(message)[skip:]
        rows, ids = split_ids(rows, schema, required=message.kind is not Kind.ASK)
        self._mask(rows)
        if message.kind is Kind.ASK:
            self._stats["asks"] += 1
            return PredictRequest(rows, schema.inputs, message.seq, self.name, tag)
        self._stats["rows"] += len(rows)
        y_kept = None if y_all is None else y_all[skip:]
        return Block(
            rows,
            y_kept,
            schema.inputs,
            message.seq + skip,
            message.t,
            self.name,
            epoch,
            tag,
            sequence=ids,
        )

    def _mask(self, rows: NDArray[np.float32]) -> None:
        numbers = np.abs(rows) <= LARGEST
        if not numbers.all():
            rows[~numbers] = np.nan
            self._stats["masked"] += int(rows.size - numbers.sum())


def _labels(raw: NDArray[np.generic], schema: SchemaPayload) -> list[Any]:
    values = raw.tolist()
    if schema.task == "regression":
        return [_target(value) for value in values]
    classes = schema.classes or ()
    for index in values:
        if not -1 <= index < len(classes):
            raise SourceError(
                f"label {index} is outside the schema's {len(classes)} classes (-1 = missing)"
            )
    return [classes[index] if index >= 0 else None for index in values]


def _target(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    if abs(value) > LARGEST:
        raise SourceError(
            f"label {value:g} is out of range; allowed are numbers from {-LARGEST:g} to {LARGEST:g}"
        )
    return value


def split_ids(
    rows: NDArray[np.float32], schema: SchemaPayload, *, required: bool
) -> tuple[NDArray[np.float32], list[Hashable] | None]:
    """Take the ids of sequences out of rows whose schema has a column for them.

    Raises
    ------
    SourceError
        A row has none, and they are `required`.
    """
    if schema.sequence is None:
        return rows, None
    column = schema.features.index(schema.sequence)
    ids = [sequence_id(value) for value in rows[:, column].tolist()] if required else None
    return np.delete(rows, column, axis=1), ids


def describe(schema: SchemaPayload) -> Schema:
    """Return a schema as the engine knows it."""
    units = schema.units
    if units is not None:
        units = tuple(
            unit
            for name, unit in zip(schema.features, units, strict=True)
            if name != schema.sequence
        )
    return Schema(schema.task, schema.inputs, schema.classes, units, str(schema.schema_id))


class Streams:
    """All sources of one socket, their common task and their position.

    Parameters
    ----------
    limits
        How many sources, names and rows.
    task
        Refuse schemas of another task; None takes that of the first schema.
    keys
        Under CURVE, the allow-list: a source's name then belongs to one key.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        limits: Limits,
        task: str | None = None,
        keys: KeyList | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits
        self.task = task
        self.stats: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.by_name: dict[str, Stream] = {}
        self.names = ModelNames(limits)
        self.crowded = False  # whether a source was refused for want of a place
        self.on_forget: Callable[[Stream], None] | None = None
        self._silent: dict[str, None] = {}  # sources without rows, the longest unheard first
        self._keys = keys
        self._clock = clock

    def count_gap(self, n: int) -> None:
        """Count rows that are missing.

        Forged seqs would otherwise take the count beyond what reports can hold.
        """
        self.stats["gaps"] = min(self.stats["gaps"] + n, _MOST)

    def find(self, name: str, key: str = "") -> Stream:
        """Return the state of a source, new or known; `key` is the sender's public key under CURVE.

        Raises
        ------
        SourceError
            The name belongs to another key, or more sources are at work than the bounds allow.
        """
        stream = self.by_name.get(name)
        self._check_owner(name, stream, key)
        if stream is None:
            if len(self.by_name) >= self.limits.sources:
                self._make_room()
            stream = self.by_name[name] = Stream(name, self.limits, self.stats)
        stream.owner = key
        stream.heard = self._clock()
        self._silent.pop(name, None)
        if not stream.last:
            self._silent[name] = None
        return stream

    def _check_owner(self, name: str, stream: Stream | None, key: str) -> None:
        """Refuse the name of another client in the allow-list, and one under which another key has sent rows."""
        if self._keys is None:
            return
        owner = self._keys.key_of(name)
        if (
            not owner
            and stream is not None
            and stream.last
            and self._keys.admits(stream.owner.encode())
        ):
            owner = stream.owner
        if owner and owner != key:
            raise SourceError(
                f"the source name {name!r} belongs to another key: each client needs names of its own"
            )

    def _make_room(self) -> None:
        """Forget one source: one that has sent no row, else one that is gone for long, with the fewest rows.

        A source that is connected or was heard lately is never forgotten once it has sent a row.
        """
        while self._silent:
            name = next(iter(self._silent))
            del self._silent[name]
            stream = self.by_name.get(name)
            if stream is not None and not stream.last:
                self._forget(stream)
                return
        before = self._clock() - self.limits.forget
        gone = [s for s in self.by_name.values() if not s.connected and s.heard < before]
        if not gone:
            self.crowded = True
            raise SourceError(
                f"{self.limits.sources} sources are served already, and no more are allowed "
                f"before one of them is gone for {self.limits.forget:g} s"
            )
        self._forget(min(gone, key=lambda stream: stream.n_rows))

    def _forget(self, stream: Stream) -> None:
        del self.by_name[stream.name]
        if self.on_forget is not None:
            self.on_forget(stream)

    def claim(self, stream: Stream, schema: SchemaPayload) -> None:
        """Count the names of rows that are about to be handed out.

        Raises
        ------
        SourceError
            The model may not get so many new ones.
        """
        if stream.claimed is not schema:
            self.names.add(stream.name, schema.inputs, schema.classes or ())
            stream.claimed = schema

    def adopt(self, stream: Stream, schema: SchemaPayload) -> None:
        """Take over the schema of one source; all sources of an engine share its task.

        Raises
        ------
        SourceError
            Another task, a changed unit, or more names than the bounds allow.
        """
        if self.task is not None and schema.task != self.task:
            raise SourceError(f"this engine learns {self.task}, and the schema says {schema.task}")
        if schema != stream.schema:
            self.names.check(stream.name, schema.inputs, schema.classes or ())
            stream.adopt(schema)
        self.task = schema.task

    @property
    def schema(self) -> Schema | None:
        """The first schema seen, or only the task."""
        schema = next((s.schema for s in self.by_name.values() if s.schema is not None), None)
        if schema is not None:
            return describe(schema)
        return None if self.task is None else Schema(task=self.task)

    @property
    def position(self) -> dict[str, Any]:
        """``{source: {epoch: seq}}`` of the rows handed out; under the empty name, the schemas."""
        told = {name: s for name, s in self.by_name.items() if s.last}
        schemas = {name: self._plain(s) for name, s in told.items() if s.schema is not None}
        return {name: {str(e): seq for e, seq in s.last.items()} for name, s in told.items()} | {
            SCHEMAS: schemas
        }

    def _plain(self, stream: Stream) -> dict[str, Any]:
        return {**stream.plain_schema, "key": stream.owner} if stream.owner else stream.plain_schema

    def seek(self, position: Mapping[str, Any]) -> None:
        """Start from a position.

        Everything up to it is durable, everything after it will come again.
        """
        stored = position.get(SCHEMAS, {})
        try:
            reached = {
                n: {int(e): int(q) for e, q in p.items()}
                for n, p in position.items()
                if n != SCHEMAS
            }
            schemas = {n: msgspec.convert(plain, SchemaPayload) for n, plain in stored.items()}
            owners = {n: str(plain.get("key", "")) for n, plain in stored.items()}
        except (AttributeError, TypeError, ValueError, msgspec.ValidationError):
            raise SourceError(
                f"a position is {{source: {{epoch: seq}}}}, not {dict(position)!r}"
            ) from None
        for stream in self.by_name.values():
            stream.last = {}
            stream.durable = {}
        for name, epochs in reached.items():
            stream = self.by_name.setdefault(name, Stream(name, self.limits, self.stats))
            stream.last = dict(epochs)
            stream.durable = dict(epochs)
            stream.owner, stream.heard = owners.get(name, ""), self._clock()
            if name in schemas:
                if stream.schema is None:
                    self.adopt(stream, schemas[name])
                self.names.add(name, schemas[name].inputs, schemas[name].classes or ())

    def advance(self, position: Mapping[str, Any]) -> Iterable[Stream]:
        """Mark everything up to `position` durable; yield the sources it names."""
        for name, epochs in position.items():
            stream = self.by_name.get(name)
            if stream is None or name == SCHEMAS:
                continue
            for epoch, seq in epochs.items():
                if int(epoch) in stream.last:
                    stream.durable[int(epoch)] = max(int(seq), stream.durable.get(int(epoch), 0))
            yield stream
