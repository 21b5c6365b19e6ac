"""Names of arrays in folders: how the parts of the monitor share one checkpoint."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Arrays", "distinct", "part", "plain", "prefixed"]

Arrays = dict[str, NDArray[Any]]


def prefixed(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return `arrays` under names in one folder."""
    return {f"{prefix}/{name}": array for name, array in arrays.items()}


def part(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return the arrays of one folder under their own names."""
    return {
        name.removeprefix(f"{prefix}/"): a
        for name, a in arrays.items()
        if name.startswith(f"{prefix}/")
    }


def distinct(names: Sequence[Hashable]) -> Sequence[Hashable]:
    """Return the names of a saved state.

    Raises ValueError if one comes twice, TypeError if one cannot be a name.
    """
    if len(set(names)) != len(names):
        raise ValueError(f"{names!r} are not distinct")
    return names


def plain(value: Any) -> Any:
    """Return numpy scalars as Python's own."""
    return value.item() if isinstance(value, np.generic) else value
