"""An explained prediction: what each feature adds to it, and which experts decide."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loco_stream._persistence.outputs import image, new_figure, write_picture
from loco_stream.errors import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 15  # features named and drawn


@dataclass(frozen=True, repr=False)
class Explanation:
    """How one prediction came about; a notebook shows it as a picture.

    Attributes
    ----------
    prediction
        The predicted class or value.
    features
        What each feature adds to `score`, the largest first: log-odds against the mean of the other
        classes, or units of the target.
    base
        The score without features.
    before
        What earlier rows add, through a memory or delays.
    nearest
        What the nearest centroids and the nearest rows kept by `neighbors` add; it is no sum over
        features.
    score
        The sum of all these.
    experts
        Share of each part of the readout in the prediction, as in `mixture_`, and of recalled
        earlier models.
    explained
        Share of the prediction that is decomposed. Recalled earlier models and recent values are
        not, nor is the discriminant where it predicts alone, as for the first few hundred wide
        rows.
    next_row
        The other parts of the prediction. Classification: what the ensemble, whose score is
        decomposed, the discriminant, recent labels, what followed the last label and the sizes of
        the classes each add to the log-odds of the prediction against the mean of the other
        classes. Regression: the share of the ensemble, of the last value, and of linear models of
        both.

    Examples
    --------
    >>> from loco_stream import LOCORegressor
    >>> model = LOCORegressor(hidden_sizes=(8,), seed=1)
    >>> for i in range(200):
    ...     model.learn_one({"load": i % 10, "noise": i % 7}, 3.0 * (i % 10))
    >>> why = model.explain_one({"load": 9, "noise": 3})
    >>> terms = [*why.features.values(), why.base, why.before, why.nearest]
    >>> abs(sum(terms) - why.score) < 1e-6
    True
    """

    prediction: Any
    features: Mapping[Hashable, float]
    base: float
    before: float
    nearest: float
    score: float
    experts: Mapping[str, float]
    explained: float
    next_row: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> list[str]:
        lines = [
            f"{self.prediction!r}: score {self.score:+.3f}, "
            f"{self.explained:.0%} of the prediction explained"
        ]
        lines += [f"  {value:+9.3f}  {name}" for name, value in self._terms()]
        largest = sorted(self.experts.items(), key=lambda item: -abs(item[1]))[:3]
        if largest:
            shares = ", ".join(f"{name} {share:.2f}" for name, share in largest)
            lines.append(f"experts: {shares}")
        if self.next_row:
            adds = ", ".join(f"{name} {value:+.2f}" for name, value in self.next_row.items())
            lines.append(f"answer: {adds}")
        return lines

    def _terms(self) -> Iterator[tuple[Hashable, float]]:
        """Yield what adds up to the score, each with its name."""
        named = list(self.features.items())
        yield from named[:_MOST]
        if len(named) > _MOST:
            rest = sum(value for _, value in named[_MOST:])
            yield f"{len(named) - _MOST} more features", rest
        if self.before:
            yield "(earlier rows)", self.before
        if self.nearest:
            yield "(nearest centroids and rows)", self.nearest
        yield "(without features)", self.base

    def plot(self, path: str | os.PathLike[str] | None = None) -> Figure:
        """Draw what the features add, and which experts decide; needs the extra `plot`.

        Parameters
        ----------
        path
            Where to save the picture; None saves nothing.

        Returns
        -------
        Figure
            A figure of matplotlib; a notebook shows it.

        Raises
        ------
        ConfigError
            matplotlib is missing, or the file cannot be written or has an unknown ending.
        """
        shown = dict(list(self.features.items())[:_MOST])
        figure = new_figure(figsize=(9, 1.5 + 0.28 * max(len(shown), len(self.experts))))
        adds, shares = figure.subplots(1, 2, width_ratios=[3, 2])
        colours = ["#0072b2" if value >= 0 else "#d55e00" for value in shown.values()]
        adds.barh([str(name) for name in shown], list(shown.values()), color=colours)
        adds.axvline(0.0, color="black", lw=0.8)
        adds.set(title=f"what the features add to {self.prediction!r}", xlabel="added to the score")
        shares.barh(list(self.experts), list(self.experts.values()), color="#009e73")
        shares.set(title="which experts decide", xlabel="share")
        for axes in (adds, shares):
            axes.invert_yaxis()
        if path is not None:
            write_picture(path, figure)
        return figure

    def _repr_png_(self) -> bytes | None:
        """Return the picture that a notebook shows, where there is matplotlib."""
        try:
            return image(self.plot(), "png", dpi=100)
        except ConfigError:
            return None
