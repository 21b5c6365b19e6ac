"""The check of drift detectors."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from loco_stream.drift import DetectorDefinition
from loco_stream.drift.detectors import ErrorTest
from loco_stream.errors import CheckpointError, ConfigError
from loco_stream.testing._lifecycle import require_argument

_STATIONARY = ((0.05, 2000), (0.2, 2000), (0.4, 2000))  # error rate, rows
_MOST_FALSE_ALARMS = 30  # in all stationary streams together: one in 200 rows
_LATEST_ALARM = 600  # rows after a rise of the error rate
_CUTS = (0, 1, 300, 720, 1100)


def check_detector(definition: DetectorDefinition) -> None:
    """Check that a detector fires on a rise of the error rate and can be selected and saved.

    Parameters
    ----------
    definition
        The detector. It need not be registered.

    Raises
    ------
    AssertionError
        The detector lacks something; the text names it.
    ConfigError
        `definition` is something else.

    Examples
    --------
    >>> from loco_stream.drift import detector_named
    >>> from loco_stream.testing import check_detector
    >>> check_detector(detector_named("HDDMA"))
    """
    is_definition = isinstance(definition, DetectorDefinition)
    require_argument(is_definition, "definition", "a DetectorDefinition", definition)
    _check_names(definition)
    _check_options(definition)
    _check_alarms(definition)
    if definition.state is None:
        _check_refusal(definition)
    else:
        _check_state(definition)


def _require(condition: bool, definition: DetectorDefinition, message: str) -> None:
    if not condition:
        raise AssertionError(f"detector {definition.name!r} {message}")


def _check_names(definition: DetectorDefinition) -> None:
    _require(definition.name.isidentifier(), definition, "must have an identifier as its name")
    _require(bool(definition.description), definition, "must have a description")


def _check_options(definition: DetectorDefinition) -> None:
    definition.make(dict(definition.defaults))
    try:
        definition.make({"no_such_option": 1})
    except ConfigError:
        return
    _require(False, definition, "must refuse an unknown option with ConfigError")


def _check_alarms(definition: DetectorDefinition) -> None:
    false_alarms = 0
    for rate, n in _STATIONARY:
        false_alarms += len(_alarms(definition.make({}), _errors((rate, n))))
    message = f"raised {false_alarms} alarms without a change, {_MOST_FALSE_ALARMS} are allowed"
    _require(false_alarms <= _MOST_FALSE_ALARMS, definition, message)
    rise = _alarms(definition.make({}), _errors((0.1, 1000), (0.7, _LATEST_ALARM)))
    message = f"must fire within {_LATEST_ALARM} rows after the error rate rises from .1 to .7"
    _require(any(row >= 1000 for row in rise), definition, message)
    if not definition.is_two_sided(definition.make({})):
        fall = _alarms(definition.make({}), _errors((0.7, 1000), (0.1, 1000)))
        message = "fires when the error rate falls, but `is_two_sided` is false"
        _require(not any(row >= 1000 for row in fall), definition, message)


def _check_refusal(definition: DetectorDefinition) -> None:
    try:
        definition.export_state(definition.make({}))
    except CheckpointError:
        return
    _require(False, definition, "must refuse checkpoints with CheckpointError: `state` is None")


def _check_state(definition: DetectorDefinition) -> None:
    """Check that a restored test holds every attribute and continues as the saved one."""
    errors = _errors((0.1, 700), (0.6, 400), (0.2, 400), (0.8, 200))
    for cut in _CUTS:
        test = definition.make({})
        _alarms(test, errors[:cut])
        restored = _restored(definition, test)
        same = _alarms(restored, errors[cut:]) == _alarms(test, errors[cut:])
        _require(same, definition, "raises other alarms after it was saved and restored")


def _restored(definition: DetectorDefinition, test: ErrorTest) -> ErrorTest:
    """Return a new test with the saved state of another, whose attributes are checked."""
    restored = definition.make({})
    definition.restore_state(restored, definition.export_state(test))
    saved = _contents(test)
    found = _contents(restored)
    _require(
        found == saved, definition, f"lacks attributes in `state`: {found} was saved as {saved}"
    )
    return restored


def _contents(thing: Any) -> Any:
    """Return the attributes of an object, and of objects in them, as plain values."""
    if isinstance(thing, int | float):
        return repr(float(thing))  # NaN equals NaN
    if not hasattr(thing, "__dict__"):
        return repr(thing)
    return {key: _contents(value) for key, value in vars(thing).items() if not callable(value)}


def _errors(*stretches: tuple[float, int]) -> list[int]:
    """Return 0/1 errors, the same in every call, with a rate per stretch of rows."""
    draw = random.Random(0)
    return [int(draw.random() < rate) for rate, n in stretches for _ in range(n)]


def _alarms(test: ErrorTest, errors: Iterable[int]) -> list[int]:
    """Return the rows in which a test fires."""
    alarms = []
    for row, error in enumerate(errors):
        test.update(error)
        if test.drift_detected:
            alarms.append(row)
    return alarms
