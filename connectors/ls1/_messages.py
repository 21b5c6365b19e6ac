"""MessagePack payloads of LS1, and rows as JSON or MessagePack maps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from loco_stream._decoding import fault, values_in
from loco_stream._numbers import LARGEST, is_beyond, shown
from loco_stream._text import counted
from loco_stream.connectors._base.fields import DEFAULT_FIELDS, FieldRoles
from loco_stream.connectors._base.values import event_time
from loco_stream.connectors.ls1._limits import DEFAULT_LIMITS, Limits
from loco_stream.errors import SourceError
from loco_stream.stream import MAX_SEQ

Count = Annotated[int, Meta(ge=0, le=MAX_SEQ)]
_Id: TypeAlias = int | float | str
Features: TypeAlias = tuple[str, ...] | None  # of the schema of a sender, if it has sent one
_Value: TypeAlias = float | int | bool | str | None
_Target: TypeAlias = _Value | dict[str, float | int | None]  # a map has several targets


class Hello(msgspec.Struct, frozen=True):
    """Kind 6 of a source: its name, the number of this run, and whether it wants predictions."""

    source: str
    epoch: Annotated[int, Meta(ge=0)]  # MessagePack bounds it by 2**64 - 1
    predict: bool = False


class FlowControl(msgspec.Struct, frozen=True):
    """Kind 6 of the engine: `credit` rows may be in flight after the last ack."""

    credit: Count


class ErrorPayload(msgspec.Struct, frozen=True):
    """Kind 9: one sentence."""

    error: str


class SchemaPayload(msgspec.Struct, frozen=True):
    """Kind 4: the columns and the labels of a source.

    `sequence` names the column of the sequence id, which is not a feature of the model.
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
        """The columns that are features of the model."""
        return tuple(name for name in self.features if name != self.sequence)


class _Row(msgspec.Struct, frozen=True):
    x: dict[str, _Value] | list[_Value]
    y: _Target = None
    seq: Annotated[int, Meta(ge=0)] | None = None  # of a predict request: with bit 63 set
    t: float | None = None
    sequence: _Id | None = None
    id: _Id | None = None


@dataclass(slots=True)
class NamedRow:
    """One row by feature name, from a JSON or MessagePack map."""

    x: dict[str, _Value]
    y: _Target
    seq: int | None
    t: float
    sequence: _Id | None = None
    id: _Id | None = None
    extra: dict[str, Any] | None = None


class NamedLabel(msgspec.Struct):
    """A label for the row with an id, from a JSON or MessagePack map without features."""

    id: _Id
    label: _Target
    seq: Count | None = None


NamedMessage: TypeAlias = NamedRow | NamedLabel

T = TypeVar("T", Hello, FlowControl, ErrorPayload, SchemaPayload)
encode = msgspec.msgpack.Encoder().encode
_WHAT: dict[type[msgspec.Struct], str] = {
    Hello: "hello",
    FlowControl: "hello of the engine",
    ErrorPayload: "error",
    SchemaPayload: "schema",
}
_DECODERS: dict[type[msgspec.Struct], msgspec.msgpack.Decoder[Any]] = {
    kind: msgspec.msgpack.Decoder(kind)
    for kind in (Hello, FlowControl, ErrorPayload, SchemaPayload, _Row, NamedLabel)
}
_ROW_JSON = msgspec.json.Decoder(_Row)
_LABEL_JSON = msgspec.json.Decoder(NamedLabel)
_ANY_JSON = msgspec.json.Decoder()
_ANY_MSGPACK = msgspec.msgpack.Decoder()
# First bytes of JSON objects, numbers, texts and arrays; none of them starts a map in MessagePack.
_JSON_STARTS = tuple(bytes([c]) for c in b'{-0123456789"[')
_BOM = b"\xef\xbb\xbf"  # before a text, written by Windows; no map in MessagePack begins so
_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError, ValueError)


def decode(payload: bytes, kind: type[T]) -> T:
    """Decode a payload as one of the MessagePack kinds.

    Raises
    ------
    SourceError
        It is not.
    """
    try:
        content: T = _DECODERS[kind].decode(payload)
    except _ERRORS as e:
        reason = fault(e, values_in(payload, _ANY_MSGPACK.decode), "the payload")
        raise SourceError(
            f"the payload must be the MessagePack of a {_WHAT[kind]}: {reason}"
        ) from None
    return content


def read_schema(payload: bytes, limits: Limits = DEFAULT_LIMITS) -> SchemaPayload:
    """Decode and check a schema.

    Raises
    ------
    SourceError
        Names are missing, repeated, too long or too many, or the units do not match the features.
    """
    schema = decode(payload, SchemaPayload)
    _check_names("feature", schema.features, limits.features, limits)
    if not schema.inputs:
        raise SourceError("the schema must name a feature")
    if schema.sequence is not None and schema.sequence not in schema.features:
        raise SourceError(
            f"`sequence` of the schema must be one of its features, got {schema.sequence!r}"
        )
    if schema.units is not None:
        if len(schema.units) != len(schema.features):
            raise SourceError(
                f"the schema must have one unit per feature, got {len(schema.features)} features "
                f"and {len(schema.units)} units"
            )
        for unit in schema.units:
            _check_length("unit", unit, limits)
    if schema.classes is not None:
        _check_names("class", schema.classes, limits.classes, limits)
    return schema


