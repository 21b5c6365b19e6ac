"""Leaky integrate-and-fire neurons whose threshold rises with every spike they fire and decays back.

Between events the membrane is level + (v - level) exp(-dt / tau) and the threshold is threshold +
adaptation exp(-dt / tau_adapt). Without a drive above threshold and with tau_adapt >= tau the
membrane falls at least as fast as the threshold, and only an event can make a neuron fire.
Otherwise their difference, a sum of two exponentials with at most one extremum, is searched for its
first root.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream.errors import ConfigError
from loco_stream.neurons.registry import EventOperations, NeuronModel, WindowOperations
from loco_stream.neurons.spikes import LEAK_SHARE, STRONGEST

__all__ = ["ALIF", "MODEL", "alif_times"]

LAST_FIRE = 0
V = 1
ADAPTATION = 2
SINCE = 3
THRESHOLD = 4
LEVEL = 5
TAU = 0
REFRACTORY = 1
RESET_ZERO = 2
TAU_ADAPT = 3
ADAPT = 4
_BISECTIONS = 100
_CLOSE = 1e-12  # ms


class ALIF(NamedTuple):
    """A spike raises the threshold by `adapt`, which returns within `tau_adapt` ms.

    Cells are (n, 6) float64: last spike, membrane, adaptation and their time, threshold at rest,
    level. Adaptation is what is added to the threshold, level the drive; times are in ms. Their
    numbers are (5,) float64: tau, refractory period, 1 if the reset is to zero, tau_adapt, adapt.
    """

    # A time constant five times the membrane's and a rise of a fifth of the threshold thin out
    # spikes visibly without silencing a neuron.
    tau_adapt: float = 100.0
    adapt: float = 0.2


def _check(parameters: Any) -> None:
    if not parameters["tau_adapt"] > 0.0:
        raise ConfigError(f"tau_adapt is {parameters['tau_adapt']}; it must be above 0")
    if parameters["adapt"] < 0.0:
        raise ConfigError(f"adapt is {parameters['adapt']}; it must be 0 or more")


def _start(
    v: Any,
    threshold: Any,
    level: Any,
    tau: float,
    refractory: float,
    reset_zero: bool,
    parameters: Any,
) -> tuple[Any, Any]:
    none = np.zeros(len(v))
    cells = np.column_stack((np.full(len(v), -np.inf), v, none, none, threshold, level))
    numbers = np.array(
        [tau, refractory, float(reset_zero), parameters["tau_adapt"], parameters["adapt"]]
    )
    return np.ascontiguousarray(cells), numbers


def _shift(cells: Any, numbers: Any, duration: float) -> None:
    cells[:, SINCE] -= duration


@kernel
def alif_start(cells: Any, numbers: Any, i: int) -> Any:
    """Return from when on the membrane of neuron `i` moves.

    It stands still while the neuron is refractory.
    """
    return max(cells[i, SINCE], cells[i, LAST_FIRE] + numbers[REFRACTORY])


@kernel
def alif_advance(cells: Any, numbers: Any, i: int, t: float) -> None:
    """Bring neuron `i` to time `t`."""
    tau = numbers[TAU]
    passed = t - alif_start(cells, numbers, i)
    if passed > 0.0:
        cells[i, V] = cells[i, LEVEL] + (cells[i, V] - cells[i, LEVEL]) * math.exp(-passed / tau)
    cells[i, ADAPTATION] *= math.exp((cells[i, SINCE] - t) / numbers[TAU_ADAPT])
    cells[i, SINCE] = t


@kernel
def alif_excess(
    cells: Any, numbers: Any, i: int, start: float, adaptation: float, dt: float
) -> Any:
    """Return membrane minus threshold `dt` after `start`, when the threshold was raised by `adaptation`."""
    membrane = cells[i, LEVEL] + (cells[i, V] - cells[i, LEVEL]) * math.exp(-dt / numbers[TAU])
    return membrane - (cells[i, THRESHOLD] + adaptation * math.exp(-dt / numbers[TAU_ADAPT]))


@kernel
def alif_crossing(cells: Any, numbers: Any, i: int, t: float) -> Any:
    """Return when neuron `i` first reached its threshold from below by time `t`, or infinity."""
    tau = numbers[TAU]
    tau_adapt = numbers[TAU_ADAPT]
    start = alif_start(cells, numbers, i)
    high = t - start
    if high <= 0.0:
        return math.inf
    adaptation = cells[i, ADAPTATION] * math.exp((cells[i, SINCE] - start) / tau_adapt)
    if alif_excess(cells, numbers, i, start, adaptation, 0.0) >= 0.0:
        return math.inf
    fall = cells[i, V] - cells[i, LEVEL]
    if fall > 0.0 and adaptation > 0.0 and tau_adapt != tau:
        extremum = math.log(adaptation * tau / (fall * tau_adapt)) / (1.0 / tau_adapt - 1.0 / tau)
        if (
            0.0 < extremum < high
            and alif_excess(cells, numbers, i, start, adaptation, extremum) >= 0.0
        ):
            high = extremum
    if alif_excess(cells, numbers, i, start, adaptation, high) < 0.0:
        return math.inf
    low = 0.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if middle <= low or middle >= high:
            break
        if alif_excess(cells, numbers, i, start, adaptation, middle) >= 0.0:
            high = middle
        else:
            low = middle
    return start + high


@kernel
def alif_receive(cells: Any, numbers: Any, i: int, weight: float, t: float) -> None:
    """Add a spike that arrives at `t`, unless the neuron is refractory."""
    if cells[i, LAST_FIRE] + numbers[REFRACTORY] <= t:
        alif_advance(cells, numbers, i, t)
        cells[i, V] += weight


@kernel
def alif_ready(cells: Any, numbers: Any, i: int, t: float) -> Any:
    """Return whether neuron `i` is at or above threshold at `t` and not refractory."""
    if cells[i, LAST_FIRE] + numbers[REFRACTORY] > t:
        return False
    alif_advance(cells, numbers, i, t)
    return cells[i, V] >= cells[i, THRESHOLD] + cells[i, ADAPTATION]


@kernel
def alif_fire(cells: Any, numbers: Any, i: int, t: float) -> Any:
    """Reset neuron `i`, which fired at `t`.

    Return whether it is at or above threshold once it may fire again.
    """
    alif_advance(cells, numbers, i, t)
    if numbers[RESET_ZERO] != 0.0:
        cells[i, V] = 0.0
    else:
        cells[i, V] -= cells[i, THRESHOLD] + cells[i, ADAPTATION]
    cells[i, ADAPTATION] += numbers[ADAPT]
    later = cells[i, ADAPTATION] * math.exp(-numbers[REFRACTORY] / numbers[TAU_ADAPT])
    return cells[i, V] >= cells[i, THRESHOLD] + later


@kernel
def alif_membrane(cells: Any, numbers: Any, i: int, t: float) -> Any:
    """Return the membrane of neuron `i`, which stands still while it is refractory."""
    passed = max(0.0, t - alif_start(cells, numbers, i))
    return cells[i, LEVEL] + (cells[i, V] - cells[i, LEVEL]) * math.exp(-passed / numbers[TAU])


@kernel
def alif_times(cell: ALIF, drive: Any, window: Any, tau: Any, room: Any, times: Any) -> Any:
    """Write when a neuron fires; see `WindowOperations.times`.

    Between spikes the membrane less the threshold, I (1 - exp(-s / tau)) - 1 - A exp(-s /
    tau_adapt), is increasing and concave in s, so that Newton's steps from the left end at the
    crossing and never beyond.
    """
    current = min(drive * tau / window + LEAK_SHARE, STRONGEST)
    n = 0
    now = 0.0
    raised = 0.0
    if not current > 1.0:
        return n
    first = tau * math.log(current / (current - 1.0))
    while n < times.shape[0]:
        wait = first
        step = 1.0
        while step > _CLOSE and now + wait <= window:
            decayed = math.exp(-wait / tau)
            returned = raised * math.exp(-wait / cell.tau_adapt)
            lack = 1.0 + returned - current * (1.0 - decayed)
            step = lack / (current * decayed / tau + returned / cell.tau_adapt)
            wait += max(step, 0.0)
        now += wait
        if not now <= window:
            return n
        times[n] = now
        n += 1
        raised = raised * math.exp(-wait / cell.tau_adapt) + cell.adapt
    return n


MODEL = NeuronModel(
    name="alif",
    kind=ALIF,
    events=EventOperations(
        receive=alif_receive,
        ready=alif_ready,
        fire=alif_fire,
        membrane=alif_membrane,
        crossing=alif_crossing,
    ),
    start=_start,
    shift=_shift,
    parameters=ALIF()._asdict(),
    check=_check,
    fires_alone=lambda tau, parameters: parameters["tau_adapt"] < tau,
    # A threshold that returned faster than the membrane could be met between events.
    window=WindowOperations(settings=lambda tau: ALIF(tau_adapt=max(100.0, tau)), times=alif_times),
)
