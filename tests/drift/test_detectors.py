"""Every detector passes the check of extensions, which refuses detectors with a fault."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loco_stream import TaskMonitor
from loco_stream.drift import DETECTORS, describe_detectors, detector_named, register
from loco_stream.drift.detectors._definition import river_class
from loco_stream.errors import ConfigError
from loco_stream.testing import check_detector
from tests.helpers.toy_detector import TOY, Toy


@pytest.mark.parametrize("definition", [*DETECTORS.values(), TOY], ids=lambda d: d.name)
def test_every_detector_passes_the_check(definition):
    check_detector(definition)


class Silent(Toy):
    """Never fires."""

    def update(self, x):
        pass


class Nervous(Toy):
    """Fires on each error."""

    def update(self, x):
        self.drift_detected = bool(x)


class Unsaved(Toy):
    """Has a number that its definition does not name."""

    def __init__(self, limit=8.0):
        super().__init__(limit)
        self.n = 0

    def update(self, x):
        self.n += 1
        super().update(x)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ({"name": "two words"}, "must have an identifier"),
        ({"description": ""}, "must have a description"),
        ({"load": river_class("river.drift.binary", "FHDDM"), "state": None}, "must fire within"),
        ({"load": lambda: Silent}, "must fire within"),
        ({"load": lambda: Nervous}, "alarms without a change"),
        ({"load": lambda: Unsaved}, "lacks attributes in `state`"),
        ({"state": {"total": int, "_drift_detected": int}}, "lacks attributes in `state`"),
    ],
)
def test_the_check_names_the_fault(fault, text):
    with pytest.raises(AssertionError, match=text):
        check_detector(replace(TOY, **fault))


def test_a_registered_detector_is_selected_by_name(monkeypatch):
    monkeypatch.setattr("loco_stream.drift.detectors.DETECTORS", dict(DETECTORS))
    with pytest.raises(ConfigError, match="`drift_detector` must be one of"):
        detector_named("Toy")
    register(TOY)
    register(TOY)
    assert detector_named("Toy") is TOY
    assert describe_detectors()["Toy"] == TOY.description
    monitor = TaskMonitor(drift_detector="Toy", holdout=0, inputs=False)
    restored = TaskMonitor()
    restored.restore_state(*monitor.export_state())
    assert restored.settings == monitor.settings
    with pytest.raises(ConfigError, match="`name` must be new, got 'Toy'"):
        register(replace(TOY, description="another"))


def test_every_detector_is_described_in_one_line():
    assert describe_detectors().keys() == DETECTORS.keys()
    for text in describe_detectors().values():
        assert text
        assert "\n" not in text
