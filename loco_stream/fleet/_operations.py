"""What an operator does with a fleet, running or at rest."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from loco_stream._checks import MOST_STEPS, integer, require
from loco_stream._persistence.files import StrPath
from loco_stream.errors import ConfigError, InputError
from loco_stream.estimators._decision import Rule, shown_rule
from loco_stream.fleet._backend import KeyReport
from loco_stream.fleet._fleet import Fleet
from loco_stream.fleet._home import file_of, stored_fleet
from loco_stream.fleet._rows import Key


class FleetOperations:
    """The operations of a fleet that is open in this process and learns nothing meanwhile."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def status(self) -> dict[str, Any]:
        """Return the number of keys, models in memory, task type and notes."""
        n_keys, n_resident = self._fleet.counts()
        return {
            "n_keys": n_keys,
            "n_resident": n_resident,
            "task": self._fleet.task,
            "notes": self._fleet.notes,
        }

    def worst(self, n: int) -> list[KeyReport]:
        """Return the reports of the keys with the largest error; each model is loaded once.

        The error is that of the key's last 500 rows. Keys without a monitor have none.
        """
        return sorted(self._reports(), key=_error, reverse=True)[:n]

    def changed(self, n: int) -> list[KeyReport]:
        """Return the reports of the keys whose last drift is the fewest of their rows ago."""
        drifted = [report for report in self._reports() if report.get("last_drift") is not None]
        return sorted(drifted, key=lambda report: report["n_samples"] - report["last_drift"])[:n]

    def rules(self, keys: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rule by which labels are chosen, of each key, or the one for all keys."""
        if not keys:
            return [{"key": None, **shown_rule(self._fleet.decision())}]
        found = [(key, self._fleet.decision(key)) for key in map(self._key, keys)]
        return [{"key": key, **shown_rule(rule)} for key, rule in found]

    def decide(self, keys: Sequence[str], rule: Rule) -> None:
        """Choose the labels of keys by another rule, or without any those of all keys."""
        if not keys:
            self._fleet.set_decision(**rule)
        for key in [self._key(text) for text in keys]:
            self._fleet.set_decision(key, **rule)

    def forecast(self, key: str, horizon: int | None = None) -> dict[str, Any]:
        """Return the last values of a key, and the forecasts of the next ones."""
        if horizon is not None:
            require("horizon", horizon, integer(1, MOST_STEPS))
        own = self._key(key)
        return {"key": own, **self._fleet.fan(own, horizon)}

    def evict(self, keys: Sequence[str]) -> int:
        """Move models from memory to the store; return how many were in memory."""
        return self._fleet.evict([key for text in keys for key in _meanings(text)])

    def reset(self, key: str) -> None:
        """Let the model of a key start anew."""
        self._fleet.reset(self._key(key))

    def export(self, key: str) -> bytes:
        """Return the model of a key as the content of a file."""
        return file_of(self._fleet.model(self._key(key)))

    def merge(self, keys: Sequence[str]) -> bytes:
        """Return the merged model of keys as the content of a file."""
        return file_of(self._fleet.merge(map(self._key, keys)))

    def _key(self, text: str) -> Key:
        """Return the key that a text names: the text itself, or the integer that it shows."""
        for key in _meanings(text):
            try:
                self._fleet.state_sha256(key)
            except InputError:
                continue
            return key
        raise InputError(f"key {text!r} has no model: no row of it was learned")

    def _reports(self) -> list[KeyReport]:
        fleet = self._fleet
        return [{"key": key, **fleet.report(key)} for key in fleet.keys()]  # noqa: SIM118


def open_fleet(path: StrPath) -> Fleet:
    """Open a fleet at rest with the monitor and key groups that it was last opened with.

    Raises `ConfigError` if there is no fleet, or it is running.
    """
    stored = stored_fleet(path)
    if stored is None:
        raise ConfigError(f"there is no fleet in {os.fspath(path)}")
    return Fleet(
        None, path, key_groups=stored.key_groups, monitor=stored.monitor, share=stored.share
    )


def _meanings(text: str) -> list[Key]:
    """Return the keys that a text may name."""
    try:
        return [text, int(text)]
    except ValueError:
        return [text]


def _error(report: KeyReport) -> float:
    if "window_accuracy" in report and report["window_accuracy"] is not None:
        return 1.0 - float(report["window_accuracy"])
    error = report.get("window_mae", report.get("mae"))
    return -math.inf if error is None else float(error)
