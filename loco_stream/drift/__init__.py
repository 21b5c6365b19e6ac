"""Detection of change: in the errors of a model (concept drift) and in its inputs, without labels.

Tests on errors are definitions in `loco_stream.drift.detectors`, most of them from river;
`ConceptDetector` lets only rises of the error through, once per change. `InputDetector` tests the
energy of the inputs outside a running low-rank subspace, which river has no detector for.
"""

from loco_stream.drift._concept import ConceptDetector, ErrorThreshold
from loco_stream.drift._inputs import InputDetector
from loco_stream.drift.detectors import (
    DETECTORS,
    DetectorDefinition,
    describe_detectors,
    detector_named,
    register,
)

__all__ = [
    "DETECTORS",
    "ConceptDetector",
    "DetectorDefinition",
    "ErrorThreshold",
    "InputDetector",
    "describe_detectors",
    "detector_named",
    "register",
]
