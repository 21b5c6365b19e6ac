"""KSWIN (Raab, Heusinger, Schleif: Reactive Soft Prototype Computing, Neurocomputing 2020)."""

from loco_stream.drift.detectors._definition import DetectorDefinition, river_class

KSWIN = DetectorDefinition(
    name="KSWIN",
    description="Kolmogorov-Smirnov test between two windows; slow; two-sided",
    load=river_class("river.drift", "KSWIN"),
    # It samples its window: with a fixed seed a replay of the log is exact.
    defaults={"alpha": 1e-4, "window_size": 200, "stat_size": 50, "seed": 0},
    is_two_sided=lambda test: True,
)
