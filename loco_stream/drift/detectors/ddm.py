"""DDM (Gama et al.: Learning with Drift Detection, SBIA 2004)."""

from loco_stream.drift.detectors._definition import DetectorDefinition, river_class

DDM = DetectorDefinition(
    name="DDM",
    description="fires when the error rate is three standard deviations above its minimum",
    load=river_class("river.drift.binary", "DDM"),
    state={
        "_p.n": float,
        "_p._mean": float,
        "_p_min": float,
        "_s_min": float,
        "_ps_min": float,
    },
)
