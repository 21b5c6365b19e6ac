"""Which of the next rows are held out, decided before the model sees them."""

from __future__ import annotations

from loco_stream._persistence.content import Plain
from loco_stream.monitor._holdout import HoldOut, UniformDraws

# Rows learned in one call. Twice as many take 6 % less time per row, but then predictions of
# held-out rows and the look for a recalled snapshot come later. With 128 rows, and twice the
# held-out rows predicted at a time, 87 % of the measures of A-B-A-B inputs are within two standard
# errors of the truth in place of 94 % (`python -m benchmarks monitor`, 24 seeds, commit 0bd7520a).
GROUP = 64


class HoldOutPlan:
    """Decides for all rows of a group, up to the next multiple of `GROUP`, at its first row.

    A block of rows is learned in one call, and alarms among them come to light afterwards. A
    decision row by row could depend on such an alarm; this one cannot, so that blocks and single
    rows hold out the same rows.

    share: probability with which a row is a candidate
    draws: random numbers; planning reads ahead and `take` consumes what was read

    Segments that start or are merged in the group change what the decision was made from, so that
    a checkpoint holds it.

    Examples
    --------
    >>> plan = HoldOutPlan(0.5, UniformDraws(1))
    >>> hold = HoldOut(2)
    >>> places = [plan.take(index, hold) for index in range(8)]
    >>> sum(place is not None for place in places) > 0
    True
    """

    def __init__(self, share: float, draws: UniformDraws) -> None:
        self.share = share
        self.draws = draws
        self._end = 0  # first row that is not decided
        self._places: dict[int, int] = {}  # of candidates, by row: their place in the hold-out

    def held(self, index: int, n: int, hold: HoldOut) -> list[int]:
        """Return which of `n` rows from `index` on, all of one group, will be held out."""
        self._decide(index, hold)
        return [
            row - index
            for row, place in self._places.items()  # in order
            if index <= row < index + n and place < hold.size
        ]

    def take(self, index: int, hold: HoldOut) -> int | None:
        """Return the place of the next row in the hold-out; None if it is no candidate.

        A place beyond the size of the hold-out means that the row is learned.
        """
        return self.take_rows(index, 1, hold).get(index)

    def take_rows(self, index: int, n: int, hold: HoldOut) -> dict[int, int]:
        """Return the place of each candidate among the next `n` rows, all of one group, by row."""
        self._decide(index, hold)
        taken = {row: place for row, place in self._places.items() if index <= row < index + n}
        for row in taken:
            del self._places[row]
        self.draws.counter += n + sum(place >= 0 for place in taken.values())
        return taken

    def _decide(self, index: int, hold: HoldOut) -> None:
        if index < self._end:
            return
        self._end = (index // GROUP + 1) * GROUP
        self._places = {}
        draws = iter(self.draws.ahead(2 * (self._end - index)))
        n_candidates = hold.n_candidates
        n_rows = len(hold.rows)
        for row in range(index, self._end):
            if next(draws) >= self.share:
                continue
            n_candidates += 1
            if n_rows < hold.size:
                n_rows += 1
                self._places[row] = -1
            else:
                self._places[row] = int(next(draws) * n_candidates)

    def export_state(self) -> list[Plain]:
        """Return the decisions as plain values."""
        return [self._end, [[row, place] for row, place in self._places.items()]]

    def restore_state(self, state: list[Plain] | None) -> None:
        """Continue from `export_state`; files of release 0.2 hold no decisions."""
        if state is not None:
            self._end, places = state
            self._places = {row: place for row, place in places}  # noqa: C416
