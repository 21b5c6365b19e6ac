"""Events injected into the series of the Numenta Anomaly Benchmark, away from its own windows.

Most of them have usual values at an unusual place: what is wrong is the change, not the value.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.nab import Series

__all__ = ["KINDS", "Event", "events_found", "inject"]

Float64 = NDArray[np.float64]

KINDS = ("spike", "noise", "shift", "stuck", "drop")
ROWS_PER_EVENT = 400
FIRST = 0.15  # share of a series before the first event
LONGEST = 40  # rows of an event
NEAR = 10  # rows beside an event that count as it
APART = 50  # rows within which false alarms count as one


class Event(NamedTuple):
    """Rows `begin` to `end` - 1."""

    kind: str
    begin: int
    end: int


def inject(series: Series, seed: int) -> tuple[Float64, list[Event]]:
    """Return a copy of the values with events in it, and the events in order.

    An event is one of

    - spike: one row, moved towards the median by 6 to 10 standard deviations of the changes
    - noise: 40 rows with noise of 3 standard deviations of the changes
    - shift: 40 rows, moved towards the median by 1.5 to 3 standard deviations of the values
    - stuck: 40 rows that repeat a value
    - drop: 20 rows one standard deviation below all values before

    Examples
    --------
    >>> t = np.arange(2000.0)
    >>> wave = Series("wave", t, np.sin(t / 25.0), np.zeros((0, 2), np.int64))
    >>> [event.begin for event in inject(wave, 0)[1]]
    [300, 625, 950, 1275, 1600]
    """
    draws = np.random.default_rng([seed, len(series.x)])
    x = series.x.copy()
    n_events = max(len(x) // ROWS_PER_EVENT, 1)
    begins = np.linspace(FIRST * len(x), 0.8 * len(x), n_events).astype(int)
    kinds = draws.permutation(np.resize(KINDS, n_events))
    events = []
    for kind, begin in zip(kinds.tolist(), begins.tolist(), strict=True):
        event = Event(kind, begin, begin + {"spike": 1, "drop": 20}.get(kind, LONGEST))
        if not _touches(series.windows, event):
            x[event.begin : event.end] = _changed(series.x, event, draws)
            events.append(event)
    return x, events


def _touches(windows: NDArray[np.int64], event: Event) -> bool:
    """Return whether an event lies in a labelled window, or near one."""
    before = windows[:, 1] + 2 * APART < event.begin
    after = windows[:, 0] - 2 * APART > event.end
    return not bool((before | after).all())


def _changed(values: Float64, event: Event, draws: np.random.Generator) -> Float64:
    """Return the values of an event."""
    before = values[: event.begin]
    own: Float64 = values[event.begin : event.end]
    deviation = float(before.std())
    change = max(float(np.diff(before).std()), 0.01 * deviation)
    inwards = 1.0 if own[0] < np.median(before) else -1.0
    if event.kind == "stuck":
        return np.full(len(own), own[0])
    if event.kind == "drop":
        return np.full(len(own), before.min() - deviation)
    if event.kind == "spike":
        own = own + inwards * draws.uniform(6.0, 10.0) * change
    elif event.kind == "shift":
        own = own + inwards * draws.uniform(1.5, 3.0) * deviation
    else:
        own = own + 3.0 * change * draws.normal(size=len(own))
    return own


def events_found(
    scores: Float64, events: list[Event], windows: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return which events are found before there are more false alarms than half the events.

    Rows are taken from the highest score down. An event is found by a row in it, or at most 10 rows
    beside it. False alarms within 50 rows of one another count as one; rows of a labelled window
    and the first rows of the series count as nothing. Rows with the lowest score are not taken: it
    is 0 for most detectors, while all scores of some are negative.
    """
    begins = np.array([event.begin for event in events]) - NEAR
    ends = np.array([event.end for event in events]) + NEAR
    is_found = np.zeros(len(events), np.bool_)
    false: list[int] = []
    lowest = scores.min()
    for row in np.argsort(-scores, kind="stable").tolist():
        if scores[row] <= lowest:
            break
        is_near = (begins <= row) & (row < ends)
        if is_near.any():
            is_found |= is_near
        elif not _counts(row, windows, len(scores)) or any(abs(row - f) <= APART for f in false):
            continue
        else:
            false.append(row)
            if len(false) > len(events) / 2:
                break
    return is_found


def _counts(row: int, windows: NDArray[np.int64], n_rows: int) -> bool:
    """Return whether a row may be a false alarm."""
    inside = (windows[:, 0] - NEAR <= row) & (row <= windows[:, 1] + NEAR)
    return row >= FIRST * n_rows / 2 and not bool(inside.any())
