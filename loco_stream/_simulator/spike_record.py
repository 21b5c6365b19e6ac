"""The record of a simulation: spikes, chosen membranes, and a plot of both."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from loco_stream._arrays import Array, Float64, Int32
from loco_stream._persistence.outputs import image, new_figure, write_picture
from loco_stream._text import counted
from loco_stream.errors import ConfigError, InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class SpikeRecord:
    """The spikes of one run, layer after layer, in each layer sorted by time and neuron.

    Attributes
    ----------
    times
        (n_spikes,) in ms.
    indices
        (n_spikes,) the neuron that fired, counted from 0 within its layer.
    layer
        (n_spikes,) its layer; layer 0 are the targets of the first weight matrix. The input is not
        a layer.
    sizes
        Neurons of each layer.
    duration
        Length of the run in ms.
    membrane_times
        (n_samples,) in ms, times of the samples of the chosen membranes; empty if none were chosen.
    membranes
        For each chosen layer (n_samples, n_chosen), in the units of the weights: the membranes
        after all arrivals and spikes at the time of the sample.
    """

    times: Array
    indices: Int32
    layer: Int32
    sizes: tuple[int, ...]
    duration: float
    membrane_times: Float64 = field(default_factory=lambda: np.zeros(0))
    membranes: dict[int, Float64] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.times)

    def __repr__(self) -> str:
        counts = ", ".join(str(int((self.layer == i).sum())) for i in range(len(self.sizes)))
        spikes = counted(len(self), "spike")
        return f"SpikeRecord({spikes} in {self.duration:g} ms; by layer: {counts})"

    def _repr_png_(self) -> bytes | None:
        """Return the plot for notebooks, or None without matplotlib."""
        try:
            return image(self.plot(), "png", dpi=100)
        except ConfigError:
            return None

    def of(self, layer: int) -> tuple[Array, Int32]:
        """Return times and indices of the spikes of one layer.

        Examples
        --------
        >>> from loco_stream import Network
        >>> net = Network.from_weights([[[1.0, 0.4]]])
        >>> times, indices = net.run([2.0, 3.0], [0, 0], duration=10.0).of(0)
        >>> times.tolist(), indices.tolist()
        ([2.0, 3.0], [0, 0])
        """
        if not isinstance(layer, (int, np.integer)) or not 0 <= layer < len(self.sizes):
            raise InputError(f"`layer` must be from 0 to {len(self.sizes) - 1}, got {layer!r}")
        chosen = self.layer == layer
        return self.times[chosen], self.indices[chosen]

    def rates(self) -> Float64:
        """Return the mean firing rate of each layer in Hz; 0 for a run of 0 ms."""
        counts = np.bincount(self.layer, minlength=len(self.sizes)).astype(np.float64)
        seconds = self.duration / 1000.0
        if seconds == 0.0:
            return np.zeros_like(counts)
        return counts / (np.array(self.sizes) * seconds)

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Plot the spikes as a raster, layer above layer, and the chosen membranes below.

        Requires the extra `plot`.

        Parameters
        ----------
        path
            File to save the plot to; the suffix chooses the format.

        Returns
        -------
        The matplotlib figure. It is not attached to a window and needs no closing.

        Raises
        ------
        ConfigError
            matplotlib is missing, or the file cannot be written or has an unknown ending.
        """
        n = len(self.membranes)
        figure = new_figure(figsize=(9, 4 + 1.6 * n))
        axes = figure.subplots(
            1 + n, 1, sharex=True, squeeze=False, height_ratios=[2.5] + [1.0] * n
        )[:, 0]
        self._raster(axes[0])
        for axis, (layer, membranes) in zip(axes[1:], self.membranes.items(), strict=True):
            axis.plot(self.membrane_times, membranes, linewidth=1.0)
            axis.set_ylabel(f"membrane\nlayer {layer}")
        axes[-1].set_xlabel("time (ms)")
        axes[-1].set_xlim(0.0, max(self.duration, 1e-9))
        if path is not None:
            write_picture(path, figure, dpi=150)
        return figure

    def _raster(self, axis: Any) -> None:
        starts = np.concatenate(([0], np.cumsum(self.sizes)))
        rows = starts[self.layer] + self.indices
        axis.scatter(
            self.times, rows, s=4, c=self.layer, cmap="tab10", vmin=0, vmax=9, linewidths=0
        )
        for start in starts[1:-1]:
            axis.axhline(start - 0.5, color="0.85", linewidth=0.8, zorder=0)
        axis.set_ylim(-0.5, starts[-1] - 0.5)
        names = [f"layer {i}" for i in range(len(self.sizes))]
        axis.set_yticks((starts[:-1] + starts[1:] - 1) / 2, names)
        axis.set_title(f"{len(self)} spikes")
