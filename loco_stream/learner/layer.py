"""One hidden layer of the neuron model that the settings name; which one is decided when the step is compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import overload

from loco_stream.jit import kernel
from loco_stream.learner.config import ALIF, LIF, Izhikevich
from loco_stream.learner.state import ADAPTATION, DRIVE, MEMBRANE, PEAK, REST
from loco_stream.neurons.dense import lif_layer
from loco_stream.neurons.layers import alif_layer, izhikevich_layer

__all__ = ["run_layer"]

FIRED = 1.5  # peak, in thresholds, of an Izhikevich neuron that fired: its upstroke does not tell how narrowly


@kernel
def _run_lif(cell, events, n, weights, offset, window, tau, threshold, workspace, start, stop, out):
    """Run leaky integrate-and-fire neurons."""
    return lif_layer(
        events[0], events[1], n, weights, offset, stop - start, tau, threshold, cell.reset_zero,
        workspace.neurons[MEMBRANE, start:stop], workspace.neurons[PEAK, start:stop], out[0], out[1],
    )  # fmt: skip


@kernel
def _run_alif(cell, events, n, weights, offset, window, tau, threshold, workspace, start, stop, out):
    """Run leaky integrate-and-fire neurons with adaptive thresholds."""
    return alif_layer(
        events[0], events[1], n, weights, offset, stop - start, tau, threshold, False, cell.tau_adapt, cell.adapt,
        workspace.neurons[MEMBRANE, start:stop], workspace.slow[ADAPTATION, start:stop],
        workspace.neurons[PEAK, start:stop], out[0], out[1],
    )  # fmt: skip


@kernel
def _run_izhikevich(cell, events, n, weights, offset, window, tau, threshold, workspace, start, stop, out):
    """Run Izhikevich neurons; they have no threshold, so that one moved is a constant current."""
    drive, rest, peak = (
        workspace.slow[DRIVE, start:stop],
        workspace.slow[REST, start:stop],
        workspace.neurons[PEAK, start:stop],
    )
    for i in range(stop - start):
        drive[i] = np.float32((1.0 - np.float64(threshold[i])) * cell.drive)
    count = izhikevich_layer(
        events[0], events[1], n, weights, offset, stop - start, window, drive, rest, workspace.constants, cell.unit,
        workspace.cells[start:stop], peak, workspace.neurons[MEMBRANE, start:stop], out[0], out[1],
    )  # fmt: skip
    for i in range(stop - start):
        peak[i] = min((peak[i] - rest[i]) / np.float32(cell.unit), np.float32(FIRED))
    return count


_RUN: dict[type[Any], Any] = {LIF: _run_lif, ALIF: _run_alif, Izhikevich: _run_izhikevich}


def run_layer(cell, events, n, weights, offset, window, tau, threshold, workspace, start, stop, out):
    """Run the hidden neurons `start` to `stop` on `n` events, (times, indices); write `out`; return its number.

    Membranes, peaks (in thresholds) and what else the model needs are written into `room`.
    """
    return _RUN[type(cell)](cell, events, n, weights, offset, window, tau, threshold, workspace, start, stop, out)


@overload(run_layer, inline="always")
def _run_layer(cell, events, n, weights, offset, window, tau, threshold, workspace, start, stop, out):
    run = _RUN[cell.instance_class]

    def chosen(cell, events, n, weights, offset, window, tau, threshold, workspace, start, stop, out):
        return run(cell, events, n, weights, offset, window, tau, threshold, workspace, start, stop, out)

    return chosen
