"""Experts of the readout: one definition per file.

A new expert is a file with an `Expert` and its name in `EXPERTS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from loco_stream._learner.arrays.spec import join
from loco_stream._learner.readout.experts import (
    centroids,
    class_size,
    discriminant,
    least_squares,
    logistic,
    naive_bayes,
    neighbors,
    recency,
    transitions,
)
from loco_stream._learner.readout.experts._definition import Contribution, Expert, Merge, Weighting

__all__ = [
    "EXPERTS",
    "Contribution",
    "Expert",
    "ExpertScratch",
    "ExpertState",
    "Merge",
    "Weighting",
]

# Outputs, scores and log-odds stand in this order; the scores of the discriminant come first.
EXPERTS: tuple[Expert, ...] = (
    discriminant.EXPERT,
    least_squares.EXPERT,
    logistic.EXPERT,
    naive_bayes.EXPERT,
    centroids.EXPERT,
    neighbors.EXPERT,
    recency.EXPERT,
    transitions.EXPERT,
    class_size.EXPERT,
)

if TYPE_CHECKING:
    ExpertState: TypeAlias = Any
    ExpertScratch: TypeAlias = Any
else:
    ExpertState = join("ExpertState", {expert.name: expert.state for expert in EXPERTS})
    ExpertScratch = join("ExpertScratch", {expert.name: expert.scratch for expert in EXPERTS})
