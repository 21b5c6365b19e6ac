"""Scores of predictions; report, table, Prometheus and page iterate over their definitions.

A new score is a module with a `Score` and one entry in `_table.SINGLE_SCORES`.
"""

from __future__ import annotations

from loco_stream._problems import FORECASTING, TARGETS
from loco_stream.metrics.scores._definition import ReportKey, Score, ScoredRows, Tally
from loco_stream.metrics.scores._table import SINGLE_SCORES
from loco_stream.metrics.scores.targets import PER_TARGET, TARGET_SCORES

__all__ = ["SCORES", "ReportKey", "Score", "ScoredRows", "Tally", "charted", "scores_for"]

SCORES: tuple[Score, ...] = (*SINGLE_SCORES, PER_TARGET)
"""Every score, in the order of the report."""


def scores_for(problem: str) -> list[Score]:
    """Return the scores of a problem, in the order of the report.

    With several targets, each score of a regression is the mean over the targets. Forecasting has
    the scores of a regression, for the next value.

    Examples
    --------
    >>> [score.key.name for score in scores_for("regression")][:3]
    ['mae', 'rmse', 'r2']
    """
    if problem == TARGETS:
        return list(TARGET_SCORES)
    of = "regression" if problem == FORECASTING else problem
    return [score for score in SCORES if score.key.problem == of]


def charted(problem: str) -> list[Score]:
    """Return the scores that a chart shows: windowed, overall, then the baselines.

    Examples
    --------
    >>> [(score.key.name, score.chart) for score in charted("regression")]
    [('window_mae', 'window'), ('mae', 'overall'), ('no_change_mae', 'baseline')]
    """
    roles = ("window", "overall", "baseline")
    return [score for role in roles for score in scores_for(problem) if score.chart == role]
