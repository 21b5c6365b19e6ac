"""The definition of a detector: how it is made, and which numbers make up its state."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from importlib import import_module
from typing import Any, Protocol, TypeAlias

import numpy as np

from loco_stream._arrays import Float64
from loco_stream.errors import CheckpointError, ConfigError

Options: TypeAlias = Mapping[str, Any]


class ErrorTest(Protocol):
    """A sequential test on errors, as the drift detectors of river define it.

    An optional attribute `warning_detected` announces a drift that is not certain yet.
    """

    @property
    def drift_detected(self) -> bool:
        """Whether the last update raised an alarm."""

    def update(self, x: float) -> object:
        """Take one error, 0 or 1."""


@dataclass(frozen=True, slots=True)
class DetectorDefinition:
    """One detector.

    Parameters
    ----------
    name
        Name by which users select the detector.
    description
        What the test does and when to use it, in one sentence.
    load
        Returns the class of the test; called when a detector is made, so that imports can wait
        until then.
    defaults
        Keyword arguments of that class; users may override them.
    state
        Attributes that `update` reads and writes, each a dotted path from the test with the type of
        its number, int or float. A checkpoint stores these numbers. None if plain numbers cannot
        hold the state: the detector then works, but not with checkpoints.
    is_two_sided
        Returns whether a test also fires when errors become fewer.

    Examples
    --------
    >>> from loco_stream.drift import detector_named
    >>> detector_named("HDDMA").make({}).drift_confidence
    0.0001
    """

    name: str
    description: str
    load: Callable[[], type[Any]]
    defaults: Options = field(default_factory=dict)
    state: Mapping[str, type[int] | type[float]] | None = None
    is_two_sided: Callable[[Any], bool] = lambda test: False

    def make(self, options: Options) -> ErrorTest:
        """Return a new test; `options` override the defaults.

        Raises
        ------
        ConfigError
            An option does not exist, or its value is refused.
        """
        kind = self.load()
        known = list(inspect.signature(kind).parameters)
        for option in options:
            if option not in known:
                raise ConfigError(
                    f"`detector_options` of {self.name} must be some of {', '.join(known)}, "
                    f"got {option!r}"
                )
        try:
            test: ErrorTest = kind(**{**self.defaults, **options})
        except (TypeError, ValueError) as error:
            raise ConfigError(
                f"`detector_options` of {self.name} must be valid, got {dict(options)!r}: {error}"
            ) from error
        return test

    def export_state(self, test: ErrorTest) -> Float64:
        """Return the state of a test as numbers, NaN for None.

        Raises
        ------
        CheckpointError
            Plain numbers cannot hold the state of this detector.
        """
        if self.state is None:
            raise CheckpointError(
                f"a checkpoint cannot hold the state of the drift detector {self.name}"
            )
        values: list[Any] = [test.drift_detected, getattr(test, "warning_detected", False)]
        values += [reduce(getattr, path.split("."), test) for path in self.state]
        return np.array([math.nan if value is None else float(value) for value in values])

    def restore_state(self, test: ErrorTest, numbers: Float64) -> None:
        """Give a new test the state that `export_state` returned.

        Raises
        ------
        CheckpointError
            The numbers belong to another detector.
        """
        if self.state is None or len(numbers) != len(self.state) + 2:
            raise CheckpointError(
                f"the {len(numbers)} saved numbers are not the state of the detector {self.name}"
            )
        drift, warning, *values = numbers.tolist()
        _set(test, "_drift_detected", bool(drift))
        if hasattr(test, "_warning_detected"):
            _set(test, "_warning_detected", bool(warning))
        for (path, kind), number in zip(self.state.items(), values, strict=True):
            _set(test, path, None if math.isnan(number) else kind(number))


def _set(test: ErrorTest, path: str, value: float | bool | None) -> None:
    *owners, attribute = path.split(".")
    setattr(reduce(getattr, owners, test), attribute, value)


def river_class(module: str, name: str) -> Callable[[], type[Any]]:
    """Return a function that imports a class of river."""

    def load() -> type[Any]:
        kind: type[Any] = getattr(import_module(module), name)
        return kind

    return load
