"""Limits per key: how many keys a stream may create, and how many rows each may send."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from loco_stream.errors import ConfigError
from loco_stream.fleet._rows import LABELS, Key, KeyRows

_MAX_BUCKETS = 100_000  # keys whose rate is remembered; a full bucket needs no memory


@dataclass(slots=True)
class _Bucket:
    """Rows that a key may still send now; it fills up with time."""

    rows: float
    filled_at: float


class KeyLimits:
    """Drops and counts rows of keys beyond a number, and rows of a key beyond a rate.

    A source can invent keys, and one device can send more than all others. Rows are dropped before
    they are logged, so the models do not depend on when a crash happened.

    Raises `ConfigError` if a limit is not positive.

    max_keys: keys that may have a model; rows of further keys are dropped. A key counts from its
        first row, even if the model refuses that row. None sets no limit.
    rows_per_second: rows that a key may send per second on average, with bursts of the rows of 10
        seconds. None sets no limit.
    clock: returns seconds; replaced in tests

    Its attributes:
    n_over_keys: rows of keys beyond `max_keys`
    n_over_rate: rows beyond `rows_per_second`

    Examples
    --------
    >>> from loco_stream.fleet._rows import make_rows
    >>> limits = KeyLimits(max_keys=1)
    >>> [limits.admit(make_rows(key, [[0.0]], ["ok"], None, "", 0, 0)) is None for key in "aba"]
    [False, True, False]
    >>> limits.n_over_keys
    1
    """

    def __init__(
        self,
        max_keys: int | None = None,
        rows_per_second: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        for name, value in (("max_keys", max_keys), ("rows_per_second", rows_per_second)):
            if value is not None and not value > 0:
                raise ConfigError(f"`{name}` must be positive or None, got {value!r}")
        self._max_keys = max_keys
        self._rate = rows_per_second
        self._clock = clock
        self._known: set[Key] = set()
        self._buckets: dict[Key, _Bucket] = {}
        self.n_over_keys = 0
        self.n_over_rate = 0

    @property
    def counts_keys(self) -> bool:
        """Whether `know` must be called with the keys that have a model."""
        return self._max_keys is not None

    def know(self, keys: Iterable[Key]) -> None:
        """Admit keys that have a model already, even if they are too many."""
        self._known.update(keys)

    def admit(self, rows: KeyRows) -> KeyRows | None:
        """Return the rows that may be learned, None if there are none; late labels always may."""
        if rows.kind == LABELS:
            return rows
        if self._max_keys is not None and rows.key not in self._known:
            if len(self._known) >= self._max_keys:
                self.n_over_keys += len(rows)
                return None
            self._known.add(rows.key)
        return rows if self._rate is None else self._within_rate(rows, self._rate)

    def _within_rate(self, rows: KeyRows, rate: float) -> KeyRows | None:
        now = self._clock()
        burst = max(10.0 * rate, 1.0)
        bucket = self._buckets.get(rows.key)
        if bucket is None:
            self._forget_full(now, rate, burst)
            bucket = self._buckets[rows.key] = _Bucket(burst, now)
        bucket.rows = min(burst, bucket.rows + rate * (now - bucket.filled_at))
        bucket.filled_at = now
        n = min(len(rows), int(bucket.rows))
        bucket.rows -= n
        self.n_over_rate += len(rows) - n
        if n == len(rows):
            return rows
        return rows.part(slice(0, n)) if n else None

    def _forget_full(self, now: float, rate: float, burst: float) -> None:
        """Drop the buckets that are full by now, when there are many."""
        if len(self._buckets) < _MAX_BUCKETS:
            return
        self._buckets = {
            key: bucket
            for key, bucket in self._buckets.items()
            if bucket.rows + rate * (now - bucket.filled_at) < burst
        }
