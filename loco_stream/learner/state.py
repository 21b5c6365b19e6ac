"""Every mutable number of a model, and the workspace of a step.

`State` is what learning changes: saved, pickled and compared bit by bit. `Scratch` holds what
one sample needs for a moment; it can be made anew at any time without changing a result.

Each array is one line below: its field, type of number and axes (see `arrays`), all that is needed to add another.
`_plan` names the axes.

The vector the readout sees is `[traces of the hidden layers | 1 | scaled features]`: what may
grow stands last. The traces of the hidden layers share one array, layer after layer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Annotated, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream.learner.arrays import Array, Plan, axes, build, flatten, specs
from loco_stream.learner.config import (
    LINEAR_LEAKS,
    LINEAR_PRIORS,
    NORM_CAP,
    PRIORS,
    SPACING,
    STACK_PRIOR,
    START_SHARPNESS,
    START_WEIGHTS,
    ModelConfig,
    Settings,
)
from loco_stream.learner.init_weights import start_weights
from loco_stream.neurons import dense_layer_of

__all__ = [
    "LINEAR_LEAKS",
    "LINEAR_PRIORS",
    "SPACING",
    "STACK_PRIOR",
    "Scratch",
    "State",
    "allocate",
    "allocate_scratch",
    "copied",
    "flatten",
    "grow",
    "unflatten",
]

Int32 = NDArray[np.int32]
Int64 = NDArray[np.int64]
Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

# Rows of `State.statistics` and `State.target`, float64, one column a feature.
COUNT, MEAN, SQUARES, LOWEST, HIGHEST, BEYOND = range(6)
STAT_ROWS = 6
N_SLOTS = 10  # spike times a window; ties make delivery cheap

# `State.counts`, int64.
N_SEEN, N_FEATURES, N_CLASSES, N_CLUSTERS, SKIPPED, MASKED, ROUND = range(7)
N_COUNTS = 7

# Rows of `Net.neurons`, float32, one column a hidden neuron.
THRESHOLD, NORM_LIMIT, NORM_FACTOR = range(3)
# Rows of `State.classes`, float64, one column a class.
CLASS_COUNT, LAST_SEEN = range(2)
# `State.scalars`, float64: the factor from scores to log-odds.
SHARPNESS = 0
# Rows of `Workspace.neurons`, float32, one column a hidden neuron.
NOISE, NOISY_THRESHOLD, MEMBRANE, PEAK, SENSITIVITY, CREDIT, NOISY_TRACE = range(7)
# `Scratch.flags`, int64: the sample whose clean pass is in scratch; of how many members the gains are; input spikes;
# inputs of the readout, and of its linear members, that are not zero.
CLEAN_FOR, N_GAINS, N_IN, N_ROWS, N_LINEAR_ROWS = range(5)

# Rows of `Scratch.vectors`, float64, one column a class.
SCORES, PROBA, ERROR, CHANGE, TARGET = range(5)


# What arrays start from


def _empty_moments(moments: Array, plan: Plan) -> None:
    moments[LOWEST], moments[HIGHEST] = np.inf, -np.inf


def _layout(layout: Array, plan: Plan) -> None:
    """Place the layers: weights of layer 1 stand last, since only they grow."""
    sizes = (plan.capacities["lines"], *plan.config.layer_sizes)
    layout[0], layout[1] = sizes[:-1], sizes[1:]
    blocks = layout[0] * layout[1]
    layout[2] = np.cumsum(blocks) - blocks - blocks[0]
    layout[2, 0] = blocks[1:].sum()
    layout[3] = np.cumsum(layout[1]) - layout[1]


def _start_weights(weights: Array, plan: Plan) -> None:
    layout = np.zeros((4, plan.capacities["layers"]), np.int64)
    _layout(layout, plan)
    start_weights(plan.config, plan.settings, layout, weights)


def _start_neurons(neurons: Array, plan: Plan) -> None:
    neurons[THRESHOLD] = neurons[NORM_FACTOR] = 1.0
    neurons[NORM_LIMIT] = NORM_CAP * plan.config.start_gain


def _leaks_and_priors(members: Array, plan: Plan) -> None:
    if plan.settings.recursive:
        members[:] = plan.config.leaks, [PRIORS[leak == 0.0] for leak in plan.config.leaks]


def _prior_projectors(projectors: Array, plan: Plan) -> None:
    priors = [PRIORS[leak == 0.0] for leak in plan.config.leaks] if plan.settings.recursive else [0.0]
    _set_diagonals(projectors, priors)


def _prior_linear_projectors(projectors: Array, plan: Plan) -> None:
    _set_diagonals(projectors, LINEAR_PRIORS)


def _set_diagonals(projectors: Array, priors: Iterable[float]) -> None:
    for projector, prior in zip(projectors, priors, strict=False):
        np.fill_diagonal(projector, prior)


def _equal_shares(stack: Array, plan: Plan) -> None:
    stack.fill(1.0 / len(stack))


def _stack_prior(projector: Array, plan: Plan) -> None:
    np.fill_diagonal(projector, STACK_PRIOR)


def _first_speakers(weights: Array, plan: Plan) -> None:
    weights[:2] = START_WEIGHTS


def _first_copy(clock: Array, plan: Plan) -> None:
    clock[:] = 0, -SPACING, 0


# What a model learns


class Net(NamedTuple):
    """The hidden layers.

    layout: rows n_pre, n_post, offset of the weights, offset of the neurons; weights: row-major (n_pre, n_post) blocks,
    in thresholds, layer 1 last.
    """

    layout: Annotated[Int64, axes(4, "layers", start=_layout, derived=True)]
    weights: Annotated[Float32, axes("weights", start=_start_weights)]
    neurons: Annotated[Float32, axes(3, "hidden", start=_start_neurons)]
    feedback: Annotated[Float32, axes("hidden", "classes")]


class Clusters(NamedTuple):
    """The input clusters; directions: traces before each layer, the input's last; sizes: samples each has seen."""

    directions: Annotated[Float32, axes("clusters*rank", "traces_before")]
    sizes: Annotated[Float64, axes("clusters")]
    inverse_gram: Annotated[Float64, axes("layers", "clusters*rank", "clusters*rank")]


