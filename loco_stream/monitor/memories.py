"""What a model's own recall says of tasks.

Which task each readout it kept belongs to, and which speaks again.
"""

from __future__ import annotations

from typing import Any

__all__ = ["Memories"]

PATIENCE = 20  # samples for which a readout of another task must speak before that task is back
_MOST = 16  # readouts whose task is remembered: four times what a model keeps


class Memories:
    """A model that recalls makes no errors when a concept returns, so that no test on the errors sees it.

    Examples
    --------
    >>> from loco_stream.monitor.memories import Memories
    >>> memories = Memories()
    >>> memories.listen(500, 1, 0, before=0, now=0)  # the first readout is kept while task 0 runs
    >>> memories.listen(900, 1, 1, before=1, now=1)  # it speaks in task 1
    >>> memories.listen(920, 1, 1, before=1, now=1)  # and goes on
    0
    >>> memories.since
    900
    """

    def __init__(self) -> None:
        self.tasks: dict[int, int] = {}  # by the number of the readout
        self.kept = self.speaking = 0
        self.since = (
            -1
        )  # when the one that speaks was first heard in another task than its own; -1: it was not

    @property
    def silence(self) -> tuple[int, int]:
        """What a model says if there is nothing to listen to."""
        return (self.kept if self.since < 0 else -1), 0

    def listen(self, at: int, kept: int, speaking: int, before: int, now: int) -> int | None:
        """Take what a model says after sample `at`; return the task that is back, or None.

        Parameters
        ----------
        at
            Position in the stream.
        kept
            Readouts the model has kept so far.
        speaking
            The number of the one that speaks, from 1; 0: none does.
        before, now
            The tasks that ran some time ago, when what is kept now was copied, and that run now.
        """
        for number in range(self.kept + 1, kept + 1):
            self.tasks[number] = before
            self.tasks.pop(number - _MOST, None)
        self.kept = kept
        task = self.tasks.get(speaking, now)
        if task == now:
            self.since = -1
        elif speaking != self.speaking or self.since < 0:
            self.since = at
        self.speaking = speaking
        return task if 0 <= self.since <= at - PATIENCE else None

    def export(self) -> list[Any]:
        """Return all it remembers as plain values."""
        return [self.kept, self.speaking, self.since, [list(pair) for pair in self.tasks.items()]]

    def restore(self, config: list[Any]) -> None:
        """Continue from `export`."""
        self.kept, self.speaking, self.since, tasks = config
        self.tasks = {number: task for number, task in tasks}  # noqa: C416
