"""Explanations of an estimator: one prediction, and which features matter at all."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from loco_stream._arrays import Float64
from loco_stream._learner.arrays.state import State
from loco_stream._learner.encoding import FeatureStatistics
from loco_stream._learner.kernel_args import Model
from loco_stream._learner.readout.experts import EXPERTS
from loco_stream._learner.readout.next_row import HEAD_START, STACK
from loco_stream._learner.readout.next_value import FORGETTING
from loco_stream._learner.readout.snapshots import CURRENT, FIRST, needs_evaluation
from loco_stream._rng import derive_key, normals, uniforms
from loco_stream.errors import InputError
from loco_stream.estimators import _show
from loco_stream.estimators._core import ModelCore
from loco_stream.estimators._explain.relevance import Parts, decompose
from loco_stream.estimators._explain.result import Explanation
from loco_stream.estimators._inputs.tables import TimeLike
from loco_stream.estimators._target_core import TargetCore

_CELLS = 4096  # of the trial rows for importances: as many rows as these allow
_MIN_ROWS = 8
_MAX_ROWS = 64
_TRIAL_KEY = 105  # of their random numbers


def _predicted(
    core: ModelCore, x: Mapping[Any, Any], t: TimeLike, in_stream: bool | None
) -> tuple[Model, Any]:
    """Return a model that has just predicted a row, and its answer."""
    answers = core.predict_row(x, core.time_of(t), in_stream)
    if core.state is None or not core.n_outputs:
        raise InputError("the model has learned nothing, so there is no prediction to explain")
    return core.model, answers[0]


def explain_row(
    core: ModelCore, x: Mapping[Any, Any], t: TimeLike, in_stream: bool | None
) -> Explanation:
    """Explain the prediction for a row."""
    with core.lock:
        model, answer = _predicted(core, x, t, in_stream)
        slot = 0 if core.regression else int(answer)
        parts = decompose(*model, core.n_outputs, slot)
        if core.regression:
            return _explained_value(core, parts, float(answer), in_stream)
        experts = _expert_shares(core, model.state)
        explanation = _explanation(core, parts, core.classes[slot], experts, (1.0, 0.0))
        if model.settings.n_log_odds == 0:
            return explanation
        adds = _log_odds(core, slot, in_stream)
        explained = explanation.explained * _stack_share(model.state)
        return replace(explanation, next_row=adds, explained=explained)


def _explained_value(
    core: ModelCore, parts: Parts, answer: float, in_stream: bool | None
) -> Explanation:
    """Return the explanation of a value; the experts of the last values explain nothing."""
    settings, state, _ = core.model
    experts = _expert_shares(core, state)
    explanation = _explanation(core, parts, answer, experts, _units(state.target, 0))
    if settings.n_lags == 0 or in_stream is False:
        return explanation
    return _of_next_value(explanation, state, 0)


def _of_next_value(explanation: Explanation, state: State, j: int) -> Explanation:
    """Return the explanation with the weight of each expert of the stream's next row."""
    shares = _value_shares(state, j)
    explained = explanation.explained * shares["ensemble"]
    return replace(explanation, next_row=shares, explained=explained)


def _value_shares(state: State, j: int) -> dict[str, float]:
    """Return the weight of each expert in the answer to the next row for target `j`."""
    own = state.next_value
    if own.counters[j].n_known == 0:
        return {"ensemble": 1.0}
    names = ["ensemble", "last value"]
    names += [f"linear model, forgetting {share:g}" for share in FORGETTING]
    if state.counts.n_classes > 1:
        names += [f"joint linear model, forgetting {share:g}" for share in FORGETTING]
    weights = _show.shares(own.log_weights[j, : len(names)])
    return dict(zip(names, weights.tolist(), strict=True))


def _log_odds(core: ModelCore, slot: int, in_stream: bool | None) -> dict[str, float]:
    """Return what each row of log-odds adds for a class against the mean of the others."""
    settings, state, scratch = core.model
    n_classes = core.n_outputs
    own = state.next_row
    weights = own.weights * (1.0 - own.contexts) if in_stream is False else own.weights
    odds = scratch.now.log_odds[:, :n_classes]
    others = (odds.sum(axis=1) - odds[:, slot]) / max(n_classes - 1, 1)
    adds = weights * (odds[:, slot] - others) if n_classes > 1 else weights * odds[:, slot]
    names = ["ensemble"]
    for expert in EXPERTS:
        names += expert.log_odds_names(core.layout, settings)
    return dict(zip(names, adds.tolist(), strict=True))


def _stack_share(state: State) -> float:
    """Return the share of the stack's answer; the discriminant gives the rest alone."""
    own = state.next_row
    candidates = own.log_weights[own.contexts == 0.0]
    candidates[STACK] += HEAD_START
    return float(_show.shares(candidates)[STACK])