class Bank(NamedTuple):
    """The readout.

    members: leak and prior of those on traces; linear and linear_projectors: the same as traces and projectors, of the
    members on (1, scaled features).
    """

    members: Annotated[Float64, axes(2, "trace_members", start=_leaks_and_priors, derived=True)]
    traces: Annotated[Float32, axes("inputs", "trace_members*classes")]
    projectors: Annotated[
        Float32, axes("trace_members", "projected_inputs", "projected_inputs", start=_prior_projectors)
    ]
    linear: Annotated[Float32, axes("linear_inputs", "linear_members*classes")]
    linear_projectors: Annotated[
        Float32, axes("linear_members", "linear_inputs", "linear_inputs", start=_prior_linear_projectors)
    ]
    stack: Annotated[Float64, axes("members", start=_equal_shares)]
    stack_projector: Annotated[Float64, axes("members", "members", start=_stack_prior)]


class Recall(NamedTuple):
    """Old readouts.

    weights and fits: who is right, and who was lately (the readout in force, a blind guess, the snapshots); births:
    when each was kept; snapshots: columns as in `Bank.traces`.
    """

    weights: Annotated[Float64, axes("speakers", start=_first_speakers)]
    fits: Annotated[Float64, axes("speakers")]
    clock: Annotated[Int64, axes(3, start=_first_copy)]
    births: Annotated[Int64, axes("snapshots")]
    snapshots: Annotated[Float32, axes("inputs", "snapshots*classes")]


class State(NamedTuple):
    """All mutable numbers of a model, in groups so that a compiled stage is handed only its own.

    target: the statistics of the target; newness: moments of the gate. The rows of arrays are named above.
    """

    counts: Annotated[Int64, axes(N_COUNTS)]
    scalars: Annotated[Float64, axes(1, start=START_SHARPNESS)]
    statistics: Annotated[Float64, axes(STAT_ROWS, "features", start=_empty_moments)]
    target: Annotated[Float64, axes(STAT_ROWS, 1, start=_empty_moments)]
    classes: Annotated[Float64, axes(2, "classes")]
    newness: Annotated[Float64, axes(5)]
    net: Net
    clusters: Clusters
    bank: Bank
    recall: Recall


# Working memory of one sample


class Spikes(NamedTuple):
    """Spikes of one pass: of the input, and of the last two layers (capacity: every slot, every neuron)."""

    line_of: Annotated[Int32, axes("lines")]
    slot_of: Annotated[Int32, axes("lines")]
    slot_ends: Annotated[Int64, axes(N_SLOTS)]
    in_times: Annotated[Float32, axes("lines")]
    in_lines: Annotated[Int32, axes("lines")]
    times: Annotated[Float32, axes(2, "spikes")]
    indices: Annotated[Int32, axes(2, "spikes")]
    counts: Annotated[Int64, axes("layers")]
    noisy_counts: Annotated[Int64, axes("layers")]


class Workspace(NamedTuple):
    """What running and changing the hidden layers needs.

    slow and cells: what the neuron model keeps of its own; then traces of the input, projected traces, and room for
    the projection.
    """

    neurons: Annotated[Float32, axes(7, "hidden")]
    slow: Annotated[Float32, axes(2, "hidden")]
    cells: Annotated[Float64, axes("hidden", "cell_width")]
    input_trace: Annotated[Float32, axes("lines")]
    projected: Annotated[Float32, axes(2, "longest")]
    coefficients: Annotated[Float64, axes(3, "clusters*rank")]


