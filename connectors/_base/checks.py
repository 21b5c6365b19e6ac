"""Checks of parameters that several sources and sinks have."""

from __future__ import annotations

import math

from loco_stream._problems import TARGETS
from loco_stream.errors import ConfigError

_TASKS = ("classification", "regression", TARGETS)


def check_task(task: str | None) -> str | None:
    """Return `task` if it is a task with labels or None.

    Raises
    ------
    ConfigError
        It is not.
    """
    if task is not None and task not in _TASKS:
        raise ConfigError(f"`task` must be 'classification' or 'regression', got {task!r}")
    return task


def check_positive(**values: float | None) -> None:
    """Check that each value is None or a finite number above 0.

    Raises
    ------
    ConfigError
        A value is not.

    Examples
    --------
    >>> check_positive(rate=10.0, idle=None)
    """
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise ConfigError(f"`{name}` must be a number above 0, got {value!r}")


def check_seconds(where: str = "", **values: float | None) -> None:
    """Check that each value is None or a finite number of seconds, at least 0.

    `where` precedes the error.

    Raises
    ------
    ConfigError
        A value is not.

    Examples
    --------
    >>> check_seconds(wait=0.0, timeout=None)
    """
    for name, value in values.items():
        if value is not None and not 0 <= value < math.inf:
            raise ConfigError(f"{where}`{name}` must be 0 seconds or more, got {value}")
