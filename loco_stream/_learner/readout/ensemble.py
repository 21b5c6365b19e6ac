"""The ensemble: all experts, the stacks of their outputs and the mixture of their opinions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

from loco_stream._compiler.jit import Kernel, kernel
from loco_stream._learner.delayed_labels.weights import count_observations
from loco_stream._learner.readout import delayed_values, mixture, stacks
from loco_stream._learner.readout.experts import EXPERTS, Expert
from loco_stream._learner.readout.experts._definition import is_ready, nothing
from loco_stream._learner.readout.softmax import SHARPNESS, softmax
from loco_stream._learner.readout.weighted_sum import weighted_sum

LOG_STACK = 0  # positions of the stacks' opinions; those of the experts follow
SQUARES_STACK = 1
FIRST_OPINION = mixture.N_STACKS

_count = cache(kernel)  # many experts count with the same function, which is compiled once


class Offsets(NamedTuple):
    """Where the parts of an expert begin in the predictions of a row."""

    output: int
    score: int
    opinion: int
    log_odds: int


# The opinions of the stacks come first, and the log-odds of the ensemble's answer.
FIRST = Offsets(output=0, score=0, opinion=FIRST_OPINION, log_odds=1)


@cache
def _next_offsets(expert: Expert) -> Kernel:
    """Return a kernel that returns where the parts of the next expert begin."""
    n_outputs = _count(expert.n_outputs)
    n_scores = _count(expert.n_scores)
    n_opinions = _count(expert.n_opinions)
    n_log_odds = _count(expert.n_log_odds)

    @kernel
    def next_offsets(settings, state, begin):
        capacity = len(state.classes.n_rows)
        return Offsets(
            begin.output + n_outputs(settings) * capacity,
            begin.score + n_scores(settings) * capacity,
            begin.opinion + n_opinions(settings),
            begin.log_odds + n_log_odds(settings),
        )

    return next_offsets


def _chain_experts(
    make_kernel: Kernel, end: Kernel = nothing, experts: Sequence[Expert] = EXPERTS
) -> Kernel:
    """Return one kernel that calls a function of every expert in order.

    Each call gets the part of the row's predictions that is the expert's. Numba cannot loop over
    kernels of different types, so the kernel of each expert calls the next one.

    Parameters
    ----------
    make_kernel
        ``(expert, rest) -> kernel``: runs one expert on the part that begins at the positions it is
        given, then the kernel `rest` behind it.
    end
        Called behind the last expert.
    experts
        In the order of their outputs.
    """
    for expert in reversed(experts):
        end = make_kernel(expert, end)
    return end


def _link_predict(expert: Expert, rest: Kernel) -> Kernel:
    own = expert.predict
    next_offsets = _next_offsets(expert)

    @kernel
    def predict(settings, state, scratch, begin):
        end = next_offsets(settings, state, begin)
        outputs = scratch.now.outputs[begin.output : end.output]
        own(settings, state, scratch, outputs, scratch.now.scores[begin.score : end.score])
        rest(settings, state, scratch, end)

    return predict


def _link_opine(expert: Expert, rest: Kernel) -> Kernel:
    own = expert.opine
    next_offsets = _next_offsets(expert)

    @kernel
    def opine(settings, state, computed, begin):
        end = next_offsets(settings, state, begin)
        outputs = computed.outputs[begin.output : end.output]
        scores = computed.scores[begin.score : end.score]
        own(settings, state, outputs, scores, computed.opinions[begin.opinion : end.opinion])
        rest(settings, state, computed, end)

    return opine


def _link_log_odds(expert: Expert, rest: Kernel) -> Kernel:
    own = expert.log_odds
    next_offsets = _next_offsets(expert)

    @kernel
    def log_odds(settings, state, computed, begin):
        end = next_offsets(settings, state, begin)
        if end.log_odds > begin.log_odds:
            scores = computed.scores[begin.score : end.score]
            own(settings, state, scores, computed.log_odds[begin.log_odds : end.log_odds])
        rest(settings, state, computed, end)

    return log_odds


def _link_learn(expert: Expert, rest: Kernel) -> Kernel:
    own = expert.learn
    next_offsets = _next_offsets(expert)

    @kernel
    def learn(settings, state, scratch, begin, label, value):
        end = next_offsets(settings, state, begin)
        scores = scratch.now.scores[begin.score : end.score]
        opinions = scratch.now.opinions[begin.opinion : end.opinion]
        own(settings, state, scratch, scores, opinions, label, value)
        rest(settings, state, scratch, end, label, value)

    return learn


def _link_prepare(expert: Expert, rest: Kernel) -> Kernel:
    own = expert.prepare

    @kernel
    def prepare(settings, state, scratch):
        is_ready = own(settings, state, scratch)
        return rest(settings, state, scratch) and is_ready

    return prepare


def _link_level(expert: Expert, rest: Kernel) -> Kernel:
    own = expert.level_unknown
    next_offsets = _next_offsets(expert)

    @kernel
    def level(settings, state, computed, begin, n_known):
        end = next_offsets(settings, state, begin)
        if end.score > begin.score:
            own(computed.scores[begin.score : end.score], n_known)
        rest(settings, state, computed, end, n_known)

    return level


_predict = _chain_experts(_link_predict)
_opine = _chain_experts(_link_opine)
_learn = _chain_experts(_link_learn)
_log_odds = _chain_experts(_link_log_odds)
_level = _chain_experts(_link_level)
prepare_experts = _chain_experts(_link_prepare, is_ready)


@kernel
def predict_members(settings, state, scratch):
    """Write the outputs and scores of every expert for the row in scratch."""
    _predict(settings, state, scratch, FIRST)


@kernel
def write_log_odds(settings, state, computed):
    """Write the log-odds of every expert that knows something of the stream's next row.

    `computed` is a `ReadoutPass`; the first of its log-odds are those of the answer without them.
    """
    _log_odds(settings, state, computed, FIRST)


@kernel
def level_unknown_classes(settings, state, computed, n_known):
    """Give a score to classes that were unknown when the scores of a row were written.

    `computed` is a `ReadoutPass`; `n_known` (int64) classes were known.
    """
    _level(settings, state, computed, FIRST, n_known)


@kernel
def combine_outputs(settings, state, computed):
    """Write the combined scores of a row, and in classification all opinions and their mixture.

    `computed` is a `ReadoutPass` with the outputs and scores of the experts.
    """
    n_classes = state.counts.n_classes
    capacity = len(state.classes.n_rows)
    own = state.stacks
    if n_classes == 0:
        return
    if settings.regression and settings.recursive:
        delayed = state.delayed_values
        stack = own.weights
        delayed_values.combine(
            settings, state, delayed, stack, state.target, computed, 0, computed.weights
        )
        delayed_values.write_credit_weights(
            settings, state, delayed, stack, computed.credit_weights
        )
        return
    if settings.recursive:
        stacks.log_stack_weights(own, computed.weights)
        # What a stack learns from its first rows lasts: it would choose what hidden layers learn.
        stacks.mean_weights(own, computed.credit_weights)
    else:
        computed.weights[0] = 1.0
        computed.credit_weights[0] = 1.0
    weighted_sum(computed.outputs, computed.weights, capacity, n_classes, computed.combined)
    if settings.regression:
        return
    if settings.recursive:
        _mix_opinions(settings, state, computed)
    else:
        softmax(computed.combined, 0, n_classes, 1.0, computed.mixed)


@kernel
def write_others(settings, state, computed):
    """Write what the stacks and means of a regression predict; see `delayed_values`.

    `computed` is a `ReadoutPass` with the outputs of the experts by now.
    """
    if not settings.regression or not settings.recursive:
        return
    capacity = len(state.classes.n_rows)
    stack = state.stacks.weights
    delayed = state.delayed_values
    delayed_values.write_others(
        settings, delayed, stack, computed.outputs, capacity, computed.others
    )


@kernel
def _mix_opinions(settings, state, computed):
    """Write the opinions of the stacks and of every expert, and their mixture."""
    n_classes = state.counts.n_classes
    stride = settings.n_losses * len(state.classes.n_rows)
    opinions = computed.opinions
    weighted_sum(computed.outputs, state.stacks.weights, stride, n_classes, computed.stacked)
    softmax(computed.combined, 0, n_classes, 1.0, opinions[LOG_STACK])
    softmax(computed.stacked, 0, n_classes, SHARPNESS, opinions[SQUARES_STACK])
    _opine(settings, state, computed, FIRST)
    mixture.mix(
        state.mixture.log_weights, opinions, n_classes, computed.opinion_weights, computed.mixed
    )


@kernel
def write_error(settings, state, scratch, computed):
    """Write the error of the output that the hidden layers learn from.

    It is probabilities or a standardised value, less the target. `computed` is a `ReadoutPass`.
    """
    n_classes = state.counts.n_classes
    capacity = len(state.classes.n_rows)
    if settings.regression:
        weighted_sum(computed.outputs, computed.credit_weights, capacity, 1, computed.error)
        computed.error[0] -= scratch.target[0]
        return
    if settings.recursive:
        for c in range(n_classes):
            computed.error[c] = computed.opinions[LOG_STACK, c] - scratch.target[c]
        return
    softmax(computed.combined, 0, n_classes, 1.0, computed.error)
    for c in range(n_classes):
        computed.error[c] -= scratch.target[c]


@kernel
def learn_experts(settings, state, scratch, label, value):
    """Let every expert learn the row in scratch; `label` is an int64 slot, `value` a float64."""
    _learn(settings, state, scratch, FIRST, label, value)


@kernel
def update_weights(settings, state, scratch, computed, label, share, learns_stacks):
    """Update the stacks and the mixture by `share` (float64) of a label.

    `computed` is the `ReadoutPass` of the time when the row was predicted; `label` an int64 slot.
    Without `learns_stacks` (bool) the stacks stay as they are.
    """
    if not settings.recursive:
        return
    own = state.stacks
    n_classes = state.counts.n_classes
    capacity = len(state.classes.n_rows)
    stride = settings.n_losses * capacity
    target = scratch.target
    if settings.regression:
        delayed = state.delayed_values
        delayed_values.learn(settings, state, scratch, delayed, state.target, computed, 0, share)
    if learns_stacks:
        stacks.learn_stack(
            own.weights,
            own.projector,
            computed.outputs,
            stride,
            target,
            n_classes,
            computed.stack_buffers,
            share,
        )
    if settings.regression:
        return
    if learns_stacks:
        stacks.learn_log_stack(own, computed.outputs, computed.error, capacity, n_classes, share)
    n_observations = count_observations(state)
    mixture.learn_mixture(state.mixture, computed.opinions, label, n_observations, share)
