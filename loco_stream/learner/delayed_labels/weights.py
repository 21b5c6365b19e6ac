"""Late labels: how much of a step each part of a model makes of one.

Whom to trust is learned from what was said when the row was predicted. Rows of one event, all
predicted before the first of them was learned, tell nearly the same, and as so many observations
they would make the stacks fit a few events. So rows that were predicted by one model and have one
label make one observation together, as far as they are more in a row than chance makes them: each
counts as one over the mean length of such events so far (at first, over the rows that wait), and
one over its own number in a longer one.

Hidden layers make as much of a step, so that an event makes about one. Values ask for more: while
features move, the members without leak tell rows apart that lie a delay ahead by features of old.
So a regression learns late values by its readout alone at first, then by steps that grow to whole
ones, and always by its readout alone with a memory, where what the rows before have left was made
by older weights.
"""

from __future__ import annotations

from loco_stream._compiler.jit import kernel
from loco_stream.learner.arrays.state import (
    CLASS_COUNT,
    EVENT_LABEL,
    EVENT_ROWS,
    EVER_LATE,
    LEARNED,
    LENGTH,
    N_CLASSES,
    N_EVENTS,
    N_SEEN,
    SURPLUS,
    TICKETS,
)

__all__ = ["rows_a_draw", "shares"]

# rows of a regression: scaling and gains stand; until steps are whole ones
READOUT_FIRST = 300
RISE = 300


@kernel
def shares(settings, state, label, n_learned, serial, share):
    """Return what share of an observation a row with a ticket is, and of a step it makes of the `share` asked for.

    `n_learned` rows had been learned when it was predicted; `serial` is the number of its ticket,
    -1 of an empty one. The label of the last row observed is not late if no row was learned since.
    """
    late = state.late
    n_seen = state.counts[N_SEEN]
    if n_learned == n_seen and serial == late[TICKETS]:
        late[TICKETS] -= 1.0
        return 1.0, share
    late[EVER_LATE] = 1.0
    if settings.regression:
        risen = min(max((n_seen - READOUT_FIRST) / RISE, 0.0), 1.0)
        return share, 0.0 if settings.remembers else share * risen
    if late[N_EVENTS] == 0.0 and serial >= 0.0:
        late[LENGTH] = max(late[LENGTH], late[TICKETS] - serial + 1.0)
    trust = _trust_share(state.classes, state.counts[N_CLASSES], label, n_learned, share, late)
    return trust, trust


@kernel
def _trust_share(classes, n_classes, label, n_learned, share, late):
    """Return what share of an observation a late row of `label` is, predicted when `n_learned` rows were learned.

    `classes` has counted the label already. At most the `share` asked for.
    """
    if n_learned != late[LEARNED] or label != late[EVENT_LABEL]:
        _end_event(classes, n_classes, label, late)
        late[LEARNED] = n_learned
        late[EVENT_LABEL] = label
        late[EVENT_ROWS] = 0.0
    late[EVENT_ROWS] += 1.0
    by_chance = max(_chance_run(classes, n_classes, label, -1), 1.0)
    share = min(share, 1.0 / max(late[LENGTH], late[EVENT_ROWS] / by_chance, 1.0))
    late[SURPLUS] += 1.0 - share
    return share


@kernel
def _end_event(classes, n_classes, label, late):
    """Take the length of the event that is over, as a row of `label` came, into their mean."""
    if late[EVENT_ROWS] > 0.0:
        by_chance = _chance_run(classes, n_classes, int(late[EVENT_LABEL]), label)
        if by_chance > 0.0:
            late[N_EVENTS] += 1.0
            late[LENGTH] += (late[EVENT_ROWS] / by_chance - late[LENGTH]) / late[N_EVENTS]


@kernel
def _chance_run(classes, n_classes, label, last):
    """Return the mean length of a run of `label` if labels were drawn one by one.

    0 while it is the only one.

    The last row, which is of the class `last`, does not count.
    """
    rows = 0.0
    others = 0.0
    for c in range(n_classes):
        count = classes[CLASS_COUNT, c] - (1.0 if c == last else 0.0)
        rows += count
        if c != label:
            others += count
    return rows / others if others > 0.0 else 0.0


@kernel
def rows_a_draw(state):
    """Return how many rows go on one label drawn by chance.

    1 unless labels came late, event by event.
    """
    n_seen = state.counts[N_SEEN]
    beyond = state.late[SURPLUS]
    return n_seen / max(n_seen - beyond, 1.0) if beyond > 0.0 else 1.0
