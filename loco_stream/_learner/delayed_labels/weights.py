"""How much of a step each part of a model makes of a late label.

The weights of stacks and mixture are learned from what was predicted when the row came. Successive
late rows with one label, each predicted before the row before it was learned, are a sequence. They
carry nearly the same evidence. Counting each of them as one observation would overfit the weights
to the last few sequences, which are over when the next row has to be predicted. Such rows therefore
have the weight 1 / L. L is the mean length of earlier sequences; before the first one ends, it is
the number of rows that wait. In a sequence that is longer than L, the weight of a row is 1 / (its
position in it). Lengths are divided by the length that chance alone would give, which is more than
1 for a frequent label.

Labels that come together, at the end of a sequence, are of rows that one state of the model
predicted, and count as about one observation. Where labels come one by one, the model learns
between the predictions, and L is at most `LARGEST_LENGTH`.

The step of the hidden layers has the same weight. Values need more care. While hidden layers
change, members without leak would fit features of earlier times. A regression therefore learns late
values with its readout alone at first, then with steps that grow to whole ones. Neurons with a
memory learn less from late values: see `traces.reduce_credit`.
"""

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._learner.arrays.spec import record

READOUT_FIRST = 300  # rows of a regression until its scales and gains are fixed,
RISE = 300  # and from there until steps are whole ones
LARGEST_LENGTH = 20.0  # that divides the weight of a row where labels come one by one


DelayedState = record(
    np.float64,
    surplus=0.0,
    n_learned=0.0,
    sequence_label=0.0,
    sequence_rows=0.0,
    n_sequences=0.0,
    sequence_length=0.0,
    n_tickets=0.0,
    is_delayed=0.0,
)
"""Late labels.

surplus
    Late rows minus the observations that they count as.
n_learned, sequence_label, sequence_rows
    Of the present sequence: rows learned when its last row was predicted, label, and rows so far.
n_sequences, sequence_length
    Sequences that are over, and their mean length.
n_tickets
    Rows observed whose label was not learned at once.
is_delayed
    1 once a label was late.
"""


@kernel
def is_last_row(state, written):
    """Return whether no row was learned or observed since a ticket was written."""
    n_learned, number = written
    return n_learned == state.counts.n_seen and number == state.delayed.n_tickets


@kernel
def count_observations(state):
    """Return how many observations the rows learned so far amount to, an int64."""
    return np.int64(max(state.counts.n_seen - state.delayed.surplus, 0.0))


@kernel
def delayed_label_weights(settings, state, label, written, step_size):
    """Return the weight of a row with a ticket as an observation, and the factor of its step.

    The label of the last row observed is not late if no row was learned since.

    Parameters
    ----------
    label
        int64 slot.
    written
        (rows learned, number of the ticket), float64, as `when_written` returns them.
    step_size
        float64: the factor that was requested.
    """
    n_learned, number = written
    delayed = state.delayed
    n_seen = state.counts.n_seen
    if is_last_row(state, written):
        delayed.n_tickets -= 1.0
        return 1.0, step_size
    delayed.is_delayed = 1.0
    if settings.regression:
        risen = min(max((n_seen - READOUT_FIRST) / RISE, 0.0), 1.0)
        return step_size, step_size * risen
    if delayed.n_sequences == 0.0 and number >= 0.0:
        delayed.sequence_length = max(delayed.sequence_length, delayed.n_tickets - number + 1.0)
    weight = _observation_weight(state, label, n_learned, step_size)
    return weight, weight


@kernel
def _observation_weight(state, label, n_learned, largest):
    """Return the weight of a late row of `label` as an observation, at most `largest`.

    It was predicted when `n_learned` rows were learned; the classes count its label already.
    """
    delayed = state.delayed
    n_classes = state.counts.n_classes
    counts = state.classes.n_rows
    stays = label == state.counts.last_label == delayed.sequence_label
    goes_on = stays and n_learned < state.counts.n_seen and delayed.sequence_rows > 0.0
    came_alone = goes_on and n_learned != delayed.n_learned
    if not goes_on:
        _end_sequence(state, label)
        delayed.sequence_label = label
        delayed.sequence_rows = 0.0
    delayed.n_learned = n_learned
    delayed.sequence_rows += 1.0
    by_chance = max(_chance_run(counts, n_classes, label, -1), 1.0)
    length = max(delayed.sequence_length, delayed.sequence_rows / by_chance, 1.0)
    if came_alone:
        length = min(length, LARGEST_LENGTH)
    weight = min(largest, 1.0 / length)
    delayed.surplus += 1.0 - weight
    return weight


@kernel
def _end_sequence(state, label):
    """Take the length of the sequence that ended when a row of `label` came into their mean."""
    delayed = state.delayed
    if delayed.sequence_rows > 0.0:
        n_classes = state.counts.n_classes
        last = int(delayed.sequence_label)
        by_chance = _chance_run(state.classes.n_rows, n_classes, last, label)
        if by_chance > 0.0:
            delayed.n_sequences += 1.0
            rest = delayed.sequence_rows / by_chance - delayed.sequence_length
            delayed.sequence_length += rest / delayed.n_sequences


@kernel
def _chance_run(counts, n_classes, label, last):
    """Return the mean length of a run of `label` if labels were drawn one by one; 0 if it is alone.

    The last row, which is of class `last`, does not count. `counts` is (n_classes or more,)
    float64.
    """
    rows = 0.0
    others = 0.0
    for c in range(n_classes):
        count = counts[c] - (1.0 if c == last else 0.0)
        rows += count
        if c != label:
            others += count
    return rows / others if others > 0.0 else 0.0
