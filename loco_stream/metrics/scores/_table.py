"""Table of the scores of one label per row, from which those of several targets follow."""

from __future__ import annotations

from loco_stream.metrics.scores._definition import Score
from loco_stream.metrics.scores.confusion import CONFUSION, PER_CLASS
from loco_stream.metrics.scores.errors import ERROR_SCORES
from loco_stream.metrics.scores.hits import HIT_SCORES
from loco_stream.metrics.scores.intervals import INTERVAL_COVERAGE
from loco_stream.metrics.scores.log_loss import LOG_LOSS

SINGLE_SCORES: tuple[Score, ...] = (
    *HIT_SCORES,
    LOG_LOSS,
    PER_CLASS,
    CONFUSION,
    *ERROR_SCORES,
    INTERVAL_COVERAGE,
)
