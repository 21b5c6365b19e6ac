"""One hidden layer of the neuron model that the settings name; which one is decided when the step is compiled."""

from __future__ import annotations

from typing import Any

from numba.extending import overload

from loco_stream.learner.state import MEMBRANE, PEAK
from loco_stream.neurons import dense_layer_of

__all__ = ["run_layer"]


def run_layer(cell, events, n, weights, offset, window, tau, threshold, workspace, start, stop, out):
    """Run the hidden neurons `start` to `stop` on `n` events, (times, indices); write `out`; return its number.

    Membranes, peaks (in thresholds) and what else the model needs are written into `workspace`.
    """
    return _chosen(type(cell))(cell, events, n, weights, offset, window, tau, threshold, workspace, start, stop, out)


@overload(run_layer, inline="always")
def _run_layer(cell, events, n, weights, offset, window, tau, threshold, workspace, start, stop, out):
    return _chosen(cell.instance_class)


def _chosen(kind: type[Any]) -> Any:
    run = dense_layer_of(kind).run

    def chosen(cell, events, n, weights, offset, window, tau, threshold, workspace, start, stop, out):
        return run(
            cell, events[0], events[1], n, weights, offset, stop - start, window, tau, threshold,
            workspace.neurons[MEMBRANE, start:stop], workspace.neurons[PEAK, start:stop],
            workspace.slow[:, start:stop], workspace.cells[start:stop], out[0], out[1],
        )  # fmt: skip

    return chosen
