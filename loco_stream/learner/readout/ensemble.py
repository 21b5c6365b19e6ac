"""The bank: all members of the readout, the stacks of what they say, and the mixture that has the last word.

A member of another kind gets its weights in `Bank` of `state`, and here its outputs in `speak`, its
say in `consult` and its update behind `change_bank`.
"""

from __future__ import annotations

import numpy as np

from loco_stream._compiler.jit import kernel
from loco_stream._compiler.simd.ops import add_outer, nonzero, weigh_rows
from loco_stream.learner.arrays.scratch import (
    ERROR,
    N_GAINS,
    N_LINEAR_ROWS,
    N_ROWS,
    PROBA,
    SCORES,
    STACKED,
    TARGET,
)
from loco_stream.learner.arrays.state import (
    CLASS_COUNT,
    EVER_LATE,
    LAST_SEEN,
    N_CLASSES,
    N_FEATURES,
    N_SEEN,
)
from loco_stream.learner.readout import (
    calibration,
    least_squares,
    log_loss,
    mixture,
    naive_bayes,
    stack,
)
from loco_stream.learner.readout import (
    delayed_values as late_values,
)
from loco_stream.options import LINEAR_LEAKS, LINEAR_PRIORS

__all__ = ["change_bank", "consult", "ensure_gains", "error_of", "forgetful_share", "span", "speak"]

LASTING = 2  # experts that the gate leaves alone, the last ones
READOUT_RATE = 0.5  # of the normalised delta rule
STACK_EXPERT, SQUARES_EXPERT, FIRST_EXPERT = range(
    3
)  # of the mixture; then the members, the logistic one, naive Bayes


@kernel
def span(settings, n_features):
    """Return where the readout's inputs start in the feature vector, and their number."""
    if settings.last_layer:
        return settings.n_hidden - settings.n_last, settings.n_last + 1
    return 0, settings.n_hidden + 1 + (n_features if settings.raw_inputs else 0)


@kernel
def speak(settings, state, features, answers, flags):
    """Write the outputs of every member."""
    bank = state.bank
    n_features = state.counts[N_FEATURES]
    first, n_inputs = span(settings, n_features)
    flags[N_ROWS] = nonzero(features, first, n_inputs, answers.rows)
    n_columns = bank.traces.shape[1]
    weigh_rows(
        answers.outputs, bank.traces, n_columns, features, first, answers.rows, flags[N_ROWS]
    )
    if settings.n_linear == 0:
        return
    hidden = settings.n_hidden
    rows = answers.linear_rows
    flags[N_LINEAR_ROWS] = nonzero(features, hidden, n_features + 1, rows)
    n_rows = flags[N_LINEAR_ROWS]
    n_linear = bank.linear.shape[1]
    weigh_rows(answers.outputs[n_columns:], bank.linear, n_linear, features, hidden, rows, n_rows)
    if bank.logistic.shape[0] > 0:
        weigh_rows(
            answers.logistic, bank.logistic, bank.logistic.shape[1], features, hidden, rows, n_rows
        )
        naive_bayes.speak(
            state.gaussians,
            state.classes,
            features,
            hidden + 1,
            n_features,
            state.counts[N_CLASSES],
            answers.bayes,
        )


@kernel
def _gain(settings, bank, m, features, n_features, answers, flags):
    """Write a member's gain and what it says of the input's novelty.

    Linear members follow, then the logistic one.
    """
    shares = answers.shares
    linear = m - settings.n_trace
    hidden = settings.n_hidden
    rows = answers.linear_rows
    n_rows = flags[N_LINEAR_ROWS]
    if linear >= settings.n_linear:
        shares[0, m], _ = least_squares.gain(
            bank.logistic_projector,
            n_features + 1,
            features,
            hidden,
            rows,
            n_rows,
            answers.logistic_gain,
        )
    elif linear >= 0:
        shares[0, m], _ = least_squares.gain(
            bank.linear_projectors[linear],
            n_features + 1,
            features,
            hidden,
            rows,
            n_rows,
            answers.linear_gains[linear],
        )
    else:
        first, n_inputs = span(settings, n_features)
        shares[0, m], square = least_squares.gain(
            bank.projectors[m],
            n_inputs,
            features,
            first,
            answers.rows,
            flags[N_ROWS],
            answers.gains[m],
        )
        shares[1, m] = shares[0, m] / (bank.members[1, m] * square)


@kernel
def ensure_gains(settings, state, scratch, n_members):
    """Make sure that the first members' gains for the sample in scratch are there."""
    flags = scratch.flags
    while flags[N_GAINS] < n_members:
        _gain(
            settings,
            state.bank,
            flags[N_GAINS],
            scratch.features,
            state.counts[N_FEATURES],
            scratch.answers,
            flags,
        )
        flags[N_GAINS] += 1


