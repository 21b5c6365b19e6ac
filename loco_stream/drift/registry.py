"""River's drift detectors by name, and the numbers that make up their state."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from functools import cache, reduce
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loco_stream.errors import CheckpointError, ConfigError

__all__ = [
    "DETECTORS",
    "EXPORTABLE",
    "export_numbers",
    "is_two_sided",
    "make_detector",
    "make_river",
    "restore_numbers",
]

DETECTORS: dict[str, str] = {
    "HDDMA": "river.drift.binary",
    "HDDMW": "river.drift.binary",
    "DDM": "river.drift.binary",
    "EDDM": "river.drift.binary",
    "FHDDM": "river.drift.binary",
    "ADWIN": "river.drift",
    "KSWIN": "river.drift",
    "PageHinkley": "river.drift",
}

# The confidence of HDDMA is the one that `python -m benchmarks drift` measures as fastest among those
# with at most one false alarm in a million samples. KSWIN draws samples: its seed must be fixed for
# a replay to be exact.
_OPTIONS: dict[str, dict[str, Any]] = {
    "HDDMA": {"drift_confidence": 1e-4, "warning_confidence": 1e-3},
    "KSWIN": {"alpha": 1e-4, "window_size": 200, "stat_size": 50, "seed": 0},
    "PageHinkley": {"mode": "up"},
}

# Everything that `update` reads and writes. A detector missing here keeps windows or trees that
# plain numbers cannot carry.
EXPORTABLE: dict[str, tuple[str, ...]] = {
    "HDDMA": ("_x_min.n", "_x_min._mean", "_x_max.n", "_x_max._mean", "_z.n", "_z._mean"),
    "DDM": ("_p.n", "_p._mean", "_p_min", "_s_min", "_ps_min"),
    "EDDM": (
        "_error_distances.mean.n",
        "_error_distances.mean._mean",
        "_error_distances._S",
        "_n",
        "_last_error",
        "_n_errors",
        "_p2s_prime_max",
    ),
    "PageHinkley": (
        "_x_mean.n",
        "_x_mean._mean",
        "_sum_increase",
        "_sum_decrease",
        "_min_increase",
        "_max_decrease",
    ),
}
_INTEGERS = ("_n", "_last_error", "_n_errors")


def make_detector(name: str, options: Mapping[str, Any] | None = None) -> Any:
    """Return a detector of river, with our defaults where `options` is silent.

    Parameters
    ----------
    name
        A key of `DETECTORS`.
    options
        Keyword arguments of river's class, such as `drift_confidence` of HDDMA.

    Raises
    ------
    ConfigError
        The name or an option does not exist, or river refuses a value.

    Examples
    --------
    >>> from loco_stream.drift.registry import make_detector
    >>> make_detector("HDDMA").drift_confidence
    0.0001
    """
    detector = make_river(name, {**_OPTIONS.get(name, {}), **(options or {})})
    if name == "HDDMA":
        detector.__class__ = _hddma_with_light_copies()
        detector._reset()
    return detector


def make_river(name: str, options: Mapping[str, Any]) -> Any:
    """Return a detector of river as river would make it; errors as for `make_detector`."""
    if name not in DETECTORS:
        raise ConfigError(f"detector must be one of {', '.join(DETECTORS)}, got {name!r}.")
    kind = getattr(import_module(DETECTORS[name]), name)
    known = list(inspect.signature(kind).parameters)
    for option in options:
        if option not in known:
            raise ConfigError(
                f"detector_options of {name} may be {', '.join(known)}, got {option!r}."
            )
    try:
        return kind(**options)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"detector_options of {name} are refused: {error}.") from error


@cache
def _hddma_with_light_copies() -> type[Any]:
    """Return river's HDDMA whose running mean copies itself directly.

    While errors become fewer the test copies that mean at every sample; river's general `clone`,
    which reads signatures, then takes most of its time.
    """
    from river import stats
    from river.drift.binary import HDDMA

    class LightMean(stats.Mean):
        def clone(self, new_params: Any = None, include_attributes: bool = False) -> Any:
            copy = stats.Mean()
            if include_attributes:
                copy.n = self.n
                copy._mean = self._mean
            return copy

    class Light(HDDMA):
        def _reset(self) -> None:
            super()._reset()
            self._z = LightMean()

    Light.__name__ = "HDDMA"
    return Light


def is_two_sided(detector: Any) -> bool:
    """Return whether `detector` also fires when the errors become fewer."""
    if hasattr(detector, "two_sided_test"):
        return bool(detector.two_sided_test)
    return type(detector).__name__ in ("ADWIN", "KSWIN") or getattr(detector, "mode", "up") != "up"


def export_numbers(detector: Any) -> NDArray[np.float64]:
    """Return the state of `detector` as float64 numbers, NaN where it holds None.

    Raises
    ------
    CheckpointError
        Plain numbers cannot carry the state of this kind of detector.
    """
    name = type(detector).__name__
    if name not in EXPORTABLE:
        raise CheckpointError(
            f"A checkpoint cannot carry the detector {name}; use one of {', '.join(EXPORTABLE)} with checkpoints."
        )
    flags = [float(detector.drift_detected), float(getattr(detector, "warning_detected", False))]
    values = [reduce(getattr, path.split("."), detector) for path in EXPORTABLE[name]]
    return np.array(flags + [math.nan if value is None else float(value) for value in values])


def restore_numbers(detector: Any, numbers: NDArray[np.float64]) -> None:
    """Give a fresh `detector` the state that `export_numbers` returned.

    Raises
    ------
    CheckpointError
        `numbers` do not belong to this kind of detector.
    """
    paths = EXPORTABLE.get(type(detector).__name__, ())
    if not paths or len(numbers) != len(paths) + 2:
        raise CheckpointError(
            f"The {len(numbers)} saved numbers are not the state of a {type(detector).__name__}."
        )
    detector._drift_detected = bool(numbers[0])
    if hasattr(detector, "_warning_detected"):
        detector._warning_detected = bool(numbers[1])
    for path, number in zip(paths, numbers[2:].tolist(), strict=True):
        *owners, attribute = path.split(".")
        value = None if math.isnan(number) else int(number) if attribute in _INTEGERS else number
        setattr(reduce(getattr, owners, detector), attribute, value)
