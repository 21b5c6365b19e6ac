"""Settings of the task monitor, checked when they are given."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from numbers import Real
from typing import Any

from loco_stream.errors import ConfigError
from loco_stream.persistence.content import Config


@dataclass(frozen=True, slots=True)
class MonitorSettings:
    """Parameters of `TaskMonitor`, which documents them; a checkpoint stores them as plain values.

    Raises `ConfigError` if a setting is of another type or out of its range.
    """

    drift_detector: str = "HDDMA"
    detector_options: Mapping[str, Any] = field(default_factory=dict)
    inputs: bool = True
    tasks: str = "auto"
    holdout: int = 200
    share: float = 0.02
    rescore_every: int = 8
    max_segments: int = 16
    min_segment: int = 200
    problem: str = "classification"
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every setting; whole numbers of numpy become Python's."""
        least = {"holdout": 0, "rescore_every": 1, "max_segments": 2, "min_segment": 1}
        for name, smallest in least.items():
            object.__setattr__(self, name, _whole_number(name, getattr(self, name), smallest))
        object.__setattr__(self, "seed", _whole_number("seed", self.seed, None))
        object.__setattr__(self, "inputs", bool(self.inputs))
        object.__setattr__(self, "detector_options", dict(self.detector_options))
        self._check_texts()
        object.__setattr__(self, "share", _share(self.share))

    def _check_texts(self) -> None:
        if self.problem not in ("classification", "regression"):
            raise ConfigError(
                f"`problem` must be classification or regression, got {self.problem!r}"
            )
        is_column = isinstance(self.tasks, str) and self.tasks.startswith("column:")
        if self.tasks not in ("auto", "given", "none") and (not is_column or self.tasks[7:] == ""):
            raise ConfigError(
                f"`tasks` must be auto, given, none or column:NAME, got {self.tasks!r}"
            )

    def to_dict(self) -> Config:
        """Return the settings by name."""
        return {**asdict(self), "detector_options": dict(self.detector_options)}


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
