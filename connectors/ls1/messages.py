"""The MessagePack payloads of LS1 (schema, hello, credit, error) and its readable rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from loco_stream.connectors.ls1.limits import DEFAULT_LIMITS, Limits
from loco_stream.errors import SourceError
from loco_stream.numbers import LARGEST, is_beyond, shown

__all__ = [
    "Credit",
    "Fault",
    "Hello",
    "ReadableRow",
    "SchemaPayload",
    "decode",
    "encode",
    "read_message",
    "read_row",
    "read_schema",
    "row_of",
]

Count = Annotated[int, Meta(ge=0)]


class Hello(msgspec.Struct, frozen=True):
    """Kind 6 of a source: who it is, which run of it, and whether it wants predictions back."""

    source: str
    epoch: Count
    predict: bool = False


class Credit(msgspec.Struct, frozen=True):
    """Kind 6 of the engine: rows that may be on the way beyond the last ack."""

    credit: Count


class Fault(msgspec.Struct, frozen=True):
    """Kind 9: what was wrong, in one sentence."""

    error: str


class SchemaPayload(msgspec.Struct, frozen=True):
    """Kind 4, the schema: what the columns and the labels mean.

    `sequence` names the column that holds the id of the event that a row is of; it is then no
    input.
    """

    schema_id: int
    task: Literal["classification", "regression"]
    features: tuple[str, ...]
    units: tuple[str, ...] | None = None
    classes: tuple[str, ...] | None = None
    dtype: Literal["float32"] = "float32"
    sequence: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The columns that are inputs."""
        return tuple(name for name in self.features if name != self.sequence)


class _Row(msgspec.Struct, frozen=True):
    x: dict[str, float | int | bool | str | None] | list[float | int | bool | str | None]
    y: float | int | bool | str | None = None
    seq: Count | None = None
    t: float = math.nan
    sequence: int | float | str | None = None


@dataclass(slots=True)
class ReadableRow:
    """One sample in words."""

    x: dict[Any, Any]
    y: Any
    seq: int | None
    t: float
    sequence: int | str | float | None = None


T = TypeVar("T", Hello, Credit, Fault, SchemaPayload)
encode = msgspec.msgpack.Encoder().encode
_READ: dict[type[msgspec.Struct], msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(kind) for kind in (Hello, Credit, Fault, SchemaPayload, _Row)
}
_READ_JSON = msgspec.json.Decoder(_Row)
_ANY_JSON = msgspec.json.Decoder()
_ANY = msgspec.msgpack.Decoder()
_JSON_BEGINS = tuple(
    bytes([c]) for c in b"{-0123456789"
)  # none of them begins a map in MessagePack
_BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError, ValueError)


def decode(payload: bytes, kind: type[T]) -> T:
    """Read a payload as one of the MessagePack kinds."""
    try:
        content: T = _READ[kind].decode(payload)
    except _BROKEN as e:
        what = {SchemaPayload: "schema", Fault: "error"}.get(kind, kind.__name__.lower())
        raise SourceError(f"the payload is not the MessagePack of a {what}: {e}") from None
    return content


def read_schema(payload: bytes, limits: Limits = DEFAULT_LIMITS) -> SchemaPayload:
    """Read and check a schema.

    Raises
    ------
    SourceError
        Too many, too long, empty or repeated names, or units that do not pair up with the features.
    """
    schema = decode(payload, SchemaPayload)
    _check_names("feature", schema.features, limits.features, limits)
    if not schema.inputs:
        raise SourceError("the schema names no feature")
    if schema.sequence is not None and schema.sequence not in schema.features:
        raise SourceError(
            f"the schema names no feature {schema.sequence!r}, which is to hold the id of a sequence"
        )
    if schema.units is not None:
        if len(schema.units) != len(schema.features):
            raise SourceError(
                f"the schema has {len(schema.features)} features and {len(schema.units)} units"
            )
        for unit in schema.units:
            _check_length("unit", unit, limits)
    if schema.classes is not None:
        _check_names("class", schema.classes, limits.classes, limits)
    return schema


