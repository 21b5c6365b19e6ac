"""Late labels: how much of a step each part of a model makes of one.

Whom to trust is learned from what was said when the row was predicted. Rows of one event, all predicted before the
first of them was learned, tell nearly the same, and as so many observations they would make the stacks fit a few
events. So of rows that were predicted by one model and have one label, the k-th counts as 1 / k of an observation, once
they are more in a row than chance makes them.

Hidden layers make as much of a step, so that an event makes about one. Values ask for more: while features move, the
members without leak tell rows apart that lie a delay ahead by features of old. So a regression learns late values by
its readout alone at first, and always with a memory, where what the rows before have left was made by older weights.
"""

from __future__ import annotations

from loco_stream.jit import kernel
from loco_stream.learner.state import CLASS_COUNT, N_CLASSES, N_SEEN

__all__ = ["rows_a_draw", "shares"]

# `State.late`: rows of events beyond those that count; of the event that goes on, how many rows were learned when it
# was predicted, its label, and how many rows it had.
BEYOND, LEARNED, LABEL, ROWS = range(4)
READOUT_FIRST = 500  # rows of a regression


@kernel
def shares(settings, state, label, n_learned, share):
    """Return what share of an observation a row with a ticket is, and of a step it makes of the `share` asked for.

    `n_learned` rows were learned when it was predicted; where none was learned since, its label is not late.
    """
    n_seen = state.counts[N_SEEN]
    if n_learned == n_seen:
        return 1.0, share
    if settings.regression:
        return 1.0, 0.0 if settings.remembers or n_seen < READOUT_FIRST else share
    trust = _trust_share(state.classes, state.counts[N_CLASSES], label, n_learned, state.late)
    return trust, min(share, trust)


@kernel
def _trust_share(classes, n_classes, label, n_learned, late):
    """Return what share of an observation a late row of `label` is, predicted when `n_learned` rows were learned.

    `classes` has counted the label already.
    """
    if n_learned != late[LEARNED] or label != late[LABEL]:
        late[LEARNED], late[LABEL], late[ROWS] = n_learned, label, 0.0
    late[ROWS] += 1.0
    rows, others = 0.0, 0.0
    for c in range(n_classes):
        rows += classes[CLASS_COUNT, c]
        if c != label:
            others += classes[CLASS_COUNT, c]
    if others == 0.0:
        return 1.0
    share = min(1.0, rows / others / late[ROWS])  # rows / others: its mean run if labels were drawn one by one
    late[BEYOND] += 1.0 - share
    return share


@kernel
def rows_a_draw(state):
    """Return how many rows go on one label drawn by chance: 1 unless labels came late, event by event."""
    n_seen, beyond = state.counts[N_SEEN], state.late[BEYOND]
    return n_seen / max(n_seen - beyond, 1.0) if beyond > 0.0 else 1.0
