"""Alarms from the model's errors.

Only when they rise, and only once until the model has recovered.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.drift.registry import export_numbers, is_two_sided, make_detector, restore_numbers
from loco_stream.errors import CheckpointError, ConfigError

__all__ = ["ConceptDetector", "ErrorRate"]

# errors kept to tell where a change began: well above the delay of any alarm worth acting on
_MEMORY = 512
_FAST = (
    1.0 / 50.0
)  # rate of the running error that says "recovered"; its standard error is at most .05
# log-likelihood ratio of an alarm: less than one false in a million errors, whatever their rate
_BURST = 14.0


class ConceptDetector:
    """One of river's detectors on the 0/1 error, gated to "worse" and re-armed after recovery.

    A learner that adapts within ten rows ends a change before a test on means hears it. So runs of
    errors are watched as well: a cumulative sum (Page, Biometrika 1954) of the log-likelihood ratio
    between an error rate half way from the reference to 1 and the reference itself, which is the
    mean error since the last alarm. Four errors in a row are an alarm after a thousand rows with
    five of them; where three in ten are wrong it takes nineteen.

    A two-sided test fires again when the learner improves, and most tests fire again while it still
    relearns; neither is a second change. So an alarm counts if the running error is above its mean
    since the last alarm, and the next one can come once the running error has fallen half way back,
    or after `patience` samples, when the new error is taken as the new normal.

    Parameters
    ----------
    detector
        Name of river's class; see `loco_stream.drift.DETECTORS`. HDDMA: on abrupt changes it was
        the fastest of those without false alarms (Hoeffding's bound; Frias-Blanco et al., TKDE
        2015).
    options
        Keyword arguments of that class.
    patience
        Samples after which an alarm is over even if the error stays high. 500 is ten times the
        delay of the default detector for a rise of the error from .1 to .5.

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
        if patience < 1:
            raise ConfigError(f"patience must be at least 1 sample, got {patience}.")
        self.name = detector
        self.patience = patience
        self._options = dict(options or {})
        self._detector = make_detector(detector, options)
        self._two_sided = is_two_sided(self._detector)
        self._recent: deque[float] = deque(maxlen=_MEMORY)
        self._running = math.nan  # running mean of the last 50 errors or so
        self._n = 0  # errors in the reference
        self._reference = 0.0  # mean error since the last alarm was over
        self._waited = -1  # samples since the alarm; -1 while armed
        self._peak = 0.0
        self._burst = 0.0  # log-likelihood ratio of the latest run of errors
        self.onset = 0

    @property
    def armed(self) -> bool:
        """Whether the next alarm would be let through."""
        return self._waited < 0

    def update(self, error: float) -> str:
        """Take one error (0 or 1) and return "stable", "warning" or "drift".

        With "drift", the attribute `onset` tells how many samples ago, this one included, the
        change began.
        """
        detector = self._detector
        detector.update(error)
        self._recent.append(error)
        running = self._running
        self._running = running = (
            error if running != running else running + _FAST * (error - running)
        )  # NaN at first
        if self._waited >= 0:
            self._recover()
            return "stable"
        bursts = self._bursts(error)
        self._n += 1
        self._reference += (error - self._reference) / self._n
        if bursts and not detector.drift_detected:
            self._detector = make_detector(self.name, self._options)  # as it would do itself
            return self._alarm(worse=True)
        worse = not self._two_sided or running > self._reference
        if detector.drift_detected:
            return self._alarm(worse)
        warns = worse and getattr(detector, "warning_detected", False)
        return "warning" if warns or self._burst > _BURST / 2.0 else "stable"

    def _bursts(self, error: float) -> bool:
        """Whether the latest errors are too many in a row for the reference, which they are no part of yet."""
        usual = (self._reference * self._n + 1.0) / (self._n + 2.0)  # Laplace's rule: never 0 or 1
        raised = (1.0 + usual) / 2.0
        ratio = error * math.log(raised / usual) + (error - 1.0) * math.log(2.0)
        self._burst = max(0.0, self._burst + ratio)
        return self._burst > _BURST

    def _alarm(self, worse: bool) -> str:
        """Let an alarm through, or take a change to the better as the new reference."""
        self._burst = 0.0
        if not worse:
            self._n = 0
            self._reference = 0.0
            return "stable"
        self.onset = _samples_since_rise(np.array(self._recent))
        self._waited = 0
        self._peak = self._running
        return "drift"

    def _recover(self) -> None:
        """Arm again once the error fell half way back to the reference, or patience is over."""
        self._waited += 1
        self._peak = max(self._peak, self._running)
        if self._running <= (self._reference + self._peak) / 2.0 or self._waited >= self.patience:
            self._waited = -1
            self._n = 0
            self._reference = 0.0

    def restart(self) -> None:
        """Forget the past: the user says that a new task begins."""
        fresh = ConceptDetector(self.name, self._options, self.patience)
        self.__dict__.update(fresh.__dict__)

    def export_state(self) -> dict[str, NDArray[np.float64]]:
        """Return everything it remembers as arrays of numbers.

        Raises
        ------
        CheckpointError
            Plain numbers cannot carry this kind of detector.
        """
        own = [
            self._running,
            self._n,
            self._reference,
            self._waited,
            self._peak,
            self.onset,
            self._burst,
        ]
        return {
            "detector": export_numbers(self._detector),
            "gate": np.array(own),
            "recent": np.array(self._recent),
        }

    def restore_state(self, arrays: Mapping[str, NDArray[np.float64]]) -> None:
        """Continue from what `export_state` returned.

        Raises
        ------
        CheckpointError
            The arrays are not complete or belong to another kind of detector.
        """
        try:
            running, n, reference, waited, peak, onset, burst = arrays["gate"].tolist()
            recent = arrays["recent"].tolist()
            numbers = arrays["detector"]
        except (KeyError, ValueError) as error:
            raise CheckpointError(
                f"The saved state of the detector is not complete: {error!r}."
            ) from error
        restore_numbers(self._detector, numbers)
        self._running = running
        self._n = int(n)
        self._reference = reference
        self._waited = int(waited)
        self._peak = peak
        self.onset = int(onset)
        self._burst = burst
        self._recent = deque(recent, maxlen=_MEMORY)


