"""How compiled code is handed a model with several targets."""

from __future__ import annotations

from functools import cache
from typing import Any

from numba import typeof

from loco_stream._compiler.packing import make_opener
from loco_stream._learner.arrays.shapes import shapes_of
from loco_stream._learner.arrays.spec import Shapes, make_group
from loco_stream._learner.kernel_args import example_model
from loco_stream._learner.settings import Settings
from loco_stream._learner.specialisation import SPECIALISATIONS
from loco_stream._learner.targets.heads import HeadModel, HeadState
from loco_stream._learner.targets.state import TargetModel, TargetScratch, TargetState
from loco_stream._options import ModelOptions


@cache
def _model_type(kind: type[Any]) -> Any:
    """Return numba's type of a model; it is the same for all models of one kind of neuron."""
    return typeof(_example(kind))


def _shapes(settings: Settings) -> Shapes:
    return shapes_of(ModelOptions().layout_for(1), settings, 1, 1)


def _example(kind: type[Any]) -> TargetModel:
    model = example_model(kind, regression=True)
    shapes = _shapes(model.settings)
    return TargetModel(*model, make_group(TargetState, shapes), make_group(TargetScratch, shapes))


@cache
def _head_model_type(kind: type[Any]) -> Any:
    """Return numba's type of a model with heads."""
    model = _example(kind)
    return typeof(HeadModel(*model, make_group(HeadState, _shapes(model.settings))))


opened: Any = make_opener(_model_type, SPECIALISATIONS)
opened_heads: Any = make_opener(_head_model_type, SPECIALISATIONS)
