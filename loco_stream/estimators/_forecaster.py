"""The forecaster."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence, Sized
from copy import deepcopy
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from river.time_series.base import Forecaster

from loco_stream._arrays import Float64
from loco_stream._learner.readout.intervals import COVERAGES
from loco_stream._numbers import shown, to_number
from loco_stream._options import DEFAULTS, AdvancedOptions, ForecastOptions, ModelOptions
from loco_stream._persistence.content import Arrays, Config, SavedArrays, State, restoring
from loco_stream._text import counted
from loco_stream.errors import InputError
from loco_stream.estimators._array_rows import learn_table
from loco_stream.estimators._head_core import HeadCore
from loco_stream.estimators._inputs.row_times import row_times
from loco_stream.estimators._inputs.series import SeriesHistory
from loco_stream.estimators._inputs.slots import require_mapping
from loco_stream.estimators._inputs.tables import (
    FutureRows,
    Table,
    TimeLike,
    TimesLike,
    column_names,
    elements,
    one_per_row,
    read_target,
    table,
)
from loco_stream.estimators._intervals import coverage_level, interval_bounds
from loco_stream.estimators._parameters import GetSetParams, explains_parameters, parameter_names


def _check_horizon(horizon: object, xs: FutureRows) -> None:
    if isinstance(horizon, bool) or not isinstance(horizon, int | np.integer) or horizon < 1:
        raise InputError(f"`horizon` must be a positive integer, got {shown(horizon)}")
    if xs is None:
        return
    if not isinstance(xs, Sequence | np.ndarray):
        raise InputError(f"`xs` must be a list of dicts, one per step, got {type(xs).__name__}")
    if len(xs) != horizon:
        raise InputError(
            f"`xs` must have {counted(int(horizon), 'row')}, one per step, got {len(xs)}"
        )
    for i, x in enumerate(xs):
        if not isinstance(x, Mapping):
            raise InputError(
                f"`xs[{i}]` must be a dict from feature names to values, got {type(x).__name__}"
            )


def _parts(values: Float64) -> Iterator[slice]:
    """Yield the parts of a series of which only the last value may be missing."""
    start = 0
    for missing in np.flatnonzero(np.isnan(values)).tolist():
        yield slice(start, missing + 1)
        start = missing + 1
    if start < len(values):
        yield slice(start, len(values))


class LOCOForecaster(GetSetParams, Forecaster):
    """Forecasts a time series with one spiking network that has a readout head per step ahead.

    A row's inputs are the last 24 values, those one season before each step ahead, and the
    additional features. Every head predicts how far the series will be from its last value, and
    learns a row as soon as the value that it predicted has come. All heads share one hidden network
    and one set of projectors. The forecast is the last value until something is learned. At
    steps where the network was no better over about the last 500 rows, it is the last value, or an
    input with clearly smaller errors, such as the value one season before.

    Steps beyond the heads are forecast in rounds: the forecasts of one round are the last values of
    the next one.

    Parameters
    ----------
    memory
        As in `LOCOClassifier`: shortest and longest time constant of the hidden neurons' traces, in
        median gaps between rows. None: a forecast depends on its inputs alone.
    max_delay
        As in `LOCOClassifier`.
    seasons
        Periods in rows, each from 2 to 100,000: ``(24, 168)`` for a day and a week of hours. The
        last 24 values need no period.
    seed
        Seed of all random numbers.
    heads
        Steps ahead with a head of their own, 1 to 512. The cost of a row grows with them. Set it to
        the longest horizon that you use.
    hidden_sizes
        As in `LOCOClassifier`.

    Raises
    ------
    ConfigError
        A parameter is out of its range.

    Examples
    --------
    >>> from river import datasets
    >>> from loco_stream import LOCOForecaster
    >>> model = LOCOForecaster(seed=1)
    >>> passengers = [y for _, y in datasets.AirlinePassengers()]
    >>> for y in passengers[:-12]:
    ...     model.learn_one(y)
    >>> forecast = model.forecast(12)
    >>> errors = [abs(f - y) for f, y in zip(forecast, passengers[-12:])]
    >>> sum(errors) / 12 < 40  # the last value is 76 off
    True
    """

    _core: HeadCore
    _parts = ("_core", "_history")

    @explains_parameters
    def __init__(
        self,
        memory: Sequence[float] | None = (0.3, 50.0),
        max_delay: int = 0,
        seasons: Sequence[int] | None = None,
        seed: int | None = None,
        heads: int = 24,
        hidden_sizes: int | Sequence[int] | None = DEFAULTS.hidden_sizes,
    ) -> None:
        checked = ForecastOptions(heads=heads, seasons=seasons)
        options = ModelOptions(
            memory=memory,
            max_delay=max_delay,
            seed=seed,
            hidden_sizes=hidden_sizes,
            advanced=AdvancedOptions(memoryless_members=False, recent_values=0),
        )
        self.memory = options.memory
        self.max_delay = options.max_delay
        self.seasons = checked.seasons
        self.seed = options.seed
        self.heads = checked.heads
        self.hidden_sizes = options.hidden_sizes
        self._history = SeriesHistory(checked.heads, tuple(checked.seasons or ()))
        self._core = HeadCore(options, checked.heads)

    _parameters = parameter_names(__init__)

    @property
    def masked_values(self) -> int:
        """Number of inputs that were missing, infinite or not numeric, or before the start."""
        state = self._core.state
        return 0 if state is None else int(state.counts.n_masked)

    @property
    def backward_times(self) -> int:
        """Number of values whose time lay before that of the previous one, with a memory.

        Each was treated as one gap later than the previous value.
        """
        state = self._core.state
        return 0 if state is None else int(state.context.clock.n_backward)

    # Learning

    def learn_one(
        self, y: float | None, x: Mapping[Hashable, object] | None = None, t: TimeLike = None
    ) -> None:
        """Learn the next value of the series.

        Parameters
        ----------
        y
            The value; None or NaN if it is missing. Its forecast is then an input of the next ones
            in its place, for at most as many values in a row as there are heads.
        x
            Additional features that are known no later than the value: they are inputs of the
            forecast of this value and of later ones. A value that is not numeric is masked.
        t
            Time of the value in any unit: with a memory, traces fade by the time that passed. None:
            one median gap after the last one.

        Raises
        ------
        InputError
            y is not a finite number of at most 1e30, x is not a mapping, or t is not a time.
        """
        values = np.array([read_target("y", y)])
        if x is not None:
            require_mapping(x)
        names = tuple(x or ())
        given = np.array([[to_number(x[name]) for name in names]]) if x else np.zeros((1, 0))
        self._learn(values, given, names, self._core.time_of(t), predicts=False)

    def learn_array(
        self,
        y: ArrayLike,
        X: ArrayLike | None = None,
        features: Sequence[Hashable] | None = None,
        *,
        t: TimesLike = None,
    ) -> None:
        """Learn values in order in one compiled loop; equal to `learn_one` value by value.

        Parameters
        ----------
        y
            (n,) values, NaN where missing.
        X
            (n, n_features) additional features, or a frame.
        features
            Names of the columns of X; those of a frame or their positions if not given.
        t
            Time of each value.

        Raises
        ------
        InputError
            As `learn_one`, or the lengths differ.
        """
        self._learn_table(y, X, features, t, predicts=False)

    def learn_forecast_array(
        self,
        y: ArrayLike,
        X: ArrayLike | None = None,
        features: Sequence[Hashable] | None = None,
        *,
        coverage: float = 0.9,
        t: TimesLike = None,
    ) -> tuple[Float64, Float64]:
        """Forecast, then learn each value in order.

        Row i holds the forecasts of the values i, i + 1 and so on, made before value i was learned
        and with the features of row i; see `learn_array` for the parameters.

        Returns
        -------
        tuple
            Forecasts (n, heads) and intervals (n, heads, 2) of the coverage.

        Examples
        --------
        >>> import numpy as np
        >>> from loco_stream import LOCOForecaster
        >>> y = np.sin(np.arange(600) / 5)
        >>> forecasts, _ = LOCOForecaster(heads=10, seed=1).learn_forecast_array(y)
        >>> bool(np.abs(forecasts[500:590, 9] - y[509:599]).mean() < 0.05)
        True
        """
        level = coverage_level(coverage)
        values, radii = self._learn_table(y, X, features, t, predicts=True)
        return values, interval_bounds(values, radii, level)

    def _learn_table(
        self,
        y: Any,
        X: ArrayLike | None,
        features: Sequence[Hashable] | None,
        t: TimesLike,
        *,
        predicts: bool,
    ) -> tuple[Float64, Float64]:
        rows = table(np.zeros((0, 0)) if X is None else X)
        given = rows.numbers
        features = rows.names if features is None else features
        if X is None and hasattr(y, "__next__"):  # it has no length
            y = list(y)
        n = len(y) if isinstance(y, Sized) else len(given)
        cells = one_per_row(elements(y), n)
        values = np.array([read_target(f"y[{i}]", cell) for i, cell in enumerate(cells)])
        if X is None:
            given = np.zeros((n, 0))
        elif len(given) != n:
            raise InputError(
                f"`X` must have {counted(n, 'row')}, one per value of `y`, got {len(given)}"
            )
        width = given.shape[1]
        names = tuple(range(width)) if features is None else column_names(features, width)
        times, _ = self._core.times_of(t, None, n)
        return self._learn(values, given, names, times, predicts=predicts)

    def _learn(
        self,
        values: Float64,
        given: Float64,
        names: tuple[Hashable, ...],
        times: Float64,
        *,
        predicts: bool,
    ) -> tuple[Float64, Float64]:
        """Return forecasts (n, heads) and half widths (n, heads, coverages), if they are wanted."""
        core = self._core
        history = self._history
        n = len(values)
        with core.lock:
            inputs = history.names
            self._check_names(names)
            radii = np.full((n if predicts else 0, self.heads * len(COVERAGES)), np.inf)
            widths = radii.reshape(-1, self.heads, len(COVERAGES))
            if n == 0:
                return np.zeros((0, self.heads)), widths
            n_slots = len(core.slots)
            core.admit((*inputs, *names), range(self.heads))
            if len(core.slots) > n_slots:
                core.warnings.ignore(inputs)  # those of a long season are missing at first
            answers = np.zeros((n, self.heads))
            for part in _parts(values):
                is_missing = np.isnan(values[part][-1])
                rows, changes, levels = history.extend(values[part])
                rows = np.ascontiguousarray(np.concatenate([rows, given[part]], axis=1))
                outputs = learn_table(
                    core,
                    Table(rows, {}),
                    (*inputs, *names),
                    (np.zeros(len(rows), np.int64), changes),
                    predicts or is_missing,
                    times[part],
                    radii[part],
                    n_slots,
                )
                n_slots = len(core.slots)
                answers[part] = outputs + levels[:, None]
                if is_missing:
                    history.fill(answers[part][-1, 0])
            core.warn_of_columns()
        return answers, widths

    def _check_names(self, names: Iterable[Hashable]) -> None:
        """Raise `InputError` if an additional feature has the name of another input."""
        if clash := set(self._history.names).intersection(names):
            raise InputError(f"`x` must not have a feature named {min(clash)!r}")

    # Forecasts

    def forecast(self, horizon: int, xs: FutureRows = None) -> list[float]:
        """Return the forecast of each of the next values. Changes nothing.

        Parameters
        ----------
        horizon
            Number of values, 1 or more.
        xs
            Additional features of each of these, as many as `horizon`. None: they are masked.
            Features that no learned row had are left out, with a warning if there are no others.

        Raises
        ------
        InputError
            The horizon is not a positive integer, or `xs` has another length.
        """
        return list(map(float, self._ahead(horizon, xs)[0]))

    def forecast_interval(
        self,
        horizon: int,
        coverage: float = 0.9,
        xs: FutureRows = None,
    ) -> list[tuple[float, float]]:
        """Return an interval per next value that contains it with probability `coverage`.

        It is computed from the last 500 errors at the same step ahead and adapts to its misses.
        Beyond the heads, the squared half widths of the rounds add up, which is exact for a random
        walk; these intervals do not adapt.

        Parameters
        ----------
        horizon, xs
            As in `forecast`.
        coverage
            0.5, 0.8, 0.9, 0.95 or 0.99.

        Returns
        -------
        list
            Lowest and highest value of each; infinite while there are too few errors.

        Examples
        --------
        >>> import numpy as np
        >>> from loco_stream import LOCOForecaster
        >>> model = LOCOForecaster(heads=5, seed=1)
        >>> model.learn_array(np.sin(np.arange(400) / 5))
        >>> low, high = model.forecast_interval(5)[4]
        >>> bool(low < np.sin(404 / 5) < high)
        True
        """
        level = coverage_level(coverage)
        bounds = interval_bounds(*self._ahead(horizon, xs), level)
        return [(low, high) for low, high in bounds.tolist()]

    def _ahead(self, horizon: int, xs: FutureRows) -> tuple[Float64, Float64]:
        """Return the forecasts (horizon,) and half widths (horizon, coverages)."""
        _check_horizon(horizon, xs)
        with self._core.lock:
            if self.n_seen == 0:
                return np.zeros(horizon), np.full((horizon, len(COVERAGES)), np.inf)
            rounds = list(self._rounds(horizon, xs))
        values, radii = (np.concatenate(parts)[:horizon] for parts in zip(*rounds, strict=True))
        return values, radii

    def _rounds(self, horizon: int, xs: FutureRows) -> Iterator[tuple[Float64, Float64]]:
        """Yield forecasts and half widths, one row per head at a time.

        From the second round on a copy of the model has learned the forecasts before.
        """
        squares = np.zeros(len(COVERAGES))
        model = self
        values = np.zeros(0)
        for start in range(0, horizon, self.heads):
            if start:
                model = deepcopy(self) if start == self.heads else model
                model._pretend(values, xs, start - self.heads)
            values, radii = model._next({} if xs is None else xs[start])
            yield values, np.sqrt(radii**2 + squares)
            squares = squares + radii[-1] ** 2

    def _next(self, x: Mapping[Hashable, object]) -> tuple[Float64, Float64]:
        """Return forecasts and half widths of the values that have a head."""
        core = self._core
        rows = self._placed(self._history.next_row(), [x])
        if x and not core.slots.knows_any(x):
            own = set(self._history.names)
            core.warnings.warn_unknown(x, [name for name in core.slots.index if name not in own])
        radii = np.full((1, self.heads * len(COVERAGES)), np.inf)
        answers = core.run(rows, learns=False, proba=radii)
        return answers[0] + self._history.level, radii.reshape(self.heads, len(COVERAGES))

    def _pretend(self, values: Float64, xs: FutureRows, start: int) -> None:
        """Move on by values that are forecasts; nothing is learned of them."""
        rows, _, _ = self._history.extend(values)
        given = [{} if xs is None else xs[start + i] for i in range(len(values))]
        placed = self._placed(rows, given)
        self._core.observe(placed, row_times(None, None, len(rows), None, remembers=True)[0])

    def _placed(self, rows: Float64, xs: Sequence[Mapping[Hashable, object]]) -> Float64:
        """Return rows of the history and their additional features in slot order."""
        index = self._core.slots.index
        placed = self._core.placed(rows, self._history.names).copy()
        for i, x in enumerate(xs):
            self._check_names(x)
            for name, value in x.items():
                if name in index:
                    placed[i, index[name]] = to_number(value)
        return np.ascontiguousarray(placed)

    # Files

    def export_state(self) -> tuple[Config, Arrays]:
        """Return plain values and copies of all arrays: `from_state` continues bit-identically."""
        with self._core.lock:
            config, arrays = self._core.export(type(self).__name__)
            seasons = None if self.seasons is None else list(self.seasons)
            n_filled = self._history.n_filled
            config["forecast"] = {"heads": self.heads, "seasons": seasons, "n_filled": n_filled}
            return config, arrays | {"history": self._history.values.copy()}

    @classmethod
    def from_state(cls, config: State, arrays: SavedArrays) -> Self:
        """Make the model that `export_state` described.

        Raises
        ------
        CheckpointError
            A part is missing or does not fit the rest.
        """
        with restoring(f"this saved {cls.__name__}"):
            given = config["parameters"]
            own = config["forecast"]
            names = ("memory", "max_delay", "seed", "hidden_sizes")
            seasons = None if own["seasons"] is None else tuple(own["seasons"])
            parameters = {name: given[name] for name in names}
            model = cls(**parameters, heads=own["heads"], seasons=seasons)
            model._history.restore(arrays["history"], own["n_filled"])
        rest = {name: array for name, array in arrays.items() if name != "history"}
        model._core.restore(config, rest)
        return model
