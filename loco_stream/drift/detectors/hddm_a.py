"""HDDM-A (Frias-Blanco et al.: Drift Detection Methods Based on Hoeffding's Bounds, TKDE 2015).

River has this test too. The default detector runs on every row of every stream; compiled, it takes
a group of errors in one call, and its numbers are those of river to the last digit.
"""

from __future__ import annotations

import math

import numpy as np

from loco_stream._compiler.jit import entry, kernel
from loco_stream.drift.detectors._definition import DetectorDefinition

DRIFT_DETECTED = 0  # places of the numbers of a test
WARNING_DETECTED = 1
_N_LOWEST = 2
_LOWEST = 3
_N_HIGHEST = 4
_HIGHEST = 5
_N = 6
_MEAN = 7
_N_NUMBERS = 8


def _update(error, limits, two_sided, numbers):  # type: ignore[no-untyped-def]
    """Take one error.

    Parameters
    ----------
    error : float64
        0 or 1.
    limits : float64 (3,)
        ln(1/c) of the confidence c of a drift, then ln(2/c) of a drift and of a warning.
    two_sided : bool
        Whether the test fires when errors become fewer too.
    numbers : float64 (8,)
        State, changed in place: whether the last error raised an alarm and a warning; number and
        mean of the errors when the mean was lowest, when it was highest, and now.
    """
    if numbers[DRIFT_DETECTED]:
        for i in range(numbers.size):
            numbers[i] = 0.0
    numbers[_N] += 1.0
    numbers[_MEAN] += (1.0 / numbers[_N]) * (error - numbers[_MEAN])
    bound = _bound(numbers[_N], limits[0])
    n = numbers[_N_LOWEST]
    if n == 0.0 or numbers[_LOWEST] + _bound(n, limits[0]) >= numbers[_MEAN] + bound:
        numbers[_N_LOWEST] = numbers[_N]
        numbers[_LOWEST] = numbers[_MEAN]
    n = numbers[_N_HIGHEST]
    if n == 0.0 or numbers[_HIGHEST] - _bound(n, limits[0]) <= numbers[_MEAN] - bound:
        numbers[_N_HIGHEST] = numbers[_N]
        numbers[_HIGHEST] = numbers[_MEAN]
    rise = numbers[_MEAN] - numbers[_LOWEST]
    fires = _is_beyond(rise, numbers[_N_LOWEST], numbers[_N], limits[1])
    warns = not fires and _is_beyond(rise, numbers[_N_LOWEST], numbers[_N], limits[2])
    if two_sided:
        fall = numbers[_HIGHEST] - numbers[_MEAN]
        if _is_beyond(fall, numbers[_N_HIGHEST], numbers[_N], limits[1]):
            fires = True
        elif _is_beyond(fall, numbers[_N_HIGHEST], numbers[_N], limits[2]):
            warns = True
    numbers[DRIFT_DETECTED] = 1.0 if fires else 0.0
    numbers[WARNING_DETECTED] = 1.0 if warns else 0.0


update_hddma = kernel(_update)
_update_alone = entry(_update)  # from Python


@kernel
def _bound(n, limit):  # type: ignore[no-untyped-def]
    """Return Hoeffding's bound on a mean of `n` errors; both are float64."""
    return math.sqrt(1.0 / (2.0 * n) * limit)


@kernel
def _is_beyond(change, n_then, n, limit):  # type: ignore[no-untyped-def]
    """Return whether a mean of `n` errors has changed since it was of `n_then`; all float64."""
    if n_then == n:
        return False
    m = (n - n_then) / n_then * (1.0 / n)
    return change >= math.sqrt(m / 2.0 * limit)


def _number(place: int) -> property:
    """Return a property that reads and writes one of the numbers of a test."""

    def get(test: HDDMA) -> float:
        return float(test.numbers[place])

    def put(test: HDDMA, value: float) -> None:
        test.numbers[place] = value

    return property(get, put)


class HDDMA:
    """The test, with parameters, errors and alarms of river's `drift.binary.HDDMA`.

    Parameters
    ----------
    drift_confidence, warning_confidence
        Probability that an alarm or a warning is false, above 0 and up to 1. Lower it for fewer
        false alarms and later detection.
    two_sided_test
        Whether the test fires when errors become fewer too.
    """

    n_lowest = _number(_N_LOWEST)
    lowest = _number(_LOWEST)
    n_highest = _number(_N_HIGHEST)
    highest = _number(_HIGHEST)
    n = _number(_N)
    mean = _number(_MEAN)

    def __init__(
        self,
        drift_confidence: float = 0.001,
        warning_confidence: float = 0.005,
        two_sided_test: bool = False,
    ) -> None:
        if not (0.0 < drift_confidence <= 1.0 and 0.0 < warning_confidence <= 1.0):
            raise ValueError("confidences must be above 0 and at most 1")
        self.drift_confidence = drift_confidence
        self.warning_confidence = warning_confidence
        self.two_sided_test = bool(two_sided_test)
        self.numbers = np.zeros(_N_NUMBERS)
        self.limits = np.array(
            [
                math.log(1.0 / drift_confidence),
                math.log(2.0 / drift_confidence),
                math.log(2.0 / warning_confidence),
            ]
        )

    @property
    def drift_detected(self) -> bool:
        """Whether the last update raised an alarm."""
        return bool(self.numbers[DRIFT_DETECTED])

    @property
    def warning_detected(self) -> bool:
        """Whether the last update raised a warning."""
        return bool(self.numbers[WARNING_DETECTED])

    _drift_detected = _number(DRIFT_DETECTED)
    _warning_detected = _number(WARNING_DETECTED)

    def update(self, x: float) -> None:
        """Take one error, 0 or 1."""
        _update_alone(float(x), self.limits, self.two_sided_test, self.numbers)


# `python -m benchmarks drift` measures these confidences as the fastest among those with at most
# one false alarm in a million rows.
HDDM_A = DetectorDefinition(
    name="HDDMA",
    description="Hoeffding's bound on the mean error; fastest on abrupt drift without false alarms",
    load=lambda: HDDMA,
    defaults={"drift_confidence": 1e-4, "warning_confidence": 1e-3},
    state=dict.fromkeys(("n_lowest", "lowest", "n_highest", "highest", "n", "mean"), float),
    is_two_sided=lambda test: bool(test.two_sided_test),
)
