"""Decisions: which class follows from a row's probabilities, by thresholds or by costs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Self, TypeAlias, TypedDict, TypeVar

import numpy as np

from loco_stream._arrays import Float64, Int64
from loco_stream._numbers import is_number, plain
from loco_stream._persistence.content import Plain
from loco_stream._text import listed
from loco_stream.errors import ConfigError

Costs: TypeAlias = Mapping[tuple[Hashable, Hashable], float]
Key = TypeVar("Key", bound=Hashable)

MAX_COST = 1e9


class Rule(TypedDict, total=False):
    """The arguments of `set_decision`: one of the two.

    Examples
    --------
    >>> from loco_stream import LOCOClassifier
    >>> model = LOCOClassifier(seed=0)
    >>> model.set_decision(thresholds={"fault": 0.2})
    >>> model.decision
    {'thresholds': {'fault': 0.2}}
    """

    thresholds: Mapping[Hashable, float]
    costs: Costs


def rule_of(
    thresholds: Iterable[tuple[Hashable, float]] | None,
    costs: Iterable[tuple[tuple[Hashable, Hashable], float]] | None,
) -> Rule:
    """Return the rule that is written as pairs of a key and a number; None leaves a part out.

    Raises `ConfigError` if a key comes twice.
    """
    rule: Rule = {}
    if thresholds is not None:
        rule["thresholds"] = _by_key("thresholds", thresholds)
    if costs is not None:
        rule["costs"] = _by_key("costs", costs)
    return rule


def _by_key(name: str, pairs: Iterable[tuple[Key, float]]) -> dict[Key, float]:
    found: dict[Key, float] = {}
    for key, number in pairs:
        if key in found:
            raise ConfigError(f"`{name}` must have one number for {key!r}, got two")
        found[key] = number
    return found


def labels_of(rule: Rule) -> list[Hashable]:
    """Return the labels that a rule names, each once."""
    pairs = rule.get("costs", {})
    return list(dict.fromkeys([*rule.get("thresholds", {}), *chain.from_iterable(pairs)]))


def shown_rule(rule: Rule | None) -> dict[str, list[dict[str, object]]]:
    """Return a rule as JSON can hold it; None has no entries.

    Examples
    --------
    >>> shown_rule({"thresholds": {"worn": 0.2}})
    {'thresholds': [{'label': 'worn', 'probability': 0.2}], 'costs': []}
    """
    thresholds = (rule or {}).get("thresholds", {})
    costs = (rule or {}).get("costs", {})
    return {
        "thresholds": [{"label": label, "probability": p} for label, p in thresholds.items()],
        "costs": [
            {"true": true, "predicted": predicted, "cost": cost}
            for (true, predicted), cost in costs.items()
        ],
    }


def rule_in_words(rule: Rule | None) -> str:
    """Return which class a rule predicts, as the end of a sentence.

    Examples
    --------
    >>> rule_in_words({"thresholds": {"worn": 0.2}})
    "'worn' from a probability of 0.2, otherwise the most probable class without a threshold"
    >>> rule_in_words({"costs": {("worn", "ok"): 20.0}})
    "that of the least expected cost: 'ok' for 'worn' costs 20; other mistakes cost 1"
    """
    if rule is None:
        return "the most probable one"
    if levels := rule.get("thresholds"):
        reached = listed([f"{label!r} from a probability of {p:g}" for label, p in levels.items()])
        return f"{reached}, otherwise the most probable class without a threshold"
    named = [
        f"{predicted!r} for {true!r} costs {c:g}" for (true, predicted), c in rule["costs"].items()
    ]
    return f"that of the least expected cost: {listed(named)}; other mistakes cost 1"


@dataclass(frozen=True, slots=True)
class Decision:
    """A rule that chooses a class from probabilities; one of the two mappings is empty.

    thresholds: probability by label, above 0 and up to 1
    costs: cost by true and predicted label, 0 to 1e9. A mistake that is not named costs 1, and a
        correct prediction 0.
    """

    thresholds: Mapping[Hashable, float]
    costs: Costs

    @classmethod
    def checked(
        cls, thresholds: Mapping[Hashable, float] | None = None, costs: Costs | None = None
    ) -> Self | None:
        """Return the rule of checked values; None if neither is given.

        Raises `ConfigError` if both are given, or one has another form.
        """
        if thresholds is not None and costs is not None:
            raise ConfigError("`costs` must be None where `thresholds` are given, got both")
        if thresholds is not None:
            return cls(_checked_thresholds(thresholds), {})
        return None if costs is None else cls({}, _checked_costs(costs))

    @property
    def rule(self) -> Rule:
        """The rule as a copy of what `set_decision` was called with."""
        if self.thresholds:
            return {"thresholds": dict(self.thresholds)}
        return {"costs": dict(self.costs)}

    def to_plain(self) -> Plain:
        """Return the rule as plain values."""
        return {
            "thresholds": [[label, p] for label, p in self.thresholds.items()],
            "costs": [[*pair, cost] for pair, cost in self.costs.items()],
        }

    @classmethod
    def from_plain(cls, plain: Plain) -> Self | None:
        """Return the rule that `to_plain` described.

        Raises `ConfigError`, `KeyError`, `TypeError`, `ValueError` if these are not the values of a
        rule.
        """
        if plain is None:
            return None
        thresholds = dict(plain["thresholds"])
        costs = {(true, predicted): cost for true, predicted, cost in plain["costs"]}
        return cls.checked(thresholds or None, costs or None)

    def slots(self, proba: Float64, classes: Sequence[Hashable], n_known: Int64) -> Int64:
        """Return the slot of the class that is chosen for each row, (n,); -1 before any is known.

        proba: (n, at least n classes): probability of the class in each slot
        classes: label of each slot
        n_known: (n,): number of classes that were known at each row, those of the first slots
        """
        n_classes = len(classes)
        if n_classes == 0:
            return np.full(len(proba), -1)
        scores = proba[:, :n_classes].copy()
        slot_of = {label: slot for slot, label in enumerate(classes)}
        self._apply_thresholds(scores, slot_of)
        self._apply_costs(scores, proba, slot_of)
        scores[np.arange(n_classes) >= n_known[:, None]] = -np.inf
        return np.where(n_known > 0, scores.argmax(axis=1), -1)

    def _apply_thresholds(self, scores: Float64, slot_of: Mapping[Hashable, int]) -> None:
        """Place classes that reach their threshold above all others, those that do not below."""
        for label, threshold in self.thresholds.items():
            slot = slot_of.get(label)
            if slot is not None:
                own = scores[:, slot]
                ratio = own / threshold
                scores[:, slot] = np.where(own >= threshold, ratio + 1.0, ratio - 1.0)

    def _apply_costs(
        self,
        scores: Float64,
        proba: Float64,
        slot_of: Mapping[Hashable, int],
    ) -> None:
        """Subtract what a prediction is expected to cost more than by the default costs."""
        for (true, predicted), cost in self.costs.items():
            row = slot_of.get(true)
            column = slot_of.get(predicted)
            if row is not None and column is not None:
                scores[:, column] -= proba[:, row] * (cost - float(row != column))


def _checked_thresholds(given: object) -> dict[Hashable, float]:
    wanted = "`thresholds` must be a dict from labels to numbers above 0 and up to 1"
    rule = _checked(given, wanted, lambda label, p: _is_label(label) and 0.0 < p <= 1.0)
    return {plain(label): float(p) for label, p in rule.items()}


def _checked_costs(given: object) -> dict[tuple[Hashable, Hashable], float]:
    wanted = (
        f"`costs` must be a dict from pairs (true label, predicted label) to numbers from 0 to "
        f"{MAX_COST:g}"
    )
    rule = _checked(given, wanted, lambda pair, cost: _is_pair(pair) and 0.0 <= cost <= MAX_COST)
    return {
        (plain(true), plain(predicted)): float(cost) for (true, predicted), cost in rule.items()
    }


def _checked(
    given: object, wanted: str, is_entry: Callable[[Any, float], bool]
) -> Mapping[Any, float]:
    """Return a mapping to numbers whose entries are all as wanted."""
    if not isinstance(given, Mapping) or not given:
        raise ConfigError(f"{wanted}, got {given!r}")
    if not all(is_number(number) and is_entry(key, number) for key, number in given.items()):
        raise ConfigError(f"{wanted}, got {given!r}")
    return given


def _is_pair(value: object) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and all(map(_is_label, value))


def _is_label(value: object) -> bool:
    return value is not None and value == value
