"""Every mutable number of a model.

What learning changes, what is saved, pickled and compared bit by bit.

Each array is one line below: its field, type of number and axes (see `arrays`), all that is needed
to add another. `plan.plan_of` names the axes, and `allocation` makes and grows them.

The vector the readout sees is `[traces of the hidden layers | 1 | scaled features]`: what may
grow stands last. The traces of the hidden layers share one array, layer after layer.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream.learner.arrays.init_weights import delayed_targets, start_weights
from loco_stream.learner.arrays.spec import Array, Plan, axes
from loco_stream.options import (
    AS_SAID,
    COVERAGES,
    FEW_ROWS,
    HEAD_START,
    LASTING,
    LINEAR_PRIORS,
    LOGISTIC_PRIOR,
    N_CENTROID_SAYS,
    PRIORS,
    SPACING,
    STACK_POWER,
    STACK_PRIOR,
    START_SAY,
    START_VOTES,
    TOWARDS_LONG,
)

__all__ = ["State"]

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# Rows of `State.statistics` and `State.target`, one column a feature.
COUNT, MEAN, SQUARES, LOWEST, HIGHEST, BEYOND = range(6)
STAT_ROWS = 6
# Of the slot of a text, which holds 1 or is masked: settled, mean 0 and variance 1, so that 1 stays
# 1.
TEXT_STATISTICS = (300.0, 0.0, 300.0, 0.0, 1.0, 0.0)

# `State.counts`.
N_SEEN, N_FEATURES, N_CLASSES, N_CLUSTERS, SKIPPED, MASKED, ROUND = range(7)
N_COUNTS = 7

# Rows of `Net.gains`, one column a layer: from weighted input to drive; mean squares of the
# weighted inputs, of the input itself; the fading mean of what a perturbation changed in the loss.
GAIN, DRIVE_POWER, INPUT_POWER, BASELINE = range(4)
# Rows of `Net.sizes`, one column a layer.
N_POST, START = range(2)
# Rows of `State.classes`, one column a class.
CLASS_COUNT, LAST_SEEN = range(2)
# `Memory.clock`: time of the last row, 1 if that is known, median gap between rows, gaps it was
# taken from, times that ran backwards.
LAST, IS_TIMED, MEDIAN_GAP, N_GAPS, N_BACKWARD = range(5)
LABEL, STEPS = range(2)  # of `Memory.steps`
# `State.late`: rows of events beyond those that count; of the present event, rows learned when it
# was predicted, label, rows so far; events that are over, their mean length; tickets whose rows
# were not learned at once; 1 once one was.
SURPLUS, LEARNED, EVENT_LABEL, EVENT_ROWS, N_EVENTS, LENGTH, TICKETS, EVER_LATE = range(8)

# Rows of `Gaussians.moments`, one column a class: rows that its moments are of, sum of the
# logarithms of its variances.
CLASS_ROWS, SPREAD = range(2)

# Rows of `Neighbors.ranges`, one column a feature.
ORIGIN, LOW, HIGH = range(3)

# multiples of it, less their whole part, lie evenly on (0, 1) however many there are
GOLDEN = 0.6180339887498949


# What arrays start from


def _empty_moments(moments: Array, plan: Plan) -> None:
    moments[LOWEST] = np.inf
    moments[HIGHEST] = -np.inf


def _empty_ranges(ranges: Array, plan: Plan) -> None:
    ranges[LOW] = np.inf
    ranges[HIGH] = -np.inf


def _sizes(sizes: Array, plan: Plan) -> None:
    sizes[N_POST] = plan.layout.hidden_sizes
    sizes[START] = np.cumsum(sizes[N_POST]) - sizes[N_POST]


def _start_weights(weights: Array, plan: Plan) -> None:
    weights[:] = start_weights(plan.settings, 0, *weights.shape)


def _start_deep_weights(weights: Array, plan: Plan) -> None:
    for layer, (n_pre, n_post) in enumerate(pairwise(plan.layout.hidden_sizes)):
        weights[layer, :n_pre, :n_post] = start_weights(plan.settings, layer + 1, n_pre, n_post)


def _start_gains(gains: Array, plan: Plan) -> None:
    gains[GAIN] = plan.settings.gain


def _identity(projector: Array, plan: Plan) -> None:
    """Write the identity, of which each row holds only its own block of columns."""
    rows = np.arange(projector.shape[-2])
    projector[..., rows, rows % projector.shape[-1]] = 1.0


def _leaks_and_priors(members: Array, plan: Plan) -> None:
    if plan.settings.recursive:
        members[:] = plan.layout.leaks, [PRIORS[leak < LASTING] for leak in plan.layout.leaks]


def _prior_projectors(projectors: Array, plan: Plan) -> None:
    priors = (
        [PRIORS[leak < LASTING] for leak in plan.layout.leaks] if plan.settings.recursive else [0.0]
    )
    _set_diagonals(projectors, priors)


def _prior_linear_projectors(projectors: Array, plan: Plan) -> None:
    _set_diagonals(projectors, LINEAR_PRIORS)


def _first_evidence(evidence: Array, plan: Plan) -> None:
    evidence[-1:] = FEW_ROWS if plan.settings.n_linear else 0.0


def _no_correction(corrections: Array, plan: Plan) -> None:
    corrections[AS_SAID : AS_SAID + 1, 0] = HEAD_START


def _set_diagonals(projectors: Array, priors: Iterable[float]) -> None:
    for projector, prior in zip(projectors, priors, strict=False):
        np.fill_diagonal(projector, prior)


def _prior_logistic_projector(projector: Array, plan: Plan) -> None:
    np.fill_diagonal(projector, LOGISTIC_PRIOR)


def _equal_shares(stack: Array, plan: Plan) -> None:
    stack.fill(1.0 / max(len(stack), 1))


def _equal_log_shares(stack: Array, plan: Plan) -> None:
    settings = plan.settings
    first = stack.shape[1] - settings.n_says
    stack[0] = 1.0 / max(stack.shape[1], 1)
    stack[1] = STACK_POWER
    stack[0, first:] = START_VOTES[1]
    if settings.n_centroids > 0:
        stack[0, first : first + N_CENTROID_SAYS] = START_VOTES[0]


def _stack_prior(projector: Array, plan: Plan) -> None:
    np.fill_diagonal(projector, STACK_PRIOR)


def _first_speakers(weights: Array, plan: Plan) -> None:
    weights[:2] = START_SAY


def _start_risks(risks: Array, plan: Plan) -> None:
    risks[:] = [1.0 - coverage for coverage in COVERAGES[: len(risks)]]


def _first_copy(clock: Array, plan: Plan) -> None:
    clock[:] = 0, -SPACING, 0, 0


def _spans(spans: Array, plan: Plan) -> None:
    """Spread the time constants of every other neuron in the logarithm, near ones apart, denser towards the longest."""
    ratio = plan.settings.longest / plan.settings.shortest if len(spans) else 1.0
    for i in range(1, len(spans), 2):
        spans[i] = plan.settings.shortest * ratio ** ((i + 1) * GOLDEN % 1.0) ** TOWARDS_LONG


def _targets(targets: Array, plan: Plan) -> None:
    targets[:] = delayed_targets(plan.settings, *targets.shape)


def _no_label(steps: Array, plan: Plan) -> None:
    steps[LABEL] = -1.0


# What a model learns


class Net(NamedTuple):
    """The hidden layers.

    weights: of the first layer, from each line, columns of norm 1 at the start; deep_weights: of
    the others, from each neuron of the layer below; gains: from weighted inputs to drives in
    thresholds a window; projector and deep_projectors: see `plasticity.project`; feedback: what a
    neuron's drive does to each output.
    """

    sizes: Annotated[Int64, axes(2, "layers", start=_sizes, derived=True)]
    weights: Annotated[Float32, axes("lines", "first_layer", start=_start_weights)]
    deep_weights: Annotated[
        Float32, axes("deep_layers", "below", "above", start=_start_deep_weights)
    ]
    gains: Annotated[Float64, axes(4, "layers", start=_start_gains)]
    projector: Annotated[Float32, axes("projected_lines", "block", start=_identity)]
    deep_projectors: Annotated[
        Float32, axes("projected_layers", "projected_below", "deep_block", start=_identity)
    ]
    feedback: Annotated[Float32, axes("hidden", "classes")]


class Clusters(NamedTuple):
    """The input clusters; directions: traces before each layer, the input's last.

    Sizes: samples each has seen.
    """

    directions: Annotated[Float32, axes("clusters*rank", "traces_before")]
    sizes: Annotated[Float64, axes("clusters")]
    inverse_gram: Annotated[Float64, axes("layers", "clusters*rank", "clusters*rank")]


class Bank(NamedTuple):
    """The readout; columns of outputs: see `readout.least_squares`.

    members: leak and prior of those on traces; linear and logistic, with projectors: those on (1,
    scaled features); stack: of the least-squares outputs; log_stack: weights of all outputs, and
    mean squares of their gradients; evidence and corrections: log-likelihood of each expert, and of
    each correction of their mixture.
    """

    members: Annotated[Float64, axes(2, "trace_members", start=_leaks_and_priors, derived=True)]
    traces: Annotated[Float32, axes("inputs", "trace_members*losses*classes")]
    projectors: Annotated[
        Float32,
        axes("trace_members", "projected_inputs", "projected_inputs", start=_prior_projectors),
    ]
    linear: Annotated[Float32, axes("linear_inputs", "linear_members*losses*classes")]
    linear_projectors: Annotated[
        Float32,
        axes("linear_members", "linear_inputs", "linear_inputs", start=_prior_linear_projectors),
    ]
    logistic: Annotated[Float32, axes("logistic_inputs", "classes")]
    logistic_projector: Annotated[
        Float32, axes("logistic_inputs", "logistic_inputs", start=_prior_logistic_projector)
    ]
    stack: Annotated[Float64, axes("stacked", start=_equal_shares)]
    stack_projector: Annotated[Float64, axes("stacked", "stacked", start=_stack_prior)]
    log_stack: Annotated[Float64, axes(2, "blocks", start=_equal_log_shares)]
    evidence: Annotated[Float64, axes("experts", start=_first_evidence)]
    corrections: Annotated[Float64, axes("powers", "noises", start=_no_correction)]


class Recall(NamedTuple):
    """Old models.

    speakers and fits: how much say each has, and who was right lately (the readout in force, a
    blind guess, the snapshots); births: their numbers, from 1 in the order they were kept; weights
    and deep_weights: the hidden layers of each, run under the gains of `Net`, which stand from row
    300 on; readouts: what its members add up to.
    """

    speakers: Annotated[Float64, axes("speakers", start=_first_speakers)]
    fits: Annotated[Float64, axes("speakers")]
    clock: Annotated[Int64, axes(4, start=_first_copy)]
    births: Annotated[Int64, axes("snapshots")]
    weights: Annotated[Float32, axes("snapshots", "lines", "first_layer")]
    deep_weights: Annotated[Float32, axes("snapshots", "deep_layers", "below", "above")]
    readouts: Annotated[Float32, axes("snapshots", "inputs", "classes")]


class Memory(NamedTuple):
    """What the last rows left; empty without memory.

    spans: time constant of each hidden neuron's trace in median gaps between rows, 0 for those that
    start from nothing; kept: traces as the last row left them; clock: see above; ring: encoded rows
    before, the last one first; targets: see `delays`; steps: the label that came last, and how many
    steps the hidden layers were to make for it in a row.
    """

    spans: Annotated[Float64, axes("remembered", start=_spans, derived=True)]
    kept: Annotated[Float32, axes("remembered")]
    clock: Annotated[Float64, axes(5)]
    ring: Annotated[Float32, axes("delays", "lines")]
    targets: Annotated[Int32, axes("delayed_lines", "first_layer", start=_targets, derived=True)]
    steps: Annotated[Float64, axes(2, start=_no_label)]


class Spread(NamedTuple):
    """How far a regression was off lately.

    n: residuals so far; residuals: the last in a ring, and sorted, in the target's units; risks:
    misses aimed at.
    """

    n: Annotated[Int64, axes(1)]
    residuals: Annotated[Float64, axes(2, "residuals")]
    risks: Annotated[Float64, axes("coverages", start=_start_risks)]


class Neighbors(NamedTuple):
    """The last rows learned, in a ring; empty unless asked for.

    n: rows so far; ranges: of each feature the origin and the running range; rows: those kept, one
    column a row, each feature from its origin on; answers: slots of their classes, or targets.
    """

    n: Annotated[Int64, axes(1)]
    ranges: Annotated[Float64, axes(3, "features", start=_empty_ranges)]
    rows: Annotated[Float32, axes("features", "neighbors")]
    answers: Annotated[Float64, axes("neighbors")]


class Centroids(NamedTuple):
    """Places among the standardised features, and which classes lie there.

    n: so far; places: one column a centroid; counts: fading, of the rows it was nearest to; worth:
    how useful it was of late; rows: how many moved it.
    """

    n: Annotated[Int64, axes(1)]
    places: Annotated[Float32, axes("features", "centroids")]
    counts: Annotated[Float64, axes("centroids", "classes")]
    worth: Annotated[Float64, axes("centroids")]
    rows: Annotated[Float64, axes("centroids")]


class Gaussians(NamedTuple):
    """What naive Bayes knows of each class; without features where there are no linear members.

    moments: see above; means, and mean squares of the deviations from them, of each standardised
    feature.
    """

    moments: Annotated[Float64, axes(2, "classes")]
    means: Annotated[Float64, axes("classes", "described")]
    squares: Annotated[Float64, axes("classes", "described")]


class LateValues(NamedTuple):
    """Whom a regression trusts with values that come late: see `readout.late_values`.

    judged: observations so far; error: mean square of the best expert's; alike: number of the
    mixture's errors, mean of their squares, of their products with the one before, the last one;
    stack, projector: of what members say by then.
    """

    judged: Annotated[Float64, axes(1)]
    error: Annotated[Float64, axes(1, start=1.0)]
    alike: Annotated[Float64, axes(4)]
    evidence: Annotated[Float64, axes("late_experts")]
    stack: Annotated[Float64, axes("late_stacked", start=_equal_shares)]
    projector: Annotated[Float64, axes("late_stacked", "late_stacked", start=_stack_prior)]


class State(NamedTuple):
    """All mutable numbers of a model, in groups so that a compiled stage is handed only its own.

    target: its statistics; newness: moments of the gate; late: see `lateness`. Rows of other arrays
    are named above.
    """

    counts: Annotated[Int64, axes(N_COUNTS)]
    statistics: Annotated[Float64, axes(STAT_ROWS, "features", start=_empty_moments)]
    target: Annotated[Float64, axes(STAT_ROWS, 1, start=_empty_moments)]
    classes: Annotated[Float64, axes(2, "classes")]
    newness: Annotated[Float64, axes(8)]
    late: Annotated[Float64, axes(8)]
    net: Net
    clusters: Clusters
    bank: Bank
    recall: Recall
    memory: Memory
    spread: Spread
    late_values: LateValues
    centroids: Centroids
    neighbors: Neighbors
    gaussians: Gaussians
