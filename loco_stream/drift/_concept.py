"""Concept drift: alarms when the errors of a model rise, one per change."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from loco_stream._arrays import Float64, Int64
from loco_stream._checks import between, require, require_type, row_count
from loco_stream._compiler.jit import entry, kernel
from loco_stream._numbers import is_number, plain
from loco_stream.drift.detectors import detector_named
from loco_stream.drift.detectors.hddm_a import (
    DRIFT_DETECTED,
    HDDMA,
    WARNING_DETECTED,
    update_hddma,
)
from loco_stream.errors import CheckpointError, InputError

# Errors kept to estimate where a change began: well above the delay of any alarm worth acting on.
_KEPT_ERRORS = 512
# Rate of the running error that decides on recovery; its standard error is at most .05.
_RUNNING_RATE = 1.0 / 50.0
# Log-likelihood ratio of an alarm by consecutive errors: less than one false alarm in a million
# errors, whatever their rate.
_RUN_THRESHOLD = 14.0

_LOG_2 = math.log(2.0)
_STATES = ("stable", "warning", "drift")
_STABLE = 0
_WARNING = 1
_DRIFT = 2

_RUNNING = 0  # places of the numbers of a gate, in the order in which a checkpoint holds them
_N_REFERENCE = 1
_REFERENCE = 2
_WAITED = 3
_PEAK = 4
_ONSET = 5
_RUN_RATIO = 6


def _take_error(error, fires, warns, two_sided, patience, gate):  # type: ignore[no-untyped-def]
    """Return the state after one error: 0 stable, 1 warning, 2 drift.

    Parameters
    ----------
    error : float64
        0 or 1.
    fires, warns : bool
        Whether the test raises an alarm, or a warning, after the error.
    two_sided : bool
        Whether the test also fires when errors become fewer.
    patience : int64
        Rows after which an alarm is over even if the error stays high.
    gate : float64 (7,)
        Changed in place: running mean of about the last 50 errors, NaN before the first; number
        and mean of the errors since the last alarm was over; rows since the alarm, -1 if the next
        one may come; highest running mean since; onset (left as it is); log-likelihood ratio of
        the latest run of errors.
    """
    running = gate[_RUNNING]
    running = error if running != running else running + _RUNNING_RATE * (error - running)
    gate[_RUNNING] = running
    if gate[_WAITED] >= 0.0:
        _follow_recovery(patience, gate)
        return _STABLE
    is_run = _test_run(error, gate)
    gate[_N_REFERENCE] += 1.0
    gate[_REFERENCE] += (error - gate[_REFERENCE]) / gate[_N_REFERENCE]
    is_worse = not two_sided or running > gate[_REFERENCE]
    if fires and not is_worse:  # the error fell: a new reference
        _start_reference(gate)
        gate[_RUN_RATIO] = 0.0
        return _STABLE
    if fires or is_run:
        gate[_RUN_RATIO] = 0.0
        gate[_WAITED] = 0.0
        gate[_PEAK] = running
        return _DRIFT
    is_warning = (is_worse and warns) or gate[_RUN_RATIO] > _RUN_THRESHOLD / 2.0
    return _WARNING if is_warning else _STABLE


_pass_gate = kernel(_take_error)
_follow_test = entry(_take_error)  # from Python


@kernel
def _test_run(error, gate):  # type: ignore[no-untyped-def]
    """Return whether the latest errors are too many in a row; arguments as for `_take_error`."""
    # Laplace's rule: the rate is never 0 or 1
    usual = (gate[_REFERENCE] * gate[_N_REFERENCE] + 1.0) / (gate[_N_REFERENCE] + 2.0)
    ratio = (error - 1.0) * _LOG_2
    if error != 0.0:
        ratio += error * math.log((1.0 + usual) / 2.0 / usual)
    gate[_RUN_RATIO] = max(0.0, gate[_RUN_RATIO] + ratio)
    return gate[_RUN_RATIO] > _RUN_THRESHOLD


@kernel
def _follow_recovery(patience, gate):  # type: ignore[no-untyped-def]
    """Allow the next alarm once the error fell half way back, or patience is over.

    Arguments as for `_take_error`.
    """
    gate[_WAITED] += 1.0
    gate[_PEAK] = max(gate[_PEAK], gate[_RUNNING])
    is_back = gate[_RUNNING] <= (gate[_REFERENCE] + gate[_PEAK]) / 2.0
    if is_back or gate[_WAITED] >= patience:
        gate[_WAITED] = -1.0
        _start_reference(gate)


@kernel
def _start_reference(gate):  # type: ignore[no-untyped-def]
    """Forget the errors of the reference; `gate` as for `_take_error`."""
    gate[_N_REFERENCE] = 0.0
    gate[_REFERENCE] = 0.0


@entry
def _follow_hddma(  # type: ignore[no-untyped-def]
    errors, limits, two_sided, numbers, patience, gate, states
):
    """Take errors up to the first warning or alarm; return how many, that one included.

    Parameters
    ----------
    errors : float64 (n,)
        0 or 1 each.
    limits, two_sided, numbers
        As for `update_hddma`.
    patience, gate
        As for `_take_error`.
    states : int64 (n,)
        Written: the state after each error.
    """
    for i in range(errors.size):
        update_hddma(errors[i], limits, two_sided, numbers)
        fires = numbers[DRIFT_DETECTED] != 0.0
        warns = numbers[WARNING_DETECTED] != 0.0
        states[i] = _pass_gate(errors[i], fires, warns, two_sided, patience, gate)
        if states[i] != _STABLE:
            return i + 1
    return errors.size


class ConceptDetector:
    """A test on 0/1 errors that reports only rises, and the next one only after recovery.

    A learner that adapts within ten rows ends a change before a test on means can fire. Runs of
    consecutive errors are therefore tested as well: a cumulative sum (Page, Biometrika 1954) of the
    log-likelihood ratio between an error rate half way from the reference to 1 and the reference
    itself, which is the mean error since the last alarm. Four consecutive errors raise an alarm
    after a thousand rows with five errors; at three errors in ten, nineteen are needed.

    A two-sided test fires again when the learner improves, and most tests fire again while it still
    relearns; neither is a second change. An alarm counts only if the running error is above the
    reference. The next one can follow once the running error has fallen half way back, or after
    `patience` rows, when the new error becomes the reference.

    Parameters
    ----------
    detector
        Name of the test, one of `loco_stream.drift.DETECTORS`. On abrupt changes, HDDMA was the
        fastest test without false alarms.
    options
        Keyword arguments of the test.
    patience
        Rows after which an alarm is over even if the error stays high. 500 is ten times the delay
        of the default test for a rise of the error from .1 to .5.

    Raises
    ------
    ConfigError
        A name or a value is not allowed.

    Examples
    --------
    >>> from loco_stream.drift import ConceptDetector
    >>> detector = ConceptDetector()
    >>> states = [detector.update(error) for error in [0] * 500 + [1] * 20]
    >>> states.index("drift"), states.count("drift"), detector.onset
    (502, 1, 3)
    """

    def __init__(
        self, detector: str = "HDDMA", options: Mapping[str, Any] | None = None, patience: int = 500
    ) -> None:
        patience = require("patience", patience, row_count)
        self.name = detector
        self.patience = patience
        self._definition = detector_named(detector)
        self._options = dict(require_type("options", options, "Mapping | None") or {})
        self._test = self._definition.make(self._options)
        self._two_sided = bool(self._definition.is_two_sided(self._test))
        self._recent: deque[float] = deque(maxlen=_KEPT_ERRORS)
        self._gate = np.array([math.nan, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0])

    @property
    def onset(self) -> int:
        """After "drift": number of rows from the estimated start of the change to the alarm."""
        return int(self._gate[_ONSET])

    def update(self, error: float) -> str:
        """Take one error (0 or 1) and return "stable", "warning" or "drift".

        Raises
        ------
        InputError
            `error` is neither 0 nor 1.
        """
        if error not in (0, 1):
            raise InputError(f"`error` must be 0 or 1, got {error!r}")
        test = self._test
        if isinstance(test, HDDMA):
            states = np.zeros(1, np.int64)
            self._follow(test, self._gate, np.array([float(error)]), states)
            state = int(states[0])
        else:
            test.update(error)
            fires = bool(test.drift_detected)
            warns = bool(getattr(test, "warning_detected", False))
            state = _follow_test(
                float(error), fires, warns, self._two_sided, self.patience, self._gate
            )
        self._recent.append(error)
        if state == _DRIFT:
            self._gate[_ONSET] = _rows_since_rise(np.array(self._recent))
            if not self._test.drift_detected:  # a run of errors: as after an alarm of the test
                self._test = self._definition.make(self._options)
        return _STATES[state]

    def update_if_stable(self, errors: Sequence[int]) -> bool:
        """Take errors in order and return True, if the state is "stable" after each of them.

        Otherwise, and with a test that cannot take many errors at once, nothing is changed.

        Raises
        ------
        InputError
            One of `errors` is neither 0 nor 1.
        """
        if not {0, 1}.issuperset(errors):
            raise InputError(f"`errors` must be 0 or 1 each, got {errors!r}")
        test = self._test
        if not isinstance(test, HDDMA):
            return False
        numbers = test.numbers.copy()
        gate = self._gate.copy()
        states = np.zeros(len(errors), np.int64)
        n = self._follow(test, gate, np.array(errors, np.float64), states)
        if n < len(errors) or states.any():
            test.numbers[:] = numbers
            return False
        self._gate = gate
        self._recent.extend(errors)
        return True

    def _follow(
        self,
        test: HDDMA,
        gate: Float64,
        errors: Float64,
        states: Int64,
    ) -> int:
        """Take errors up to the first warning or alarm; return how many."""
        n: int = _follow_hddma(
            errors, test.limits, self._two_sided, test.numbers, self.patience, gate, states
        )
        return n

    def restart(self) -> None:
        """Forget everything: a new task begins."""
        fresh = ConceptDetector(self.name, self._options, self.patience)
        self.__dict__.update(fresh.__dict__)

    def export_state(self) -> dict[str, Float64]:
        """Return the state as arrays.

        Raises
        ------
        CheckpointError
            Plain numbers cannot hold the state of this detector.
        """
        return {
            "detector": self._definition.export_state(self._test),
            "gate": self._gate.copy(),
            "recent": np.array(self._recent),
        }

    def restore_state(self, arrays: Mapping[str, Float64]) -> None:
        """Continue from what `export_state` returned.

        Raises
        ------
        CheckpointError
            The arrays are incomplete or belong to another detector.
        """
        try:
            gate = np.array(arrays["gate"], np.float64)
            recent = arrays["recent"].tolist()
            numbers = arrays["detector"]
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"the saved state of the drift detector cannot be restored: {error!r}"
            ) from error
        if gate.shape != self._gate.shape:
            raise CheckpointError("the saved state of the drift detector has another gate")
        self._definition.restore_state(self._test, numbers)
        self._gate = gate
        self._recent = deque(recent, maxlen=_KEPT_ERRORS)


def _rows_since_rise(errors: Float64) -> int:
    """Return the length of the tail whose mean stands out most (maximal two-sample statistic)."""
    n = len(errors)
    if n < 2:
        return n
    after = np.arange(1, n)
    tail = np.cumsum(errors[::-1])[:-1]
    rise = tail / after - (errors.sum() - tail) / (n - after)
    return int(after[np.argmax(rise * np.sqrt(after * (n - after)))])


class ErrorThreshold:
    """Turns absolute errors of a regression into 0/1 errors for a test on error rates.

    An error counts as 1 if it exceeds the running .8-quantile of the errors before it: about one in
    five while nothing changes, whatever the unit of y. Once large errors outnumber small ones by 1
    / `rate`, the estimate starts again: errors of an idle machine do not fix the scale for good.

    Parameters
    ----------
    rate
        Step of the quantile's estimate, relative to its own size, above 0 and below 1. Keep it
        slow compared with the detector's delay, or the quantile follows a rise of the errors
        before it is noticed.

    Attributes
    ----------
    n
        Number of errors up to 1 / `rate`; until then steps are 1 / `n`. From then on 1 / `rate`
        plus the number by which large errors exceed small ones.
    quantile
        The estimate; 0 before the first error.

    Raises
    ------
    ConfigError
        `rate` is out of its range.

    References
    ----------
    Robbins, Monro: A Stochastic Approximation Method. 1951.

    Examples
    --------
    >>> from loco_stream.drift import ErrorThreshold
    >>> threshold = ErrorThreshold()
    >>> share = sum(threshold.update(i % 10) for i in range(5000)) / 5000
    >>> round(share, 1), threshold.update(100.0)
    (0.2, 1)
    """

    def __init__(self, rate: float = 0.005) -> None:
        self.rate = require("rate", rate, between(0.0, 1.0))
        self.n = 0
        self.quantile = 0.0

    def update(self, absolute_error: float) -> int:
        """Take one absolute error, at least 0; return 1 if it is a large one, else 0.

        Raises
        ------
        InputError
            `absolute_error` is negative, infinite or not a number.
        """
        absolute_error = plain(absolute_error)
        if not is_number(absolute_error) or not 0.0 <= absolute_error < math.inf:
            raise InputError(f"`absolute_error` must be a number from 0, got {absolute_error!r}")
        is_large = int(absolute_error > self.quantile)
        settled = math.ceil(1.0 / self.rate)
        is_counted = is_large or self.n < settled
        self.n = self.n + 1 if is_counted else max(settled, self.n - 1)
        if self.n >= 2 * settled:
            self.n = 1
            self.quantile = 0.0
        if self.quantile <= 0.0:
            self.quantile = absolute_error
        else:
            self.quantile *= math.exp(max(self.rate, 1.0 / self.n) * (is_large - 0.2))
        return is_large
