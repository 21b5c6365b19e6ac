"""Bounds on what peers may ask of an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from loco_stream._checks import require_type
from loco_stream._text import did_you_mean
from loco_stream.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what peers may send, keep open and leave unread.

    Each is an option of the sources that other processes send to. A message beyond a bound is
    answered by an error and neither logged nor learned. A frame beyond `frame_bytes`, and a message
    without end, close their connection.

    Parameters
    ----------
    features, classes
        Names that one schema, and one source over time, may have.
    rows
        Rows per message.
    name_bytes
        Length of a name (source, feature, class, unit) in bytes of UTF-8.
    frames
        Frames per message.
    frame_bytes
        Bytes per frame.
    sources
        Sources that are tracked. Beyond it, idle ones are forgotten.
    forget
        Seconds after which a source that is gone may be forgotten in favour of another.
    connections
        Open connections. Beyond it, those without a handshake are closed first.
    model_features, model_classes
        Names that all sources together may bring to the model.
    guest_names
        New features, and new classes, that the sources after the first may bring together. They may
        always bring half as many as the first one did. The cost of a step grows with the number of
        names.
    reply_bytes
        Bytes of the reply to one request.
    unread_bytes, unread_total
        Bytes of replies that one peer, and all peers, may leave unread.
    waiting_rows
        Rows of requests that one peer may have waiting for a reply.
    waiting_total
        Bytes of waiting requests of all peers.

    Raises
    ------
    ConfigError
        A bound is not above 0.

    Examples
    --------
    >>> from loco_stream.connectors import Limits
    >>> Limits(sources=8).sources
    8
    >>> Limits(rows=0)
    Traceback (most recent call last):
    loco_stream.errors.ConfigError: `rows` must be above 0, got 0
    """

    features: int = 4096
    classes: int = 1024
    rows: int = 65_536
    name_bytes: int = 255
    frames: int = 8
    frame_bytes: int = 16 << 20
    sources: int = 1024
    forget: float = 60.0
    connections: int = 1024
    model_features: int = 4096
    model_classes: int = 1024
    guest_names: int = 24
    reply_bytes: int = 4 << 20
    unread_bytes: int = 16 << 20
    unread_total: int = 256 << 20
    waiting_rows: int = 65_536
    waiting_total: int = 256 << 20

    def __post_init__(self) -> None:
        for field in fields(self):
            value = require_type(field.name, getattr(self, field.name), str(field.type))
            if not value > 0:
                raise ConfigError(f"`{field.name}` must be above 0, got {value!r}")


DEFAULT_LIMITS = Limits()
_TYPES = {field.name: float if field.type == "float" else int for field in fields(Limits)}
ENGINE_LIMITS = frozenset(
    {"features", "name_bytes", "model_features", "model_classes", "guest_names"}
)
"""Bounds that the engine applies to the rows of any source."""


def parse_limits(texts: Mapping[str, str]) -> Limits:
    """Return the bounds that are given as text, with defaults for the others.

    Raises
    ------
    ConfigError
        There is no such bound, or the value is not a number above 0.

    Examples
    --------
    >>> parse_limits({"sources": "8"}).sources
    8
    """
    values: dict[str, Any] = {}
    for name, text in texts.items():
        if name not in _TYPES:
            raise ConfigError(
                f"there is no limit {name!r}{did_you_mean(name, _TYPES)} "
                f"(limits: {', '.join(_TYPES)})"
            )
        try:
            values[name] = _TYPES[name](text)
        except ValueError:
            raise ConfigError(f"`{name}` must be a number, got {text!r}") from None
    return Limits(**values)
