"""Every mutable number of a model, and the workspace of a step.

`State` is what learning changes: saved, pickled and compared bit by bit. `Scratch` holds what
one sample needs for a moment; it can be made anew at any time without changing a result.

The vector the readout sees is `[traces of the hidden layers | 1 | scaled features]`: what may
grow stands last. The traces of the hidden layers share one array, layer after layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from loco_stream.learner.config import Izhikevich, ModelConfig, Settings
from loco_stream.learner.init_weights import start_weights

__all__ = ["Scratch", "State", "allocate", "allocate_scratch", "flatten", "grow", "unflatten"]

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
# Rows of `Workspace.slow`, float32, one column a hidden neuron; of the models that have them.
ADAPTATION, DRIVE, REST = 0, 0, 1
# `Scratch.flags`, int64: the sample whose clean pass is in scratch; of how many members the gains are; input spikes;
# inputs of the readout, and of its linear members, that are not zero.
CLEAN_FOR, N_GAINS, N_IN, N_ROWS, N_LINEAR_ROWS = range(5)

# Rows of `Scratch.vectors`, float64, one column a class.
SCORES, PROBA, ERROR, CHANGE, TARGET = range(5)

NORM_CAP = 1.5  # a neuron's weights may grow to this multiple of their norm at the start
LINEAR_LEAKS = (1e-4, 1e-2)
LINEAR_PRIORS = (0.1, 0.01)
STACK_PRIOR = 1.0
PRIORS = (0.01, 0.1)  # of a member's projector: leaky, without leak
START_SHARPNESS = 8.0
START_WEIGHTS = (1.0, 1e-3)  # of the readout in force, of a blind guess
SPACING = 200  # samples from one snapshot to the next


class Net(NamedTuple):
    """The hidden layers.

    layout: int64 (4, layers), rows n_pre, n_post, offset of the weights, offset of the neurons;
    weights: float32, row-major (n_pre, n_post) blocks, in thresholds, layer 1 last;
    neurons: float32 (3, hidden); feedback: float32 (hidden, class capacity).
    """

    layout: NDArray[np.int64]
    weights: NDArray[np.float32]
    neurons: NDArray[np.float32]
    feedback: NDArray[np.float32]


class Clusters(NamedTuple):
    """The input clusters.

    directions: float32 (clusters * rank, traces before each layer, the input's last);
    sizes: float64 (clusters,), samples each has seen; inverse_gram: float64 (layers, clusters * rank, same).
    """

    directions: NDArray[np.float32]
    sizes: NDArray[np.float64]
    inverse_gram: NDArray[np.float64]


class Bank(NamedTuple):
    """The readout.

    members: float64 (2, trace members), leak and prior; traces: float32 (inputs, trace members *
    class capacity); projectors: float32 (trace members, inputs, inputs); linear and
    linear_projectors: the same on (1, scaled features); stack, stack_projector: float64
    (members,) and (members, members).
    """

    members: NDArray[np.float64]
    traces: NDArray[np.float32]
    projectors: NDArray[np.float32]
    linear: NDArray[np.float32]
    linear_projectors: NDArray[np.float32]
    stack: NDArray[np.float64]
    stack_projector: NDArray[np.float64]


class Recall(NamedTuple):
    """Old readouts.

    weights and fits: float64 (2 + snapshots,), who is right, and who was lately; clock: int64 (3,); births: int64
    (snapshots,), when each was kept; snapshots: float32 (inputs, snapshots * class capacity), columns as in
    `Bank.traces`.
    """

    weights: NDArray[np.float64]
    fits: NDArray[np.float64]
    clock: NDArray[np.int64]
    births: NDArray[np.int64]
    snapshots: NDArray[np.float32]


class State(NamedTuple):
    """All mutable numbers of a model, in groups so that a compiled stage is handed only its own.

    counts: int64 (7,); scalars: float64 (1,); statistics: float64 (6, feature capacity);
    target: float64 (6, 1), the same of the target; classes: float64 (2, class capacity);
    newness: float64 (5,), moments of the gate.
    """

    counts: NDArray[np.int64]
    scalars: NDArray[np.float64]
    statistics: NDArray[np.float64]
    target: NDArray[np.float64]
    classes: NDArray[np.float64]
    newness: NDArray[np.float64]
    net: Net
    clusters: Clusters
    bank: Bank
    recall: Recall


class Spikes(NamedTuple):
    """Spikes of one pass: of the input, and of the last two layers (capacity: every slot, every neuron)."""

    line_of: NDArray[np.int32]
    slot_of: NDArray[np.int32]
    slot_ends: NDArray[np.int64]
    in_times: NDArray[np.float32]
    in_lines: NDArray[np.int32]
    times: NDArray[np.float32]
    indices: NDArray[np.int32]
    counts: NDArray[np.int64]
    noisy_counts: NDArray[np.int64]


class Workspace(NamedTuple):
    """What running and changing the hidden layers needs.

    neurons: (7, hidden); slow: (2, hidden), adaptation of ALIF neurons, or drive and rest of Izhikevich neurons, whose
    cells and constants are the next two; then traces of the input, projected traces, and room for the projection.
    """

    neurons: NDArray[np.float32]
    slow: NDArray[np.float32]
    cells: NDArray[np.float64]
    constants: NDArray[np.float64]
    input_trace: NDArray[np.float32]
    projected: NDArray[np.float32]
    coefficients: NDArray[np.float64]


class Answers(NamedTuple):
    """What the readout's members say of one sample.

    rows and linear_rows: which inputs are not zero; shares: (2, members), x'Px and x'Px / (prior x'x); residual: what
    the outputs of the member at work lack.
    """

    rows: NDArray[np.int32]
    linear_rows: NDArray[np.int32]
    outputs: NDArray[np.float32]
    linear_outputs: NDArray[np.float32]
    snapshot_outputs: NDArray[np.float32]
    gains: NDArray[np.float32]
    linear_gains: NDArray[np.float32]
    shares: NDArray[np.float64]
    stack_room: NDArray[np.float64]
    residual: NDArray[np.float32]


class Scratch(NamedTuple):
    """Workspace for one sample; nothing in it outlives a step except as a cache that is checked before use."""

    flags: NDArray[np.int64]
    row: NDArray[np.float64]
    scaled: NDArray[np.float32]
    features: NDArray[np.float32]
    vectors: NDArray[np.float64]
    spikes: Spikes
    workspace: Workspace
    answers: Answers


def allocate(config: ModelConfig, settings: Settings, n_features: int, n_classes: int, *, draw: bool = True) -> State:
    """Make the state of a fresh model with room for `n_features` features and `n_classes` outputs.

    Without `draw` the weights stay zero: the caller has them already.
    """
    sizes = (n_features * settings.n_fields, *config.hidden_sizes)
    hidden, members = settings.n_hidden, settings.n_trace + settings.n_linear
    statistics, target = np.zeros((STAT_ROWS, n_features)), np.zeros((STAT_ROWS, 1))
    for moments in (statistics, target):
        moments[LOWEST], moments[HIGHEST] = np.inf, -np.inf
    neurons = np.zeros((3, hidden), np.float32)
    neurons[THRESHOLD] = 1.0
    neurons[NORM_LIMIT] = NORM_CAP * config.start_gain
    neurons[NORM_FACTOR] = 1.0
    n_inputs = _n_inputs(settings, n_features)
    linear_inputs = n_features + 1 if settings.n_linear else 1
    rows = settings.n_clusters * settings.rank
    net = Net(
        layout=_layout(sizes),
        weights=np.zeros(sum(a * b for a, b in pairwise(sizes)), np.float32),
        neurons=neurons,
        feedback=np.zeros((hidden, n_classes), np.float32),
    )
    clusters = Clusters(
        directions=np.zeros((rows, hidden - settings.n_last + sizes[0]), np.float32),
        sizes=np.zeros(settings.n_clusters),
        inverse_gram=np.zeros((settings.n_layers, rows, rows)),
    )
    projected = n_inputs if settings.recursive else 1
    bank = Bank(
        members=np.array([config.leaks, [PRIORS[leak == 0.0] for leak in config.leaks]])
        if settings.recursive
        else np.zeros((2, 1)),
        traces=np.zeros((n_inputs, settings.n_trace * n_classes), np.float32),
        projectors=np.zeros((settings.n_trace, projected, projected), np.float32),
        linear=np.zeros((linear_inputs, settings.n_linear * n_classes), np.float32),
        linear_projectors=np.zeros((settings.n_linear, linear_inputs, linear_inputs), np.float32),
        stack=np.full(members, 1.0 / members),
        stack_projector=np.eye(members) * STACK_PRIOR,
    )
    recall = Recall(
        weights=np.zeros(2 + settings.n_snapshots),
        fits=np.zeros(2 + settings.n_snapshots),
        clock=np.array([0, -SPACING, 0]),
        births=np.zeros(settings.n_snapshots, np.int64),
        snapshots=np.zeros((n_inputs, settings.n_snapshots * n_classes), np.float32),
    )
    recall.weights[:2] = START_WEIGHTS
    state = State(
        counts=np.zeros(N_COUNTS, np.int64),
        scalars=np.array([START_SHARPNESS]),
        statistics=statistics,
        target=target,
        classes=np.zeros((2, n_classes)),
        newness=np.zeros(5),
        net=net,
        clusters=clusters,
        bank=bank,
        recall=recall,
    )
    if draw:
        start_weights(config, settings, state.net.layout, state.net.weights)
    _start_projectors(state)
    return state


def grow(config: ModelConfig, settings: Settings, state: State, n_features: int, n_classes: int) -> State:
    """Return a state with more room, every learned number in its place and new input rows drawn."""
    old_features, old_classes = state.statistics.shape[1], state.classes.shape[1]
    fresh = allocate(config, settings, n_features, n_classes, draw=n_features > old_features)
    whole = ("counts", "scalars", "target", "newness", "net.neurons", "clusters.sizes", "clusters.inverse_gram",
             "bank.stack", "bank.stack_projector", "recall.weights",
             "recall.fits", "recall.clock", "recall.births")  # fmt: skip
    old, new = flatten(state), flatten(fresh)
    for name in whole:
        new[name][...] = old[name]
    fresh.statistics[:, :old_features] = state.statistics
    fresh.classes[:, :old_classes] = state.classes
    fresh.net.weights[: state.net.weights.size] = state.net.weights
    fresh.net.feedback[:, :old_classes] = state.net.feedback
    fresh.clusters.directions[:, : state.clusters.directions.shape[1]] = state.clusters.directions
    _copy_columns(state.bank.traces, fresh.bank.traces, settings.n_trace)
    _copy_columns(state.recall.snapshots, fresh.recall.snapshots, settings.n_snapshots)
    _copy_columns(state.bank.linear, fresh.bank.linear, settings.n_linear)
    for name in ("bank.projectors", "bank.linear_projectors"):
        new[name][:, : old[name].shape[1], : old[name].shape[2]] = old[name]
    return fresh


def flatten(state: State) -> dict[str, NDArray[Any]]:
    """Return every array of a state by name, those of groups as ``group.name``; the arrays themselves, not copies."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, part in state._asdict().items():
        if isinstance(part, tuple):
            arrays.update({f"{name}.{inner}": array for inner, array in part._asdict().items()})  # type: ignore[attr-defined]
        else:
            arrays[name] = part
    return arrays


def unflatten(arrays: Mapping[str, NDArray[Any]]) -> State:
    """Undo `flatten`; raises KeyError for a missing array."""

    def group(kind: type[Any], prefix: str) -> Any:
        return kind(**{name: np.ascontiguousarray(arrays[f"{prefix}.{name}"]) for name in kind._fields})

    values: dict[str, Any] = {
        "net": group(Net, "net"),
        "clusters": group(Clusters, "clusters"),
        "bank": group(Bank, "bank"),
        "recall": group(Recall, "recall"),
    }
    for name in State._fields:
        if name not in values:
            values[name] = np.ascontiguousarray(arrays[name])
    return State(**values)


def allocate_scratch(settings: Settings, state: State) -> Scratch:
    """Make the working room that fits `state`."""
    n_features, n_classes = state.statistics.shape[1], state.classes.shape[1]
    lines = n_features * settings.n_fields
    longest, widest = (max(int(sizes.max()), 1) for sizes in state.net.layout[:2])
    members = settings.n_trace + settings.n_linear
    spikes = Spikes(
        line_of=np.zeros(lines, np.int32),
        slot_of=np.zeros(lines, np.int32),
        slot_ends=np.zeros(N_SLOTS, np.int64),
        in_times=np.zeros(lines, np.float32),
        in_lines=np.zeros(lines, np.int32),
        times=np.zeros((2, N_SLOTS * widest), np.float32),
        indices=np.zeros((2, N_SLOTS * widest), np.int32),
        counts=np.zeros(settings.n_layers, np.int64),
        noisy_counts=np.zeros(settings.n_layers, np.int64),
    )
    workspace = Workspace(
        neurons=np.zeros((7, settings.n_hidden), np.float32),
        slow=np.zeros((2, settings.n_hidden), np.float32),
        cells=np.zeros((settings.n_hidden if isinstance(settings.cell, Izhikevich) else 0, 6)),
        constants=np.zeros(6),
        input_trace=np.zeros(lines, np.float32),
        projected=np.zeros((2, longest), np.float32),
        coefficients=np.zeros((3, settings.n_clusters * settings.rank)),
    )
    if isinstance(settings.cell, Izhikevich):
        workspace.constants[:] = settings.cell[:6]
        workspace.slow[REST] = settings.cell.rest
    answers = Answers(
        rows=np.zeros(state.bank.traces.shape[0], np.int32),
        linear_rows=np.zeros(state.bank.linear.shape[0], np.int32),
        outputs=np.zeros(settings.n_trace * n_classes, np.float32),
        linear_outputs=np.zeros(settings.n_linear * n_classes, np.float32),
        snapshot_outputs=np.zeros(settings.n_snapshots * n_classes, np.float32),
        gains=np.zeros((settings.n_trace, state.bank.traces.shape[0]), np.float32),
        linear_gains=np.zeros((settings.n_linear, state.bank.linear.shape[0]), np.float32),
        shares=np.zeros((2, members)),
        stack_room=np.zeros((2, members)),
        residual=np.zeros(n_classes, np.float32),
    )
    return Scratch(
        flags=np.full(5, -1, np.int64),
        row=np.full(n_features, np.nan),
        scaled=np.zeros(n_features, np.float32),
        features=np.zeros(settings.n_hidden + 1 + n_features, np.float32),
        vectors=np.zeros((5, n_classes)),
        spikes=spikes,
        workspace=workspace,
        answers=answers,
    )


def _n_inputs(settings: Settings, n_features: int) -> int:
    return settings.n_hidden + 1 + n_features if settings.all_layers else settings.n_last + 1


def _layout(sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """Place the layers: weights of layer 1 stand last, since only they grow."""
    layout = np.zeros((4, len(sizes) - 1), np.int64)
    layout[0], layout[1] = sizes[:-1], sizes[1:]
    blocks = layout[0] * layout[1]
    layout[2] = np.cumsum(blocks) - blocks - blocks[0]
    layout[2, 0] = blocks[1:].sum()
    layout[3] = np.cumsum(layout[1]) - layout[1]
    return layout


def _start_projectors(state: State) -> None:
    """Set each projector to its prior times the identity."""
    bank = state.bank
    for projectors, priors in ((bank.projectors, bank.members[1]), (bank.linear_projectors, LINEAR_PRIORS)):
        for projector, prior in zip(projectors, priors, strict=False):
            np.fill_diagonal(projector, prior)


def _copy_columns(old: NDArray[np.float32], new: NDArray[np.float32], members: int) -> None:
    """Copy the columns of each member when the number of classes between them has grown."""
    n_old, n_new = (columns.shape[1] // max(members, 1) for columns in (old, new))
    for m in range(members):
        new[: old.shape[0], m * n_new : m * n_new + n_old] = old[:, m * n_old : (m + 1) * n_old]
