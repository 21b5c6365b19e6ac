"""Checks of the arguments of `Network.run`, before anything runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from loco_stream._arrays import Array, Float64, FloatDType
from loco_stream._numbers import shown
from loco_stream._simulator.layers import Layer
from loco_stream._simulator.net import SpikingNet
from loco_stream.errors import InputError

LONGEST_RUN = 1e9  # ms, eleven days; `carry` joins runs to longer ones


def checked_duration(duration: Any) -> float:
    """Return a duration in ms; raises `InputError`."""
    try:
        window = float(duration)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"`duration` must be a number of ms, got {shown(duration)}") from None
    if not 0.0 <= window <= LONGEST_RUN:
        raise InputError(f"`duration` must be between 0 and {LONGEST_RUN:g} ms, got {window}")
    return window


def checked_record(record: str) -> None:
    """Raise `InputError` unless `record` is known."""
    if record not in ("spikes", "counts"):
        raise InputError(f"`record` must be 'spikes' or 'counts', got {record!r}")


def checked_spikes(times: ArrayLike, indices: ArrayLike, net: SpikingNet) -> tuple[Array, Array]:
    """Return both as vectors of the net's dtypes; raises `InputError`.

    Their values are checked where they are run.
    """
    sent = _unmasked("times", times)
    if sent.dtype.kind not in "iuf":
        raise InputError(f"`times` must be numbers of ms, got type {sent.dtype}")
    if sent.dtype != net.dtype:
        with np.errstate(over="ignore"):  # infinite times are refused where they are run
            sent = sent.astype(net.dtype)
    sources = _unmasked("indices", indices)
    if sources.dtype != net.index_dtype:
        sources = _checked_indices(sources, net.index_dtype)
    if sent.ndim != 1 or sent.shape != sources.shape:
        raise InputError(
            "`times` and `indices` must be lists of the same length, "
            f"got shapes {sent.shape} and {sources.shape}"
        )
    return _plain(sent), _plain(sources)


def _checked_indices(indices: Array, dtype: np.dtype[np.integer]) -> Array:
    if indices.size == 0:
        return indices.astype(dtype)
    if indices.dtype.kind not in "iu":
        raise InputError(
            f"`indices` must be integers, the numbers of input neurons, got type {indices.dtype}"
        )
    return np.clip(indices, -1, np.iinfo(dtype).max).astype(dtype)


def _plain(a: Array) -> Array:
    """Return a writable array in C order: for others everything would be compiled again."""
    return a if a.flags.carray else np.require(a, requirements=["C", "A", "W"])


def checked_currents(currents: ArrayLike | None, n: int) -> Float64:
    """Return one constant input per neuron, zeros for None; raises `InputError`."""
    sent = _unmasked("currents", np.zeros(n) if currents is None else currents)
    if sent.shape != (n,) or sent.dtype.kind not in "iufb" or not np.isfinite(sent).all():
        raise InputError(f"`currents` must be ({n},) finite numbers, got shape {sent.shape}")
    return sent.astype(np.float64)


def checked_membranes(initial: Any, layers: list[Layer], dtype: FloatDType) -> list[Float64]:
    """Return the membranes that a run begins with, rounded to `dtype`; raises `InputError`."""
    if not isinstance(initial, (list, tuple)):
        raise InputError(
            f"`initial` must be a list with one array per layer, got {type(initial).__name__}"
        )
    if len(initial) != len(layers):
        raise InputError(
            f"`initial` must have {len(layers)} items, one per layer, got {len(initial)}"
        )
    return [
        _checked_membranes(f"initial[{i}]", given, layer.n_post, dtype)
        for i, (given, layer) in enumerate(zip(initial, layers, strict=True))
    ]


def _checked_membranes(name: str, given: Any, n: int, dtype: FloatDType) -> Float64:
    try:
        with np.errstate(over="ignore"):
            v = np.array(given, dtype=dtype).astype(np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"`{name}` must be numbers, got {shown(given)}") from None
    if v.shape != (n,) or not np.isfinite(v).all():
        raise InputError(f"`{name}` must be ({n},) finite numbers, got shape {v.shape}")
    return v


def _unmasked(name: str, values: ArrayLike) -> Array:
    """Return an array without a mask; raises `InputError` for what cannot become one."""
    if type(values) is np.ndarray:
        return values
    if np.ma.is_masked(values):
        raise InputError(f"`{name}` must be a list of numbers, got masked values")
    try:
        return np.asarray(values)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"`{name}` must be a list of numbers, got {shown(values)}") from None


def describe_bad_event(k: int, times: Array, indices: Array, n_inputs: int, duration: float) -> str:
    """Return the error message for event `k`, the first bad one."""
    t = float(times[k])
    j = int(indices[k])
    if not 0 <= j < n_inputs:
        return f"`indices[{k}]` must be an input from 0 to {n_inputs - 1}, got {j}"
    if k > 0 and t < float(times[k - 1]):
        return f"`times` must be sorted, got times[{k}] = {t:g} after {float(times[k - 1]):g}"
    return f"`times[{k}]` must be between 0 and the duration, {duration:g} ms, got {t:g}"