def explain_targets(
    core: TargetCore, x: Mapping[Hashable, object], t: TimeLike, in_stream: bool | None
) -> dict[Hashable, Explanation]:
    """Decompose the prediction of each target for a row by name."""
    with core.lock:
        model, answers = _predicted(core, x, t, in_stream)
        assert core.targets is not None
        found = {}
        for j, (name, mixture) in enumerate(core.mixtures().items()):
            model.scratch.now.weights[:] = core.combined_weights(j)
            parts = decompose(*model, core.n_outputs, j)
            units = _units(core.targets.statistics, j)
            explanation = _explanation(core, parts, float(answers[j]), (1.0, mixture), units)
            if model.settings.n_lags > 0 and in_stream is not False:
                explanation = _of_next_value(explanation, model.state, j)
            found[name] = explanation
        return found


def _units(statistics: Any, j: int) -> tuple[float, float]:
    """Return deviation and mean of target `j`."""
    deviation = np.sqrt(statistics.squares[j] / max(statistics.n_values[j], 1.0))
    return float(deviation), float(statistics.mean[j])


def _explanation(
    core: ModelCore,
    parts: Parts,
    prediction: Any,
    shares: tuple[float, dict[str, float]],
    units: tuple[float, float],
) -> Explanation:
    """Name the parts of a score; those of a feature's texts add up.

    shares: share of the current readout in the answer, and of each of its parts
    units: deviation and mean of the target; (1, 0) in classification
    """
    scale, shift = units
    adds = {name: scale * float(parts.slots[slot]) for name, slot in core.slots.index.items()}
    for name, _, slot in core.slots.categories:
        adds[name] += scale * float(parts.slots[slot])
    ordered = dict(sorted(adds.items(), key=lambda item: -abs(item[1])))
    base = shift + scale * parts.constant
    before = scale * parts.before
    nearest = scale * parts.nearest
    explained, experts = shares
    return Explanation(
        prediction=prediction,
        features=ordered,
        base=base,
        before=before,
        nearest=nearest,
        score=base + before + nearest + sum(ordered.values()),
        experts=experts,
        explained=explained,
    )


def _expert_shares(core: ModelCore, state: State) -> tuple[float, dict[str, float]]:
    """Return the share of the current readout in the answer, and of each of its parts."""
    shares = _show.mixture(core)
    snapshots = state.snapshots
    posterior = snapshots.posterior
    if not needs_evaluation(posterior, int(snapshots.counters.eval_rows)):
        return 1.0, shares
    total = float(posterior[CURRENT] + posterior[FIRST:].sum())
    current = float(posterior[CURRENT]) / total
    shares = {name: current * share for name, share in shares.items()}
    recalled = zip(snapshots.ids.tolist(), posterior[FIRST:].tolist(), strict=True)
    earlier = {f"earlier model {n}": w / total for n, w in recalled if w > 0.0}
    return current, shares | earlier


def importances(core: ModelCore) -> dict[Hashable, float]:
    """Return the share of each feature in the predictions."""
    state = core.state
    slots = core.slots
    if state is None or not slots.index:
        return {}
    rows = _trial_rows(core, state)
    answers = _answers(core, rows)
    changes = {}
    for name, slot in slots.index.items():
        without = rows.copy()
        of_texts = [place for key, _, place in slots.categories if key == name]
        without[:, [slot, *of_texts]] = np.nan
        changes[name] = float(np.abs(_answers(core, without) - answers).mean())
    total = sum(changes.values())
    return {name: change / total if total > 0.0 else 0.0 for name, change in changes.items()}


def _answers(core: ModelCore, rows: Float64) -> Float64:
    """Return probabilities (n, classes), or values (n, targets) in standard deviations."""
    if core.regression:
        return core.run(rows, learns=False).reshape(len(rows), -1) / core.deviations()
    proba = np.zeros((len(rows), len(core.model.state.classes.n_rows)))
    core.run(rows, learns=False, proba=proba)
    return proba[:, : max(1, len(core.classes))]


def _trial_rows(core: ModelCore, state: State) -> Float64:
    """Draw rows in slot order, each feature separately.

    Numbers are normal and within their range; of a feature with texts one text is drawn.
    """
    statistics = state.statistics
    width = len(statistics.n_values)
    n = min(max(_CELLS // width, _MIN_ROWS), _MAX_ROWS)
    key = derive_key(0, _TRIAL_KEY)
    rows = np.full((n, width), np.nan)
    for name, slot in core.slots.index.items():
        texts = [place for owner, _, place in core.slots.categories if owner == name]
        if texts:
            chosen = (uniforms(key, 4 * n * slot, n) * len(texts)).astype(int)
            rows[np.arange(n), np.array(texts)[chosen]] = 1.0
        elif statistics.n_values[slot] > 0.0:
            rows[:, slot] = _drawn_numbers(statistics, slot, normals(key, 2 * n * slot, n))
    return rows


def _drawn_numbers(statistics: FeatureStatistics, slot: int, normal: Float64) -> Float64:
    deviation = np.sqrt(statistics.squares[slot] / statistics.n_values[slot])
    drawn = statistics.mean[slot] + deviation * normal
    clipped: Float64 = np.clip(drawn, statistics.lowest[slot], statistics.highest[slot])
    return clipped
