"""What a call of `Network.run` is given, checked before anything runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from loco_stream.errors import InputError
from loco_stream.simulator.layers import Layer
from loco_stream.simulator.probe import Simulation

__all__ = [
    "checked_currents",
    "checked_duration",
    "checked_membranes",
    "checked_spikes",
    "is_default",
    "plain_array",
    "short",
    "what_is_wrong",
]

LONGEST_RUN = 1e9  # ms: eleven days; longer runs are made in pieces, with `carry`


def checked_duration(duration: Any) -> float:
    """Return a duration in ms; raises `InputError`."""
    try:
        window = float(duration)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"duration is {short(duration)}; it must be a number of ms") from None
    if not 0.0 <= window <= LONGEST_RUN:
        raise InputError(
            f"duration is {window}; it must be finite and 0 ms or more, at most {LONGEST_RUN:g} ms"
        )
    return window


def checked_spikes(
    times: ArrayLike, indices: ArrayLike, net: Simulation
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both as vectors of the types the net computes with.

    What they hold is checked where they are run.
    """
    sent = plain_array("times", times)
    if sent.dtype.kind not in "iuf":
        raise InputError(f"times must be numbers, in ms; they are of type {sent.dtype}")
    if sent.dtype != net.dtype:
        with np.errstate(over="ignore"):  # what becomes infinite is refused where it is run
            sent = sent.astype(net.dtype)
    sources = plain_array("indices", indices)
    if sources.dtype != net.index_dtype:
        if sources.size == 0:
            sources = sources.astype(net.index_dtype)
        elif sources.dtype.kind not in "iu":
            raise InputError(
                f"indices are of type {sources.dtype}; they must be integers: numbers of input neurons"
            )
        else:
            sources = np.clip(sources, -1, np.iinfo(net.index_dtype).max).astype(net.index_dtype)
    if sent.ndim != 1 or sources.ndim != 1 or len(sent) != len(sources):
        raise InputError(
            f"times has shape {sent.shape} and indices {sources.shape}: give two lists of one length"
        )
    return _plain(sent), _plain(sources)


def _plain(a: NDArray[Any]) -> NDArray[Any]:
    """Return an array in C order that may be written to.

    For any other, everything would be compiled once more.
    """
    return a if a.flags.carray else np.require(a, requirements=["C", "A", "W"])


def checked_currents(currents: Any, n: int) -> NDArray[np.float64]:
    """Return one constant input a neuron, zeros for None; raises `InputError`."""
    sent = plain_array("currents", np.zeros(n) if currents is None else currents)
    if sent.shape != (n,) or sent.dtype.kind not in "iufb" or not np.isfinite(sent).all():
        raise InputError(f"currents must be ({n},) finite numbers, not {sent.shape}")
    return sent.astype(np.float64)


def checked_membranes(initial: Any, layers: list[Layer], dtype: Any) -> list[NDArray[np.float64]]:
    """Return the membranes that a run is to begin with, rounded to `dtype`; raises `InputError`."""
    if not isinstance(initial, (list, tuple)):
        raise InputError(
            f"initial must be a list with one array a layer, not {type(initial).__name__}"
        )
    if len(initial) != len(layers):
        raise InputError(
            f"initial has {len(initial)} items for {len(layers)} layers: give one array a layer"
        )
    membranes = []
    for i, (given, layer) in enumerate(zip(initial, layers, strict=True)):
        try:
            with np.errstate(over="ignore"):
                v = np.array(given, dtype=dtype).astype(np.float64)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"initial[{i}] is {short(given)}; it must be numbers") from None
        if v.shape != (layer.n_post,) or not np.isfinite(v).all():
            raise InputError(
                f"initial[{i}] must be ({layer.n_post},) finite numbers, not {v.shape}"
            )
        membranes.append(v)
    return membranes


def plain_array(name: str, values: ArrayLike) -> NDArray[Any]:
    """Return an array without a mask; raises `InputError` for what is none."""
    if type(values) is np.ndarray:
        return values
    if np.ma.is_masked(values):
        raise InputError(
            f"{name} holds masked values; it must be a list of numbers, all of them known"
        )
    try:
        return np.asarray(values)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} is {short(values)}; it must be a list of numbers") from None


def short(value: object) -> str:
    """Return a value as text of at most 60 characters."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of too many digits
        return "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def what_is_wrong(
    k: int, times: NDArray[Any], indices: NDArray[Any], n_inputs: int, duration: float
) -> str:
    """Return a sentence on the first bad event."""
    t = float(times[k])
    j = int(indices[k])
    if not 0 <= j < n_inputs:
        return f"indices[{k}] is {j}; the net has the inputs 0 to {n_inputs - 1}"
    if k > 0 and t < float(times[k - 1]):
        return f"times[{k}] is {t:g} after {float(times[k - 1]):g}: times must be sorted"
    return f"times[{k}] is {t:g}; it must lie between 0 and the duration, {duration:g} ms"


def is_default(value: Any, default: float) -> bool:
    """Return whether a parameter was left as it is."""
    return isinstance(value, (int, float)) and value == default
