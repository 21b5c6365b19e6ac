"""An expert in one file: the frequency of each class, which forgets.

`tests/testing/test_check_expert.py` puts this file into a copy of the package. TOY_FAULT makes it
wrong in one way.
"""

from __future__ import annotations

import math
import os
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import axes
from loco_stream._learner.readout.experts._definition import Contribution, Expert
from loco_stream._learner.readout.softmax import softmax

FAULT = os.environ.get("TOY_FAULT", "")
DECAY = 0.99
PRIOR = 0.5  # rows granted to every class
SHARPNESS = 2.0 if FAULT == "opinions" else 1.0


class State(NamedTuple):
    """Rows of each class, the older the less."""

    counts: Annotated[NDArray[np.float64], axes("classes")]


class Scratch(NamedTuple):
    """Nothing is needed."""


def n_scores(settings):
    return int(not settings.regression)


@kernel
def predict(settings, state, scratch, outputs, scores):
    if scores.shape[0] == 0:
        return
    own = state.experts.toy
    for c in range(state.counts.n_classes):
        scores[c] = np.float32(math.log(own.counts[c] + PRIOR))


@kernel
def opine(settings, state, outputs, scores, opinions):
    if opinions.shape[0] > 0:
        softmax(scores, 0, state.counts.n_classes, 1.0, opinions[0])
        opinions[0, 0] *= SHARPNESS


@kernel
def learn(settings, state, scratch, scores, opinions, label, value):
    if opinions.shape[0] == 0:
        return
    own = state.experts.toy
    for c in range(state.counts.n_classes):
        own.counts[c] *= DECAY
    own.counts[label] += 1.0


def contribution(settings, state, scratch, weighting, n_classes):
    if not len(weighting.scores) or FAULT == "contribution":
        return Contribution()
    counts = state.experts.toy.counts[:n_classes]
    return Contribution(other=weighting.scores[0] * np.log(counts + PRIOR))


def check(settings, state, n_classes):
    limit = 0.0 if FAULT == "check" else math.inf
    if not (np.abs(state.experts.toy.counts) <= limit).all():
        raise ValueError("`counts` of 'toy' must be finite")


EXPERT = Expert(
    name="toy",
    state=State,
    scratch=Scratch,
    n_scores=n_scores,
    n_opinions=n_scores,
    predict=predict,
    opine=opine,
    learn=learn,
    names=lambda layout, settings: ["frequencies"] * n_scores(settings),
    contribution=contribution,
    check=check,
)
