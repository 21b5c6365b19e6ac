"""What was predicted for a row, written as one row of numbers and read when its label arrives.

In order: number of classes known, rows learned, number of the ticket, the last label known, number
of features known; the last values known of each target of a regression; carried traces, fading
means of the features and of traces, and what is left of their weights; outputs of all experts, what
the stacks and means of a regression predicted, scores of all experts, then outputs of the
snapshots, each over the classes known; numbers of these snapshots, -1 where they were not
evaluated; the probabilities that were made of all this, of a classifier with a mixture, over the
classes known; encoded rows before, where synapses have delays.

What experts are weighed by must be what was predicted then. The stacks, which have since learned
the rows beside this one, would find its label in hindsight. A row that came before the first label
had no prediction. The mixture and the next row's weights then learn from what is predicted when its
label comes, as otherwise nothing would tell experts apart until the first row with a prediction
gets its label. The stacks do not: what they learn early lasts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._learner.context.delays import read_codes, write_codes
from loco_stream._learner.readout.delayed_values import N_OTHERS
from loco_stream._learner.readout.ensemble import level_unknown_classes
from loco_stream._learner.readout.mixture import N_STACKS
from loco_stream._learner.readout.next_value import recall_values
from loco_stream._learner.readout.snapshots import are_evaluated
from loco_stream._learner.settings import Settings

N_KNOWN = 0  # positions in a ticket
ROWS_LEARNED = 1
NUMBER = 2
LAST_LABEL = 3
N_FEATURES = 4
HEAD = 5  # where the last values begin
MOST_ROUNDING = 1e-6  # of a sum of probabilities


class Places(NamedTuple):
    """Where the parts of a ticket begin.

    carried: what a row has from the rows before, but for delays
    predicted: outputs of experts and snapshots
    answers: probabilities of the stacks, the mixture, the ensemble and the stream's next row
    codes: encoded rows before
    end: length of the ticket
    """

    carried: int
    predicted: int
    answers: int
    codes: int
    end: int


def places_of(settings: Settings, n_classes: int, n_features: int) -> Places:
    """Return the places in a ticket that is written when so many outputs and features are known."""
    carried = HEAD + settings.n_lags * n_classes
    predicted = carried
    if settings.longest > 0.0:
        n_means = settings.n_means * n_features + settings.n_fading
        n_weights = settings.n_means + 1 if settings.n_means > 0 else 0
        predicted += settings.n_hidden + n_means + n_weights
    n_others = N_OTHERS if settings.regression and settings.recursive else 0
    n_blocks = settings.n_outputs + n_others + settings.n_scores + settings.n_snapshots
    answers = predicted + n_classes * n_blocks + settings.n_snapshots
    codes = answers
    if settings.n_opinions > 0:
        codes += n_classes * (N_STACKS + 1 + 2 * int(settings.n_log_odds > 0))
    end = codes + n_features * settings.max_delay * settings.n_fields
    return Places(carried, predicted, answers, codes, end)


_places_of = kernel(places_of)  # the same for compiled code


@kernel
def _write_blocks(source, n_blocks, capacity, n_classes, ticket, place):
    """Write blocks of outputs from `place` on; return where they end."""
    for b in range(n_blocks):
        for c in range(n_classes):
            ticket[place + b * n_classes + c] = source[b * capacity + c]
    return place + n_blocks * n_classes


@kernel
def _write_row(row, ticket, place):
    """Write numbers from `place` on; return where they end."""
    for i in range(len(row)):
        ticket[place + i] = row[i]
    return place + len(row)


@kernel
def _read_row(ticket, place, known, row):
    """Read numbers from `place` on, 0 if the ticket is empty; return where they end."""
    for i in range(len(row)):
        row[i] = np.float32(ticket[place + i]) if known else np.float32(0.0)
    return place + len(row)


@kernel
def write_ticket(settings, state, scratch, ticket):
    """Write what is predicted for the row in scratch into a ticket, float64."""
    now = scratch.now
    n_classes = state.counts.n_classes
    capacity = len(state.classes.n_rows)
    ticket[N_KNOWN] = n_classes
    ticket[ROWS_LEARNED] = state.counts.n_seen
    state.delayed.n_tickets += 1.0
    ticket[NUMBER] = state.delayed.n_tickets
    ticket[LAST_LABEL] = state.counts.last_label
    n_features = state.counts.n_features
    ticket[N_FEATURES] = n_features
    n_lags = settings.n_lags
    for j in range(n_classes if n_lags > 0 else 0):
        recall_values(state.next_value, j, ticket[HEAD + j * n_lags : HEAD + (j + 1) * n_lags])
    place = _places_of(settings, n_classes, n_features).carried
    place = _write_row(scratch.neurons.carried[: len(state.context.traces)], ticket, place)
    for carried in scratch.fixed.carried:
        for f in range(n_features):
            ticket[place + f] = carried[f]
        place += n_features
    place = _write_row(scratch.fixed.carried_traces, ticket, place)
    place = _write_row(scratch.fixed.mean_weights, ticket, place)
    snapshots = state.snapshots
    ids = snapshots.ids
    evaluated = are_evaluated(snapshots.posterior, snapshots.counters.eval_rows)
    place = _write_blocks(now.outputs, settings.n_outputs, capacity, n_classes, ticket, place)
    n_others = len(now.others) // capacity
    place = _write_blocks(now.others, n_others, capacity, n_classes, ticket, place)
    place = _write_blocks(now.scores, settings.n_scores, capacity, n_classes, ticket, place)
    place = _write_blocks(now.snapshots, len(ids), capacity, n_classes, ticket, place)
    for s in range(len(ids)):
        ticket[place + s] = np.float64(ids[s]) if evaluated else -1.0
    place += len(ids)
    if settings.n_opinions > 0:
        place = _write_answers(settings, now, n_classes, ticket, place)
    write_codes(scratch.lagged, n_features * settings.n_fields, ticket, place)


@kernel
def _write_answers(settings, now, n_classes, ticket, place):
    """Write probabilities from `place` on; return where they end."""
    for stack in range(N_STACKS):
        place = _write_blocks(now.opinions[stack], 1, n_classes, n_classes, ticket, place)
    place = _write_blocks(now.mixed, 1, n_classes, n_classes, ticket, place)
    if settings.n_log_odds > 0:
        place = _write_blocks(now.fast, 1, n_classes, n_classes, ticket, place)
        place = _write_blocks(now.next, 1, n_classes, n_classes, ticket, place)
    return place


@kernel
def when_written(ticket):
    """Return the rows learned when a ticket was written, and its number.

    (0, -1) for an empty one.
    """
    return (ticket[ROWS_LEARNED], ticket[NUMBER]) if len(ticket) > 0 else (0.0, -1.0)


@kernel
def knows_classes(ticket):
    """Return whether a class was known when a ticket was written."""
    return len(ticket) > 0 and ticket[N_KNOWN] > 0.0


@kernel
def last_label_of(ticket):
    """Return the last label known when a ticket was written, a slot; -1: none."""
    return np.int64(ticket[LAST_LABEL]) if len(ticket) > 0 else np.int64(-1)


@kernel
def _sizes_of(ticket):
    """Return how many classes and features were known when a ticket was written; 0 if empty."""
    if len(ticket) == 0:
        return np.int64(0), np.int64(0)
    return np.int64(ticket[N_KNOWN]), np.int64(ticket[N_FEATURES])


@kernel
def read_values(ticket, known):
    """Read the values known when a ticket was written, (targets, lags); NaN where there is none."""
    n_targets, _ = _sizes_of(ticket)
    n_lags = known.shape[1]
    for j in range(len(known)):
        for k in range(n_lags):
            known[j, k] = ticket[HEAD + j * n_lags + k] if j < n_targets else math.nan


@kernel
def read_context(settings, state, scratch, ticket):
    """Read what the rows before had left; an empty ticket is that of a row before any other."""
    known = len(ticket) > 0
    n_classes, n_features = _sizes_of(ticket)
    places = _places_of(settings, n_classes, n_features)
    place = places.carried
    traces = scratch.neurons.carried[: len(state.context.traces)]
    place = _read_row(ticket, place, known, traces)
    for carried in scratch.fixed.carried:
        for f in range(len(carried)):
            carried[f] = np.float32(ticket[place + f]) if f < n_features else np.float32(0.0)
        place += n_features
    place = _read_row(ticket, place, known, scratch.fixed.carried_traces)
    _read_row(ticket, place, known, scratch.fixed.mean_weights)
    read_codes(ticket, places.codes, n_features * settings.n_fields, scratch.lagged)


@kernel
def _read_blocks(ticket, place, n_blocks, n_classes, capacity, target):
    """Read blocks of outputs, 0 for classes unknown then; return where they end."""
    for b in range(n_blocks):
        for c in range(capacity):
            known = c < n_classes
            value = ticket[place + b * n_classes + c] if known else 0.0
            target[b * capacity + c] = value
    return place + n_blocks * n_classes


@kernel
def _are_probabilities(ticket, first, stop, n_classes):
    """Return whether each block from `first` up to `stop` holds probabilities that sum up to 1."""
    for begin in range(first, stop, n_classes):
        total = 0.0
        for c in range(n_classes):
            p = ticket[begin + c]
            if not 0.0 <= p <= 1.0:
                return False
            total += p
        if abs(total - 1.0) > MOST_ROUNDING:
            return False
    return True


@kernel
def _answers_place(settings, state, ticket):
    """Return where the probabilities of a ticket begin.

    -1: a class was unknown, the ticket is of a release that did not write them, or is damaged.
    """
    n_classes, n_features = _sizes_of(ticket)
    if settings.n_opinions == 0 or n_classes < state.counts.n_classes:
        return np.int64(-1)
    places = _places_of(settings, n_classes, n_features)
    if not _are_probabilities(ticket, places.answers, places.codes, n_classes):
        return np.int64(-1)
    return places.answers


@kernel
def read_answers(settings, state, ticket, then):
    """Read what stacks, mixture and ensemble predicted, if it is known, into a `ReadoutPass`.

    Returns
    -------
    int64
        Where the answer to the stream's next row begins in the ticket, for `read_next_row`; -1: it
        is unknown, and so is the answer of the ensemble.
    """
    place = _answers_place(settings, state, ticket)
    if place < 0:
        return place
    n_classes = state.counts.n_classes
    for stack in range(N_STACKS):
        place = _read_blocks(ticket, place, 1, n_classes, n_classes, then.opinions[stack])
    place = _read_blocks(ticket, place, 1, n_classes, n_classes, then.mixed)
    if settings.n_log_odds == 0:
        return np.int64(-1)
    return _read_blocks(ticket, place, 1, n_classes, n_classes, then.fast)


@kernel
def read_next_row(place, n_classes, ticket, then):
    """Read the answer to the stream's next row from `place` on; see `read_answers`."""
    if place >= 0:
        _read_blocks(ticket, place, 1, n_classes, n_classes, then.predicted)


@kernel
def read_outputs(settings, state, scratch, ticket):
    """Read what was predicted into `scratch.then`; an empty ticket is of a row before any other.

    Snapshots that are newer, or were not evaluated then, count by what they predict now, which is
    read only if they are evaluated now.
    """
    known = len(ticket) > 0
    then = scratch.then
    capacity = len(state.classes.n_rows)
    n_classes, n_features = _sizes_of(ticket)
    ids = state.snapshots.ids
    place = _places_of(settings, n_classes, n_features).predicted
    place = _read_blocks(ticket, place, settings.n_outputs, n_classes, capacity, then.outputs)
    n_others = len(then.others) // capacity
    place = _read_blocks(ticket, place, n_others, n_classes, capacity, then.others)
    place = _read_blocks(ticket, place, settings.n_scores, n_classes, capacity, then.scores)
    level_unknown_classes(settings, state, then, n_classes)
    place = _read_blocks(ticket, place, len(ids), n_classes, capacity, then.snapshots)
    for s in range(len(ids)):
        if not known or ticket[place + s] != np.float64(ids[s]):
            for c in range(s * capacity, (s + 1) * capacity):
                then.snapshots[c] = scratch.now.snapshots[c]
