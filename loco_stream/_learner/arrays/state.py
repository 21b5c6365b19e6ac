"""Every mutable number of a model: what learning changes, what is saved, and compared bit by bit.

Groups are declared beside the kernels that change them and joined here. The vector that the readout
sees is ``[traces of the hidden layers | 1 | scaled features]``: what may grow stands last. The
traces of the hidden layers share one array, layer after layer.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, NamedTuple

import numpy as np

from loco_stream._arrays import Array, Float32, Float64, Int64
from loco_stream._learner.arrays.init_weights import start_weights
from loco_stream._learner.arrays.spec import NOT_NEGATIVE, POSITIVE, Record, Shapes, axes, record
from loco_stream._learner.context.traces import ContextState
from loco_stream._learner.delayed_labels.weights import DelayedState
from loco_stream._learner.encoding import FeatureStatistics, KeptScales, TargetStatistics
from loco_stream._learner.fixed_layer import FixedLayerState
from loco_stream._learner.hidden import MAX_GAIN
from loco_stream._learner.plasticity.projections import ProjectionState
from loco_stream._learner.readout.calibration import CalibrationState
from loco_stream._learner.readout.delayed_values import DelayedValueState
from loco_stream._learner.readout.domains import DomainState
from loco_stream._learner.readout.dormancy import ClassState, LeadState
from loco_stream._learner.readout.experts import ExpertState
from loco_stream._learner.readout.intervals import ResidualState
from loco_stream._learner.readout.mixture import MixtureState
from loco_stream._learner.readout.next_row import NextRowState
from loco_stream._learner.readout.next_value import NextValueState
from loco_stream._learner.readout.past_rows import PastState
from loco_stream._learner.readout.sequences import SequenceState
from loco_stream._learner.readout.snapshots import SnapshotState
from loco_stream._learner.readout.stacks import StackState
from loco_stream._learner.scale_guard import ScaleGuard
from loco_stream._learner.texts import TextState

# Statistics of the slot of a text, which holds 1 or is masked: settled, mean 0 and variance 1, so
# that 1 stays 1.
TEXT_STATISTICS = {
    "n_values": 300.0,
    "mean": 0.0,
    "squares": 300.0,
    "lowest": 0.0,
    "highest": 1.0,
    "beyond": 0.0,
}


def _layer_sizes(sizes: Array, shapes: Shapes) -> None:
    sizes[:] = shapes.layout.hidden_sizes


def _layer_starts(starts: Array, shapes: Shapes) -> None:
    starts[1:] = np.cumsum(shapes.layout.hidden_sizes)[:-1]


def _start_weights(weights: Array, shapes: Shapes) -> None:
    weights[:] = start_weights(shapes.settings, 0, *weights.shape)


def _start_deep_weights(weights: Array, shapes: Shapes) -> None:
    for layer, (n_pre, n_post) in enumerate(pairwise(shapes.layout.hidden_sizes)):
        weights[layer, :n_pre, :n_post] = start_weights(shapes.settings, layer + 1, n_pre, n_post)


def _start_gains(gains: Array, shapes: Shapes) -> None:
    gains.fill(shapes.settings.gain)


class Net(NamedTuple):
    """The hidden layers.

    n_post, first: neurons of each layer, and where they begin among all
    weights: of the first layer, from each channel; columns of norm 1 at the start
    deep_weights: of the others, from each neuron of the layer below
    gain: from weighted input to drive in thresholds per window
    drive_power, input_power: mean squares of the weighted inputs, and of the input itself
    loss_baseline: mean change of the loss under a perturbation
    feedback: what a neuron's drive does to each output
    """

    n_post: Annotated[Int64, axes("layers", start=_layer_sizes, derived=True)]
    first: Annotated[Int64, axes("layers", start=_layer_starts, derived=True)]
    weights: Annotated[Float32, axes("channels", "first_layer", start=_start_weights)]
    deep_weights: Annotated[
        Float32, axes("deep_layers", "below", "above", start=_start_deep_weights)
    ]
    gain: Annotated[Float64, axes("layers", start=_start_gains, within=(POSITIVE[0], MAX_GAIN))]
    drive_power: Annotated[Float64, axes("layers", within=NOT_NEGATIVE)]
    input_power: Annotated[Float64, axes("layers", within=NOT_NEGATIVE)]
    loss_baseline: Annotated[Float64, axes("layers")]
    feedback: Annotated[Float32, axes("classes", "hidden")]


class State(NamedTuple):
    """All mutable numbers of a model, in groups so that a stage is handed only its own.

    counts: rows learned, features, outputs, input clusters, steps refused because a number was not
    finite, values masked, perturbations drawn, slot of the last label
    """

    counts: Annotated[
        Record,
        record(
            np.int64,
            n_seen=0,
            n_features=0,
            n_classes=0,
            n_clusters=0,
            n_skipped=0,
            n_masked=0,
            noise_round=0,
            last_label=-1,
        ),
    ]
    statistics: FeatureStatistics
    scale_guard: ScaleGuard
    kept_scales: KeptScales
    target: TargetStatistics
    classes: ClassState
    delayed: Annotated[Record, DelayedState]
    net: Net
    texts: TextState
    fixed: FixedLayerState
    projections: ProjectionState
    experts: ExpertState
    stacks: StackState
    mixture: MixtureState
    calibration: CalibrationState
    next_row: NextRowState
    lead: LeadState
    past: PastState
    domains: DomainState
    sequences: SequenceState
    snapshots: SnapshotState
    context: ContextState
    residuals: ResidualState
    delayed_values: DelayedValueState
    next_value: NextValueState
