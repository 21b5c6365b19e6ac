"""What is compiled once per machine, part by part."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple

from loco_stream._cli._logging import LOGGER
from loco_stream._problems import FORECASTING, TARGETS

_COMPILING = "compiling %s, once on this machine: `loco-stream warm` does it beforehand"


class Part(NamedTuple):
    """Something that is compiled: its name, and a function that uses all of it."""

    name: str
    use: Callable[[], object]


def _learn_classes(**options: Any) -> None:
    from loco_stream.estimators._classifier import LOCOClassifier

    LOCOClassifier(seed=0, **options).learn_predict_array([[0.0], [1.0]], ["a", "b"])


def _learn_values() -> None:
    from loco_stream.estimators._regressor import LOCORegressor

    LOCORegressor(seed=0).learn_predict_array([[0.0], [1.0]], [0.0, 1.0])


def _learn_with_threads() -> None:
    from loco_stream.estimators._classifier import LOCOClassifier

    model = LOCOClassifier(seed=0, hidden_sizes=(8,))
    model.set_threads(2)
    model.learn_array([[0.0] * 300] * 64, ["a", "b"] * 32)


def _learn_targets() -> None:
    from loco_stream.estimators._multi_target import LOCOMultiTargetRegressor

    LOCOMultiTargetRegressor(seed=0).learn_predict_interval_array([[0.0], [1.0]], [[0.0], [1.0]])


def _forecast() -> None:
    from loco_stream.estimators._forecaster import LOCOForecaster

    model = LOCOForecaster(heads=2, seed=0)
    model.learn_forecast_array([0.0, 1.0, 0.0])
    model.forecast_interval(2)


def _detect() -> None:
    from loco_stream.estimators._detector import LOCODetector

    LOCODetector(seed=0).learn_score_array([[0.0], [1.0], [0.5]])


def _watch() -> None:
    from loco_stream.monitor import TaskMonitor

    monitor = TaskMonitor(seed=0)
    for i in range(200):
        monitor.update("ab"[i % 2], "a", {"x": float(i % 2)}, i)


STEPS = {
    "classification": Part("the learning step", cache(_learn_classes)),
    "regression": Part("the learning step of a regression", cache(_learn_values)),
    TARGETS: Part("the learning step of several targets", cache(_learn_targets)),
    FORECASTING: Part("the learning step of a forecast", cache(_forecast)),
}
"""What learns, by the problem that the labels pose; a process uses each once."""
OF_DRIFTS = Part("the monitor of drift", cache(_watch))
OF_ALARMS = Part("the detector of anomalies", cache(_detect))
PARTS = (
    *STEPS.values(),
    OF_DRIFTS,
    OF_ALARMS,
    Part("the learning step with a memory", partial(_learn_classes, memory=(0.3, 50.0))),
    Part("the learning step with other options", partial(_learn_classes, max_delay=2)),
    Part("the help of other threads", _learn_with_threads),
)
"""Everything that a stream may need."""


def warm_up(parts: Iterable[Part]) -> None:
    """Compile parts, or load them from the compile cache; log what is compiled, and how long."""
    for part, seconds in used(parts):
        if seconds:
            LOGGER.info("compiled %s in %.1f s", part.name, seconds)


def freeze_loaded() -> Callable[[object], None]:
    """Return a watcher that exempts from garbage collection what is loaded by the first rows.

    Modules and compiled code live as long as the process. To visit their half million objects in
    each full collection takes a tenth of the time of a fleet whose models grow.
    """
    is_frozen = False

    def watch(runner: object) -> None:
        nonlocal is_frozen
        if not is_frozen:
            gc.freeze()
            is_frozen = True

    return watch


def used(parts: Iterable[Part]) -> Iterator[tuple[Part, float]]:
    """Use parts in order; yield each with the seconds it was compiled for, 0.0 if it was before."""
    from loco_stream._compiler.timing import compile_seconds, notify_when_compiling

    for part in parts:
        began = time.perf_counter()
        before = compile_seconds()
        with notify_when_compiling(partial(LOGGER.info, _COMPILING, part.name)):
            part.use()
        is_compiled = compile_seconds() > before
        yield part, time.perf_counter() - began if is_compiled else 0.0
