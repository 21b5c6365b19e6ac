"""What a model's own recall says of tasks: which task each readout it kept belongs to, and which speaks again."""

from __future__ import annotations

__all__ = ["PATIENCE", "Memories"]

PATIENCE = 20  # samples for which a readout of another task must speak before that task is back
_MOST = 16  # readouts whose task is remembered: four times what a model keeps


class Memories:
    """A model that recalls makes no errors when a concept returns, so that no test on the errors sees it.

    Examples
    --------
    >>> from loco_stream.monitor.memories import Memories
    >>> memories = Memories()
    >>> memories.listen(1, 0, before=0, now=0)  # the first readout is kept while task 0 runs
    >>> [memories.listen(1, 1, before=1, now=1) for _ in range(20)][-2:]  # it speaks in task 1
    [None, 0]
    """

    def __init__(self) -> None:
        self.tasks: dict[int, int] = {}  # by the number of the readout
        self.kept = self.speaking = self.times = 0

    @property
    def silence(self) -> tuple[int, int]:
        """What a model says if nothing has changed and no readout of old speaks."""
        return (self.kept, 0) if self.times == 0 else (-1, 0)

    def listen(self, kept: int, speaking: int, before: int, now: int) -> int | None:
        """Take what a model says after a sample; return the task that is back, once.

        Parameters
        ----------
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
        if speaking != self.speaking:
            self.speaking, self.times = speaking, 0
        task = self.tasks.get(speaking, now)
        self.times = self.times + 1 if task != now else 0
        return task if self.times == PATIENCE else None
