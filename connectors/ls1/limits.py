"""What peers may ask of an engine: every bound in one place, each with its default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from loco_stream.connectors.values import hint
from loco_stream.errors import ConfigError

__all__ = ["DEFAULT_LIMITS", "LIMITS", "Limits", "read_limits"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what peers may send, keep open and leave unread.

    Each is an option of the ``zmq+`` sources.

    A message beyond a bound is answered by kind 9 and neither logged nor learned; a frame beyond
    `frame_bytes`, and a message without end, cut their connection off.

    Parameters
    ----------
    features, classes
        Names that one schema, and one source over time, may hold.
    rows
        Rows a message.
    name_bytes
        Length of a name (source, feature, class, unit), in bytes of UTF-8.
    frames
        Frames a message.
    frame_bytes
        Bytes a frame.
    sources
        Sources whose rows are told apart; beyond it the idle ones make room.
    forget
        Seconds after which a source that is gone may be forgotten when another needs its place.
    connections
        Open connections; beyond it those that have not shaken hands are closed first.
    model_features, model_classes
        Names that all sources together may bring to the model.
    guest_names
        New features, and new classes, that the sources after the first may bring together. Half as
        many as the first source brought are allowed in any case. The cost of a step grows with the
        number of names, and no source may make the steps of another many times slower.
    reply_bytes
        Bytes of the answer to one request.
    unread_bytes, unread_total
        Bytes of answers that one peer, and all of them, may leave unread.
    waiting_rows, waiting_total
        Rows of requests that one peer may have waiting for an answer, and bytes of them for all
        peers.

    Raises
    ------
    ConfigError
        A bound that is not above 0.

    Examples
    --------
    >>> Limits(sources=8).sources
    8
    >>> Limits(rows=0)
    Traceback (most recent call last):
    loco_stream.errors.ConfigError: rows must be above 0, not 0
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
            value = getattr(self, field.name)
            if not value > 0:
                raise ConfigError(f"{field.name} must be above 0, not {value!r}")


DEFAULT_LIMITS = Limits()
LIMITS: dict[str, type[int] | type[float]] = {
    f.name: float if f.type == "float" else int for f in fields(Limits)
}


def read_limits(texts: Mapping[str, str]) -> Limits:
    """Return the bounds that are written as text, the others as they are by default.

    Raises
    ------
    ConfigError
        A bound that does not exist, or a value that is no number above 0.

    Examples
    --------
    >>> read_limits({"sources": "8"}).sources
    8
    """
    values: dict[str, Any] = {}
    for name, text in texts.items():
        if name not in LIMITS:
            raise ConfigError(
                f"there is no limit {name!r}{hint(name, LIMITS)} (allowed: {', '.join(LIMITS)})"
            )
        try:
            values[name] = LIMITS[name](text)
        except ValueError:
            raise ConfigError(f"the limit {name} must be a number, not {text!r}") from None
    return Limits(**values)
