"""A weight matrix, dense or sparse, with the delays of its connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import ConfigError
from loco_stream.simulator.connections import Triplets

__all__ = ["Matrix", "read_matrix"]

# A loop with a shorter delay fires more often than anybody could wait for; beyond the longest, time
# loses digits. ms
SHORTEST_DELAY = 1e-6
LONGEST_DELAY = 1e9


@dataclass(frozen=True)
class Matrix:
    """Weights from n_pre to n_post neurons; either `dense` or `sparse` is None."""

    shape: tuple[int, int]
    dense: NDArray[Any] | None  # (n_pre, n_post)
    sparse: (
        tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any]] | None
    )  # source, target, weight: (n,) each
    delay: NDArray[
        np.float64
    ]  # ms: () for all connections, (n_pre, n_post) with dense, (n,) with sparse weights

    @property
    def delayed(self) -> bool:
        """Whether any connection takes time."""
        return bool(self.delay.any())

    @property
    def shortest_delay(self) -> float:
        """The shortest delay in ms, infinite without connections."""
        empty = self.sparse is not None and not len(self.sparse[0])
        return np.inf if empty else float(self.delay.min())

    def triplets(self, first_row: int = 0) -> Triplets:
        """Return the connections one by one, with sources numbered from `first_row` on."""
        if self.sparse is not None:
            source, target, weight = self.sparse
        else:
            assert self.dense is not None
            source, target = (index.ravel() for index in np.indices(self.shape))
            weight = self.dense.ravel()
        return Triplets(
            source + first_row, target, weight, np.broadcast_to(self.delay.ravel(), source.shape)
        )


def read_matrix(name: str, weights: Any, delay_name: str, delays: Any, dtype: Any) -> Matrix:
    """Check weights (an array or a scipy.sparse matrix) and their delays; raises `ConfigError`."""
    if hasattr(weights, "tocsr"):
        rows = _checked_rows(name, weights).copy()
        rows.sum_duplicates()
        source = np.repeat(np.arange(rows.shape[0], dtype=np.int64), np.diff(rows.indptr))
        weight = _numbers(name, rows.data, dtype)
        sparse = (source, np.asarray(rows.indices, dtype=np.int64), weight)
        dense = None
        shape = tuple(rows.shape)
    else:
        dense = _numbers(name, weights, dtype)
        sparse = None
        weight = dense
        shape = dense.shape
    if len(shape) != 2 or 0 in shape:
        raise ConfigError(
            f"{name} has shape {shape}; it must be a matrix (n_pre, n_post), neither of them 0"
        )
    if not np.isfinite(weight).all():
        raise ConfigError(
            f"{name} holds {int((~np.isfinite(weight)).sum())} weights that are NaN or infinite"
        )
    return Matrix(
        (shape[0], shape[1]), dense, sparse, _read_delays(delay_name, delays, shape, sparse)
    )


def _numbers(name: str, values: Any, dtype: Any) -> NDArray[Any]:
    """Return a copy of real numbers in order C; what is too large for `dtype` becomes infinite."""
    try:
        given = np.asarray(values)
        if np.ma.is_masked(values) or given.dtype.kind == "c":
            raise TypeError
        with np.errstate(over="ignore"):
            return np.array(given, dtype=dtype, order="C")
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{name} is no matrix of real numbers, none of them masked") from None


def _checked_rows(name: str, matrix: Any) -> Any:
    """Return a sparse matrix by rows whose index is sound.

    Scipy checks it only when it makes the matrix itself.
    """
    try:
        rows = matrix.tocsr()
        shape = rows.shape
        indptr = np.asarray(rows.indptr)
        indices = np.asarray(rows.indices)
        n_rows, n_columns = shape
    except Exception as error:  # whatever the matrix's own index makes scipy raise
        raise ConfigError(f"{name} is no sparse matrix that can be read: {error}") from None
    if indptr.dtype.kind not in "iu" or indices.dtype.kind not in "iu":
        raise ConfigError(
            f"{name} has an index of types {indptr.dtype} and {indices.dtype}; they must be integers"
        )
    if indptr.shape != (n_rows + 1,) or indptr[0] != 0 or (indptr[1:] < indptr[:-1]).any():
        raise ConfigError(
            f"{name} has a damaged index: indptr must be {n_rows + 1} numbers that ascend from 0"
        )
    if not indptr[-1] == len(indices) == len(rows.data):
        raise ConfigError(
            f"{name} has a damaged index: indptr ends at {indptr[-1]} for {len(indices)} indices and {len(rows.data)} "
            "weights; the three must agree"
        )
    bad = (indices < 0) | (indices >= n_columns)
    if bad.any():
        raise ConfigError(
            f"{name} has a damaged index: it holds {indices[bad][0]}, allowed are 0 to {n_columns - 1}"
        )
    return rows


def _read_delays(
    name: str, delays: Any, shape: tuple[int, ...], sparse: Any
) -> NDArray[np.float64]:
    if hasattr(delays, "tocsr"):
        delays = _checked_rows(name, delays)
        if delays.shape == shape and sparse is not None:
            return _finite(name, np.asarray(delays[sparse[0], sparse[1]], dtype=np.float64).ravel())
        delays = delays.toarray()
    try:
        delay = np.array(0.0 if delays is None else delays, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(
            f"{name} is {delays!r}; it must be a number or a matrix of numbers"
        ) from None
    if delay.shape not in ((), shape):
        raise ConfigError(
            f"{name} has shape {delay.shape}; it must be one number, or that of its weights, {shape}"
        )
    if delay.ndim and sparse is not None:
        delay = delay[sparse[0], sparse[1]]
    return _finite(name, delay)


def _finite(name: str, delay: NDArray[np.float64]) -> NDArray[np.float64]:
    bad = ~((delay == 0.0) | ((delay >= SHORTEST_DELAY) & (delay <= LONGEST_DELAY)))
    if bad.any():
        raise ConfigError(
            f"{name} holds {delay[bad].flat[0]}; delays must be finite and 0 ms or more: allowed are 0 and "
            f"{SHORTEST_DELAY:g} to {LONGEST_DELAY:g} ms"
        )
    return delay
