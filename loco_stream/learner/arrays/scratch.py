"""The workspace of a step: what one sample needs for a moment.

It can be made anew without changing a result.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream.learner.arrays.allocate import room_of
from loco_stream.learner.arrays.shapes import plan_of
from loco_stream.learner.arrays.spec import axes, build
from loco_stream.learner.arrays.state import State
from loco_stream.neurons.spikes import MOST_SPIKES
from loco_stream.options import NEAREST, Layout, Settings

__all__ = ["Scratch", "allocate_scratch"]

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# Rows of `Run.neurons`, one column a hidden neuron; FRESH: the trace of this row's spikes alone,
# CARRIED: what is left of the last row's.
NOISE, CREDIT, FRESH, CARRIED = range(4)
# `Scratch.flags`: the sample whose clean pass is in scratch; of how many members the gains are;
# input lines that are not zero; inputs of the readout, and of its linear members, that are not
# zero; features that centroids go by.
CLEAN_FOR, N_GAINS, N_IN, N_ROWS, N_LINEAR_ROWS, N_MEASURED = range(6)
# Rows of `Scratch.vectors`, one column a class.
SCORES, STACKED, PROBA, SPOKEN, ERROR, CHANGE, TARGET, DORMANT, ROOM = range(9)


class Code(NamedTuple):
    """The encoded row: a current for each line, and which of them are not 0."""

    lines: Annotated[Float32, axes("lines")]
    rows: Annotated[Int32, axes("lines")]


class Lagged(NamedTuple):
    """Encoded rows by lag, this row's first; empty without delays.

    lines and rows: as in `Code`; n: how many are not 0; projected: P times the lines.
    """

    lines: Annotated[Float32, axes("taps", "lines")]
    rows: Annotated[Int32, axes("taps", "lines")]
    n: Annotated[Int64, axes("taps")]
    projected: Annotated[Float32, axes("taps", "lines")]


class Run(NamedTuple):
    """What running and changing the hidden layers needs.

    drives: before the gain, and of a perturbed pass; noisy: its traces; rows: which traces below a
    layer are not 0; times and cell: spikes of one neuron, and room for it; spikes: number of each
    layer, clean and perturbed; projected: P times a layer's input; coefficients and residual: room
    of the prototypes; decays: what is left of each neuron's trace after so many gaps.
    """

    neurons: Annotated[Float32, axes(4, "hidden")]
    drives: Annotated[Float32, axes(2, "hidden")]
    noisy: Annotated[Float32, axes("hidden")]
    rows: Annotated[Int32, axes("hidden")]
    times: Annotated[Float64, axes(MOST_SPIKES)]
    cell: Annotated[Float64, axes(2, 8)]
    spikes: Annotated[Int64, axes(2, "layers")]
    projected: Annotated[Float32, axes("longest")]
    residual: Annotated[Float32, axes("longest")]
    coefficients: Annotated[Float64, axes(3, "clusters*rank")]
    decays: Annotated[Float64, axes("remembered")]
    gaps: Annotated[Float64, axes(1, start=-1.0)]


class Answers(NamedTuple):
    """What the readout's members say of one sample.

    rows, old_rows and linear_rows: which inputs are not zero, old_rows those of a snapshot's;
    outputs: of the members on traces, then of the linear ones, then what centroids and neighbours
    say; logistic and bayes: of the logistic member, and log-probabilities of naive Bayes; change:
    of the outputs under a perturbation; weights: how much each block of outputs counts; experts and
    says: probabilities of each, and its weight in the mixture; shares: x'Px and x'Px / (prior x'x);
    residual: what the outputs of the member at work lack; increment: of the combined readout.
    """

    rows: Annotated[Int32, axes("inputs")]
    old_rows: Annotated[Int32, axes("inputs")]
    linear_rows: Annotated[Int32, axes("linear_inputs")]
    outputs: Annotated[Float32, axes("blocks*classes")]
    change: Annotated[Float32, axes("members*losses*classes")]
    logistic: Annotated[Float32, axes("classes")]
    bayes: Annotated[Float32, axes("classes")]
    snapshots: Annotated[Float32, axes("snapshots*classes")]
    weights: Annotated[Float64, axes("blocks")]
    experts: Annotated[Float64, axes("experts", "classes")]
    says: Annotated[Float64, axes("experts")]
    gains: Annotated[Float32, axes("trace_members", "inputs")]
    linear_gains: Annotated[Float32, axes("linear_members", "linear_inputs")]
    logistic_gain: Annotated[Float32, axes("logistic_inputs")]
    shares: Annotated[Float64, axes(2, "shares")]
    stack_room: Annotated[Float64, axes(2, "stacked")]
    correction_room: Annotated[Float64, axes(2, "powers")]
    residual: Annotated[Float32, axes("losses*classes")]
    increment: Annotated[Float32, axes("classes")]


class Nearness(NamedTuple):
    """Room to find centroids and neighbours.

    columns, values and scales: the features that count, and how; distances: of all, squared; near,
    places and votes: the nearest, where they are, and how much each counts; close and centroids:
    the same of the nearest centroids, which stay.
    """

    columns: Annotated[Int32, axes("features")]
    values: Annotated[Float32, axes("features")]
    scales: Annotated[Float32, axes("features")]
    distances: Annotated[Float32, axes("searched")]
    near: Annotated[Float32, axes(NEAREST)]
    places: Annotated[Int64, axes(NEAREST)]
    votes: Annotated[Float64, axes(NEAREST)]
    close: Annotated[Float32, axes(NEAREST)]
    centroids: Annotated[Int64, axes(NEAREST)]


class Scratch(NamedTuple):
    """Workspace for one sample.

    Nothing in it outlives a step except as a cache that is checked before use.

    class_weights: those that the user gave, by slot; written anew with every workspace. answers and
    vectors: what is said of the sample now; earlier and earlier_vectors: what was said when it was
    predicted, if its label came late; moment: the time that the pass in scratch is of; context:
    room to put one back.
    """

    flags: Annotated[Int64, axes(6, start=-1)]
    row: Annotated[Float64, axes("features", start=np.nan)]
    scaled: Annotated[Float32, axes("features")]
    features: Annotated[Float32, axes("all_inputs")]
    old_features: Annotated[Float32, axes("all_inputs")]
    vectors: Annotated[Float64, axes(9, "classes")]
    class_weights: Annotated[Float64, axes("classes", start=1.0)]
    code: Code
    lagged: Lagged
    run: Run
    answers: Answers
    nearness: Nearness
    earlier: Answers
    earlier_vectors: Annotated[Float64, axes(9, "classes")]
    moment: Annotated[Float64, axes(1)]
    context: Annotated[Float64, axes("context")]


def allocate_scratch(layout: Layout, settings: Settings, state: State) -> Scratch:
    """Make the working memory that fits `state`."""
    plan = plan_of(layout, settings, *room_of(state))
    return build(Scratch, lambda spec: spec.make(plan))
