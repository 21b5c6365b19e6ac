"""What the monitor says when something changed."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Alarm"]


@dataclass(frozen=True, slots=True)
class Alarm:
    """One event of the monitor.

    `at` counts scored samples from 0. `kind` is "concept" (the errors rose), "input" (the inputs changed) or "boundary"
    (the user said so). `state` is "warning", "drift" (a change is certain) or "return" (the change led back to a task
    known from before). `since` is the estimated first sample of the change. `task` names what runs now, where known.

    Examples
    --------
    >>> print(Alarm(at=2004, kind="concept", detector="HDDMA", state="drift", since=2000))
    the concept changed at sample 2000, noticed at 2004 (HDDMA)
    """

    at: int
    kind: str
    detector: str
    state: str
    since: int
    task: str = ""

    def __str__(self) -> str:
        """Return one sentence for people."""
        what = {"concept": "the concept changed", "input": "the inputs changed", "boundary": "a new task begins"}
        if self.state == "return":
            return f"{self.task} is back (sample {self.at}, since {self.since})"
        if self.state == "warning":
            return f"warning at sample {self.at}: perhaps {what[self.kind]} ({self.detector})"
        return f"{what[self.kind]} at sample {self.since}, noticed at {self.at} ({self.detector})"
