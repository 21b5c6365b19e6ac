"""ADWIN (Bifet, Gavalda: Learning from Time-Changing Data with Adaptive Windowing, SDM 2007)."""

from loco_stream.drift.detectors._definition import DetectorDefinition, river_class

ADWIN = DetectorDefinition(
    name="ADWIN",
    description="compares the means of all parts of a window of adaptive length; two-sided",
    load=river_class("river.drift", "ADWIN"),
    is_two_sided=lambda test: True,
)
