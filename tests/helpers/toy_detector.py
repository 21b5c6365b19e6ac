"""A detector as a user would write one: it fires when a leaky sum of errors exceeds a limit."""

from __future__ import annotations

from loco_stream.drift import DetectorDefinition


class Toy:
    """Fires when a leaky sum of errors exceeds `limit`."""

    def __init__(self, limit=8.0):
        self.limit = limit
        self.total = 0.0
        self._drift_detected = False

    @property
    def drift_detected(self):
        return self._drift_detected

    @drift_detected.setter
    def drift_detected(self, value):
        self._drift_detected = value

    def update(self, x):
        if self._drift_detected:
            self.total = 0.0
        self.total = max(0.0, self.total + x - 0.6)
        self._drift_detected = self.total > self.limit


TOY = DetectorDefinition(
    name="Toy",
    description="fires when a leaky sum of errors exceeds a limit",
    load=lambda: Toy,
    state={"total": float},
)
