"""Concept drift: alarms when the errors of a model rise, one per change."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream.drift.detectors import detector_named
from loco_stream.drift.detectors.definition import Options
from loco_stream.errors import CheckpointError, ConfigError

__all__ = ["ConceptDetector", "ErrorThreshold"]

# Errors kept to estimate where a change began: well above the delay of any alarm worth acting on.
_KEPT_ERRORS = 512
# Rate of the running error that decides on recovery; its standard error is at most .05.
_RUNNING_RATE = 1.0 / 50.0
# Log-likelihood ratio of an alarm by consecutive errors: less than one false alarm in a million
# errors, whatever their rate.
_RUN_THRESHOLD = 14.0


class _GateState(NamedTuple):
    """Numbers of a `ConceptDetector` in a checkpoint, in the order in which they are saved."""

    running: float
    n_reference: float
    reference: float
    waited: float
    peak: float
    onset: float
    run_ratio: float


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
        Name of the test, one of `loco_stream.drift.DETECTORS`. On abrupt changes HDDMA was the
        fastest of those without false alarms.
    options
        Keyword arguments of the test.
    patience
        Rows after which an alarm is over even if the error stays high. 500 is ten times the delay
        of the default test for a rise of the error from .1 to .5.

    Attributes
    ----------
    onset
        After "drift": rows since the change began, the last one included.

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
        self, detector: str = "HDDMA", options: Options | None = None, patience: int = 500
    ) -> None:
        if patience < 1:
            raise ConfigError(f"`patience` must be at least 1 row, got {patience}")
        self.name = detector
        self.patience = patience
        self._definition = detector_named(detector)
        self._options = dict(options or {})
        self._test = self._definition.make(self._options)
        self._two_sided = self._definition.is_two_sided(self._test)
        self._recent: deque[float] = deque(maxlen=_KEPT_ERRORS)
        self._running = math.nan  # running mean of about the last 50 errors
        self._n_reference = 0  # errors in the reference
        self._reference = 0.0  # mean error since the last alarm was over
        self._waited = -1  # rows since the alarm; -1 if the next alarm may come
        self._peak = 0.0
        self._run_ratio = 0.0  # log-likelihood ratio of the latest run of errors
        self.onset = 0

    def update(self, error: float) -> str:
        """Take one error (0 or 1) and return "stable", "warning" or "drift"."""
        test = self._test
        test.update(error)
        self._recent.append(error)
        running = self._running
        # NaN before the first error
        running = error if running != running else running + _RUNNING_RATE * (error - running)
        self._running = running
        if self._waited >= 0:
            self._follow_recovery()
            return "stable"
        is_run = self._test_run(error)
        self._n_reference += 1
        self._reference += (error - self._reference) / self._n_reference
        if is_run and not test.drift_detected:
            self._test = self._definition.make(self._options)  # as after an alarm of its own
            return self._alarm()
        is_worse = not self._two_sided or running > self._reference
        if test.drift_detected:
            return self._alarm() if is_worse else self._take_as_reference()
        return self._warning_state(is_worse)

    def _warning_state(self, is_worse: bool) -> str:
        warns = is_worse and getattr(self._test, "warning_detected", False)
        return "warning" if warns or self._run_ratio > _RUN_THRESHOLD / 2.0 else "stable"

    def _test_run(self, error: float) -> bool:
        """Return whether the latest errors are too many in a row for the reference before them."""
        # Laplace's rule: the rate is never 0 or 1
        usual = (self._reference * self._n_reference + 1.0) / (self._n_reference + 2.0)
        raised = (1.0 + usual) / 2.0
        ratio = error * math.log(raised / usual) + (error - 1.0) * math.log(2.0)
        self._run_ratio = max(0.0, self._run_ratio + ratio)
        return self._run_ratio > _RUN_THRESHOLD

    def _alarm(self) -> str:
        self._run_ratio = 0.0
        self.onset = _rows_since_rise(np.array(self._recent))
        self._waited = 0
        self._peak = self._running
        return "drift"

    def _take_as_reference(self) -> str:
        """Start a new reference: the error fell."""
        self._run_ratio = 0.0
        self._n_reference = 0
        self._reference = 0.0
        return "stable"

    def _follow_recovery(self) -> None:
        """Allow the next alarm once the error fell half way back, or patience is over."""
        self._waited += 1
        self._peak = max(self._peak, self._running)
        if self._running <= (self._reference + self._peak) / 2.0 or self._waited >= self.patience:
            self._waited = -1
            self._n_reference = 0
            self._reference = 0.0

    def restart(self) -> None:
        """Forget everything: a new task begins."""
        fresh = ConceptDetector(self.name, self._options, self.patience)
        self.__dict__.update(fresh.__dict__)

    def export_state(self) -> dict[str, NDArray[np.float64]]:
        """Return the state as arrays.

        Raises
        ------
        CheckpointError
            Plain numbers cannot hold the state of this detector.
        """
        gate = _GateState(
            self._running,
            self._n_reference,
            self._reference,
            self._waited,
            self._peak,
            self.onset,
            self._run_ratio,
        )
        return {
            "detector": self._definition.export_state(self._test),
            "gate": np.array(gate),
            "recent": np.array(self._recent),
        }

    def restore_state(self, arrays: Mapping[str, NDArray[np.float64]]) -> None:
        """Continue from what `export_state` returned.

        Raises
        ------
        CheckpointError
            The arrays are incomplete or belong to another detector.
        """
        try:
            gate = _GateState(*arrays["gate"].tolist())
            recent = arrays["recent"].tolist()
            numbers = arrays["detector"]
        except (KeyError, TypeError) as error:
            raise CheckpointError(
                f"the saved state of the drift detector is not complete: {error!r}"
            ) from error
        self._definition.restore_state(self._test, numbers)
        self._running = gate.running
        self._n_reference = int(gate.n_reference)
        self._reference = gate.reference
        self._waited = int(gate.waited)
        self._peak = gate.peak
        self.onset = int(gate.onset)
        self._run_ratio = gate.run_ratio
        self._recent = deque(recent, maxlen=_KEPT_ERRORS)


def _rows_since_rise(errors: NDArray[np.float64]) -> int:
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
    five while nothing changes, whatever the unit of y.

    Parameters
    ----------
    rate
        Step of the quantile's estimate, relative to its own size. Keep it slow compared with the
        detector's delay, or the quantile follows a rise of the errors before it is noticed.

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
        self.rate = rate
        self.n = 0
        self.quantile = 0.0

    def update(self, absolute_error: float) -> int:
        """Take one absolute error; return 1 if it is a large one, else 0."""
        self.n += 1
        is_large = int(absolute_error > self.quantile)
        if self.quantile <= 0.0:
            self.quantile = absolute_error
        else:
            self.quantile *= math.exp(max(self.rate, 1.0 / self.n) * (is_large - 0.2))
        return is_large
