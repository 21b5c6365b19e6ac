"""Rows that are observed: what earlier rows leave to them, and labels that come later."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from loco_stream._arrays import Float64
from loco_stream._learner.delayed_labels.pending import (
    HEAD,
    LAST_LABEL,
    N_FEATURES,
    N_KNOWN,
    places_of,
)
from loco_stream._numbers import LARGEST
from loco_stream.errors import InputError
from loco_stream.estimators._core import ModelCore
from loco_stream.estimators._inputs.row_times import NO_TIMES
from loco_stream.estimators._inputs.slots import require_mapping
from loco_stream.estimators._inputs.tables import (
    Names,
    SequenceIds,
    Table,
    TimeLike,
    TimesLike,
    table,
)
from loco_stream.estimators._tickets import Origin, Ticket

_CHANGED = "`x` must be a ticket of this model as `observe_one` returned it; learn the row itself"


def reset_context(core: ModelCore) -> None:
    """Make the next row a first one."""
    core.sequence = None
    if core.state is not None and core.scratch is not None:
        context = core.state.context
        for kept in (
            context.traces,
            context.means,
            context.fading_traces,
            context.mean_weights,
            context.ring,
        ):
            kept.fill(0.0)
        context.clock.is_timed = 0.0
        context.run.label = -1.0
        core.scratch.cache.valid_for = -1


def observe_one(core: ModelCore, x: Mapping[Any, Any], t: TimeLike) -> Ticket:
    """Note a row by name."""
    require_mapping(x)
    x = dict(x)
    times = core.time_of(t)
    with core.lock:
        if core.n_seen == 0:
            return _empty_ticket(core, x, None)
        core.place_row(x)
        return _observe(core, core.row, times, [x], None)[0]


def observe_array(
    core: ModelCore,
    X: ArrayLike,
    features: Names,
    t: TimesLike,
    sequence: SequenceIds,
) -> list[Ticket]:
    """Note the rows of an array in order."""
    given = table(X)
    n = len(given.numbers)
    with core.lock:
        given, distinct = core.named(given, features)
        names = tuple(distinct)
        times, last = core.times_of(t, sequence, n)
        core.sequence = last
        if given.texts:
            rows: list[Any] = rows_by_name(given, names)
            columns = None
        else:
            rows = [row[None].copy() for row in given.numbers]  # the caller may reuse the array
            columns = names
        if core.n_seen == 0:
            return [_empty_ticket(core, row, columns) for row in rows]
        if not core.slots.knows_any(names):
            core.warnings.warn_unknown(names, core.slots.index)
        return _observe(core, core.rows_of(given, names), times, rows, columns)


def new_tickets(core: ModelCore, n: int) -> Float64:
    """Return room for the tickets of `n` rows."""
    settings, state, _ = core.model
    counts = state.counts
    places = places_of(settings, int(counts.n_classes), int(counts.n_features))
    return np.zeros((n, places.end))


def _observe(
    core: ModelCore,
    placed: Float64,
    times: Float64,
    rows: list[Any],
    names: tuple[Hashable, ...] | None,
) -> list[Ticket]:
    """Observe rows in slot order; `rows` are the same as they came."""
    written = new_tickets(core, len(rows))
    proba = np.zeros((len(rows), 0 if core.regression else len(core.model.state.classes.n_rows)))
    answers = core.run(placed, learns=False, times=times, proba=proba, tickets=written)
    answers = core.decided(answers, proba)
    tickets = []
    for i, x in enumerate(rows):
        prediction, probabilities = core.shown(answers[i], proba[i])
        tickets.append(Ticket(x, names, prediction, probabilities, written[i].copy(), core.origin))
    return tickets


def _empty_ticket(core: ModelCore, x: Any, names: tuple[Hashable, ...] | None) -> Ticket:
    """Return the ticket of a row that came before anything was learned."""
    return Ticket(x, names, *core.shown_unseen(), np.zeros(0), core.origin)


def learn_ticket(core: ModelCore, ticket: Ticket, y: Any) -> None:
    """Learn a row whose label has come, from what was predicted at the time."""
    labels, value = core.read_target(y)
    with core.lock:
        _check_ticket(core, ticket)
        row = ticket.x
        if ticket.features is not None:
            row = dict(zip(ticket.features, row[0].tolist(), strict=True))
        core.learn_row(row, labels, value, NO_TIMES, ticket.predicted[None, :])
        if core.learns_tickets_once:
            core.learned_tickets.add(ticket)


def _check_ticket(core: ModelCore, ticket: Ticket) -> None:
    """Refuse a ticket that is another model's, was learned, or would be misread by kernels."""
    if not _is_whole(ticket):
        raise InputError(_CHANGED)
    predicted = ticket.predicted
    if None not in (ticket.origin, core.origin) and ticket.origin is not core.origin:
        raise InputError(
            "`x` must be a ticket of this model, got one of another model: pass the row itself"
        )
    if ticket in core.learned_tickets:
        raise InputError("`x` must be a ticket that was not learned, got one that was")
    if len(predicted) == 0 or _is_sound(core, predicted):
        return
    raise InputError(_CHANGED)


def _is_whole(ticket: Ticket) -> bool:
    """Return whether a ticket has a row, numbers and an origin of the right kinds."""
    names = ("x", "features", "predicted", "origin")
    if not all(hasattr(ticket, name) for name in names):
        return False
    x, features, predicted, origin = (getattr(ticket, name) for name in names)
    if not isinstance(origin, Origin | None) or not isinstance(predicted, np.ndarray):
        return False
    if predicted.ndim != 1 or predicted.dtype != np.float64:
        return False
    if features is None:
        return isinstance(x, Mapping)
    if not isinstance(features, tuple | list) or not isinstance(x, np.ndarray):
        return False
    # kernels read one row for the one label
    return x.shape == (1, len(features)) and all(isinstance(name, Hashable) for name in features)


def _is_sound(core: ModelCore, predicted: Float64) -> bool:
    settings = core.settings
    if settings is None:
        return False
    if not predicted.flags.c_contiguous or len(predicted) < HEAD:
        return False
    is_number = np.abs(predicted) <= LARGEST
    most = core.n_outputs
    if not is_number[:HEAD].all() or not 0 <= predicted[N_KNOWN] <= most:
        return False
    n_classes = int(predicted[N_KNOWN])
    n_features = int(predicted[N_FEATURES])
    places = places_of(settings, n_classes, n_features)
    lags = slice(HEAD, places.carried)  # NaN where there was no value yet
    is_number[lags] |= np.isnan(predicted[lags])
    if not bool(is_number.all()):
        return False
    if not 1 <= n_features <= len(core.slots):
        return False
    if not -1 <= predicted[LAST_LABEL] < most:
        return False
    return len(predicted) == places.end


def rows_by_name(given: Table, names: tuple[Hashable, ...]) -> list[dict[Hashable, Any]]:
    """Return the rows of a table as dicts."""
    rows = [dict(zip(names, row, strict=True)) for row in given.numbers.tolist()]
    for j, column in given.texts.items():
        for row, text in zip(rows, column, strict=True):
            row[names[j]] = text
    return rows
