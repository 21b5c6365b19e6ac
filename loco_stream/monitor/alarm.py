"""What the monitor says when something changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["Alarm", "Alarms"]

_MAX_DRIFTS = 1000  # kept for the report


@dataclass(frozen=True, slots=True)
class Alarm:
    """One event of the monitor.

    `at` counts scored samples from 0. `kind` is "concept" (the errors rose), "input" (the inputs
    changed) or "boundary" (the user said so). `state` is "warning", "drift" (a change is certain)
    or "return" (the change led back to a task known from before). `since` is the estimated first
    sample of the change. `task` names what runs now, where known.

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
        what = {
            "concept": "the concept changed",
            "input": "the inputs changed",
            "boundary": "a new task begins",
        }
        if self.state == "return":
            return f"{self.task} is back (sample {self.at}, since {self.since})"
        if self.state == "warning":
            return f"warning at sample {self.at}: perhaps {what[self.kind]} ({self.detector})"
        return f"{what[self.kind]} at sample {self.since}, noticed at {self.at} ({self.detector})"


class Alarms:
    """What the detectors say now, what there is to say, and the changes said so far."""

    def __init__(self) -> None:
        self.states = {"concept": "stable", "input": "stable"}
        self.heard: list[Alarm] = []  # not said yet
        self.drifts: deque[Alarm] = deque(maxlen=_MAX_DRIFTS)
        self.n_drifts = 0
        self.suspects = False  # a detector warns

    def turn(self, kind: str, state: str) -> None:
        """Take the new state of a detector."""
        self.states[kind] = state
        self.suspects = "warning" in self.states.values()

    def keep(self, alarm: Alarm, say: bool = False) -> None:
        """Count a change and keep it for the report; `say` whether it is news to who calls."""
        self.n_drifts += 1
        self.drifts.append(alarm)
        if say:
            self.heard.append(alarm)

    def say(self) -> list[Alarm]:
        """Hand out what was not said yet."""
        heard = self.heard
        self.heard = []
        return heard

    def report(self) -> list[dict[str, Any]]:
        """Return the changes kept."""
        names = ("at", "since", "kind", "detector", "task")
        return [{name: getattr(alarm, name) for name in names} for alarm in self.drifts]

    def export(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {
            "_n_drifts": self.n_drifts,
            "_suspects": self.suspects,
            "states": dict(self.states),
            "drifts": [asdict(alarm) for alarm in self.drifts],
            "heard": [asdict(alarm) for alarm in self.heard],
        }

    def restore(self, config: Mapping[str, Any]) -> None:
        """Continue from `export`."""
        self.n_drifts = config["_n_drifts"]
        self.suspects = config["_suspects"]
        states = dict(config["states"])
        if states.keys() != self.states.keys():
            raise ValueError(
                f"the detectors' states are {states!r}; allowed is one each of {list(self.states)}"
            )
        self.states = states
        self.drifts = deque((Alarm(**alarm) for alarm in config["drifts"]), maxlen=_MAX_DRIFTS)
        self.heard = [Alarm(**alarm) for alarm in config["heard"]]
