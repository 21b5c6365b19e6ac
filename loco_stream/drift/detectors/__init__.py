"""Tests for a rise of the error rate, each one definition.

A new detector is a module with a `DetectorDefinition` and one entry in `DETECTORS`; from outside
the package, `register` adds one. `loco_stream.testing.check_detector` checks a definition.
"""

from __future__ import annotations

from loco_stream.drift.detectors._definition import DetectorDefinition, ErrorTest
from loco_stream.drift.detectors.adwin import ADWIN
from loco_stream.drift.detectors.ddm import DDM
from loco_stream.drift.detectors.eddm import EDDM
from loco_stream.drift.detectors.fhddm import FHDDM
from loco_stream.drift.detectors.hddm_a import HDDM_A
from loco_stream.drift.detectors.hddm_w import HDDM_W
from loco_stream.drift.detectors.kswin import KSWIN
from loco_stream.drift.detectors.page_hinkley import PAGE_HINKLEY
from loco_stream.errors import ConfigError

__all__ = [
    "DETECTORS",
    "DetectorDefinition",
    "ErrorTest",
    "describe_detectors",
    "detector_named",
    "register",
]

DETECTORS: dict[str, DetectorDefinition] = {
    definition.name: definition
    for definition in (HDDM_A, HDDM_W, DDM, EDDM, FHDDM, ADWIN, KSWIN, PAGE_HINKLEY)
}
"""Every detector by name; the first one is the default."""


def describe_detectors() -> dict[str, str]:
    """Return one sentence about each detector, by name.

    Examples
    --------
    >>> from loco_stream.drift import describe_detectors
    >>> list(describe_detectors())[:3]
    ['HDDMA', 'HDDMW', 'DDM']
    """
    return {name: definition.description for name, definition in DETECTORS.items()}


def detector_named(name: str) -> DetectorDefinition:
    """Return the definition of a detector.

    Raises
    ------
    ConfigError
        There is no detector of that name.

    Examples
    --------
    >>> from loco_stream.drift import detector_named
    >>> detector_named("DDM").is_two_sided(None)
    False
    """
    definition = DETECTORS.get(name) if isinstance(name, str) else None
    if definition is None:
        raise ConfigError(f"`drift_detector` must be one of {', '.join(DETECTORS)}, got {name!r}")
    return definition


def register(definition: DetectorDefinition) -> None:
    """Add a detector, which `TaskMonitor(drift_detector=NAME)` then finds.

    Register it in every process that restores a checkpoint made with it.

    Raises
    ------
    ConfigError
        The name is taken by another definition.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from loco_stream.drift import DETECTORS, detector_named, register
    >>> slow = replace(detector_named("DDM"), name="SlowDDM", defaults={"drift_threshold": 5.0})
    >>> register(slow)
    >>> DETECTORS.pop("SlowDDM").defaults
    {'drift_threshold': 5.0}
    """
    if DETECTORS.setdefault(definition.name, definition) != definition:
        raise ConfigError(f"`name` must be new, got {definition.name!r}, which is registered")