class Answers(NamedTuple):
    """What the readout's members say of one sample.

    rows and linear_rows: which inputs are not zero; shares: x'Px and x'Px / (prior x'x); residual: what the outputs of
    the member at work lack.
    """

    rows: Annotated[Int32, axes("inputs")]
    linear_rows: Annotated[Int32, axes("linear_inputs")]
    outputs: Annotated[Float32, axes("trace_members*classes")]
    linear_outputs: Annotated[Float32, axes("linear_members*classes")]
    snapshot_outputs: Annotated[Float32, axes("snapshots*classes")]
    gains: Annotated[Float32, axes("trace_members", "inputs")]
    linear_gains: Annotated[Float32, axes("linear_members", "linear_inputs")]
    shares: Annotated[Float64, axes(2, "members")]
    stack_room: Annotated[Float64, axes(2, "members")]
    residual: Annotated[Float32, axes("classes")]


class Scratch(NamedTuple):
    """Workspace for one sample; nothing in it outlives a step except as a cache that is checked before use."""

    flags: Annotated[Int64, axes(5, start=-1)]
    row: Annotated[Float64, axes("features", start=np.nan)]
    scaled: Annotated[Float32, axes("features")]
    features: Annotated[Float32, axes("all_inputs")]
    vectors: Annotated[Float64, axes(5, "classes")]
    spikes: Spikes
    workspace: Workspace
    answers: Answers


def allocate(config: ModelConfig, settings: Settings, n_features: int, n_classes: int) -> State:
    """Make the state of a fresh model with room for `n_features` features and `n_classes` outputs."""
    plan = _plan(config, settings, n_features, n_classes)
    return build(State, lambda spec: spec.make(plan))


def grow(config: ModelConfig, settings: Settings, state: State, n_features: int, n_classes: int) -> State:
    """Return a state with more room, every learned number in its place and new input rows drawn.

    Arrays that need no more room are shared with `state`, which is not to be used any more.
    """
    before = _plan(config, settings, *_room(state))
    plan, old = _plan(config, settings, n_features, n_classes), flatten(state)
    return build(State, lambda spec: spec.grow(old[spec.name], before.capacities, plan))


def copied(state: State) -> State:
    """Return a copy of every array."""
    arrays = flatten(state)
    return build(State, lambda spec: arrays[spec.name].copy())


def unflatten(config: ModelConfig, settings: Settings, arrays: Mapping[str, Array]) -> State:
    """Undo `flatten`.

    Raises
    ------
    KeyError
        An array is missing.
    ValueError
        One is not as those settings make it, or of a name that no spec has.
    """
    state = build(State, lambda spec: np.ascontiguousarray(arrays[spec.name]))
    if unknown := arrays.keys() - flatten(state).keys():
        raise ValueError(f"array {min(unknown)!r} is none of a model's")
    plan = _plan(config, settings, *_room(state))
    for spec in specs(State):
        spec.check(arrays[spec.name], plan)
    return state


def allocate_scratch(config: ModelConfig, settings: Settings, state: State) -> Scratch:
    """Make the working memory that fits `state`."""
    plan = _plan(config, settings, *_room(state))
    return build(Scratch, lambda spec: spec.make(plan))


def _room(state: State) -> tuple[int, int]:
    """Return for how many features and outputs there is room."""
    return state.statistics.shape[1], state.classes.shape[1]


def _plan(config: ModelConfig, settings: Settings, n_features: int, n_classes: int) -> Plan:
    """Name the length of every axis."""
    layers = (n_features * settings.n_fields, *config.layer_sizes)
    hidden, all_inputs = settings.n_hidden, settings.n_hidden + 1 + n_features
    n_inputs = all_inputs if settings.all_layers else settings.n_last + 1
    capacities = {
        "features": n_features,
        "classes": n_classes,
        "lines": layers[0],
        "layers": settings.n_layers,
        "hidden": hidden,
        "cell_width": dense_layer_of(type(settings.cell)).cell_width,
        "weights": sum(a * b for a, b in pairwise(layers)),
        "longest": max(1, *layers[:-1]),
        "spikes": N_SLOTS * max(layers[1:]),
        "clusters": settings.n_clusters,
        "rank": settings.rank,
        "traces_before": hidden - settings.n_last + layers[0],
        "all_inputs": all_inputs,
        "inputs": n_inputs,
        "projected_inputs": n_inputs if settings.recursive else 1,
        "linear_inputs": n_features + 1 if settings.n_linear else 1,
        "trace_members": settings.n_trace,
        "linear_members": settings.n_linear,
        "members": settings.n_trace + settings.n_linear,
        "snapshots": settings.n_snapshots,
        "speakers": 2 + settings.n_snapshots,
    }
    return Plan(config, settings, capacities)
