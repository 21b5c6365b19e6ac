"""What regressors share: predictions of numbers, and the intervals around them."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from loco_stream._arrays import Float64
from loco_stream._learner.readout.intervals import COVERAGES
from loco_stream._numbers import shown
from loco_stream.errors import InputError
from loco_stream.estimators import _sequences
from loco_stream.estimators._estimator import LOCOEstimator
from loco_stream.estimators._inputs.tables import Names, SequenceIds, TimeLike, TimesLike

Predicted = TypeVar("Predicted")


def coverage_level(coverage: float) -> int:
    """Return the position of a coverage in `COVERAGES`; raises `InputError` for another one."""
    if coverage not in COVERAGES:
        allowed = ", ".join(map(str, COVERAGES))
        raise InputError(f"`coverage` must be one of {allowed}, got {shown(coverage)}")
    return COVERAGES.index(coverage)


def interval_bounds(values: Float64, radii: Float64, level: int) -> Float64:
    """Return the lowest and the highest value of the interval around each value, (..., 2).

    radii: half widths for all coverages, as many as values times coverages
    """
    own = radii.reshape(*values.shape, len(COVERAGES))[..., level]
    return np.stack([values - own, values + own], axis=-1)


class IntervalEstimator(LOCOEstimator, Generic[Predicted]):
    """Base class of the regressors; a row is predicted as a number, or as one for each target."""

    _regression = True

    def predict_one(
        self, x: dict[Any, Any], t: TimeLike = None, in_stream: bool | None = None
    ) -> Predicted:
        """Return the predicted value, or that of each target by its name. Changes nothing.

        It is 0.0 before the first row, or {} for several targets.

        Parameters
        ----------
        x
            The row.
        t
            Its time, as in `learn_one`.
        in_stream
            True or None: the row is the next one of the stream, so the last values learned are
            evidence, weighted by how much they have improved predictions. False: the row may come
            from anywhere and is predicted from its features alone (and from the context, with
            `memory`). All `predict_*` methods take it.
        """
        core = self._core
        times = core.time_of(t)
        with core.lock:
            answers = core.predict_row(x, times, in_stream)
            predicted: Predicted = core.shown(answers[0], answers)[0]
            return predicted

    def predict_interval_array(
        self,
        X: ArrayLike,
        coverage: float = 0.9,
        features: Names = None,
        *,
        t: TimesLike = None,
        sequence: SequenceIds = None,
        in_stream: bool | None = None,
    ) -> Float64:
        """Return the interval of each row, (n, 2), or of each target, (n, n_targets, 2).

        See `predict_interval_one`.
        """
        level = coverage_level(coverage)
        values, radii = self._predict_rows(X, features, t, sequence, in_stream)
        return interval_bounds(values, radii, level)

    def predict_sequence(
        self,
        X: ArrayLike,
        t: TimesLike = None,
        features: Names = None,
        in_stream: bool | None = None,
    ) -> Predicted:
        """Return what `predict_one` does, of the sequence with these rows: the mean over them.

        `in_stream` is that of `predict_one`, but None equals False: the last values are those of an
        earlier sequence.
        """
        core = self._core
        mode = False if in_stream is None else in_stream
        with core.lock:
            answers, _ = _sequences.predict(core, X, t, features, self._details(), mode)
            predicted: Predicted = core.shown(answers.mean(axis=0), answers)[0]
            return predicted
