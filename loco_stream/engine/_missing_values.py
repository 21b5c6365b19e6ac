"""Numbers that stand for a missing value, such as -9999, replaced before anything looks at them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from loco_stream._numbers import NO_NUMBERS, plain, shown, to_number
from loco_stream._problems import known_targets
from loco_stream.engine._row import Label, Values
from loco_stream.errors import ConfigError
from loco_stream.stream import Block, Event, Labels, PredictRequest, Sample

_AS_IT_IS = (int, float, *NO_NUMBERS)


class MissingValues:
    """Replaces numbers that stand for a missing value by NaN, and labels by None.

    Cells are compared with the values, and with the values as rounded to 32 bits. Texts stay as
    they are.

    Raises `ConfigError` if a value is no finite number.

    `spared`: a feature that keeps them: the key of a fleet, which names a device.

    Examples
    --------
    >>> missing = MissingValues([-9999])
    >>> missing.apply(Sample({"flow": -9999.0, "state": "-9999"}, 7.5), with_labels=True)[0].x
    {'flow': nan, 'state': '-9999'}
    """

    def __init__(self, values: Iterable[float], spared: Hashable = None) -> None:
        numbers = _finite(values)
        with np.errstate(over="ignore"):
            rounded = np.array(numbers, np.float32).tolist()
        self._numbers = frozenset(filter(math.isfinite, [*numbers, *rounded]))
        self._array = np.array(sorted(self._numbers))
        self._spared = spared

    @classmethod
    def of(cls, values: Iterable[float], spared: Hashable = None) -> MissingValues | None:
        """Return None if there are no values: nothing is compared then."""
        missing = cls(values, spared)
        return missing if missing._numbers else None

    def __contains__(self, value: object) -> bool:
        """Return whether a value of any type is one of the numbers."""
        if not isinstance(value, _AS_IT_IS):
            value = plain(value)
        # `to_number` knows no number beyond 1e30, which a fill value may be
        return (value if isinstance(value, int | float) else to_number(value)) in self._numbers

    def apply(self, event: Event, *, with_labels: bool) -> tuple[Event, int]:
        """Return an event without the numbers, and how many were replaced; labels on demand."""
        changes: dict[str, Any] = {}
        n_inputs = 0
        n_labels = 0
        if isinstance(event, Sample):
            changes["x"], n_inputs = self.apply_to_row(event.x)
        elif isinstance(event, Block | PredictRequest):
            changes["X"], n_inputs = self._apply_to_table(event.X, event.features)
        if with_labels and isinstance(event, Sample):
            changes["y"], n_labels = self._replace_label(event.y)
        elif with_labels and isinstance(event, Block | Labels) and event.y is not None:
            labels = [self._replace_label(y) for y in event.y]
            changes["y"] = [y for y, _ in labels]
            n_labels = sum(n for _, n in labels)
        n = n_inputs + n_labels
        return (replace(event, **changes) if n else event), n

    def apply_to_row(self, x: Values) -> tuple[Values, int]:
        """Return a row by name with NaN for the numbers, and how many there were."""
        if not isinstance(x, Mapping):  # the validation refuses it
            return x, 0
        found = [name for name, value in x.items() if value in self and name != self._spared]
        return ({**x, **dict.fromkeys(found, math.nan)} if found else x), len(found)

    def _apply_to_table(self, X: ArrayLike, features: tuple[str, ...]) -> tuple[ArrayLike, int]:
        """Return a table with NaN for the numbers, and how many there were."""
        table = np.asarray(X)
        is_object = table.dtype.hasobject
        if is_object:
            cells = [value in self for value in table.ravel().tolist()]
            found = np.array(cells, np.bool_).reshape(table.shape)
        elif table.dtype.kind in "fiub":
            found = np.isin(table, self._array)
        else:
            return X, 0
        if self._spared in features and found.ndim == 2:
            found[:, features.index(self._spared)] = False
        n = int(found.sum())
        if not n:
            return X, 0
        # integers become what they become without a missing value
        table = table.astype(table.dtype if is_object or table.dtype.kind == "f" else np.float32)
        table[found] = math.nan
        return table, n

    def _replace_label(self, y: Label) -> tuple[Label, int]:
        """Return a label and how many numbers are left out; None if it has no other value."""
        if not isinstance(y, Mapping):
            return (None, 1) if y in self else (y, 0)
        kept = {name: value for name, value in y.items() if value not in self}
        n = len(y) - len(kept)
        return (y, 0) if not n else (kept if known_targets(kept) else None, n)


def _finite(values: Iterable[Any]) -> list[float]:
    """Return values as floats; raises ConfigError if one is no finite number."""
    try:
        given = list(values)
        numbers = [math.nan if isinstance(value, NO_NUMBERS) else float(value) for value in given]
    except (TypeError, ValueError, OverflowError):
        numbers = [math.nan]
    if not all(map(math.isfinite, numbers)):
        raise ConfigError(f"`missing_values` must be a list of finite numbers, got {shown(values)}")
    return numbers
