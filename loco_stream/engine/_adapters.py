"""The interface to a model that learns labels, and the monitor that fits its problem."""

from __future__ import annotations

from typing import Any, TypeAlias

from loco_stream._problems import FORECASTING, TARGETS, is_numeric
from loco_stream.engine._forecasting import ForecastAdapter, is_forecaster
from loco_stream.engine._model_adapter import ModelAdapter, task_of
from loco_stream.engine._target_adapter import TargetAdapter
from loco_stream.errors import ConfigError
from loco_stream.monitor import TaskMonitor

Model: TypeAlias = Any


def learning_adapter(model: Model) -> ModelAdapter:
    """Return the interface to a model, by what it predicts."""
    if is_forecaster(model):
        return ForecastAdapter(model)
    return TargetAdapter(model) if task_of(model) == TARGETS else ModelAdapter(model)


def monitored(problem: str) -> str:
    """Return the problem of the monitor.

    Without labels it examines the inputs alone; of several targets it gets one number.
    """
    if problem == "watching":
        return "classification"
    return "regression" if is_numeric(problem) else problem


def check_monitor(monitor: TaskMonitor, problem: str) -> None:
    """Raise `ConfigError` if a monitor holds rows out of a problem that allows none."""
    if problem in (TARGETS, FORECASTING) and monitor.holds_out:
        what = "several targets" if problem == TARGETS else "a forecaster"
        raise ConfigError(f"`monitor` must have holdout=0 with {what}")