def _check_names(what: str, names: tuple[str, ...], limit: int, limits: Limits) -> None:
    if len(names) > limit:
        raise SourceError(f"the schema must have at most {limit} {what} names, got {len(names)}")
    seen = set()
    for name in names:
        _check_length(what, name, limits)
        if name in seen:
            raise SourceError(f"the schema must name each {what} once, got {name!r} twice")
        seen.add(name)


def _check_length(what: str, name: str, limits: Limits) -> None:
    if len(name.encode()) > limits.name_bytes:
        raise SourceError(
            f"a {what} name must have at most {limits.name_bytes} bytes, got {name[:20]!r}..."
        )


def _check_size(what: str, value: _Value) -> None:
    if is_beyond(value):
        raise SourceError(
            f"{what} must be a number from {-LARGEST:g} to {LARGEST:g}, got {shown(value)}"
        )


def read_row(
    body: bytes, features: Features = None, limits: Limits = DEFAULT_LIMITS
) -> NamedMessage:
    """Decode a row: a map with ``x``, ``y``, ``seq``, ``t``, ``sequence`` and ``id``.

    The map is JSON or MessagePack. ``t`` is in seconds since 1970, an ISO 8601 date or null. Values
    without names get those of `features`, or "0", "1", ...
    A map with ``id`` and ``label`` and without ``x`` is a label.

    Raises
    ------
    SourceError
        The body is not such a map, or beyond the limits.

    Examples
    --------
    >>> read_row(b'{"x": {"a": 1.5, "b": null}, "y": "on"}').x
    {'a': 1.5, 'b': None}
    """
    body = body.removeprefix(_BOM)
    is_json = body.lstrip()[:1] == b"{"
    try:
        row: _Row = (_ROW_JSON if is_json else _DECODERS[_Row]).decode(body)
    except _ERRORS as e:
        label = _read_label(body, is_json, limits)
        if label is not None:
            return label
        dated = _read_dated(body, is_json)
        if dated is not None:
            return _check_row(dated, features, limits)
        reason = _fault(e, body, is_json)
        raise SourceError(f"a row must be a JSON or MessagePack map with 'x': {reason}") from None
    return _check_row(row, features, limits)


def _fault(error: Exception, body: bytes, is_json: bool) -> str:
    """Return why a body is no row."""
    values = values_in(body, (_ANY_JSON if is_json else _ANY_MSGPACK).decode)
    return fault(error, values, "the row", body if is_json else b"")


def _read_dated(body: bytes, is_json: bool) -> _Row | None:
    """Return the row in a body whose time is a text; None if it is none."""
    try:
        values = _dated((_ANY_JSON if is_json else _ANY_MSGPACK).decode(body))
        return msgspec.convert(values, _Row)
    except _ERRORS:
        return None


def _dated(values: Any) -> Any:
    """Return a map whose time, if it is an ISO 8601 date, is in seconds since 1970."""
    if isinstance(values, dict) and isinstance(values.get("t"), str):
        return {**values, "t": event_time(values["t"])}
    return values


def _read_label(body: bytes, is_json: bool, limits: Limits) -> NamedLabel | None:
    """Return the label in a body; None if it is none."""
    try:
        found: NamedLabel = (_LABEL_JSON if is_json else _DECODERS[NamedLabel]).decode(body)
    except _ERRORS:
        return None
    return _check_label(found.id, found.label, limits, found.seq)


def _check_label(row_id: Any, label: Any, limits: Limits, seq: int | None = None) -> NamedLabel:
    _check_id(row_id, limits)
    if not isinstance(label, str | int | float | bool | dict | None):
        raise SourceError(f"`label` must be a text, a number, a map or null, got {shown(label)}")
    if label == "":
        raise SourceError("`label` must be the label of the row, or null for none, got ''")
    _check_target("label", label, limits)
    return NamedLabel(row_id, label, seq)


def _check_target(what: str, y: _Target, limits: Limits) -> None:
    """Check the size of a label and the length of its texts."""
    if isinstance(y, str):
        _check_length("class", y, limits)
    if not isinstance(y, dict):
        _check_size(what, y)
        return
    if len(y) > limits.classes:
        raise SourceError(f"`{what}` must have at most {limits.classes} targets, got {len(y)}")
    for name, value in y.items():
        _check_length("target", name, limits)
        _check_size(f"target {name!r}", value)


def _check_id(row_id: Any, limits: Limits) -> None:
    if isinstance(row_id, bool) or not isinstance(row_id, str | int | float) or row_id == "":
        raise SourceError(f"`id` must be a text or a number, got {shown(row_id)}")
    _check_size("id", row_id)
    if isinstance(row_id, str):
        _check_length("id", row_id, limits)


