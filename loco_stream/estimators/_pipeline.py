"""River pipelines that end in an estimator of this package, stored without pickle.

Each kind of step that can be stored is one entry of `STEPS`: what it was made with, and what it has
learned. A step of another kind is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from numbers import Number
from typing import Any, TypeAlias, get_args

import numpy as np

from loco_stream._numbers import shown
from loco_stream._persistence.content import Arrays, Config, State, restoring
from loco_stream.errors import ConfigError
from loco_stream.estimators._classifier import LOCOClassifier
from loco_stream.estimators._detector import LOCODetector
from loco_stream.estimators._forecaster import LOCOForecaster
from loco_stream.estimators._multi_target import LOCOMultiTargetRegressor
from loco_stream.estimators._regressor import LOCORegressor

Values = list[Any]
RiverStep: TypeAlias = Any  # river types its steps by what they do, not by what they hold
Estimator: TypeAlias = (
    LOCOClassifier | LOCORegressor | LOCOMultiTargetRegressor | LOCODetector | LOCOForecaster
)
ESTIMATORS: dict[str, type[Estimator]] = {kind.__name__: kind for kind in get_args(Estimator)}
_TYPES = {kind.__name__: kind for kind in (bool, int, float, str, Number)}


@dataclass(frozen=True, slots=True)
class Step:
    """How one kind of step is stored.

    module: where river has it
    parameters: attributes that are arguments of its constructor by the same name; one that is not
        plain is refused
    learned: returns what it has learned, as plain values
    restore: puts that back into a fresh one
    positional: the arguments of a constructor that takes them by position
    plain_only: parameters that have to be None: with another value what it learns is not plain
    """

    module: str
    parameters: tuple[str, ...] = ()
    learned: Callable[[RiverStep], Config] = lambda step: {}
    restore: Callable[[RiverStep, Config], None] = lambda step, state: None
    positional: Callable[[RiverStep], Values] = lambda step: []
    plain_only: tuple[str, ...] = ()


def _pairs(counts: Mapping[Hashable, object]) -> Values:
    return [[key, _number(value)] for key, value in counts.items()]


def _number(value: object) -> int | float:
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, int | float):
        raise ConfigError(
            f"a step of the pipeline holds {shown(value)}, which is not a plain number: "
            "it cannot be stored"
        )
    return value


def _numbers(*names: str) -> Config:
    """Return how a step is stored that holds a number per feature in these attributes."""

    def restore(step: RiverStep, state: Config) -> None:
        for name in names:
            for key, value in state[name]:
                getattr(step, name)[key] = _number(value)

    return {
        "learned": lambda step: {name: _pairs(getattr(step, name)) for name in names},
        "restore": restore,
    }


def _extremes(*names: str) -> Config:
    """Return how a step is stored that holds a statistic of river per feature.

    The value of a statistic has the name of the attribute that holds it.
    """

    def learned(step: RiverStep) -> Config:
        return {
            n: _pairs({key: getattr(each, n) for key, each in getattr(step, n).items()})
            for n in names
        }

    def restore(step: RiverStep, state: Config) -> None:
        for name in names:
            for key, value in state[name]:
                setattr(getattr(step, name)[key], name, _number(value))

    return {"learned": learned, "restore": restore}


def _order(value: object) -> tuple[str, str]:
    return type(value).__name__, repr(value)


def _texts(encoder: RiverStep) -> Config:
    values = [[key, sorted(texts, key=_order)] for key, texts in encoder.values.items()]
    return {"values": values, "columns": list(encoder._zero_dict)}


def _restore_texts(encoder: RiverStep, state: Config) -> None:
    encoder.values.update((key, set(texts)) for key, texts in state["values"])
    encoder._zero_dict.update(dict.fromkeys(state["columns"], 0))


def _restore_seed(hasher: RiverStep, state: Config) -> None:
    hasher._seed = int(state["seed"])


def _names_of_types(select: RiverStep) -> list[str]:
    for kind in select.types:
        if _TYPES.get(kind.__name__) is not kind:
            raise ConfigError(
                f"`types` of a stored SelectType must be among {', '.join(_TYPES)}, "
                f"got {kind.__name__}"
            )
    return [kind.__name__ for kind in select.types]


def _keys(step: RiverStep) -> Values:
    return sorted(step.keys, key=_order)


_SCALE = "river.preprocessing"
_COMPOSE = "river.compose"
STEPS: dict[str, Step] = {
    "StandardScaler": Step(
        _SCALE, ("with_std",), **_numbers("counts", "means", "vars"), plain_only=("window_size",)
    ),
    "MinMaxScaler": Step(_SCALE, **_extremes("min", "max"), plain_only=("window_size",)),
    "MaxAbsScaler": Step(_SCALE, **_extremes("abs_max"), plain_only=("window_size",)),
    "Normalizer": Step(_SCALE, ("order",)),
    "OneHotEncoder": Step(
        _SCALE,
        ("drop_zeros", "drop_first"),
        learned=_texts,
        restore=_restore_texts,
        plain_only=("categories",),
    ),
    "FeatureHasher": Step(
        _SCALE,
        ("n_features", "seed", "alternate_sign"),
        lambda step: {"seed": step._seed},
        _restore_seed,
    ),
    "Select": Step(_COMPOSE, positional=_keys),
    "Discard": Step(_COMPOSE, positional=_keys),
    "SelectType": Step(_COMPOSE, positional=_names_of_types),
    "Prefixer": Step(_COMPOSE, ("prefix",)),
    "Suffixer": Step(_COMPOSE, ("suffix",)),
}
# Steps of steps, and the attribute in which they keep them.
_GROUPS = {"Pipeline": "steps", "TransformerUnion": "transformers"}


def is_pipeline(model: object) -> bool:
    """Return whether a model is a pipeline of river that ends in an estimator of this package."""
    from river import compose

    if not isinstance(model, compose.Pipeline):
        return False
    last = list(model.steps.values())[-1]
    return isinstance(last, Estimator) and not isinstance(last, compose.Pipeline)


def described(model: RiverStep) -> str:
    """Return the kinds of a pipeline's steps in one line."""
    return " | ".join(type(step).__name__ for step in model.steps.values())


