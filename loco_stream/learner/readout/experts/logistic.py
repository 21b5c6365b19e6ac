"""A linear logistic member: recursive logistic regression on the scaled features."""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import add_outer, weigh_rows
from loco_stream.learner.arrays.spec import Array, Record, Shapes, axes, record
from loco_stream.learner.readout.experts._definition import Contribution, Expert, Weighting
from loco_stream.learner.readout.experts.least_squares import gain
from loco_stream.learner.readout.softmax import softmax
from loco_stream.learner.tiny import drop_tiny

__all__ = ["EXPERT", "learn_logistic"]

PRIOR = 10.0


def _start_projector(projector: Array, shapes: Shapes) -> None:
    np.fill_diagonal(projector, PRIOR)


class State(NamedTuple):
    """Weights on (1, scaled features), and the projector."""

    weights: Annotated[NDArray[np.float32], axes("logistic_inputs", "classes")]
    projector: Annotated[
        NDArray[np.float32], axes("logistic_inputs", "logistic_inputs", start=_start_projector)
    ]


class Scratch(NamedTuple):
    """Gain k = P x, x'Px, and what the outputs lack."""

    gain: Annotated[NDArray[np.float32], axes("logistic_inputs")]
    step: Annotated[Record, record(np.float64, energy=0.0)]
    residual: Annotated[NDArray[np.float32], axes("classes")]


def n_scores(settings: Any) -> int:
    """Return one block in classification where the readout sees features."""
    return int(settings.n_linear > 0 and not settings.regression)


def lengths(layout: Any, settings: Any, n_features: int, n_classes: int) -> dict[str, int]:
    """Return the axis of the inputs."""
    return {"logistic_inputs": n_features + 1 if n_scores(settings) else 0}


@kernel
def predict(settings, state, scratch, outputs, scores):
    """Write log-odds."""
    own = state.experts.logistic
    if own.weights.shape[0] == 0:
        return
    rows = scratch.inputs.linear_rows
    n_rows = scratch.cache.n_linear_rows
    vector = scratch.clean.traces
    weigh_rows(scores, own.weights, own.weights.shape[1], vector, settings.n_hidden, rows, n_rows)


@kernel
def opine(settings, state, outputs, scores, opinions):
    """Write the softmax of the log-odds."""
    if opinions.shape[0] > 0:
        softmax(scores, 0, state.counts.n_classes, 1.0, opinions[0])


@kernel
def prepare(settings, state, scratch):
    """Compute the gain; return whether it is finite and not negative."""
    own = state.experts.logistic
    work = scratch.experts.logistic
    if own.weights.shape[0] == 0:
        return True
    nonzeros = (scratch.inputs.linear_rows, scratch.cache.n_linear_rows)
    vector = scratch.clean.traces
    n_inputs = state.counts.n_features + 1
    energy = gain(own.projector, vector, settings.n_hidden, n_inputs, nonzeros, work.gain)
    work.step.energy = energy
    return energy >= 0.0 and math.isfinite(energy)


@kernel
def learn_logistic(own, work, n_inputs, proba, target, n_classes):
    """Make one recursive step of logistic regression.

    The curvature of the log-loss is the mean of p (1 - p).

    Parameters
    ----------
    own, work
        `State`, and `Scratch` with the gain and x'Px.
    n_inputs, n_classes
        int64.
    proba, target
        (n_classes or more,) float64.
    """
    curvature = 0.0
    for c in range(n_classes):
        curvature += proba[c] * (1.0 - proba[c]) / n_classes
        work.residual[c] = np.float32(target[c] - proba[c])
    scale = 1.0 / (1.0 + curvature * work.step.energy)
    k = work.gain
    one = np.float32(1.0)
    add_outer(own.weights, n_inputs, 0, n_classes, k, np.float32(scale), work.residual, one)
    add_outer(own.projector, n_inputs, 0, n_inputs, k, np.float32(-curvature * scale), k, one)


@kernel
def learn(settings, state, scratch, scores, opinions, label, value):
    """Learn the row in scratch."""
    own = state.experts.logistic
    if own.weights.shape[0] == 0:
        return
    n_inputs = state.counts.n_features + 1
    work = scratch.experts.logistic
    learn_logistic(own, work, n_inputs, opinions[0], scratch.target, state.counts.n_classes)
    drop_tiny(own.projector, n_inputs, n_inputs, state.counts.n_seen)


def contribution(
    settings: Any, state: Any, scratch: Any, weighting: Weighting, n_classes: int
) -> Contribution:
    """Return what each feature adds by its weights."""
    if not len(weighting.scores):
        return Contribution()
    n_slots = int(state.counts.n_features)
    hidden = settings.n_hidden
    inputs = np.zeros((hidden + 1 + n_slots, n_classes))
    vector = scratch.clean.traces[hidden : hidden + 1 + n_slots].astype(np.float64)
    weights = state.experts.logistic.weights[: n_slots + 1, :n_classes]
    inputs[hidden:] = weighting.scores[0] * vector[:, None] * weights
    return Contribution(inputs=inputs)


EXPERT = Expert(
    name="logistic",
    state=State,
    scratch=Scratch,
    lengths=lengths,
    n_scores=n_scores,
    n_opinions=n_scores,
    predict=predict,
    opine=opine,
    prepare=prepare,
    learn=learn,
    names=lambda layout, settings: ["linear logistic"] * n_scores(settings),
    contribution=contribution,
)
