"""Leaky integrate-and-fire neurons: event operations, and a window under a constant drive.

Between events v - level decays by exp(-dt / tau). The event operations store the scaled membrane
w = (v - level) exp((t - origin) / tau), which is constant between events. A spike of weight J that
arrives at t adds J exp((t - origin) / tau), one exponential for all its targets. With gap =
threshold - level, v reaches the threshold where w reaches gap exp((t - origin) / tau); under a
drive above threshold (gap < 0) this is solved for the time of the next spike. `origin` moves on
before the factor grows large, so nothing overflows or loses precision.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from loco_stream._arrays import Float32, Float64, Records
from loco_stream._compiler.jit import kernel
from loco_stream._compiler.structs import struct_dtype
from loco_stream.neurons._definition import (
    DenseOperations,
    EventOperations,
    NeuronModel,
    Parameters,
    WindowOperations,
)
from loco_stream.neurons._lif_net import run_lif, run_lif_samples
from loco_stream.neurons._spikes import LEAK_SHARE, MOST_SPIKES, STRONGEST, traces_by_times

# Per neuron: time of the last spike, w, how far w may rise (`lif_silent_until_horizon`),
# threshold - level, and the level, which is the drive.
STATE = struct_dtype("last_spike", "scaled_v", "margin", "gap", "level")
# `factor` is exp((now - origin) / tau), `horizon_factor` the same at the horizon; times in ms.
SHARED = struct_dtype(
    "tau", "refractory", "origin", "factor", "horizon", "horizon_factor", reset_zero="?"
)
_LARGEST_EXPONENT = 700.0  # exp overflows beyond
_N_BITS = MOST_SPIKES.bit_length()
_LEAST_LATE = 1e-300  # nothing is divided by 0 where the window is much longer than the trace
_REBASE = 32.0  # in units of tau: exp(32) is 8e13, far from overflow


class LIF(NamedTuple):
    """Parameters of leaky integrate-and-fire neurons in a window.

    `reset_zero`: whether a neuron that fires is reset to 0; otherwise its threshold is subtracted.
    `dt`: grid in ms on which the membrane is compared with the threshold, as clocked hardware does;
    0: at all times.
    """

    reset_zero: bool = False
    dt: float = 0.0


def _settings(tau: float, reset: str = "subtract", dt: float | None = None) -> LIF:
    return LIF(reset == "zero", 0.0 if dt is None else float(dt))


def _start(
    v: Float64,
    threshold: Float64,
    level: Float64,
    tau: float,
    refractory: float,
    reset_zero: bool,
    parameters: Parameters,
) -> tuple[Records, Records]:
    state = np.zeros(len(v), STATE)
    state["last_spike"] = -np.inf
    state["scaled_v"] = v - level
    state["gap"] = threshold - level
    state["level"] = level
    return state, np.array([(tau, refractory, 0.0, 1.0, 0.0, 1.0, reset_zero)], SHARED)


def _shift(state: Records, shared: Records, duration: float) -> None:
    shared["origin"] -= duration
    shared["horizon"] -= duration


@kernel
def lif_set_horizon(state: Records, shared: np.record, t: float) -> None:
    """Set the horizon; see `EventOperations`."""
    shared.horizon = t
    shared.horizon_factor = math.exp(min((t - shared.origin) / shared.tau, _LARGEST_EXPONENT))


@kernel
def lif_advance_to(state: Records, shared: np.record, t: float) -> None:
    """Make `t` the present time; see `EventOperations`."""
    since = t - shared.origin
    if since > _REBASE * shared.tau:
        shrink = math.exp(-since / shared.tau)
        for i in range(len(state)):
            state[i].scaled_v *= shrink
            state[i].margin *= shrink
        shared.origin = t
        since = 0.0
        lif_set_horizon(state, shared, shared.horizon)
    shared.factor = math.exp(since / shared.tau)


@kernel
def lif_silent_until_horizon(state: Records, shared: np.record, i: int) -> bool:
    """Store and test the margin of neuron `i`; see `EventOperations`.

    A level below threshold only draws the membrane away from it: it is closest now.
    """
    gap = state[i].gap
    margin = gap * (shared.factor if gap >= 0.0 else shared.horizon_factor) - state[i].scaled_v
    state[i].margin = margin
    return margin > 0.0


@kernel
def lif_psp_scale(state: Records, shared: np.record, t: float) -> float:
    """Return the change of `scaled_v` by a spike of weight 1; see `EventOperations`."""
    return math.exp((t - shared.origin) / shared.tau)


@kernel
def lif_none_fired(state: Records, shared: np.record, first: int, stop: int) -> bool:
    """Return whether all neurons `first` to `stop - 1` are below threshold."""
    n_above = 0
    for i in range(first, stop):
        n_above += state[i].scaled_v >= state[i].gap * shared.factor
    return n_above == 0


@kernel
def lif_next_spike(state: Records, shared: np.record, i: int, t: float) -> float:
    """Return when neuron `i` reached its threshold from below, up to `t`, or infinity."""
    gap = state[i].gap
    scaled = state[i].scaled_v
    if gap >= 0.0 or scaled >= 0.0 or scaled < gap * shared.factor:
        return math.inf
    return min(shared.origin + shared.tau * math.log(scaled / gap), t)


@kernel
def lif_receive(state: Records, shared: np.record, i: int, weight: float, t: float) -> None:
    """Add a spike unless the neuron is refractory."""
    responds = state[i].last_spike + shared.refractory <= t
    state[i].scaled_v += (weight if responds else 0.0) * shared.factor


@kernel
def lif_at_threshold(state: Records, shared: np.record, i: int, t: float) -> bool:
    """Return whether neuron `i` is at or above threshold and not refractory."""
    above = state[i].scaled_v >= state[i].gap * shared.factor
    return above & (state[i].last_spike + shared.refractory <= t)


@kernel
def lif_reset(state: Records, shared: np.record, i: int, t: float) -> bool:
    """Reset neuron `i`; return whether it remains at or above threshold."""
    neuron = state[i]
    membrane = neuron.scaled_v * math.exp((shared.origin - t) / shared.tau)
    threshold = neuron.gap + neuron.level
    above_level = -neuron.level if shared.reset_zero else membrane - threshold
    # The membrane is constant through the refractory period: scale it as if it had started at its
    # end.
    end = t + shared.refractory
    neuron.scaled_v = above_level * math.exp((end - shared.origin) / shared.tau)
    return above_level >= neuron.gap


@kernel
def lif_membrane(state: Records, shared: np.record, i: int, t: float) -> float:
    """Return the membrane of neuron `i`, which is constant while it is refractory."""
    moved = max(t, state[i].last_spike + shared.refractory)
    return state[i].level + state[i].scaled_v * math.exp((shared.origin - moved) / shared.tau)


@kernel
def _window_period(drive: float, window: float, tau: float) -> float:
    """Return the period between spikes in ms, infinite without spikes.

    The first spike comes after one period too: a neuron that was just reset is at rest.
    """
    # where the membrane would settle, in thresholds
    current = min(drive * tau / window + LEAK_SHARE, STRONGEST)
    if not current > 1.0:
        return math.inf
    return tau * math.log(current / (current - 1.0))


@kernel
def _times_on_grid(parameters: LIF, drive: float, window: float, tau: float, times: Float64) -> int:
    """Write at which multiples of `dt` a neuron fires; return their number."""
    level = min(drive * tau / window + LEAK_SHARE, STRONGEST)
    keep = math.exp(-parameters.dt / tau)
    v = 0.0
    n = 0
    for step in range(1, min(int(window / parameters.dt + 0.5), len(times)) + 1):
        v = level + (v - level) * keep
        if v >= 1.0:
            times[n] = step * parameters.dt
            n += 1
            v = 0.0 if parameters.reset_zero else v - 1.0
    return n


@kernel
def lif_times(
    parameters: LIF,
    drive: float,
    window: float,
    tau: float,
    scratch: Float64,
    times: Float64,
) -> int:
    """Write spike times; see `WindowOperations.times`."""
    if parameters.dt > 0.0:
        return _times_on_grid(parameters, drive, window, tau, times)
    period = _window_period(drive, window, tau)
    n = min(int(window / period), len(times)) if period <= window else 0
    for k in range(n):
        times[k] = (k + 1) * period
    return n


_by_times = traces_by_times(lif_times)


@kernel
def lif_traces(
    parameters: LIF,
    values: Float32,
    window: float,
    tau: float,
    tau_trace: float,
    late: float,
    scratch: Float64,
    times: Float64,
) -> int:
    """Turn drives into traces; return the number of spikes; see `WindowOperations.traces`."""
    if parameters.dt == 0.0 and tau == tau_trace:
        return _traces_of_periods(values, tau / window, late)
    return _by_times(parameters, values, window, tau, tau_trace, late, scratch, times)


@kernel
def _traces_of_periods(values: Float32, share: float, late: float) -> int:
    """Turn drives into traces of one time constant, in a loop that LLVM vectorizes.

    Between two spikes the membrane, less the level c that it would settle at, shrinks by q = 1 -
    1/c, and so does a trace. `n` spikes fit into the window as long as q ** n is at least `late`,
    and the last of them has faded by late / q ** n. The two sums of the trace, over what each spike
    has faded by and over its square, are geometric. `n` is found bit by bit.

    Parameters
    ----------
    values
        (neurons,) float32.
    share
        float64: time constant in windows.
    late
        float64: what is left of a trace after a window.
    """
    late = max(late, _LEAST_LATE)
    total = 0
    for i in range(len(values)):
        current = float(values[i]) * share + LEAK_SHARE
        current = current if current > 1.0 else 1.0  # also where it is NaN
        current = current if current < STRONGEST else STRONGEST
        shrinks = 1.0 - 1.0 / current
        kept = 1.0
        n = 0
        for k in range(_N_BITS):
            step = 1 << (_N_BITS - 1 - k)
            power = shrinks
            for _ in range(_N_BITS - 1 - k):
                power *= power
            longer = kept * power
            fits = longer >= late and n + step <= MOST_SPIKES
            kept = longer if fits else kept
            n += step if fits else 0
        twice = 2.0 * current - 1.0
        inverse = 1.0 / (kept * twice)  # of both, by one division
        last = late * twice * inverse
        slow = current * (last - late)
        fast = current * (last + late) * (kept * inverse)
        trace = 2.0 * slow * (1.0 - fast)
        values[i] = trace if n > 0 else 0.0
        total += n
    return total


MODEL = NeuronModel(
    name="lif",
    kind=LIF,
    events=EventOperations(
        receive=lif_receive,
        at_threshold=lif_at_threshold,
        reset=lif_reset,
        membrane=lif_membrane,
        next_spike=lif_next_spike,
        advance_to=lif_advance_to,
        none_fired=lif_none_fired,
        set_horizon=lif_set_horizon,
        silent_until_horizon=lif_silent_until_horizon,
        psp_scale=lif_psp_scale,
    ),
    start=_start,
    shift=_shift,
    parameters={},
    window=WindowOperations(
        settings=_settings,
        times=lif_times,
        traces=lif_traces,
        options=("reset", "dt"),
        as_network=True,
    ),
    clocked=True,
    nir_node="LIF",
    dense=DenseOperations(run=run_lif, run_samples=run_lif_samples),
)
