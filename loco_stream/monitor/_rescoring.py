"""When held-out rows are predicted again, so that the cost per row of the stream is bounded."""

from __future__ import annotations

from loco_stream._persistence.content import Config, State
from loco_stream.monitor._holdout import Predictor
from loco_stream.monitor._row_codec import RowCodec
from loco_stream.monitor._timeline import Timeline

_BATCH = 8  # rows predicted in one call


class Rescoring:
    """Saves a fraction of a prediction per row, and spends whole ones on held-out rows.

    The cost of one pass over all held-out rows is kept in reserve for the end of a segment, whose
    row of the accuracy matrix should be of one model.

    settings: of the monitor
    timeline: segments with the held-out rows
    """

    def __init__(self, settings: Config, timeline: Timeline) -> None:
        self._timeline = timeline
        holdout = settings["holdout"]
        self._per_row = 1.0 / settings["rescore_every"] if holdout else 0.0
        self._limit = 2.0 * holdout * (settings["max_segments"] + 1)
        self._budget = 0.0  # predictions saved
        self._segment = 0  # index of the segment that was predicted last

    def save(self, n: int) -> None:
        """Add the share of `n` rows to the budget."""
        budget = self._budget
        for _ in range(n):  # a product would round otherwise
            budget += self._per_row
        self._budget = min(self._limit, budget)

    def spend(self, model: Predictor, codec: RowCodec, at: int) -> None:
        """Predict held-out rows as far as the budget allows; `at` is the last scored row."""
        timeline = self._timeline
        if timeline.due_row is not None:
            n = timeline.measure_row(model, codec, self._budget, at)
            self._budget = max(0.0, self._budget - n)
        elif self._budget >= timeline.n_held + _BATCH:
            self._segment = (self._segment + 1) % len(timeline.segments)
            self._budget -= timeline.segments[self._segment].hold.rescore(model, codec, _BATCH, at)

    def export_state(self) -> Config:
        """Return everything as plain values."""
        return {"budget": self._budget, "segment": self._segment}

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        self._budget = state["budget"]
        self._segment = state["segment"]
