"""Weight matrices, dense or sparse, with the delays of their connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from loco_stream._arrays import AnyFloat, Array, Float64, FloatDType, Int64
from loco_stream._simulator.connections import Triplets
from loco_stream.errors import ConfigError

# In ms. Loops with shorter delays fire too often to be simulated to the end; with longer delays
# times lose precision.
SHORTEST_DELAY = 1e-6
LONGEST_DELAY = 1e9
Given: TypeAlias = Any  # an array or a scipy.sparse matrix that was not checked


class Sparse(NamedTuple):
    """The connections of a sparse matrix, (n,) each."""

    source: Int64
    target: Int64
    weight: AnyFloat


@dataclass(frozen=True)
class WeightMatrix:
    """Weights from n_pre to n_post neurons; either `dense` or `sparse` is None."""

    shape: tuple[int, int]
    dense: AnyFloat | None  # (n_pre, n_post)
    sparse: Sparse | None
    # ms: () for all connections, (n_pre, n_post) with dense, (n,) with sparse weights
    delay: Float64

    @property
    def delayed(self) -> bool:
        """Whether any connection has a delay."""
        return bool(self.delay.any())

    @property
    def shortest_delay(self) -> float:
        """The shortest delay in ms, infinite without connections."""
        is_empty = self.sparse is not None and not len(self.sparse.source)
        return np.inf if is_empty else float(self.delay.min())

    def matrix(self) -> Given:
        """Return the weights in the form in which they were given; nothing can be written to it."""
        if self.dense is not None:
            view = self.dense.view()
            view.flags.writeable = False
            return view
        from scipy.sparse import csr_array

        assert self.sparse is not None
        matrix = csr_array((self.sparse.weight, self.sparse[:2]), self.shape)
        matrix.data.flags.writeable = False
        return matrix

    def column(self, neuron: int) -> tuple[Float64, Float64]:
        """Return weight and delay from each row to one neuron; NaN delay without a connection."""
        if self.dense is not None:
            delay = np.broadcast_to(self.delay, self.shape)[:, neuron]
            return self.dense[:, neuron].astype(np.float64), delay
        source, target, weight, delay = self.triplets()
        own = target == neuron
        column = np.zeros(self.shape[0])
        delays = np.full(self.shape[0], np.nan)
        column[source[own]] = weight[own]
        delays[source[own]] = delay[own]
        return column, delays

    def triplets(self, first_row: int = 0) -> Triplets:
        """Return the connections one by one, with sources numbered from `first_row` on."""
        if self.sparse is not None:
            source, target, weight = self.sparse
        else:
            assert self.dense is not None
            source, target = (index.ravel() for index in np.indices(self.shape))
            weight = self.dense.ravel()
        delay = np.broadcast_to(self.delay.ravel(), source.shape)
        return Triplets(source + first_row, target, weight, delay)


def read_weights(
    name: str, weights: Given, delay_name: str, delays: Given, dtype: FloatDType
) -> WeightMatrix:
    """Check weights and their delays; raises `ConfigError`.

    `name` and `delay_name`: what error messages call them.
    """
    dense = None
    sparse = None
    if hasattr(weights, "tocsr"):
        sparse, shape = _read_sparse(name, weights, dtype)
        weight = sparse.weight
    else:
        dense = _numbers(name, weights, dtype)
        shape = dense.shape
        weight = dense
    if len(shape) != 2 or 0 in shape:
        raise ConfigError(
            f"`{name}` must be a matrix (n_pre, n_post) with at least one neuron on either side, "
            f"got shape {shape}"
        )
    _check_finite(name, weight)
    delay = _read_delays(delay_name, delays, shape, sparse)
    return WeightMatrix((shape[0], shape[1]), dense, sparse, delay)


def _check_finite(name: str, weight: AnyFloat) -> None:
    n_bad = int((~np.isfinite(weight)).sum())
    if n_bad:
        raise ConfigError(f"`{name}` must be finite, got {n_bad} weights that are NaN or infinite")


def _read_sparse(name: str, weights: Given, dtype: FloatDType) -> tuple[Sparse, tuple[int, ...]]:
    """Return the connections of a sparse matrix and its shape."""
    rows = _checked_rows(name, weights).copy()
    rows.sum_duplicates()
    source = np.repeat(np.arange(rows.shape[0], dtype=np.int64), np.diff(rows.indptr))
    target = np.asarray(rows.indices, dtype=np.int64)
    return Sparse(source, target, _numbers(name, rows.data, dtype)), tuple(rows.shape)


def _numbers(name: str, values: Given, dtype: FloatDType) -> AnyFloat:
    """Return a copy of real numbers in C order; what is too large for `dtype` becomes infinite."""
    try:
        given = np.asarray(values)
        if np.ma.is_masked(values) or given.dtype.kind == "c":
            raise TypeError
        with np.errstate(over="ignore"):
            return np.array(given, dtype=dtype, order="C")
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"`{name}` must be a matrix of real numbers without a mask, got {type(values).__name__}"
        ) from None


def _checked_rows(name: str, matrix: Given) -> Given:
    """Return a sparse matrix in CSR form with a valid index.

    Scipy checks the index only of matrices that it makes itself.
    """
    try:
        rows = matrix.tocsr()
        indptr = np.asarray(rows.indptr)
        indices = np.asarray(rows.indices)
        n_rows, n_columns = rows.shape
    except Exception as error:  # scipy may raise anything when the index is damaged
        raise ConfigError(
            f"`{name}` must be a valid sparse matrix, got one with a damaged index: {error}"
        ) from None
    damage = _damage(indptr, indices, n_rows, n_columns, len(rows.data))
    if damage:
        raise ConfigError(f"`{name}` must be a valid sparse matrix, got one with {damage}")
    return rows


def _damage(
    indptr: Array,
    indices: Array,
    n_rows: int,
    n_columns: int,
    n_weights: int,
) -> str:
    """Return what is wrong with the index of a sparse matrix, or an empty text."""
    if indptr.dtype.kind not in "iu" or indices.dtype.kind not in "iu":
        return f"an index of types {indptr.dtype} and {indices.dtype} instead of integers"
    if indptr.shape != (n_rows + 1,) or indptr[0] != 0 or (indptr[1:] < indptr[:-1]).any():
        return f"a damaged index: indptr is not {n_rows + 1} numbers that ascend from 0"
    if not indptr[-1] == len(indices) == n_weights:
        return (
            f"a damaged index: indptr ends at {indptr[-1]} for {len(indices)} indices "
            f"and {n_weights} weights"
        )
    bad = indices[(indices < 0) | (indices >= n_columns)]
    if len(bad):
        return f"a damaged index: column {bad[0]}, outside 0 to {n_columns - 1}"
    return ""


def _read_delays(
    name: str, delays: Given, shape: tuple[int, ...], sparse: Sparse | None
) -> Float64:
    """Return the delays in the form of `WeightMatrix.delay`."""
    if hasattr(delays, "tocsr"):
        delays = _checked_rows(name, delays)
        if delays.shape == shape and sparse is not None:
            own = delays[sparse.source, sparse.target]
            return _checked_delays(name, np.asarray(own, dtype=np.float64).ravel())
        delays = delays.toarray()
    delay = _delay_array(name, delays, shape)
    if delay.ndim and sparse is not None:
        delay = delay[sparse.source, sparse.target]
    return _checked_delays(name, delay)


def _delay_array(name: str, delays: Given, shape: tuple[int, ...]) -> Float64:
    """Return one delay, or one per weight, as an array."""
    try:
        delay = np.array(0.0 if delays is None else delays, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"`{name}` must be a number or a matrix of numbers, got {delays!r}"
        ) from None
    if delay.shape not in ((), shape):
        raise ConfigError(
            f"`{name}` must be a number or a matrix in the shape of its weights, {shape}, "
            f"got shape {delay.shape}"
        )
    return delay


def _checked_delays(name: str, delay: Float64) -> Float64:
    good = (delay == 0.0) | ((delay >= SHORTEST_DELAY) & (delay <= LONGEST_DELAY))
    if not good.all():
        raise ConfigError(
            f"`{name}` must be 0 or between {SHORTEST_DELAY:g} and {LONGEST_DELAY:g} ms, "
            f"got {delay[~good].flat[0]}"
        )
    return delay
