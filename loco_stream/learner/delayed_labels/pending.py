"""What was said of a row when it was predicted.

Written as one row of numbers, and read when its label comes.

How many classes were known, and rows learned; the number of the ticket; the traces that the rows
before had left; the outputs of all members, of the logistic one, of naive Bayes and of the
snapshots; which snapshots these were, -1 where they were not asked; two shares for the gate; the
encoded rows before, where synapses have delays.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream.learner.arrays.scratch import CARRIED
from loco_stream.learner.arrays.state import N_CLASSES, N_FEATURES, N_SEEN, TICKETS
from loco_stream.learner.context.delays import read_codes, write_codes
from loco_stream.learner.readout.gate import N_COMPARED
from loco_stream.learner.readout.naive_bayes import level_unknown
from loco_stream.learner.readout.snapshots import are_heard
from loco_stream.options import Settings

__all__ = ["read_context", "read_outputs", "ticket_size", "when_written", "write_ticket"]

ROWS_LEARNED, SERIAL, HEAD = range(1, 4)  # places of these numbers, and where the traces begin


def ticket_size(settings: Settings, n_classes: int, n_features: int) -> int:
    """Return how many numbers are written when so many outputs and features are known."""
    remembered = settings.n_hidden if settings.longest > 0.0 else 0
    return (
        int(_codes_place(settings, remembered, n_classes))
        + settings.max_delay * n_features * settings.n_fields
    )


def _codes_place(settings: Any, remembered: Any, n_classes: Any) -> Any:
    """Return where the encoded rows begin."""
    n_snapshots = settings.n_snapshots
    return (
        HEAD
        + remembered
        + n_classes * (settings.n_blocks + 2 + n_snapshots)
        + n_snapshots
        + N_COMPARED
    )


_place_of_codes = kernel(_codes_place)  # the same for compiled code


@kernel
def _write_blocks(source, n_blocks, capacity, n_classes, ticket, place):
    for b in range(n_blocks):
        for c in range(n_classes):
            ticket[place + b * n_classes + c] = np.float64(source[b * capacity + c])
    return place + n_blocks * n_classes


@kernel
def write_ticket(settings, state, scratch, ticket):
    """Write what is said of the row in scratch."""
    answers = scratch.answers
    n_classes = state.counts[N_CLASSES]
    capacity = state.classes.shape[1]
    ticket[0] = np.float64(n_classes)
    ticket[ROWS_LEARNED] = np.float64(state.counts[N_SEEN])
    state.late[TICKETS] += 1.0
    ticket[SERIAL] = state.late[TICKETS]
    place = HEAD + state.memory.kept.shape[0]
    for i in range(state.memory.kept.shape[0]):
        ticket[HEAD + i] = np.float64(scratch.run.neurons[CARRIED, i])
    births = state.recall.births
    heard = are_heard(state.recall.speakers, state.recall.clock)
    place = _write_blocks(answers.outputs, settings.n_blocks, capacity, n_classes, ticket, place)
    place = _write_blocks(answers.logistic, 1, capacity, n_classes, ticket, place)
    place = _write_blocks(answers.bayes, 1, capacity, n_classes, ticket, place)
    place = _write_blocks(answers.snapshots, births.shape[0], capacity, n_classes, ticket, place)
    for s in range(births.shape[0]):
        ticket[place + s] = np.float64(births[s]) if heard else -1.0
    for m in range(N_COMPARED):
        ticket[place + births.shape[0] + m] = answers.shares[1, m]
    place += births.shape[0] + N_COMPARED
    write_codes(scratch.lagged, state.counts[N_FEATURES] * settings.n_fields, ticket, place)


@kernel
def when_written(ticket):
    """Return how many rows had been learned, and the ticket's number.

    0 and none if nothing was known.
    """
    return (ticket[ROWS_LEARNED], ticket[SERIAL]) if ticket.shape[0] > 0 else (0.0, -1.0)


@kernel
def read_context(settings, state, ticket, scratch):
    """Write what the rows before had left when the ticket was written.

    Nothing if nothing was known.
    """
    remembered = state.memory.kept.shape[0]
    neurons = scratch.run.neurons
    known = ticket.shape[0] > 0
    for i in range(remembered):
        neurons[CARRIED, i] = np.float32(ticket[HEAD + i]) if known else np.float32(0.0)
    n_classes = np.int64(ticket[0]) if known else np.int64(0)
    read_codes(ticket, _place_of_codes(settings, remembered, n_classes), scratch.lagged)


@kernel
def _read_blocks(ticket, place, n_blocks, n_classes, capacity, target):
    for b in range(n_blocks):
        for c in range(capacity):
            target[b * capacity + c] = np.float32(
                ticket[place + b * n_classes + c] if c < n_classes else 0.0
            )
    return place + n_blocks * n_classes


@kernel
def read_outputs(settings, state, scratch, ticket):
    """Write what was said into `earlier`.

    An empty ticket is of a row that came before any was learned.

    Of classes unknown then it is nothing. Snapshots that are newer, or were not asked then, are
    taken by what they say now, which nobody reads unless they are asked now.
    """
    told = ticket.shape[0] > 0
    earlier = scratch.earlier
    capacity = state.classes.shape[1]
    n_classes = np.int64(ticket[0]) if told else np.int64(0)
    births = state.recall.births
    now = scratch.answers.snapshots
    place = HEAD + state.memory.kept.shape[0]
    place = _read_blocks(ticket, place, settings.n_blocks, n_classes, capacity, earlier.outputs)
    place = _read_blocks(ticket, place, 1, n_classes, capacity, earlier.logistic)
    place = _read_blocks(ticket, place, 1, n_classes, capacity, earlier.bayes)
    level_unknown(earlier.bayes, n_classes)
    place = _read_blocks(ticket, place, births.shape[0], n_classes, capacity, earlier.snapshots)
    for s in range(births.shape[0]):
        if not told or ticket[place + s] != np.float64(births[s]):
            for c in range(s * capacity, (s + 1) * capacity):
                earlier.snapshots[c] = now[c]
    for m in range(N_COMPARED):
        earlier.shares[1, m] = ticket[place + births.shape[0] + m] if told else 1.0