def export_pipeline(model: RiverStep) -> tuple[Config, Arrays]:
    """Return plain values and copies of all arrays, from which `restore_pipeline` continues.

    Raises `ConfigError` if a step cannot be stored without pickle; the text names it and the steps
    that can be.
    """
    *before, (name, estimator) = model.steps.items()
    config, arrays = estimator.export_state()
    return {
        "kind": "Pipeline",
        "steps": _members(before),
        "name": name,
        "estimator": config,
    }, arrays


def _members(steps: Iterable[tuple[str, RiverStep]]) -> Values:
    return [[name, _export(step)] for name, step in steps]


def _export(step: RiverStep) -> Config:
    kind = type(step).__name__
    if kind in _GROUPS and type(step).__module__.startswith("river."):
        return {"kind": kind, "steps": _members(getattr(step, _GROUPS[kind]).items())}
    known = _storable(step)
    return {
        "kind": kind,
        "parameters": {name: getattr(step, name) for name in known.parameters},
        "positional": known.positional(step),
        "learned": known.learned(step),
    }


def _storable(step: RiverStep) -> Step:
    """Return how a step is stored; raises `ConfigError` if it is not."""
    kind = type(step).__name__
    known = STEPS.get(kind)
    if known is None or not type(step).__module__.startswith("river."):
        allowed = ", ".join([*_GROUPS, *STEPS])
        raise ConfigError(
            f"the steps of a stored pipeline must be river's {allowed}, "
            f"got {type(step).__module__}.{kind}"
        )
    for name in known.plain_only:
        if getattr(step, name) is not None:
            raise ConfigError(
                f"`{name}` of a stored {kind} must be None, got {getattr(step, name)!r:.80}"
            )
    return known


def restore_pipeline(config: State, arrays: Arrays) -> RiverStep:
    """Make the pipeline that `export_pipeline` described.

    Raises `CheckpointError` if a part is missing, or of a kind that is not known.
    """
    from river import compose

    with restoring("this saved pipeline"):
        estimator = ESTIMATORS[config["estimator"]["kind"]].from_state(config["estimator"], arrays)
        steps = [(name, _restore(step)) for name, step in config["steps"]]
        return compose.Pipeline(*steps, (config["name"], estimator))


def _restore(stored: Config) -> RiverStep:
    kind = stored["kind"]
    if kind in _GROUPS:
        members = [(name, _restore(step)) for name, step in stored["steps"]]
        return getattr(import_module(_COMPOSE), kind)(*members)
    known = STEPS[kind]
    given = (
        [_TYPES[name] for name in stored["positional"]]
        if kind == "SelectType"
        else stored["positional"]
    )
    parameters = {name: stored["parameters"][name] for name in known.parameters}
    step = getattr(import_module(known.module), kind)(*given, **parameters)
    known.restore(step, stored["learned"])
    return step
