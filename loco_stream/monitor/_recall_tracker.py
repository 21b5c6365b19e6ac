"""Returns of tasks reported by the model itself, from the snapshots of its readout."""

from __future__ import annotations

from loco_stream._persistence.content import Plain

PATIENCE = 20  # rows for which a snapshot of another task must stay active before it is a return
_MOST = 16  # snapshots whose task is remembered: four times what a model keeps


class RecallTracker:
    """Follows which snapshot a model predicts with, and the task in which it was taken.

    A model that restores an old readout makes no errors when a concept returns, so that no test on
    the errors fires.

    Examples
    --------
    >>> from loco_stream.monitor._recall_tracker import RecallTracker
    >>> tracker = RecallTracker()
    >>> tracker.update(500, 1, 0, before=0, now=0)  # the first snapshot, taken in task 0
    >>> tracker.update(900, 1, 1, before=1, now=1)  # it becomes active in task 1
    >>> tracker.update(920, 1, 1, before=1, now=1)  # and stays active
    0
    >>> tracker.since
    900
    """

    def __init__(self) -> None:
        self.since = -1  # row in which the active snapshot of another task became active; -1: none
        self._tasks: dict[int, int] = {}  # by number of the snapshot
        self._n_taken = 0
        self._active = 0

    @property
    def nothing_new(self) -> tuple[int, int]:
        """What a model reports while nothing happens: snapshots taken, and no active one."""
        return (self._n_taken if self.since < 0 else -1), 0

    def update(self, at: int, n_taken: int, active: int, before: int, now: int) -> int | None:
        """Take the report of a model; return the task that is back, or None.

        at: scored row
        n_taken: snapshots that the model has taken so far
        active: number of the snapshot that it predicts with, from 1; 0 for none
        before: task in which a snapshot that is new now was taken, some rows ago
        now: running task
        """
        for number in range(self._n_taken + 1, n_taken + 1):
            self._tasks[number] = before
            self._tasks.pop(number - _MOST, None)
        self._n_taken = n_taken
        task = self._tasks.get(active, now)
        if task == now:
            self.since = -1
        elif active != self._active or self.since < 0:
            self.since = at
        self._active = active
        return task if 0 <= self.since <= at - PATIENCE else None

    def export_state(self) -> list[Plain]:
        """Return everything as plain values."""
        tasks = [list(pair) for pair in self._tasks.items()]
        return [self._n_taken, self._active, self.since, tasks]

    def restore_state(self, state: list[Plain]) -> None:
        """Continue from `export_state`."""
        self._n_taken, self._active, self.since, tasks = state
        self._tasks = {number: task for number, task in tasks}  # noqa: C416