@kernel
def consult(settings, state, answers, vectors):
    """Write the combined scores, and in classification what each expert and their mixture say."""
    bank = state.bank
    n_classes = state.counts[N_CLASSES]
    capacity = state.classes.shape[1]
    losses = settings.n_losses
    if n_classes == 0:
        return
    if settings.regression and settings.recursive:
        if state.late[EVER_LATE] > 0.0:
            late_values.weigh(settings, state.late_values, bank.stack, answers.weights)
        else:
            for a in range(bank.stack.shape[0]):
                answers.weights[a] = bank.stack[a]
    elif settings.recursive:
        log_loss.stack_weights(bank.log_stack, 2 * bank.stack.shape[0], answers.weights)
    else:
        answers.weights[0] = 1.0
    log_loss.weighted(
        answers.outputs,
        answers.weights,
        answers.weights.shape[0],
        capacity,
        n_classes,
        vectors[SCORES],
    )
    if settings.regression:
        return
    if not settings.recursive:
        log_loss.softmax(vectors[SCORES], 0, n_classes, 1.0, vectors[PROBA])
        return
    experts = answers.experts
    logistic = FIRST_EXPERT + bank.stack.shape[0]
    stack.stacked(answers.outputs, losses * capacity, bank.stack, n_classes, vectors[STACKED])
    log_loss.softmax(vectors[SCORES], 0, n_classes, 1.0, experts[STACK_EXPERT])
    log_loss.softmax(vectors[STACKED], 0, n_classes, log_loss.SHARPNESS, experts[SQUARES_EXPERT])
    for a in range(bank.stack.shape[0]):
        log_loss.softmax(
            answers.outputs, (2 * a + 1) * capacity, n_classes, 1.0, experts[FIRST_EXPERT + a]
        )
    if logistic < experts.shape[0]:
        log_loss.softmax(answers.logistic, 0, n_classes, 1.0, experts[logistic])
        log_loss.softmax(answers.bayes, 0, n_classes, 1.0, experts[logistic + 1])
    mixture.mix(bank.evidence, experts, n_classes, answers.says, vectors[PROBA])


@kernel
def forgetful_share(settings, says):
    """Return how much of the mixture is said by others than the logistic member and naive Bayes, which keep it all."""
    total = 0.0
    for e in range(says.shape[0] - (LASTING if settings.n_linear > 0 else 0)):
        total += says[e]
    return total


@kernel
def error_of(settings, experts, scores, target, n_classes, error):
    """Write what the combined output has too much.

    Probabilities or the standardised value, less the target.
    """
    if settings.regression:
        error[0] = scores[0] - target[0]
        return
    if settings.recursive:
        for c in range(n_classes):
            error[c] = experts[STACK_EXPERT, c] - target[c]
        return
    log_loss.softmax(scores, 0, n_classes, 1.0, error)
    for c in range(n_classes):
        error[c] -= target[c]


@kernel
def mirror_readout(feedback, first, n_neurons, k, scale, increment, n_classes):
    """Give the feedback of the neurons that are read the increments that the readout gives their rows.

    Feedback that receives the changes of the forward weights comes to equal them (Kolen & Pollack
    1994). `k` are the readout's gains from neuron `first` on, `increment` (n_classes,) float32 what
    it adds to the outputs of one.
    """
    add_outer(feedback[first:], n_neurons, 0, n_classes, k, scale, increment, np.float32(1.0))


@kernel
def _mirror(settings, bank, answers, m, scale, n_classes, capacity, feedback, increment):
    """Give the feedback what a member's update adds to its rows of the combined readout."""
    first, _ = span(settings, 0)
    losses = settings.n_losses
    for c in range(n_classes):
        total = 0.0
        for b in range(losses):
            total += answers.weights[m * losses + b] * np.float64(
                answers.residual[b * capacity + c]
            )
        increment[c] = np.float32(total)
    mirror_readout(
        feedback, first, settings.n_hidden - first, answers.gains[m], scale, increment, n_classes
    )


@kernel
def _change_delta(settings, state, scratch, mirrors):
    """Update the readout of one normalised delta rule, and give the feedback what that adds to its rows."""
    features = scratch.features
    error = scratch.vectors[ERROR]
    n_classes = state.counts[N_CLASSES]
    first, n_inputs = span(settings, state.counts[N_FEATURES])
    step = least_squares.delta_update(
        state.bank.traces, n_inputs, features, first, error, n_classes, READOUT_RATE
    )
    if mirrors:
        lack = scratch.answers.increment
        n_read = settings.n_hidden - first
        feedback = state.net.feedback
        for c in range(n_classes):
            lack[c] = np.float32(-error[c])
        mirror_readout(feedback, first, n_read, features[first:], np.float32(step), lack, n_classes)


