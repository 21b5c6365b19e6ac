"""The detector: how unusual each row of a stream without labels is."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from river.base.anomaly_detector import AnomalyDetector

from loco_stream import _checks
from loco_stream._arrays import Bool, Float64
from loco_stream._persistence.content import Arrays, Config, SavedArrays, State, restoring
from loco_stream._text import counted
from loco_stream.errors import InputError
from loco_stream.estimators._detector_core import DetectorCore, RowResults
from loco_stream.estimators._forecasts import ColumnForecasts
from loco_stream.estimators._inputs.row_times import row_time, row_times, seconds_of
from loco_stream.estimators._inputs.slots import require_mapping
from loco_stream.estimators._inputs.tables import Names, TimeLike, TimesLike, column_names, table
from loco_stream.estimators._parameters import GetSetParams, explains_parameters, parameter_names


class DetectorScores(NamedTuple):
    """Scores of rows, each from before the row was learned.

    onset
        (n,) float64: how unusual a row is compared with all rows before it. It is high where
        something new begins, and falls as the detector learns it.
    state
        (n,) float64: the same, compared with the rows more than 300 rows back. It stays high while
        the new state lasts.
    alarm
        (n,) bool: whether the row raised an alarm, which depends on the onset score.

    Examples
    --------
    >>> scores = LOCODetector(seed=1).learn_score_array(np.zeros((200, 1)))
    >>> isinstance(scores, DetectorScores), scores.onset.shape
    (True, (200,))
    """

    onset: Float64
    state: Float64
    alarm: Bool


class LOCODetector(GetSetParams, AnomalyDetector):
    """Detects anomalies in a stream without labels, in one pass and with bounded memory.

    Every column is compared with all of its past: its value, its ratio to the usual scale, and its
    value together with the residual of a forecast by the spiking network. In a smooth column, its
    change from the value before and the size of the residual are compared too. A row gets two
    scores, each the mean of -log10 of the probabilities that these comparisons give. The mean is
    not a calibrated probability: fewer than 1 % of normal rows reach an onset score of 2. The
    *onset* score is high in the first rows of an event, falls as the detector learns it, and
    decides about alarms. The *state* score stays high for up to 300 rows while the stream stays in
    a region that is new.

    A row may hold numbers, texts and missing values, and columns may appear later. The first 100
    values of a column set its scales and score 0. The rarer a text or a missing value is, the
    higher its score. A number that repeats longer than ever before is reported as stuck.

    An anomaly that recurs in the same form raises no second alarm, unless it was declared by
    `confirm`.

    Parameters
    ----------
    every
        Rows per alarm while nothing changes, 10 to 1e9: at 1000, one in 1,000 such rows raises a
        false alarm on average. Every row is scored and learned, whatever the value. Raise it for
        fewer and more certain alarms.
    memory
        Shortest and longest time constant of the forecast's memory, in rows, 1e-3 to 1e6. None:
        0.3 to 50. Raise the longest one for streams with slower rhythms.
    seed
        Seed of all random numbers.

    Attributes
    ----------
    score_, state_
        Scores of the last row learned.
    alarm_
        Whether it raised an alarm.
    blame_
        The column that was most unusual in it; None if none was.
    expected_
        By column, the lowest and the highest value expected in it, at 99 % coverage; only columns
        that hold numbers and are past their first 100.

    Raises
    ------
    ConfigError
        A parameter is out of its range.

    Examples
    --------
    >>> from loco_stream import LOCODetector
    >>> detector = LOCODetector(seed=1)
    >>> for i in range(500):
    ...     detector.learn_one({"pressure": i % 10, "valve": "open"})
    >>> detector.score_one({"pressure": 0, "valve": "open"}) < 1.0
    True
    >>> detector.learn_one({"pressure": 50, "valve": "open"})
    >>> detector.alarm_, detector.blame_
    (True, 'pressure')
    """

    _core: DetectorCore

    @explains_parameters
    def __init__(
        self,
        every: float = 1000,
        memory: Sequence[float] | None = None,
        seed: int | None = None,
    ) -> None:
        self.every = _checks.require("every", every, _checks.number(10.0, 1e9))
        self.memory = _checks.require("memory", memory, _checks.span(1e-3, 1e6))
        self.seed = _checks.require("seed", seed, _checks.integer(0, 2**64 - 1, optional=True))
        self.score_ = 0.0
        self.state_ = 0.0
        self.alarm_ = False
        self.blame_: Hashable = None
        self.expected_: dict[Hashable, tuple[float, float]] = {}
        self._core = DetectorCore(every, ColumnForecasts(memory, seed))

    _parameters = parameter_names(__init__)
    _estimator_type = "outlier_detector"

    @property
    def n_alarms(self) -> int:
        """Number of alarms raised."""
        return self._core.n_alarms

    @property
    def columns(self) -> tuple[Hashable, ...]:
        """Names of the columns, in the order in which they came."""
        return tuple(self._core.columns)

    def score_one(self, x: Mapping[Any, Any], t: TimeLike = None) -> float:
        """Return how unusual a row is compared with all learned ones; changes nothing.

        This is the onset score (see the class): 0 or more, and 0.0 in the first 100 rows.

        Parameters
        ----------
        x
            The row: numbers, texts and missing values by column.
        t
            Its time, a datetime or seconds since 1970, if it has one.

        Raises
        ------
        InputError
            x is not a mapping, or t is not a time.
        """
        require_mapping(x)
        time = _time(t)
        core = self._core
        with core.lock:
            return core.score(core.row(x), time) if core.columns else 0.0

    def learn_one(self, x: Mapping[Any, Any], t: TimeLike = None) -> None:
        """Score a row, then learn it; the result is in the attributes.

        Parameters
        ----------
        x, t
            As in `score_one`.

        Raises
        ------
        InputError
            x is not a mapping, or t is not a time.
        """
        self.learn_results(x, t)

    def learn_results(self, x: Mapping[Any, Any], t: TimeLike = None) -> RowResults:
        """Learn a row as `learn_one` does, and return everything found in it."""
        require_mapping(x)
        time = _time(t)
        core = self._core
        with core.lock:
            core.admit(x)
            results = core.learn(core.row(x, learns=True), np.array([time]))
            self._show(results)
            return results

    def learn_score_array(
        self,
        X: ArrayLike,
        t: TimesLike = None,
        features: Names = None,
    ) -> DetectorScores:
        """Score rows in order, each before it is learned; bit-identical to `learn_one` row by row.

        Parameters
        ----------
        X
            (n, columns) numbers and texts, or a frame.
        t
            (n,) times, datetimes or seconds since 1970.
        features
            Names of the columns; by default those of a frame, or of the columns so far.

        Raises
        ------
        InputError
            X is not two-dimensional or has another width than the detector, or t is not one time
            per row.

        Examples
        --------
        >>> import numpy as np
        >>> from loco_stream import LOCODetector
        >>> X = np.random.default_rng(1).normal(size=(1000, 2))
        >>> X[700, 1] = 9.0
        >>> scores = LOCODetector(seed=1).learn_score_array(X)
        >>> int(scores.onset.argmax()), bool(scores.alarm[700])
        (700, True)
        """
        results = self.learn_results_array(X, t, features)
        scores = results.scores
        return DetectorScores(scores[:, 0].copy(), scores[:, 1].copy(), scores[:, 2] > 0.0)

    def learn_results_array(
        self,
        X: ArrayLike,
        t: TimesLike = None,
        features: Names = None,
    ) -> RowResults:
        """Learn rows as `learn_score_array` does, and return everything found in them."""
        given = table(X)
        features = given.names if features is None else features
        n, width = given.numbers.shape
        times = row_times(t, None, n, None, remembers=True)[0]
        core = self._core
        with core.lock:
            names = self._names(width, features)
            if n == 0:
                none = np.zeros((0, len(core.columns)))
                return RowResults(np.zeros((0, 3)), none, none, none, tuple(core.columns))
            core.admit(names)
            cells = core.rows(given, names)
            results = core.learn(cells, times[:, 0] if len(times) else np.full(n, np.nan))
            self._show(results)
            return results

    def _names(self, width: int, features: Names) -> Sequence[Hashable]:
        if features is not None:
            return column_names(features, width)
        known = tuple(self._core.columns)
        if known and len(known) != width:
            raise InputError(
                f"`X` must have {counted(len(known), 'column')}, as the detector has, got {width}; "
                "pass `features` to name the columns"
            )
        return known or range(width)

    def _show(self, results: RowResults) -> None:
        """Set the attributes by the last row."""
        onset, state, alarm = results.scores[-1].tolist()
        shown = {"score_": onset, "state_": state, "alarm_": alarm > 0.0}
        shown |= {"blame_": results.blame(-1), "expected_": results.expected(-1)}
        self.__dict__.update(shown)  # past `__setattr__`, which guards parameters and takes time

    def confirm(self, t0: Any, t1: Any) -> int:
        """Declare the rows from `t0` to `t1` anomalous: their unusual values stay unusual.

        Parameters
        ----------
        t0, t1
            Times of the first and the last row, as `learn_one` takes them; numbers of rows, from 0,
            where rows came without times. The last 1,000 rows can be declared.

        Returns
        -------
        int
            Number of rows declared.

        Raises
        ------
        InputError
            One is not a time, or none of the last 1,000 rows lies between them.
        """
        return self._declare(t0, t1, anomalous=True)

    def dismiss(self, t0: Any, t1: Any) -> int:
        """Declare the rows from `t0` to `t1` normal: values like theirs raise no more alarms.

        See `confirm` for parameters and errors.
        """
        return self._declare(t0, t1, anomalous=False)

    def _declare(self, t0: Any, t1: Any, *, anomalous: bool) -> int:
        first = seconds_of("t0", t0)
        last = seconds_of("t1", t1)
        with self._core.lock:
            n = self._core.declare(first, last, anomalous=anomalous)
        if n == 0:
            raise InputError(
                f"`t0` and `t1` must enclose some of the last rows ({self._core.kept_span()}), got "
                f"{t0!r} and {t1!r}"
            )
        return n

    # Files

    def export_state(self) -> tuple[Config, Arrays]:
        """Return plain values and copies of all arrays: `from_state` continues bit-identically."""
        with self._core.lock:
            config, arrays = self._core.export()
            shown = {
                "score": self.score_,
                "state": self.state_,
                "alarm": self.alarm_,
                "blame": self.blame_,
                "expected": [[name, *band] for name, band in self.expected_.items()],
            }
            parameters = {name: getattr(self, name) for name in self._parameters}
            head = {"kind": type(self).__name__, "parameters": parameters, "shown": shown}
            return {**head, **config}, arrays

    @classmethod
    def from_state(cls, config: State, arrays: SavedArrays) -> Self:
        """Make the detector that `export_state` described.

        Raises
        ------
        CheckpointError
            A part is missing or does not fit the rest.
        """
        with restoring(f"this saved {cls.__name__}"):
            parameters = dict(config["parameters"])
            detector = cls(**{name: parameters[name] for name in cls._parameters})
            shown = config["shown"]
            detector.score_ = float(shown["score"])
            detector.state_ = float(shown["state"])
            detector.alarm_ = bool(shown["alarm"])
            detector.blame_ = shown["blame"]
            detector.expected_ = {name: (low, high) for name, low, high in shown["expected"]}
        detector._core.restore(config, arrays)
        return detector


def _time(t: Any) -> float:
    """Return the time of a row; NaN if it has none."""
    times = row_time(t, remembers=True)
    return float(times[0, 0]) if len(times) else math.nan
