"""Working memory of a step: what one row needs for a moment.

It can be made anew without changing a result.
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, TypeAlias

import numpy as np

from loco_stream._arrays import Float32, Float64, Int32, Int64
from loco_stream._learner.arrays.allocate import shapes_for
from loco_stream._learner.arrays.spec import PerClass, Record, axes, make_group, record, renewed
from loco_stream._learner.arrays.state import State
from loco_stream._learner.context.traces import Clock, LabelRun
from loco_stream._learner.fixed_layer import FixedLayerScratch
from loco_stream._learner.jobs import JobScratch
from loco_stream._learner.plasticity.projections import ProjectionScratch
from loco_stream._learner.readout.domains import DomainScratch
from loco_stream._learner.readout.experts import ExpertScratch
from loco_stream._learner.readout.next_value import NextValueScratch
from loco_stream._learner.readout.sequences import SequenceScratch
from loco_stream._learner.settings import Settings
from loco_stream._learner.texts import TextCode
from loco_stream._options import Layout
from loco_stream.neurons._spikes import MOST_SPIKES

PerNeuron: TypeAlias = Annotated[Float32, axes("hidden")]


class Code(NamedTuple):
    """The encoded row: a current per channel, and which channels are not 0."""

    channels: Annotated[Float32, axes("channels")]
    rows: Annotated[Int32, axes("channels")]


class Lagged(NamedTuple):
    """Encoded rows by lag, the present one first; empty without delays.

    channels, rows: as in `Code`
    n: how many channels are not 0
    projected: P times the channels
    """

    channels: Annotated[Float32, axes("taps", "channels")]
    rows: Annotated[Int32, axes("taps", "channels")]
    n: Annotated[Int64, axes("taps")]
    projected: Annotated[Float32, axes("taps", "channels")]


class HiddenPass(NamedTuple):
    """One pass through the hidden layers.

    drives: weighted inputs before gain and noise
    fresh: what this row's spikes leave
    traces: what they and the rows before leave; then 1 and the scaled features
    spikes: number of each layer
    """

    drives: PerNeuron
    fresh: PerNeuron
    traces: Annotated[Float32, axes("all_inputs")]
    spikes: Annotated[Int64, axes("layers")]


class NeuronBuffers(NamedTuple):
    """Per hidden neuron: noise of the perturbed pass, credit, and what the last row left."""

    noise: PerNeuron
    credit: PerNeuron
    carried: PerNeuron


class WindowBuffers(NamedTuple):
    """Working memory of one neuron in its window: its cell, and its spike times."""

    cell: Annotated[Float64, axes(2, 8)]
    times: Annotated[Float64, axes(MOST_SPIKES)]


class LayerBuffers(NamedTuple):
    """Per layer: which traces below are not 0, and P times its input."""

    rows: Annotated[Int32, axes("hidden")]
    projected: Annotated[Float32, axes("longest_input")]


class ReadoutInputs(NamedTuple):
    """Which inputs of the readout, of its linear members and of a snapshot are not 0.

    present_rows: of the members without a memory
    late_rows: the same of the late features, see `loco_stream._learner.readout.blocks`
    """

    rows: Annotated[Int32, axes("inputs")]
    present_rows: Annotated[Int32, axes("present_inputs")]
    linear_rows: Annotated[Int32, axes("linear_inputs")]
    recalled_rows: Annotated[Int32, axes("inputs")]
    late_rows: Annotated[Int32, axes("late_features")]


class ReadoutPass(NamedTuple):
    """What the readout computes for one row.

    outputs, scores: of all experts, blocks of `class capacity`
    snapshots: outputs of the snapshots
    opinions, opinion_weights: probabilities of each opinion, and its weight in the mixture
    others: what the stacks and means of a regression predict, see `delayed_values`
    weights: of each block of outputs in the combined output
    credit_weights: the same in the output whose error the hidden layers learn from
    combined, stacked: combined output; the least-squares stack's
    mixed: probabilities of the mixture
    fast: the ensemble's answer; log_odds: its logarithm, and what is known of the stream's next
    row; next: the answer to the next row; predicted: as it was when the row was predicted
    error: of the output that the hidden layers learn from
    buffer, stack_buffers, power_sums, power_factors: working memory
    """

    outputs: Annotated[Float32, axes("outputs*classes")]
    scores: Annotated[Float32, axes("scores*classes")]
    snapshots: Annotated[Float32, axes("snapshots*classes")]
    opinions: Annotated[Float64, axes("opinions", "classes")]
    opinion_weights: Annotated[Float64, axes("opinions")]
    others: Annotated[Float64, axes("late_others*classes")]
    weights: Annotated[Float64, axes("outputs")]
    credit_weights: Annotated[Float64, axes("outputs")]
    combined: PerClass
    stacked: PerClass
    mixed: PerClass
    fast: PerClass
    log_odds: Annotated[Float64, axes("log_odds", "classes")]
    next: PerClass
    predicted: PerClass
    error: PerClass
    buffer: PerClass
    stack_buffers: Annotated[Float64, axes(2, "stacked")]
    power_sums: Annotated[Float64, axes("powers")]
    power_factors: Annotated[Float64, axes("powers")]


class SavedContext(NamedTuple):
    """A copy of the context, to undo rows that were only predicted."""

    clock: Clock
    run: LabelRun
    values: Annotated[Float32, axes("context")]


class Scratch(NamedTuple):
    """Working memory for one row; nothing outlives a step except as a cache that is checked.

    cache: rows learned when the forward pass in scratch was made; input channels, inputs of the
    readout, of its members without a memory, of its linear members, and late features, that are not
    0
    times: time of the row in scratch; gap that `decays` are of
    given, row, scaled: the row as it came, without fillers, and standardised
    past: the last label known when the row in scratch was predicted, and the share of an
    observation that the row is
    texts: the texts of the row
    fixed: the fixed layer
    clean, perturbed, recalled: passes without and with noise, and of a snapshot
    now, then: what the readout computes now, and computed when a late row was predicted
    output_change: of the combined output in the perturbed pass
    target: of each output
    answer: probabilities of the answer
    sequence: the rows predicted in one call
    values: recent values and what is made of them
    dormant: 1 where a class is dormant
    domains: earlier domains
    jobs: what threads do together
    class_weights: as the user gave them, by slot; written anew with every workspace
    no_ticket: an empty ticket
    """

    cache: Annotated[
        Record,
        record(
            np.int64,
            valid_for=-1,
            n_channels=-1,
            n_rows=-1,
            n_present_rows=0,
            n_linear_rows=-1,
            n_late_rows=0,
        ),
    ]
    times: Annotated[Record, record(np.float64, row=0.0, decay_gaps=-1.0)]
    given: Annotated[Float64, axes("features", start=np.nan)]
    row: Annotated[Float64, axes("features", start=np.nan)]
    scaled: Annotated[Float32, axes("features")]
    code: Code
    texts: TextCode
    lagged: Lagged
    past: Annotated[Record, record(np.float64, last_label=-1.0, share=1.0)]
    fixed: FixedLayerScratch
    clean: HiddenPass
    perturbed: HiddenPass
    recalled: HiddenPass
    neurons: NeuronBuffers
    window: WindowBuffers
    layer: LayerBuffers
    decays: Annotated[Float64, axes("remembered")]
    inputs: ReadoutInputs
    now: ReadoutPass
    then: ReadoutPass
    projections: ProjectionScratch
    experts: ExpertScratch
    output_change: PerClass
    target: PerClass
    answer: PerClass
    sequence: SequenceScratch
    values: NextValueScratch
    dormant: PerClass
    domains: DomainScratch
    jobs: JobScratch
    class_weights: Annotated[Float64, axes("classes", start=1.0)]
    context: SavedContext
    no_ticket: Annotated[Float64, axes(0)]


def allocate_scratch(layout: Layout, settings: Settings, state: State) -> Scratch:
    """Make the working memory that fits `state`."""
    return make_group(Scratch, shapes_for(layout, settings, state))


def renew_scratch(
    scratch: Scratch, layout: Layout, settings: Settings, before: State, state: State
) -> Scratch:
    """Return working memory that fits `state`, with the arrays of one that still fit.

    `scratch` fits the state `before`, and must not be used any more.
    """
    old = shapes_for(layout, settings, before)
    return renewed(scratch, old, shapes_for(layout, settings, state))
