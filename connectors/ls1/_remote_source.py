"""What the engine's side knows about the senders, and conversion of their messages to events."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from loco_stream._arrays import Float32
from loco_stream._numbers import LARGEST
from loco_stream._text import counted
from loco_stream.connectors._base.values import sequence_id
from loco_stream.connectors.ls1._limits import Limits
from loco_stream.connectors.ls1._messages import SchemaPayload
from loco_stream.connectors.ls1._name_limits import NameLimits
from loco_stream.connectors.ls1._wire import Kind, Message, labels_of, pairs_of, rows_of
from loco_stream.errors import SourceError
from loco_stream.stream import Block, Labels, Position, PredictRequest, Schema

if TYPE_CHECKING:
    from loco_stream.connectors.ls1._security import ServerKeys

_MAX_COUNT = 2**63 - 1
MAX_EPOCHS = 65  # of one source: the present one and 64 earlier ones whose rows are recognised
SCHEMAS = ""  # key of the schemas in a position; a source has no empty name
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


class RemoteSource:
    """State of one sender.

    Parameters
    ----------
    name
        Of the sender.
    limits
        Bounds on its names.
    stats
        Counters of all senders.

    Attributes
    ----------
    schema
        Its last schema.
    last, durable
        Highest seq that was read, and that is durable, per epoch. The newest epoch comes last.
    owner
        Public key under CURVE that may use the name.
    claimed
        Schema whose names were added to the model last.
    connected
        Whether it has a session.
    ended
        Whether it has sent an end of stream; None before the first row.
    active_at
        Time of its last message.
    """

    def __init__(self, name: str, limits: Limits, stats: dict[str, int]) -> None:
        self.name = name
        self.schema: SchemaPayload | None = None
        self.last: dict[int, int] = {}
        self.durable: dict[int, int] = {}
        self.owner = ""
        self.claimed: SchemaPayload | None = None
        self.connected = False
        self.ended: bool | None = None
        self.active_at = 0.0
        self._limits = limits
        self._stats = stats
        self._plain_schema: dict[str, Any] = {}
        self._units: dict[str, str | None] = {}
        self._classes: dict[str, None] = {}

    def adopt(self, schema: SchemaPayload) -> None:
        """Replace the schema; names may come and go, but a feature keeps its unit.

        Raises
        ------
        SourceError
            The unit of a feature changes, or there were too many names over time.
        """
        units = self._merged_units(schema)
        classes = self._classes | dict.fromkeys(schema.classes or ())
        limits = self._limits
        if len(units) > limits.features or len(classes) > limits.classes:
            raise SourceError(
                f"source {self.name!r} must name at most {limits.features} features and "
                f"{limits.classes} classes over time, got {len(units)} and {len(classes)}"
            )
        self.schema = schema
        self._units = units
        self._classes = classes
        self._plain_schema = msgspec.json.decode(msgspec.json.encode(schema))

    def _merged_units(self, schema: SchemaPayload) -> dict[str, str | None]:
        """Return the unit of every feature that was ever named."""
        units = dict(self._units)
        given = schema.units or (None,) * len(schema.features)
        for feature, unit in zip(schema.features, given, strict=True):
            before = units.setdefault(feature, unit)
            if unit is not None and before is not None and unit != before:
                raise SourceError(
                    f"the unit of feature {feature!r} must stay {before!r}, got {unit!r}: "
                    "a new unit needs a new name"
                )
            units[feature] = unit or before
        return units

    @property
    def plain_schema(self) -> dict[str, Any]:
        """The schema in plain values, with the owner's key if there is one."""
        return {**self._plain_schema, "key": self.owner} if self.owner else self._plain_schema

    @property
    def newest(self) -> tuple[int, int] | None:
        """Newest epoch and its highest seq; None before the first row."""
        return next(reversed(self.last.items()), None)

    @property
    def n_rows(self) -> int:
        """Number of rows and late labels in the epochs that are remembered."""
        return sum(self.last.values())

    def advance(self, epoch: int, seq: int) -> None:
        """Note that the rows up to `seq` were read.

        Of more than 65 epochs, the one with the fewest rows is forgotten, so that many short runs
        do not displace a long one.
        """
        self.last.pop(epoch, None)  # the newest epoch comes last
        self.last[epoch] = seq
        while len(self.last) > MAX_EPOCHS:
            shortest = min((e for e in self.last if e != epoch), key=self.last.__getitem__)
            del self.last[shortest]
            self.durable.pop(shortest, None)

    def event(
        self,
        message: Message,
        schema: SchemaPayload,
        *,
        skip: int = 0,
        epoch: int = 0,
        tag: Any = None,
    ) -> Block | Labels | PredictRequest:
        """Return the event in a message of kind 0, 1, 2 or 10, without its first `skip` rows.

        Raises
        ------
        SourceError
            The message does not match the schema.
        """
        if message.kind is Kind.LABEL:
            of, raw = pairs_of(message, schema.task)
            y = _decode_labels(raw, schema)
            self._stats["labels"] += len(y) - skip
            return Labels(of[skip:], y[skip:], message.seq + skip, self.name, epoch, tag)
        if message.n_features != len(schema.features):
            raise SourceError(
                f"a row must have {counted(len(schema.features), 'value')}, as the schema has, "
                f"got {message.n_features}"
            )
        is_request = message.kind is Kind.REQUEST
        labels = None
        if message.kind is Kind.LABELLED:
            labels = _decode_labels(labels_of(message, schema.task), schema)[skip:]
        rows, ids = split_ids(rows_of(message)[skip:], schema, required=not is_request)
        self._mask(rows)
        if is_request:
            self._stats["asks"] += 1
            return PredictRequest(rows, schema.inputs, message.seq, self.name, tag)
        self._stats["rows"] += len(rows)
        return Block(
            rows,
            labels,
            schema.inputs,
            message.seq + skip,
            message.t,
            self.name,
            epoch,
            tag,
            sequence=ids,
        )

    def _mask(self, rows: Float32) -> None:
        valid = np.abs(rows) <= LARGEST
        if not valid.all():
            rows[~valid] = np.nan
            self._stats["masked"] += int(rows.size - valid.sum())


