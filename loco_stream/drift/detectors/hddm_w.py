"""HDDM-W (Frias-Blanco et al.: Drift Detection Methods Based on Hoeffding's Bounds, TKDE 2015)."""

from loco_stream.drift.detectors._definition import DetectorDefinition, river_class

HDDM_W = DetectorDefinition(
    name="HDDMW",
    description="McDiarmid's bound on an exponentially weighted mean error; for gradual drift",
    load=river_class("river.drift.binary", "HDDMW"),
    is_two_sided=lambda test: bool(test.two_sided_test),
)
