"""Projections: one definition per file.

The options `projection`, `rule` and `orthogonality` choose one.

A new projection is a file with a `Projection` named `PROJECTION`, and the name of the file in
`loco_stream._options.PROJECTIONS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import join
from loco_stream._learner.plasticity.projections import none
from loco_stream._learner.plasticity.projections._definition import LayerInput, Projection
from loco_stream._options import PROJECTIONS as _NAMES

__all__ = [
    "CLUSTERS",
    "NO_PROJECTION",
    "PROJECTIONS",
    "RECURSIVE",
    "LayerInput",
    "Projection",
    "ProjectionScratch",
    "ProjectionState",
    "change_layer",
    "prepare_row",
    "project_layer",
]

PROJECTIONS: tuple[Projection, ...] = (
    none.PROJECTION,
    *(import_module(f"{__name__}.{name}").PROJECTION for name in _NAMES),
)
NO_PROJECTION = 0  # positions in `PROJECTIONS`: the values of `Settings.projection`
RECURSIVE = 1 + _NAMES.index("recursive")
CLUSTERS = 1 + _NAMES.index("clusters")

if TYPE_CHECKING:
    ProjectionState: TypeAlias = Any
    ProjectionScratch: TypeAlias = Any
else:
    ProjectionState = join("ProjectionState", {p.name: p.state for p in PROJECTIONS})
    ProjectionScratch = join("ProjectionScratch", {p.name: p.scratch for p in PROJECTIONS})


def _one_of(kernels: Sequence[Any]) -> Any:
    """Return a kernel that runs the one whose position is `settings.projection`.

    Only the projection by clusters has clusters: most models know when they are compiled that they
    have none, and leave it out.
    """
    by_clusters = kernels[CLUSTERS]
    others = _at([(i, own) for i, own in enumerate(kernels) if i != CLUSTERS])

    @kernel
    def run(settings, state, scratch, *more):
        if settings.n_clusters > 0:
            return by_clusters(settings, state, scratch, *more)
        return others(settings, state, scratch, *more)

    return run


def _at(kernels: Sequence[tuple[int, Any]]) -> Any:
    """Return a kernel that runs the one whose number is `settings.projection`."""
    position, own = kernels[0]
    if len(kernels) == 1:
        return own
    others = _at(kernels[1:])

    @kernel
    def run(settings, state, scratch, *more):
        if settings.projection == position:
            return own(settings, state, scratch, *more)
        return others(settings, state, scratch, *more)

    return run


prepare_row = _one_of([projection.prepare for projection in PROJECTIONS])
project_layer = _one_of([projection.project for projection in PROJECTIONS])
change_layer = _one_of([projection.change for projection in PROJECTIONS])
