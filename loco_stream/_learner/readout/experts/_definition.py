"""What defines an expert of the readout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from loco_stream._arrays import Array, Float64
from loco_stream._compiler.jit import Kernel, kernel
from loco_stream._learner.arrays.spec import Nothing
from loco_stream._learner.readout.softmax import softmax


class Weighting(NamedTuple):
    """How much an expert counts in the score of a row.

    outputs: (blocks of its outputs,) weights
    scores: (blocks of its scores,) weights
    values: (blocks of its outputs, classes) the outputs
    """

    outputs: Float64
    scores: Float64
    values: Float64


class Contribution(NamedTuple):
    """What an expert adds to the score of each class; each may be 0.

    inputs: (readout inputs and features, classes): per element of [traces | 1 | features]
    present: the same of what is read from the present row's part of the traces alone
    other: (classes,): what is no sum over inputs
    """

    inputs: Float64 | float = 0.0
    present: Float64 | float = 0.0
    other: Float64 | float = 0.0


class Merge(NamedTuple):
    """Models that are merged into one, as arrays by name; their classes stand in one order.

    arrays: of the result; they start as copies of those of the model with most rows
    parts: of each model
    base: of the model that all of them began with; None: they began with nothing
    same_traces: whether all give a row the same traces, since their hidden layers are frozen
    """

    arrays: dict[str, Array]
    parts: Sequence[Mapping[str, Array]]
    base: Mapping[str, Array] | None
    same_traces: bool


def zero(settings: Any) -> int:
    """Return 0."""
    return 0


def no_axes(layout: Any, settings: Any, n_features: int, n_classes: int) -> dict[str, int]:
    """Return no axes."""
    return {}


@kernel
def nothing(*arguments):
    """Do nothing, where an expert has no part."""


@kernel
def scores_as_log_odds(settings, state, scores, odds):
    """Write the scores, of one block, as log-odds."""
    for c in range(state.counts.n_classes):
        odds[0, c] = scores[c]


@kernel
def softmax_of_scores(settings, state, outputs, scores, opinions):
    """Write the softmax of the scores, of one block, if the expert has an opinion."""
    if len(opinions) > 0:
        softmax(scores, 0, state.counts.n_classes, 1.0, opinions[0])


@kernel
def is_ready(settings, state, scratch):
    """Return True: nothing has to be computed before the row is learned."""
    return True


class Expert(NamedTuple):
    """One way to predict a row.

    Kernels get the groups `settings`, `state` and `scratch` (see `Settings`, `State` and `Scratch`)
    and allocate nothing. An expert finds its own arrays at ``state.experts.NAME`` and
    ``scratch.experts.NAME``. `outputs`, `scores` and `opinions` are its own blocks of the row's
    predictions.

    Parameters
    ----------
    name
        An identifier; files and groups name its arrays by it.
    state, scratch
        Groups of arrays that it learns, and that it works in.
    lengths
        ``(layout, settings, n_features, n_classes) -> {axis: length}`` of axes that only these
        groups have.
    n_outputs
        ``(settings) -> int``: blocks of `class capacity` outputs that the stacks combine.
    n_scores
        ``(settings) -> int``: blocks of log-odds that only the mixture reads.
    n_opinions
        ``(settings) -> int``: rows of probabilities that it gives the mixture.
    predict
        Kernel ``(settings, state, scratch, outputs, scores)``: writes outputs and scores, flat
        float32, for the row in scratch.
    n_log_odds
        ``(settings) -> int``: rows of log-odds that it gives the stack of the stream's next row.
    opine
        Kernel ``(settings, state, outputs, scores, opinions)``: writes probabilities, (n_opinions,
        classes) float64. It is also called with outputs of an earlier row.
    log_odds
        Kernel ``(settings, state, scores, odds)``: writes log-odds, (n_log_odds, classes) float64,
        up to what all classes share. It is also called with scores of an earlier row.
    prepare
        Kernel ``(settings, state, scratch) -> bool``: computes what learning the row needs; False
        if a number is not finite, and then nothing is learned.
    learn
        Kernel ``(settings, state, scratch, scores, opinions, label, value)``: learns the row in
        scratch. `label` is the slot of its class (int64), `value` its target (float64).
    level_unknown
        Kernel ``(scores, n_known)`` that gives classes unknown when the scores were written a
        score, which is 0 otherwise.
    names, log_odds_names
        ``(layout, settings) -> names`` of its opinions (in regression of its outputs), and of its
        log-odds.
    stack_weight
        Weight of its outputs in the log-loss stack at the start; None: an equal share.
    log_prior
        Log-odds of its opinions in the mixture at the start.
    knows_context
        Whether its log-odds come from the rows before, so that a row from anywhere ignores them.
    contribution
        ``(settings, state, scratch, weighting, n_classes) -> Contribution`` of the row in scratch.
    check
        ``(settings, state, n_classes)``: raises ValueError if restored arrays would mislead
        compiled code.
    """

    name: str
    predict: Kernel
    state: type[Any] = Nothing
    scratch: type[Any] = Nothing
    learn: Kernel = nothing
    lengths: Callable[[Any, Any, int, int], Mapping[str, int]] = no_axes
    n_outputs: Callable[[Any], int] = zero
    n_scores: Callable[[Any], int] = zero
    n_opinions: Callable[[Any], int] = zero
    n_log_odds: Callable[[Any], int] = zero
    opine: Kernel = nothing
    log_odds: Kernel = nothing
    prepare: Kernel = is_ready
    level_unknown: Kernel = nothing
    names: Callable[[Any, Any], Sequence[str]] = lambda layout, settings: ()
    log_odds_names: Callable[[Any, Any], Sequence[str]] = lambda layout, settings: ()
    stack_weight: float | None = None
    log_prior: float = 0.0
    knows_context: bool = False
    contribution: Callable[..., Contribution] = lambda *parts: Contribution()
    check: Callable[[Any, Any, int], None] = lambda settings, state, n_classes: None
    merge: Callable[[Merge], None] = lambda merge: None
