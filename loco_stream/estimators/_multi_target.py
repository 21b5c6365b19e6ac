"""The regressor of several targets."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from river import base

from loco_stream._arrays import Float64
from loco_stream._learner.readout.intervals import COVERAGES
from loco_stream._learner.step import HELD_OUT
from loco_stream._options import DEFAULTS, AdvancedOptions, ModelOptions
from loco_stream.errors import ConfigError
from loco_stream.estimators._array_rows import learn_table
from loco_stream.estimators._explain import api as explain
from loco_stream.estimators._explain.result import Explanation
from loco_stream.estimators._inputs.frames import frame_like, require_frame
from loco_stream.estimators._inputs.tables import (
    Names,
    SequenceIds,
    TimeLike,
    TimesLike,
    table,
    target_columns,
    target_matrix,
)
from loco_stream.estimators._intervals import IntervalEstimator, coverage_level, interval_bounds
from loco_stream.estimators._parameters import explains_parameters, parameter_names
from loco_stream.estimators._target_core import TargetCore

# Other values read the weights of one combined output, and here each target has its own.
_ALLOWED = {
    "credit": ("mirror",),
    "readout": ("recursive",),
    "readout_layers": ("auto", "all", "hidden"),
}


class LOCOMultiTargetRegressor(IntervalEstimator[dict[Hashable, float]], base.MultiTargetRegressor):
    """Spiking network that predicts several numbers per row with one shared hidden network.

    Each target has its own readout weights, scale, stack and intervals. The stream's next row is
    predicted from the last values of the targets too: each target's own, as in `LOCORegressor`, and
    the last value of every other one, where that has improved predictions. With one target it
    predicts bit-identically to a `LOCORegressor`. The hidden layers learn from the errors of all
    targets. A further target adds about a tenth to the cost of a row.

    A target may be missing from a row (absent, None or NaN): its readout learns nothing from that
    row. Targets may appear later in the stream.

    Parameters
    ----------
    hidden_sizes, rule, learning_rate, memory, max_delay, categories, neuron, seed
        As in `LOCORegressor`.
    advanced
        As in `LOCORegressor`. `credit` and `readout` must have their defaults, and `readout_layers`
        must not be ``"last"``.

    Raises
    ------
    ConfigError
        A parameter is out of its range.

    Examples
    --------
    >>> from loco_stream import LOCOMultiTargetRegressor
    >>> model = LOCOMultiTargetRegressor(hidden_sizes=16, seed=1)
    >>> for i in range(300):
    ...     model.learn_one({"load": i % 10}, {"heat": 2.0 * (i % 10), "noise": 5.0 - i % 10})
    >>> predicted = model.predict_one({"load": 4})
    >>> round(predicted["heat"]), round(predicted["noise"])
    (8, 1)
    """

    _core: TargetCore

    @explains_parameters
    def __init__(
        self,
        hidden_sizes: int | Sequence[int] | None = DEFAULTS.hidden_sizes,
        rule: str = DEFAULTS.rule,
        learning_rate: float | None = DEFAULTS.learning_rate,
        memory: Sequence[float] | None = DEFAULTS.memory,
        max_delay: int = DEFAULTS.max_delay,
        *,
        categories: int = DEFAULTS.categories,
        neuron: str = DEFAULTS.neuron,
        seed: int | None = DEFAULTS.seed,
        advanced: AdvancedOptions | None = None,
    ) -> None:
        self._construct(locals())

    _parameters = parameter_names(__init__)
    _estimator_type = "regressor"

    def _make_core(self, options: ModelOptions) -> TargetCore:
        advanced = options.advanced
        for name, allowed in _ALLOWED.items():
            value = getattr(advanced, name)
            if value not in allowed:
                choices = " or ".join(map(repr, allowed))
                raise ConfigError(f"`{name}` must be {choices} with several targets, got {value!r}")
        return TargetCore(options)

    @property
    def targets(self) -> tuple[Hashable, ...]:
        """Names of the targets, in the order of the columns of predictions."""
        return tuple(self._core.classes)

    @property
    def missing_values(self) -> int:
        """Number of target values that were missing in learned rows."""
        own = self._core.targets
        return 0 if own is None else int(own.counters.n_missing)

    @property
    def mixture_(self) -> dict[Hashable, dict[str, float]]:  # type: ignore[override]
        """Weight of each member of the readout in the stack of each target."""
        return self._core.mixtures()

    # Rows by name

    def predict_interval_one(
        self,
        x: dict[Hashable, object],
        coverage: float = 0.9,
        t: TimeLike = None,
        in_stream: bool | None = None,
    ) -> dict[Hashable, tuple[float, float]]:
        """Return the interval of each target; see `LOCORegressor.predict_interval_one`.

        Examples
        --------
        >>> from loco_stream import LOCOMultiTargetRegressor
        >>> model = LOCOMultiTargetRegressor(hidden_sizes=8, seed=1)
        >>> for i in range(100):
        ...     model.learn_one({"a": i % 10}, {"double": 2.0 * (i % 10), "half": (i % 10) / 2})
        >>> low, high = model.predict_interval_one({"a": 4})["double"]
        >>> low < 8.0 < high
        True
        """
        core = self._core
        level = coverage_level(coverage)
        times = core.time_of(t)
        with core.lock:
            radii = core.no_radii(1)
            values = core.predict_row(x, times, in_stream, radii)
            low, high = interval_bounds(values, radii, level)[0].T.tolist()
            return dict(zip(core.classes, zip(low, high, strict=True), strict=True))

    # Arrays

    def learn_array(  # type: ignore[override]
        self,
        X: ArrayLike,
        Y: ArrayLike,
        features: Names = None,
        targets: Names = None,
        *,
        t: TimesLike = None,
        sequence: SequenceIds = None,
    ) -> None:
        """Learn rows in order in one compiled loop; see `LOCOClassifier.learn_array`.

        Parameters
        ----------
        X
            (n, n_features) numbers.
        Y
            (n, n_targets) numbers, NaN where missing. A row without any value is observed and not
            learned.
        features, targets
            Names of the columns of X and of Y. None: those of the model in order, or their
            positions in a fresh model.
        t, sequence
            Time of each row, and the sequence that it belongs to.

        Raises
        ------
        InputError
            X or Y does not fit the model, or a value of Y is infinite or beyond 1e30.
        """
        self._learn_matrix(X, Y, features, targets, (t, sequence), predict_first=False)

    def learn_predict_array(  # type: ignore[override]
        self,
        X: ArrayLike,
        Y: ArrayLike,
        features: Names = None,
        targets: Names = None,
        *,
        t: TimesLike = None,
        sequence: SequenceIds = None,
    ) -> Float64:
        """Test, then train on each row; return the values predicted before learning it.

        See `learn_array` for the parameters.

        Returns
        -------
        ndarray
            (n, n_targets), in the order of `targets`; 0 before a target's first value.
        """
        return self._learn_matrix(X, Y, features, targets, (t, sequence), predict_first=True)[0]

    def learn_predict_interval_array(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        coverage: float = 0.9,
        features: Names = None,
        targets: Names = None,
        *,
        t: TimesLike = None,
        sequence: SequenceIds = None,
    ) -> tuple[Float64, Float64]:
        """Test, then train on each row; return values (n, n_targets) and intervals.

        Intervals are (n, n_targets, 2). Both are predicted before the row is learned.
        """
        level = coverage_level(coverage)
        values, radii = self._learn_matrix(
            X, Y, features, targets, (t, sequence), predict_first=True, wants_radii=True
        )
        return values, interval_bounds(values, radii, level)

    def learn_many(self, X: Any, y: Any) -> None:
        """Learn the rows of a frame in order; the columns of the frame y are the targets."""
        require_frame(X)
        values, names = target_columns(require_frame(y, "y"))
        self.learn_array(X, values, targets=names)

    def learn_predict_many(self, X: Any, y: Any) -> Any:
        """Test, then train on each row of a frame; return the values as a frame like y."""
        frame = require_frame(X)
        values, names = target_columns(require_frame(y, "y"))
        return frame_like(frame, self.learn_predict_array(X, values, targets=names), names)

    def predict_many(self, X: Any, in_stream: bool | None = None) -> Any:
        """Predict all targets for each row of a frame.

        Return a frame of the same library with one column per target.
        """
        frame = require_frame(X)
        return frame_like(frame, self.predict_array(X, in_stream=in_stream), self.targets)

    def explain_one(  # type: ignore[override]
        self, x: Mapping[Hashable, object], t: TimeLike = None, in_stream: bool | None = None
    ) -> dict[Hashable, Explanation]:
        """Explain the prediction of each target; see `LOCORegressor.explain_one`.

        Examples
        --------
        >>> from loco_stream import LOCOMultiTargetRegressor
        >>> model = LOCOMultiTargetRegressor(hidden_sizes=8, seed=1)
        >>> for i in range(200):
        ...     model.learn_one({"a": i % 10, "b": i % 7}, {"from a": i % 10, "from b": i % 7})
        >>> why = model.explain_one({"a": 9, "b": 6})
        >>> [next(iter(why[name].features)) for name in ("from a", "from b")]
        ['a', 'b']
        """
        return explain.explain_targets(self._core, x, t, in_stream)

    def _details(self) -> int:
        return len(self._core.classes) * len(COVERAGES)

    def _learn_matrix(
        self,
        X: ArrayLike,
        Y: ArrayLike,
        features: Names,
        targets: Names,
        context: tuple[TimesLike, SequenceIds],
        *,
        predict_first: bool,
        wants_radii: bool = False,
    ) -> tuple[Float64, Float64]:
        """Return values (n, targets) and, if wanted, half widths (n, targets * coverages)."""
        core = self._core
        inputs = table(X)
        n = len(inputs.numbers)
        observed = target_matrix(Y, n)
        t, sequence = context
        with core.lock:
            inputs, names = core.named(inputs, features)
            outputs = core.target_names(observed.shape[1], targets)
            times, last = core.times_of(t, sequence, n)
            if n == 0:
                return core.no_answers(0), core.no_radii(0)
            has_value = ~np.isnan(observed).all(axis=1)
            n_slots = len(core.slots)
            slots = core.admit_table(inputs, names, np.flatnonzero(~has_value).tolist(), outputs)
            if not slots:  # without a value the targets are answered all the same
                slots = core.admit(names, outputs)
            core.sequence = last
            values = np.full((n, len(core.classes)), np.nan)
            values[:, slots] = observed
            radii = core.no_radii(n if wants_radii else 0)
            both = (np.where(has_value, 0, HELD_OUT), values)
            answers = learn_table(core, inputs, names, both, predict_first, times, radii, n_slots)
            core.warn_of_columns()
            return answers, radii
