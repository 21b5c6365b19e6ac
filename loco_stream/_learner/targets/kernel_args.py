"""How compiled code is handed a model with several targets."""

from __future__ import annotations

from functools import cache
from typing import Any

from numba import typeof

from loco_stream._compiler.packing import make_opener
from loco_stream._learner.kernel_args import KernelArgs, example_model
from loco_stream._learner.specialisation import SPECIALISATIONS
from loco_stream._learner.targets.heads import HeadModel, allocate_heads
from loco_stream._learner.targets.state import (
    TargetModel,
    allocate_target_scratch,
    allocate_targets,
)
from loco_stream._options import ModelOptions


class TargetKernelArgs(KernelArgs):
    """A `TargetModel` as arguments of `targets.step.run`; see `KernelArgs`."""

    def __init__(self, model: TargetModel, before: KernelArgs | None = None) -> None:
        super().__init__(model, _model_type, before)


@cache
def _model_type(kind: type[Any]) -> Any:
    """Return numba's type of a model; it is the same for all models of one kind of neuron."""
    return typeof(_example(kind))


def _example(kind: type[Any]) -> TargetModel:
    model = example_model(kind, regression=True)
    layout = ModelOptions().layout_for(1)
    targets = allocate_targets(layout, model.settings, 1, 1)
    work = allocate_target_scratch(layout, model.settings, model.state)
    return TargetModel(*model, targets, work)


class HeadKernelArgs(KernelArgs):
    """A `HeadModel` as arguments of `targets.head_step.run`; see `KernelArgs`."""

    def __init__(self, model: HeadModel, before: KernelArgs | None = None) -> None:
        super().__init__(model, _head_model_type, before)


@cache
def _head_model_type(kind: type[Any]) -> Any:
    """Return numba's type of a model with heads."""
    model = _example(kind)
    heads = allocate_heads(ModelOptions().layout_for(1), model.settings, 1, 1)
    return typeof(HeadModel(*model, heads))


opened: Any = make_opener(_model_type, SPECIALISATIONS)
opened_heads: Any = make_opener(_head_model_type, SPECIALISATIONS)