def read_message(
    body: bytes,
    features: Features = None,
    limits: Limits = DEFAULT_LIMITS,
    fields: FieldRoles = DEFAULT_FIELDS,
) -> NamedMessage:
    """Decode a row as `read_row` does, or from a flat map whose `fields` have roles.

    A number alone is a row with the feature ``value``. A map with an id, a label and nothing else
    is a label.

    Raises
    ------
    SourceError
        The body is something else, or beyond the limits.

    Examples
    --------
    >>> row = read_message(b'{"speed": 0.4, "kind": "ok"}', fields=FieldRoles(target="kind"))
    >>> row.x, row.y
    ({'speed': 0.4}, 'ok')
    >>> read_message(b"23.5").x
    {'value': 23.5}
    """
    body = body.removeprefix(_BOM)
    start = body.lstrip()
    is_number = len(start) == 1 and not start.isdigit()  # of MessagePack
    is_json = start[:1] in _JSON_STARTS and not is_number
    try:
        values = (_ANY_JSON if is_json else _ANY_MSGPACK).decode(body)
    except _ERRORS as e:
        reason = fault(e, body=body if is_json else b"")
        raise SourceError(
            f"a message must be JSON or MessagePack, got {shown(bytes(body))}: {reason}"
        ) from None
    return to_row(values, features, limits, fields)


def to_row(
    values: Any,
    features: Features = None,
    limits: Limits = DEFAULT_LIMITS,
    fields: FieldRoles = DEFAULT_FIELDS,
) -> NamedMessage:
    """Return the row or label in decoded values; see `read_message`."""
    message = values
    if fields.only_labels:
        return _late_label(values, limits, fields)
    if isinstance(values, (int, float)) and not isinstance(values, bool):
        values = {"x": {"value": values}}
    elif isinstance(values, dict) and not isinstance(values.get("x"), (dict, list)):
        label = fields.label_in(values)
        if label is not None:
            return _check_label(*label, limits)
        values = _from_flat(values, fields)
    try:
        row = msgspec.convert(_dated(values), _Row)
    except (msgspec.ValidationError, RecursionError) as e:
        why = _wrong_value(values) or fault(e, values, "the row")
        raise SourceError(
            f"a row must be a map of numbers, texts and truth values: {why}"
        ) from None
    named = _check_row(row, features, limits)
    if fields.keep:
        named.extra = {"keep": fields.kept(message if isinstance(message, dict) else {}, named.x)}
    _separate(named, fields, limits)
    return named


def _wrong_value(values: Any) -> str:
    """Return which value of a row is none; empty if it is something else that is wrong."""
    x = values.get("x") if isinstance(values, dict) else None
    for name, value in x.items() if isinstance(x, dict) else ():
        if not isinstance(value, str | int | float | None):
            return f"{shown(name)} is {shown(value)}"
    return ""


def _late_label(values: Any, limits: Limits, fields: FieldRoles) -> NamedLabel:
    """Return the label in a message that can be nothing else."""
    label = fields.label_in(values) if isinstance(values, dict) else None
    if label is None:
        raise SourceError(f"a label must be a map with 'id' and 'label', got {shown(values)}")
    return _check_label(*label, limits)


def _separate(row: NamedRow, fields: FieldRoles, limits: Limits) -> None:
    """Take the id, and columns that are no features, out of the values of a row."""
    if fields.id is not None and row.id is None:
        row.id = row.x.get(fields.id)
        if row.id is not None:
            _check_id(row.id, limits)
    row.x = dict(fields.select(row.x))
    if not row.x:
        raise SourceError(f"a row must have 1 to {limits.features} values, got 0")


def _from_flat(values: dict[Any, Any], fields: FieldRoles) -> dict[str, Any]:
    row = {"x": fields.features(values), "y": fields.label(values)}
    if values.get(fields.time) is not None:
        row["t"] = values[fields.time]
    if fields.id is not None:
        row["id"] = values.get(fields.id)
    return row


def _check_row(row: _Row, features: Features, limits: Limits) -> NamedRow:
    if not 1 <= len(row.x) <= limits.features:
        raise SourceError(f"a row must have 1 to {limits.features} values, got {len(row.x)}")
    x = _name_values(row.x, features) if isinstance(row.x, list) else row.x
    for name, value in x.items():
        _check_length("feature", name, limits)
        if type(value) is not float or not -LARGEST <= value <= LARGEST:  # most are
            _check_size(f"feature {name!r}", value)
    _check_target("y", row.y, limits)
    if isinstance(row.sequence, str):
        _check_length("sequence", row.sequence, limits)
    if row.id is not None:
        _check_id(row.id, limits)
    if row.seq is not None and row.seq >= 2**64:
        raise SourceError(f"seq must be a number of 64 bits, got {shown(row.seq)}")
    t = math.nan if row.t is None or math.isinf(row.t) else row.t
    y = None if row.y == "" else row.y  # as an empty cell of a table
    return NamedRow(x, y, row.seq, t, row.sequence, row.id)


def _name_values(values: list[_Value], features: Features) -> dict[str, _Value]:
    names = features if features is not None else tuple(map(str, range(len(values))))
    if len(names) != len(values):
        expected = counted(len(names), "value")
        raise SourceError(f"a row must have {expected}, as the schema has, got {len(values)}")
    return dict(zip(names, values, strict=True))
