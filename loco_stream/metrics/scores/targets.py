"""Scores of a regression of several targets: those of each target, and their means."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import ClassVar, TypeAlias, TypedDict, cast

from loco_stream._problems import TARGETS
from loco_stream.metrics.scores._definition import (
    Label,
    ReportKey,
    Score,
    State,
    Tally,
)
from loco_stream.metrics.scores._table import SINGLE_SCORES
from loco_stream.metrics.scores.errors import Errors

Tallies: TypeAlias = dict[type[Tally], Tally]

_OF_ONE = tuple(score for score in SINGLE_SCORES if score.key.problem == "regression")
_TALLIES = tuple(dict.fromkeys(score.tally for score in _OF_ONE))


_SavedTallies = TypedDict(  # type: ignore[misc]
    "_SavedTallies", {tally.name: tally.saved for tally in _TALLIES}
)


class _SavedTarget(TypedDict):
    name: object
    tallies: _SavedTallies


class _Saved(TypedDict):
    targets: list[_SavedTarget]


class Targets(Tally):
    """The counters of a regression for each target; labels and predictions are dicts."""

    name: ClassVar[str] = "targets"
    saved: ClassVar[type] = _Saved

    def __init__(self, window: int, fading: float) -> None:
        self.tallies: dict[Label, Tallies] = {}
        self._settings = (window, fading)

    def _make(self) -> Tallies:
        return {tally: tally(*self._settings) for tally in _TALLIES}

    def update(self, y_true: Label, y_pred: Label, p_true: float | None, interval: Label) -> None:
        """Count the targets that the label has; a missing one is not scored."""
        for name, value in y_true.items():
            tallies = self.tallies.get(name)
            if tallies is None:
                tallies = self.tallies[name] = self._make()
            predicted = None if y_pred is None else y_pred.get(name)
            bounds = None if interval is None else interval.get(name)
            for tally in tallies.values():
                tally.update(value, predicted, None, bounds)

    @property
    def n_scored(self) -> dict[Label, int]:
        """Rows in which each target had a value and a prediction."""
        return {name: cast(Errors, tallies[Errors]).n for name, tallies in self.tallies.items()}

    def export_state(self) -> State:
        """Return the counters as plain values."""
        return {
            "targets": [
                {
                    "name": name,
                    "tallies": {tally.name: tally.export_state() for tally in tallies.values()},
                }
                for name, tallies in self.tallies.items()
            ]
        }

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        for saved in state["targets"]:
            tallies = self.tallies[saved["name"]] = self._make()
            for tally in tallies.values():
                tally.restore_state(saved["tallies"][tally.name])


def _per_target(targets: Targets) -> dict[str, dict[str, float]]:
    return {
        str(name): {score.key.name: score.value(tallies[score.tally]) for score in _OF_ONE}
        for name, tallies in targets.tallies.items()
    }


def _mean(score: Score, targets: Targets) -> float:
    """Return the mean of a score over the targets in which it was measured."""
    values = [score.value(tallies[score.tally]) for tallies in targets.tallies.values()]
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


PER_TARGET = Score(
    ReportKey(
        "per_target",
        "the scores of each target; those above are their means",
        "",
        "target_score",
        "targets",
        problem=TARGETS,
    ),
    Targets,
    _per_target,
)

TARGET_SCORES: Sequence[Score] = (
    *(replace(score, tally=Targets, value=partial(_mean, score)) for score in _OF_ONE),
    PER_TARGET,
)
"""The scores of several targets: means over them under the names of the single scores."""
