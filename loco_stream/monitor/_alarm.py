"""Alarms of the monitor: drifts, warnings, and returns of known tasks."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass

from loco_stream._persistence.content import Config, State

_MAX_DRIFTS = 1000  # kept for the report
_STABLE = {"concept": "stable", "input": "stable"}
_SUBJECTS = {"concept": "concept", "input": "inputs", "boundary": "task"}


@dataclass(frozen=True, slots=True)
class DriftAlarm:
    """One event of the monitor.

    Parameters
    ----------
    at
        Scored rows before the alarm.
    kind
        "concept" (the errors rose), "input" (the inputs changed) or "boundary" (given by the user).
    detector
        Name of the test that raised the alarm.
    state
        "warning" (a possible change), "drift" (a change) or "return" (a known task is back).
    since
        Estimated first row of the change.
    task
        Name of the current task, where known.
    features
        Features that moved most, or the one that is stuck (detector "stuck"); only of inputs.

    Examples
    --------
    >>> print(DriftAlarm(at=2004, kind="concept", detector="HDDMA", state="drift", since=2000))
    the concept changed at row 2,000, detected at row 2,004 (HDDMA)
    """

    at: int
    kind: str
    detector: str
    state: str
    since: int
    task: str = ""
    features: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return one sentence."""
        if self.state == "return":
            return f"{self.task} is back since row {self.since:,}, detected at row {self.at:,}"
        if self.state == "warning":
            return f"warning at row {self.at:,}: {self._what} may have changed ({self.detector})"
        found = f"at row {self.since:,}, detected at row {self.at:,} ({self.detector})"
        if self.kind == "boundary":
            return f"a new task begins {found}"
        if self.detector == "stuck":
            return f"{', '.join(self.features)} is stuck {found}"
        return f"{self._what} changed {found}"

    @property
    def _what(self) -> str:
        names = f" (mostly {', '.join(self.features)})" if self.features else ""
        return f"the {_SUBJECTS[self.kind]}{names}"


class AlarmLog:
    """States of the detectors, alarms that are not reported yet, and the latest drifts."""

    def __init__(self) -> None:
        self.states = _STABLE.copy()
        self.unreported: list[DriftAlarm] = []
        self.drifts: deque[DriftAlarm] = deque(maxlen=_MAX_DRIFTS)
        self.n_drifts = 0
        self.suspects = False  # whether a detector warns

    def set_state(self, kind: str, state: str) -> None:
        """Store the new state of a detector."""
        self.states[kind] = state
        self.suspects = "warning" in self.states.values()

    @property
    def are_stable(self) -> bool:
        """Whether no detector warns or has just found a change."""
        return self.states == _STABLE

    def add(self, alarm: DriftAlarm) -> None:
        """Queue an alarm for `take`."""
        self.unreported.append(alarm)

    def count_drift(self, alarm: DriftAlarm) -> None:
        """Count a drift and keep it for the report."""
        self.n_drifts += 1
        self.drifts.append(alarm)

    def take(self) -> list[DriftAlarm]:
        """Return the queued alarms and empty the queue."""
        unreported = self.unreported
        self.unreported = []
        return unreported

    def report(self) -> list[Config]:
        """Return the latest drifts as plain values."""
        names = ("at", "since", "kind", "detector", "task")
        return [
            {**{name: getattr(alarm, name) for name in names}, "features": list(alarm.features)}
            for alarm in self.drifts
        ]

    def export_state(self) -> Config:
        """Return everything as plain values."""
        return {
            "n_drifts": self.n_drifts,
            "suspects": self.suspects,
            "states": dict(self.states),
            "drifts": [_saved(alarm) for alarm in self.drifts],
            "unreported": [_saved(alarm) for alarm in self.unreported],
        }

    def restore_state(self, state: State) -> None:
        """Continue from `export_state`."""
        self.n_drifts = state["n_drifts"]
        self.suspects = state["suspects"]
        states = dict(state["states"])
        if states.keys() != self.states.keys():
            raise ValueError(f"states must be given for {list(self.states)}, got {states!r}")
        self.states = states
        self.drifts = deque(map(_restored, state["drifts"]), maxlen=_MAX_DRIFTS)
        self.unreported = list(map(_restored, state["unreported"]))


def _saved(alarm: DriftAlarm) -> Config:
    """Return an alarm as plain values."""
    return {**asdict(alarm), "features": list(alarm.features)}


def _restored(saved: State) -> DriftAlarm:
    """Return a saved alarm; those of release 0.2 name no features."""
    return DriftAlarm(**{**saved, "features": tuple(saved.get("features", ()))})