@kernel
def _change_members(settings, state, scratch, label, mirrors):
    """Update every recursive member."""
    bank = state.bank
    answers = scratch.answers
    vectors = scratch.vectors
    classes = state.classes
    n_classes = state.counts[N_CLASSES]
    n_seen = state.counts[N_SEEN]
    n_features = state.counts[N_FEATURES]
    capacity = classes.shape[1]
    losses = settings.n_losses
    target = vectors[TARGET]
    residual = answers.residual
    last_seen = classes[LAST_SEEN, : 0 if settings.regression else capacity]
    n_columns = losses * capacity
    n_trace = settings.n_trace
    _, n_inputs = span(settings, n_features)
    for m in range(n_trace):
        leak = bank.members[0, m]
        column = m * n_columns
        least_squares.write_residual(
            target,
            answers.outputs,
            column,
            capacity,
            last_seen,
            n_classes,
            n_seen,
            leak,
            losses,
            residual,
        )
        if mirrors:
            scale = np.float32(1.0 / (1.0 + answers.shares[0, m]))
            _mirror(
                settings,
                bank,
                answers,
                m,
                scale,
                n_classes,
                capacity,
                state.net.feedback,
                answers.increment,
            )
        least_squares.recursive_update(
            bank.projectors[m],
            bank.traces,
            column,
            n_columns,
            n_inputs,
            answers.gains[m],
            answers.shares[0, m],
            leak,
            bank.members[1, m],
            residual,
        )
    for m in range(settings.n_linear):
        leak = LINEAR_LEAKS[m]
        column = m * n_columns
        least_squares.write_residual(
            target,
            answers.outputs,
            n_trace * n_columns + column,
            capacity,
            last_seen,
            n_classes,
            n_seen,
            leak,
            losses,
            residual,
        )
        least_squares.recursive_update(
            bank.linear_projectors[m],
            bank.linear,
            column,
            n_columns,
            n_features + 1,
            answers.linear_gains[m],
            answers.shares[0, n_trace + m],
            leak,
            LINEAR_PRIORS[m],
            residual,
        )
    if bank.logistic.shape[0] > 0:
        m = bank.stack.shape[0]
        log_loss.learn_logistic(
            bank.logistic,
            bank.logistic_projector,
            n_features + 1,
            answers.logistic_gain,
            answers.shares[0, m],
            answers.experts[FIRST_EXPERT + m],
            target,
            n_classes,
            residual,
        )
        naive_bayes.learn(
            state.gaussians, scratch.features, settings.n_hidden + 1, n_features, label
        )


@kernel
def _learn_trust(settings, state, said, now, vectors, target, label, share):
    """Update all stacks and the evidence of the experts by what was said when the row was predicted, and is by now."""
    bank = state.bank
    capacity = state.classes.shape[1]
    n_classes = state.counts[N_CLASSES]
    n_columns = settings.n_losses * capacity
    if settings.regression and state.late[EVER_LATE] > 0.0:
        late = state.late_values
        error = vectors[ERROR, 0]
        late_values.judge(
            settings, late, bank.stack, said.outputs, n_columns, error, target[0], share
        )
        stack.stack_update(
            now.outputs,
            n_columns,
            target,
            n_classes,
            late.stack,
            late.projector,
            now.stack_room,
            share,
        )
    stack.stack_update(
        said.outputs,
        n_columns,
        target,
        n_classes,
        bank.stack,
        bank.stack_projector,
        said.stack_room,
        share,
    )
    if not settings.regression:
        log_loss.learn_stack(
            bank.log_stack,
            2 * bank.stack.shape[0],
            said.outputs,
            vectors[ERROR],
            capacity,
            n_classes,
            share,
        )
        favoured = bank.evidence.shape[0] - 1 if bank.logistic.shape[0] > 0 else -1
        mixture.judge(bank.evidence, said.experts, favoured, label, state.counts[N_SEEN], share)
        if (
            state.classes[CLASS_COUNT, label] > 1.0
        ):  # what was said of a class not known then says nothing
            calibration.judge(
                bank.corrections,
                vectors[PROBA],
                label,
                n_classes,
                state.counts[N_SEEN],
                share,
                said.correction_room,
            )


@kernel
def change_bank(settings, state, scratch, said, vectors, label, trust, mirrors):
    """Update the readout by a label or target.

    `said` and `vectors` are what was said when the row was predicted, `trust` is the share of an
    observation that this is of whom to trust; `mirrors` says whether the feedback follows.
    """
    if not settings.recursive:
        _change_delta(settings, state, scratch, mirrors)
        return
    _change_members(settings, state, scratch, label, mirrors)
    _learn_trust(
        settings, state, said, scratch.answers, vectors, scratch.vectors[TARGET], label, trust
    )