def _check_names(what: str, names: tuple[str, ...], most: int, limits: Limits) -> None:
    if len(names) > most:
        raise SourceError(f"the schema names {len(names)} {what} names, and {most} are allowed")
    seen = set()
    for name in names:
        _check_length(what, name, limits)
        if name in seen:
            raise SourceError(f"the schema names the {what} {name!r} twice")
        seen.add(name)


def _check_length(what: str, name: str, limits: Limits) -> None:
    if len(name.encode()) > limits.name_bytes:
        raise SourceError(
            f"the {what} name {name[:20]!r}... is longer than {limits.name_bytes} bytes"
        )


def _check_size(what: str, value: Any) -> None:
    if is_beyond(value):
        raise SourceError(
            f"{what} is {shown(value)}; allowed are numbers from {-LARGEST:g} to {LARGEST:g}"
        )


def read_row(
    body: bytes, features: tuple[str, ...] | None = None, limits: Limits = DEFAULT_LIMITS
) -> ReadableRow:
    """Read one sample as a JSON or MessagePack map ``{"x": ..., "y": ..., "seq": ..., "t".

    ..., "sequence": ...}``.

    Values without names take those of `features`, or else "0", "1", ...

    Examples
    --------
    >>> read_row(b'{"x": {"a": 1.5, "b": null}, "y": "on"}').x
    {'a': 1.5, 'b': None}
    """
    try:
        row: _Row = (_READ_JSON if body.lstrip()[:1] == b"{" else _READ[_Row]).decode(body)
    except _BROKEN as e:
        raise SourceError(f"neither a JSON nor a MessagePack map with 'x': {e}") from None
    return _checked(row, features, limits)


def read_message(
    body: bytes,
    features: tuple[str, ...] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    target: str = "y",
    time: str = "t",
) -> ReadableRow:
    """Read one sample as `read_row` does, or as a flat map of its values, with the label under `target`.

    A number alone is a row of one feature, ``value``.

    Examples
    --------
    >>> row = read_message(b'{"speed": 0.4, "kind": "ok"}', target="kind")
    >>> row.x, row.y
    ({'speed': 0.4}, 'ok')
    >>> read_message(b"23.5").x
    {'value': 23.5}
    """
    try:
        values = (_ANY_JSON if body.lstrip()[:1] in _JSON_BEGINS else _ANY).decode(body)
    except _BROKEN as e:
        raise SourceError(f"neither JSON nor MessagePack: {e}") from None
    return row_of(values, features, limits, target, time)


def row_of(
    values: Any,
    features: tuple[str, ...] | None = None,
    limits: Limits = DEFAULT_LIMITS,
    target: str = "y",
    time: str = "t",
) -> ReadableRow:
    """Return the row that decoded values are: see `read_message`."""
    if isinstance(values, (int, float)) and not isinstance(values, bool):
        values = {"x": {"value": values}}
    elif isinstance(values, dict) and not isinstance(values.get("x"), (dict, list)):
        x = {name: value for name, value in values.items() if name not in (target, time)}
        values = {"x": x, "y": values.get(target)} | (
            {"t": values[time]} if values.get(time) is not None else {}
        )
    try:
        row = msgspec.convert(values, _Row)
    except (msgspec.ValidationError, RecursionError) as e:
        raise SourceError(f"no map of numbers, texts and truth values: {e}") from None
    return _checked(row, features, limits)


def _checked(row: _Row, features: tuple[str, ...] | None, limits: Limits) -> ReadableRow:
    x = row.x
    if not 1 <= len(x) <= limits.features:
        raise SourceError(f"a row has 1..{limits.features} values, not {len(x)}")
    if isinstance(x, list):
        names = features if features is not None else tuple(map(str, range(len(x))))
        if len(names) != len(x):
            raise SourceError(f"the row has {len(x)} values, the schema {len(names)} features")
        x = dict(zip(names, x, strict=True))
    for name, value in x.items():
        _check_length("feature", name, limits)
        _check_size(f"feature {name!r}", value)
    _check_size("y", row.y)
    if isinstance(row.y, str):
        _check_length("class", row.y, limits)
    if isinstance(row.sequence, str):
        _check_length("sequence", row.sequence, limits)
    return ReadableRow(x, row.y, row.seq, row.t if math.isfinite(row.t) else math.nan, row.sequence)