def _samples_since_rise(errors: NDArray[np.float64]) -> int:
    """Return the length of the tail whose mean stands out most above the rest (maximum of the two-sample statistic)."""
    n = len(errors)
    if n < 2:
        return n
    after = np.arange(1, n)
    tail = np.cumsum(errors[::-1])[:-1]
    rise = tail / after - (errors.sum() - tail) / (n - after)
    return int(after[np.argmax(rise * np.sqrt(after * (n - after)))])


class ErrorRate:
    """Turn absolute errors of a regression into 0/1 errors that a binary detector understands.

    An error counts as 1 if it exceeds the running .8-quantile of the errors before it, so that
    about one in five does while nothing changes, whatever the unit of y.

    Parameters
    ----------
    rate
        Step of the quantile's estimate, relative to its own size. It must be slow against the
        detector's delay, or a rise of the errors is followed before it is noticed.

    References
    ----------
    Robbins, Monro: A Stochastic Approximation Method. 1951.

    Examples
    --------
    >>> from loco_stream.drift import ErrorRate
    >>> rate = ErrorRate()
    >>> share = sum(rate.update(i % 10) for i in range(5000)) / 5000
    >>> round(share, 1), rate.update(100.0)
    (0.2, 1)
    """

    def __init__(self, rate: float = 0.005) -> None:
        self.rate = rate
        self.n = 0
        self.quantile = 0.0

    def update(self, absolute_error: float) -> int:
        """Take one absolute error and return whether it is a large one."""
        self.n += 1
        large = int(absolute_error > self.quantile)
        if self.quantile <= 0.0:
            self.quantile = absolute_error
        else:
            self.quantile *= math.exp(max(self.rate, 1.0 / self.n) * (large - 0.2))
        return large