def _decode_labels(raw: NDArray[np.generic], schema: SchemaPayload) -> list[Any]:
    values = raw.tolist()
    if schema.task == "regression":
        return [_decode_target(value) for value in values]
    classes = schema.classes or ()
    for index in values:
        if not -1 <= index < len(classes):
            raise SourceError(
                f"a label must be an index into the schema's {len(classes)} classes, "
                f"or -1 if it is missing, got {index}"
            )
    return [classes[index] if index >= 0 else None for index in values]


def _decode_target(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    if abs(value) > LARGEST:
        raise SourceError(
            f"a label must be a number from {-LARGEST:g} to {LARGEST:g}, got {value:g}"
        )
    return value


def split_ids(
    rows: Float32, schema: SchemaPayload, *, required: bool
) -> tuple[Float32, list[Hashable] | None]:
    """Separate the column of sequence ids from the rows, if the schema has one.

    Raises
    ------
    SourceError
        An id is missing, and they are `required`.
    """
    if schema.sequence is None:
        return rows, None
    column = schema.features.index(schema.sequence)
    ids = [sequence_id(value) for value in rows[:, column].tolist()] if required else None
    return np.delete(rows, column, axis=1), ids


def _public_schema(schema: SchemaPayload) -> Schema:
    units = schema.units
    if units is not None:
        named = zip(schema.features, units, strict=True)
        units = tuple(unit for name, unit in named if name != schema.sequence)
    return Schema(schema.task, schema.inputs, schema.classes, units, str(schema.schema_id))


class RemoteSources:
    """State of all senders of a socket, their common task, and their position.

    Parameters
    ----------
    limits
        Bounds on senders, names and rows.
    task
        Schemas of another task are refused; None takes the task of the first schema.
    keys
        Allow-list under CURVE; the name of a sender then belongs to one key.

    Attributes
    ----------
    by_name
        The senders.
    stats
        Counters.
    model_names
        Names that were added to the model.
    is_full
        Whether a sender was refused because there are too many.
    on_forget
        Called with a sender that is forgotten in favour of another.
    """

    def __init__(
        self,
        limits: Limits,
        task: str | None = None,
        keys: ServerKeys | None = None,
    ) -> None:
        self.limits = limits
        self.task = task
        self.stats: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.by_name: dict[str, RemoteSource] = {}
        self.model_names = NameLimits(limits)
        self.is_full = False
        self.on_forget: Callable[[RemoteSource], None] | None = None
        self._without_rows: dict[str, None] = {}  # the longest inactive first
        self._keys = keys

    def count_gap(self, n: int) -> None:
        """Count missing rows; the count is bounded, as a seq may be forged."""
        self.stats["gaps"] = min(self.stats["gaps"] + n, _MAX_COUNT)

    def find(self, name: str, key: str = "") -> RemoteSource:
        """Return the state of a sender, which is created if necessary.

        Parameters
        ----------
        name
            Of the sender.
        key
            Its public key under CURVE.

        Raises
        ------
        SourceError
            The name belongs to another key, or there are too many senders.
        """
        source = self.by_name.get(name)
        self._check_owner(name, source, key)
        if source is None:
            if len(self.by_name) >= self.limits.sources:
                self._make_room()
            source = self.by_name[name] = RemoteSource(name, self.limits, self.stats)
        source.owner = key
        source.active_at = time.monotonic()
        self._without_rows.pop(name, None)
        if not source.last:
            self._without_rows[name] = None
        return source

    def _check_owner(self, name: str, source: RemoteSource | None, key: str) -> None:
        """Refuse the name of another client, and one whose rows came under another key."""
        if self._keys is None:
            return
        owner = self._keys.key_of(name)
        if not owner and source is not None and source.last:
            owner = source.owner if self._keys.admits(source.owner.encode()) else ""
        if owner and owner != key:
            raise SourceError(
                f"the source name {name!r} belongs to another key: each client needs its own names"
            )

    def _forget_without_rows(self) -> bool:
        """Forget the oldest sender that has sent no row; return whether there was one."""
        while self._without_rows:
            name = next(iter(self._without_rows))
            del self._without_rows[name]
            source = self.by_name.get(name)
            if source is not None and not source.last:
                self._forget(source)
                return True
        return False

    def _make_room(self) -> None:
        """Forget a sender without rows, or else one that is gone for long, with the fewest rows.

        A sender that is connected or was active recently is not forgotten once it has sent a row.
        """
        if self._forget_without_rows():
            return
        before = time.monotonic() - self.limits.forget
        gone = [s for s in self.by_name.values() if not s.connected and s.active_at < before]
        if not gone:
            self.is_full = True
            raise SourceError(
                f"{self.limits.sources} sources are served, and another is accepted only after one "
                f"of them is gone for {self.limits.forget:g} s"
            )
        self._forget(min(gone, key=lambda source: source.n_rows))

    def _forget(self, source: RemoteSource) -> None:
        del self.by_name[source.name]
        if self.on_forget is not None:
            self.on_forget(source)

    def claim(self, source: RemoteSource, schema: SchemaPayload) -> None:
        """Add the names of rows that are about to be yielded.

        Raises
        ------
        SourceError
            The model must not get so many names.
        """
        if source.claimed is not schema:
            self.model_names.add(source.name, schema.inputs, schema.classes or ())
            source.claimed = schema

    def adopt(self, source: RemoteSource, schema: SchemaPayload) -> None:
        """Replace the schema of a sender; all senders have one task.

        Raises
        ------
        SourceError
            The task or a unit differs, or there are too many names.
        """
        if self.task is not None and schema.task != self.task:
            raise SourceError(f"the task of the schema must be {self.task}, got {schema.task}")
        if schema != source.schema:
            self.model_names.check(source.name, schema.inputs, schema.classes or ())
            source.adopt(schema)
        self.task = schema.task

    @property
    def schema(self) -> Schema | None:
        """The first schema, or only the task."""
        for source in self.by_name.values():
            if source.schema is not None:
                return _public_schema(source.schema)
        return None if self.task is None else Schema(task=self.task)

    @property
    def position(self) -> Position:
        """``{source: {epoch: seq}}`` of the rows read; under the empty name, the schemas."""
        read = [source for source in self.by_name.values() if source.last]
        reached = {s.name: {str(epoch): seq for epoch, seq in s.last.items()} for s in read}
        schemas = {s.name: s.plain_schema for s in read if s.schema is not None}
        return {**reached, SCHEMAS: schemas}

    def seek(self, position: Position) -> None:
        """Go to a position: rows up to it are durable, rows after it will be sent again.

        Raises
        ------
        SourceError
            It is the position of another kind of source.
        """
        reached, schemas, owners = _parse(position)
        for source in self.by_name.values():
            source.last = {}
            source.durable = {}
        for name, epochs in reached.items():
            new = RemoteSource(name, self.limits, self.stats)
            source = self.by_name.setdefault(name, new)
            source.last = dict(epochs)
            source.durable = dict(epochs)
            source.owner = owners.get(name, "")
            source.active_at = time.monotonic()
            if name in schemas:
                if source.schema is None:
                    self.adopt(source, schemas[name])
                self.model_names.add(name, schemas[name].inputs, schemas[name].classes or ())

    def mark_durable(self, position: Position) -> list[RemoteSource]:
        """Mark everything up to `position` durable; return the senders in it."""
        found = []
        for name, epochs in position.items():
            source = self.by_name.get(name)
            if source is None or name == SCHEMAS:
                continue
            for epoch, seq in ((int(e), int(s)) for e, s in epochs.items()):
                if epoch in source.last:
                    source.durable[epoch] = max(seq, source.durable.get(epoch, 0))
            found.append(source)
        return found


def _parse(
    position: Position,
) -> tuple[dict[str, dict[int, int]], dict[str, SchemaPayload], dict[str, str]]:
    """Return the seq per epoch, the schema and the owner's key of each sender in a position."""
    try:
        stored = position.get(SCHEMAS, {})
        schemas = msgspec.convert(stored, dict[str, SchemaPayload])
        owners = {name: str(plain.get("key", "")) for name, plain in stored.items()}
        reached = {
            name: {int(epoch): int(seq) for epoch, seq in epochs.items()}
            for name, epochs in position.items()
            if name != SCHEMAS
        }
    except (AttributeError, TypeError, ValueError, msgspec.ValidationError):
        raise SourceError(
            f"`position` must be {{source: {{epoch: seq}}}}, got {dict(position)!r}"
        ) from None
    return reached, schemas, owners
