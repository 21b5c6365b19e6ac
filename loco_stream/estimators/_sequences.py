"""Sequences: rows that share one label."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from loco_stream._arrays import Float64
from loco_stream._learner.readout import sequences
from loco_stream._learner.readout.sequence_readout import PRIORS, SequenceReadout, summary_of
from loco_stream._learner.settings import BALANCED
from loco_stream.errors import InputError
from loco_stream.estimators._array_rows import predict_table
from loco_stream.estimators._core import ModelCore
from loco_stream.estimators._inputs.categories import text_columns
from loco_stream.estimators._inputs.row_times import row_times_at
from loco_stream.estimators._inputs.tables import Names, Table, TimesLike, table
from loco_stream.estimators._observed import new_tickets


def learn(
    core: ModelCore,
    X: ArrayLike,
    y: Any,
    t: TimesLike,
    features: Names,
) -> None:
    """Learn the rows of one sequence."""
    given = _sequence(X)
    n = len(given.numbers)
    labels, known = core.read_target(y)
    with core.lock:
        given, names = core.named(given, features)
        times, _ = core.times_of(t, [object()] * n, n)
        slot, value = core.placed_target(core.admit(names, labels), known)
        rows = _admitted(core, given, names)
        tickets = new_tickets(core, n)
        proba = np.zeros((n, 0 if core.regression else len(core.classes)))
        core.run(rows, learns=False, times=times, tickets=tickets, proba=proba, is_sequence=True)
        if not core.regression:
            _learn_label(core, proba, slot)
        core.run(
            rows,
            np.full(n, slot),
            np.array([value] * n),
            predicts=False,
            times=row_times_at(np.full(n, np.nan), share=1.0 / n),
            tickets=tickets,
        )
        core.sequence = None
        core.warn_of_columns()


def _learn_label(core: ModelCore, proba: Float64, slot: int) -> None:
    """Compare the candidates by the label of a sequence whose rows were just predicted.

    The readouts of whole sequences then learn it.
    """
    state = core.model.state
    n_known = state.counts.n_classes
    if slot < n_known:
        shares = _shares(core, proba[:, :n_known])
        sequences.learn_label(state.sequences.log_likelihoods[: len(shares)], shares, slot)
    for layer, summary in _summaries(core, len(proba)).items():
        if layer not in core.sequence_readouts:
            core.sequence_readouts[layer] = SequenceReadout.fresh(layer, len(summary))
        core.sequence_readouts[layer].learn(summary, slot)


def _summaries(core: ModelCore, n: int) -> dict[str, Float64]:
    """Return the summary of each layer of the `n` rows that were just predicted."""
    own = core.model.scratch.sequence
    return {"hidden": summary_of(own.hidden, n), "fixed": summary_of(own.fixed, n)}


def predict(
    core: ModelCore,
    X: ArrayLike,
    t: TimesLike,
    features: Names,
    columns: int,
    in_stream: bool | None = None,
) -> tuple[Float64, Float64]:
    """Return answers and probabilities, (n, columns), of the rows of one sequence."""
    given = _sequence(X)
    n = len(given.numbers)
    times, _ = core.times_of(t, [object()] * n, n)
    return predict_table(core, given, features, times, columns, in_stream, is_sequence=True)


def _sequence(X: ArrayLike) -> Table:
    given = table(X)
    if len(given.numbers) == 0:
        raise InputError("`X` must have 1 row or more, the rows of one sequence, got 0")
    return given


def _admitted(core: ModelCore, given: Table, names: Sequence[Hashable]) -> Float64:
    """Return rows in slot order once their texts have slots."""
    columns = text_columns(names, given.texts)
    n = len(given.numbers)
    texts = [(column.key, column.text(row)) for row in range(n) for column in columns]
    core.admit((), texts=texts)
    return core.with_texts(given, names, columns, slice(0, n))


def _shares(core: ModelCore, proba: Float64) -> Float64:
    """Return what each candidate makes of the rows that were just predicted.

    `proba`: (rows, classes): the answers.
    """
    settings, _, scratch = core.model
    n, n_classes = proba.shape
    weights = scratch.class_weights[:n_classes]
    scores = scratch.sequence.scores[:n_classes]
    outputs = np.zeros((len(PRIORS), n_classes))
    readouts = core.sequence_readouts
    for i, (layer, summary) in enumerate(_summaries(core, n).items()):
        if layer in readouts:
            outputs[i] = readouts[layer].outputs(summary, n_classes)
    shares = sequences.candidates(proba, outputs, scores, weights, _balance(core, n_classes))
    return shares if settings.n_fixed > 0 else shares[: -len(sequences.TEMPERATURES)]


def _balance(core: ModelCore, n_classes: int) -> Float64:
    """Return the weights by which classes count equally where that is wanted, (classes,)."""
    settings, state, _ = core.model
    if settings.weighting != BALANCED:
        return np.ones(n_classes)
    n_rows = np.maximum(state.classes.n_rows[:n_classes], 1.0)
    return np.asarray(n_rows.mean() / n_rows)


def pooled(core: ModelCore, proba: Float64) -> Float64:
    """Return the probability of each class of a sequence whose rows were just predicted.

    `proba`: (rows, classes): the answers.
    """
    shares = _shares(core, proba)
    return sequences.mix(core.model.state.sequences.log_likelihoods[: len(shares)], shares)
