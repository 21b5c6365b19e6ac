"""An answer explained: what each feature added to it, and which memory spoke."""

from __future__ import annotations

import io
import os
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Explanation"]

_MOST = 15  # features named and drawn


@dataclass(frozen=True, repr=False)
class Explanation:
    """What made one answer; a notebook shows it as a picture.

    Attributes
    ----------
    prediction
        The class or value that the model answers.
    features
        What each feature adds to `score`, the largest first. Of a class, log-odds against the mean
        of the other classes; of a value, units of the label.
    base
        What the score is without features.
    before
        What the rows before add, by what a memory has left of them.
    nearest
        What the nearest centroids add, and the nearest of the rows that `neighbors` keeps: all
        features together, for what is near is no sum over features.
    score
        The sum of all these.
    memories
        Share of the answer of each part of the readout, as in `mixture_`, and of models of old that
        were recalled.
    explained
        Share of the answer that `features` speaks for: models of old are no part of them.
    """

    prediction: Any
    features: Mapping[Hashable, float]
    base: float
    before: float
    nearest: float
    score: float
    memories: Mapping[str, float]
    explained: float

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        named = list(self.features.items())
        lines = [
            f"{self.prediction!r}: score {self.score:+.3f}, {self.explained:.0%} of the answer explained"
        ]
        lines += [f"  {value:+9.3f}  {name}" for name, value in named[:_MOST]]
        if len(named) > _MOST:
            lines.append(
                f"  {sum(value for _, value in named[_MOST:]):+9.3f}  {len(named) - _MOST} more features"
            )
        if self.before:
            lines.append(f"  {self.before:+9.3f}  (the rows before)")
        if self.nearest:
            lines.append(f"  {self.nearest:+9.3f}  (the nearest of what was seen)")
        lines.append(f"  {self.base:+9.3f}  (without features)")
        spoke = sorted(self.memories.items(), key=lambda item: -abs(item[1]))[:3]
        return (
            [*lines, "spoken by " + ", ".join(f"{name} {share:.2f}" for name, share in spoke)]
            if spoke
            else lines
        )

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw what the features added, and which memory spoke; needs the extra `plot`.

        Parameters
        ----------
        path
            Where to save the picture; None saves nothing.

        Returns
        -------
        Figure
            Of matplotlib; a notebook shows it.

        Raises
        ------
        ConfigError
            matplotlib is missing.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ConfigError(
                "a picture needs matplotlib: pip install 'loco-stream[plot]'"
            ) from error
        shown = dict(list(self.features.items())[:_MOST])
        figure = Figure(
            figsize=(9, 1.5 + 0.28 * max(len(shown), len(self.memories))), layout="constrained"
        )
        adds, spoke = figure.subplots(1, 2, width_ratios=[3, 2])
        colours = ["#0072b2" if value >= 0 else "#d55e00" for value in shown.values()]
        adds.barh([str(name) for name in shown], list(shown.values()), color=colours)
        adds.axvline(0.0, color="black", lw=0.8)
        adds.set(title=f"what the features add to {self.prediction!r}", xlabel="added to the score")
        spoke.barh(list(self.memories), list(self.memories.values()), color="#009e73")
        spoke.set(title="which memory spoke", xlabel="share")
        for axes in (adds, spoke):
            axes.invert_yaxis()
        if path is not None:
            figure.savefig(path, dpi=120)
        return figure

    def _repr_png_(self) -> bytes | None:
        """Return the picture that a notebook shows, where there is matplotlib."""
        picture = io.BytesIO()
        try:
            self.plot().savefig(picture, dpi=100)
        except ConfigError:
            return None
        return picture.getvalue()
