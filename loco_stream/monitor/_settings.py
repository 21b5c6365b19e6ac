"""Settings of the task monitor, checked when they are given."""

from __future__ import annotations

import math
import operator
from numbers import Real

from loco_stream._checks import flag, require, require_type
from loco_stream._persistence.content import Config, State
from loco_stream.errors import ConfigError

_SMALLEST = {"holdout": 0, "rescore_every": 1, "max_segments": 2, "min_segment": 1, "seed": None}


def checked_settings(given: State) -> Config:
    """Return the arguments of `TaskMonitor` by name, as the plain values that a checkpoint stores.

    Raises `ConfigError` if one is of another type or out of its range.
    """
    settings = {name: value for name, value in given.items() if name != "self"}
    for name, smallest in _SMALLEST.items():
        settings[name] = _whole_number(name, settings[name], smallest)
    require("inputs", settings["inputs"], flag)
    options = require_type("detector_options", settings["detector_options"], "Mapping | None")
    settings["detector_options"] = dict(options or {})
    settings["share"] = _share(settings["share"])
    _check_texts(settings["problem"], settings["tasks"])
    return settings


def _check_texts(problem: object, tasks: object) -> None:
    if problem not in ("classification", "regression"):
        raise ConfigError(f"`problem` must be classification or regression, got {problem!r}")
    is_column = isinstance(tasks, str) and tasks.startswith("column:") and tasks != "column:"
    if tasks not in ("auto", "given", "none") and not is_column:
        raise ConfigError(f"`tasks` must be auto, given, none or column:NAME, got {tasks!r}")


def _share(value: object) -> float:
    number = float(value) if isinstance(value, Real) else math.nan
    if 0.0 < number < 1.0:
        return number
    raise ConfigError(f"`share` must be a number in (0, 1), got {value!r}")


def _whole_number(name: str, value: object, smallest: int | None) -> int:
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is not None and (smallest is None or number >= smallest):
        return number
    allowed = "" if smallest is None else f", {smallest} or more"
    is_probability = name == "holdout" and number is None
    advice = "; `share` is the probability that a row is held out" if is_probability else ""
    raise ConfigError(f"`{name}` must be a whole number{allowed}, got {value!r}{advice}")
