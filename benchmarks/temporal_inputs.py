"""Inputs from earlier rows for other learners: lags, filters and echo states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.temporal_data import TimedStream

__all__ = ["INPUTS"]

Floats = NDArray[np.float64]

_SPANS = np.array([1.0, 4.0, 16.0, 64.0])  # time constants of the filters, in median gaps
_UNITS = 128  # the default number of hidden neurons


def _starts(stream: TimedStream) -> NDArray[np.int64]:
    """Return the first row of each row's event."""
    if stream.begins is None:
        return np.zeros(len(stream.X), np.int64)
    sizes = np.diff(np.append(stream.begins, len(stream.X)))
    return np.repeat(stream.begins, sizes)


def _lags(n_lags: int) -> Callable[[TimedStream, int], Floats]:
    def inputs(stream: TimedStream, seed: int) -> Floats:
        """Return each row, the rows before it in its event, and their mean and deviation."""
        rows = np.arange(len(stream.X))
        starts = _starts(stream)
        lagged = np.stack(
            [stream.X[np.maximum(rows - lag, starts)] for lag in range(n_lags + 1)], axis=1
        )
        return np.concatenate(
            [lagged.reshape(len(rows), -1), lagged.mean(axis=1), lagged.std(axis=1)], axis=1
        )

    return inputs


def _gaps(stream: TimedStream) -> Floats:
    """Return the time since the row before in median gaps, infinite where an event begins."""
    gaps = np.ones(len(stream.X))
    if stream.t is not None:
        gaps[1:] = np.diff(stream.t)
        gaps /= np.median(gaps[1:])
    gaps[[0] if stream.begins is None else stream.begins] = np.inf
    return gaps


def _scaled(X: Floats) -> Floats:
    """Return rows standardised by the mean and deviation of all rows up to each."""
    n = np.arange(1, len(X) + 1)[:, None]
    mean = np.cumsum(X, axis=0) / n
    spread = np.sqrt(np.maximum(np.cumsum(X**2, axis=0) / n - mean**2, 1e-12))
    return np.clip((X - mean) / spread, -4.0, 4.0)


def _filters(stream: TimedStream, seed: int) -> Floats:
    """Return each row and its exponential filters of four time constants."""
    X = stream.X
    gaps = _gaps(stream)
    filtered = np.zeros((len(X), len(_SPANS), X.shape[1]))
    state = np.zeros(filtered.shape[1:])
    for i, x in enumerate(X):
        left = np.exp(-gaps[i] / _SPANS)[:, None]
        state = left * state + (1.0 - left) * x
        filtered[i] = state
    return np.concatenate([X, filtered.reshape(len(X), -1)], axis=1)


def _echo_states(stream: TimedStream, seed: int) -> Floats:
    """Return each row and the states of an echo-state net with log-uniform leaks (Jaeger 2001)."""
    random = np.random.RandomState(seed)
    X = _scaled(stream.X)
    gaps = _gaps(stream)
    into = random.normal(size=(_UNITS, X.shape[1])) / np.sqrt(X.shape[1])
    among = random.normal(size=(_UNITS, _UNITS)) * (random.uniform(size=(_UNITS, _UNITS)) < 0.1)
    among *= 0.9 / np.abs(np.linalg.eigvals(among)).max()
    spans = np.exp(random.uniform(np.log(0.3), np.log(50.0), _UNITS))
    bias = 0.3 * random.normal(size=_UNITS)
    states = np.zeros((len(X), _UNITS))
    state = np.zeros(_UNITS)
    for i, x in enumerate(X):
        left = np.exp(-gaps[i] / spans)
        state = left * state + (1.0 - left) * np.tanh(into @ x + among @ state + bias)
        states[i] = state
    return np.concatenate([stream.X, states], axis=1)


INPUTS: dict[str, Callable[[TimedStream, int], Floats]] = {
    "rows": lambda stream, seed: stream.X,
    "5 lags": _lags(5),
    "10 lags": _lags(10),
    "filters": _filters,
    "echo states": _echo_states,
}
