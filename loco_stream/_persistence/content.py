"""The content of a checked file, and array names with a prefix per part."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

from loco_stream._arrays import Array
from loco_stream.errors import CheckpointError

Plain: TypeAlias = Any
"""None, a bool, int, float, str or bytes, or a list, tuple or dict of such values."""
Config: TypeAlias = dict[str, Plain]
State: TypeAlias = Mapping[str, Plain]
Arrays: TypeAlias = dict[str, Array]
SavedArrays: TypeAlias = Mapping[str, Array]

_DAMAGE = (ArithmeticError, AttributeError, LookupError, MemoryError, TypeError, ValueError)


@dataclass(frozen=True, slots=True)
class Saved:
    """Content of a file: its kind, its plain values and its arrays (writable copies)."""

    kind: str
    config: Config
    arrays: Arrays

    def part(self, name: str) -> Saved:
        """Return the content of a part that is a file by itself, such as a model."""
        config = self.config[name]
        return Saved(config["kind"], config, without_prefix(name, self.arrays))


@contextmanager
def restoring(what: str) -> Iterator[None]:
    """Turn what damaged content raises inside the block into a `CheckpointError` on `what`."""
    try:
        yield
    except _DAMAGE as error:
        raise CheckpointError(f"{what} cannot be restored: {error!r}") from error


def with_prefix(prefix: str, arrays: SavedArrays) -> Arrays:
    """Return the arrays under ``PREFIX/NAME``."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def without_prefix(prefix: str, arrays: SavedArrays) -> Arrays:
    """Return the arrays below ``PREFIX/`` under their own names."""
    cut = len(prefix) + 1
    return {name[cut:]: array for name, array in arrays.items() if name.startswith(f"{prefix}/")}
