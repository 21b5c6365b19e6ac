"""A linear logistic member: recursive logistic regression on the scaled features."""

from __future__ import annotations

import math
from typing import Annotated, Any, NamedTuple

import numpy as np

from loco_stream._arrays import Array, Float32
from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import add_outer, weigh_rows
from loco_stream._learner.arrays.spec import Record, Shapes, axes, diagonal, record
from loco_stream._learner.readout.blocks import (
    change_block_weights,
    change_blocks,
    late_inputs,
    start_blocks,
    write_block_gains,
)
from loco_stream._learner.readout.experts._definition import (
    Contribution,
    Expert,
    Weighting,
    softmax_of_scores,
)
from loco_stream._learner.readout.recursive_steps import gain
from loco_stream._learner.tiny import drop_tiny, drop_tiny_items

PRIOR = 10.0
LEAST_CHANGE = 1e-8  # of a projector, relative: less is lost in rounding


def _start_blocks(blocks: Array, shapes: Shapes) -> None:
    start_blocks(blocks, PRIOR)


class State(NamedTuple):
    """Weights on (1, scaled features), the projector, and its blocks of late features."""

    weights: Annotated[Float32, axes("logistic_inputs", "classes")]
    projector: Annotated[
        Float32,
        axes("logistic_projected", "logistic_projected", start=diagonal(PRIOR)),
    ]
    blocks: Annotated[Float32, axes("late_logistic_inputs", "late_block", start=_start_blocks)]


class Scratch(NamedTuple):
    """Gain k = P x, x'Px, and what the outputs lack."""

    gain: Annotated[Float32, axes("logistic_inputs")]
    step: Annotated[Record, record(np.float64, energy=0.0)]
    residual: Annotated[Float32, axes("classes")]


def n_scores(settings: Any) -> int:
    """Return one block in classification where the readout sees features."""
    return int(settings.n_linear > 0 and not settings.regression)


def lengths(layout: Any, settings: Any, n_features: int, n_classes: int) -> dict[str, int]:
    """Return the axes of the inputs."""
    if not n_scores(settings):
        return dict.fromkeys(("logistic_inputs", "logistic_projected", "late_logistic_inputs"), 0)
    n_late = max(n_features - layout.n_joint, 0)
    return {
        "logistic_inputs": n_features + 1,
        "logistic_projected": n_features - n_late + 1,
        "late_logistic_inputs": n_late,
    }


@kernel
def predict(settings, state, scratch, outputs, scores):
    """Write log-odds."""
    own = state.experts.logistic
    if len(own.weights) == 0:
        return
    rows = scratch.inputs.linear_rows
    n_rows = scratch.cache.n_linear_rows
    vector = scratch.clean.traces
    weigh_rows(scores, own.weights, own.weights.shape[1], vector, settings.n_hidden, rows, n_rows)


@kernel
def prepare(settings, state, scratch):
    """Compute the gain; return whether it is finite and not negative."""
    own = state.experts.logistic
    work = scratch.experts.logistic
    if len(own.weights) == 0:
        return True
    n_late = scratch.cache.n_late_rows
    nonzeros = (scratch.inputs.linear_rows, scratch.cache.n_linear_rows - n_late)
    vector = scratch.clean.traces
    n_joint = min(state.counts.n_features + 1, len(own.projector))
    energy = gain(own.projector, vector, settings.n_hidden, n_joint, nonzeros, work.gain)
    if n_late > 0:
        late, reached = late_inputs(settings, state, scratch)
        energy += write_block_gains(own.blocks, late, reached, work.gain[n_joint:])
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

    Returns
    -------
    tuple of two float64
        Factors of the changes of the weights and of the projector.
    """
    curvature = 0.0
    for c in range(n_classes):
        curvature += proba[c] * (1.0 - proba[c]) / n_classes
        work.residual[c] = target[c] - proba[c]
    drop_tiny_items(work.residual, n_classes)
    change = curvature * work.step.energy
    scale = 1.0 / (1.0 + change)
    k = work.gain
    one = np.float32(1.0)
    add_outer(own.weights, n_inputs, 0, n_classes, k, np.float32(scale), work.residual, one)
    if change > LEAST_CHANGE:
        add_outer(own.projector, n_inputs, 0, n_inputs, k, np.float32(-curvature * scale), k, one)
    return scale, -curvature * scale


@kernel
def _learn_late(settings, state, scratch, scale, change):
    """Learn the late features of the row in scratch; factors are those of `learn_logistic`."""
    own = state.experts.logistic
    work = scratch.experts.logistic
    n_joint = len(own.projector)
    _, reached = late_inputs(settings, state, scratch)
    k = work.gain[n_joint:]
    weights = own.weights[n_joint:]
    columns = (0, state.counts.n_classes)
    factor = np.float32(scale)
    change_block_weights(weights, columns, own.blocks, reached, k, factor, work.residual)
    change_blocks(own.blocks, reached, k, -change, 0.0, PRIOR, state.counts.n_seen)


@kernel
def learn(settings, state, scratch, scores, opinions, label, value):
    """Learn the row in scratch."""
    own = state.experts.logistic
    if len(own.weights) == 0:
        return
    n_joint = min(state.counts.n_features + 1, len(own.projector))
    n_classes = state.counts.n_classes
    work = scratch.experts.logistic
    scale, change = learn_logistic(own, work, n_joint, opinions[0], scratch.target, n_classes)
    drop_tiny(own.projector, n_joint, n_joint, state.counts.n_seen)
    if scratch.cache.n_late_rows > 0:
        _learn_late(settings, state, scratch, scale, change)


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
    opine=softmax_of_scores,
    prepare=prepare,
    learn=learn,
    names=lambda layout, settings: ["linear logistic"] * n_scores(settings),
    contribution=contribution,
)
