"""Page-Hinkley test (Page: Continuous Inspection Schemes, Biometrika 1954)."""

from loco_stream.drift.detectors._definition import DetectorDefinition, river_class

PAGE_HINKLEY = DetectorDefinition(
    name="PageHinkley",
    description="cumulative sum of deviations from the mean error; needs a threshold to suit",
    load=river_class("river.drift", "PageHinkley"),
    defaults={"mode": "up"},
    state={
        "_x_mean.n": float,
        "_x_mean._mean": float,
        "_sum_increase": float,
        "_sum_decrease": float,
        "_min_increase": float,
        "_max_decrease": float,
    },
    is_two_sided=lambda test: test.mode != "up",
)
