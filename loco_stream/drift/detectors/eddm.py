"""EDDM (Baena-Garcia et al.: Early Drift Detection Method, 2006)."""

from loco_stream.drift.detectors._definition import DetectorDefinition, river_class

EDDM = DetectorDefinition(
    name="EDDM",
    description="fires when the distance between errors shrinks; for slow drift of a low error",
    load=river_class("river.drift.binary", "EDDM"),
    state={
        "_error_distances.mean.n": float,
        "_error_distances.mean._mean": float,
        "_error_distances._S": float,
        "_n": int,
        "_last_error": int,
        "_n_errors": int,
        "_p2s_prime_max": float,
    },
)
