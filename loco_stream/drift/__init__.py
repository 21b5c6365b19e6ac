"""Change detection: in the errors ("the concept changed") and, without labels, in the inputs ("the inputs changed").

The tests themselves are river's; this package chooses them by name, lets only changes to the worse
through, and adds the one river lacks: input energy outside a running low-rank subspace.
"""

from __future__ import annotations

from loco_stream.drift.concept import ConceptDetector, ErrorRate
from loco_stream.drift.inputs import InputDetector
from loco_stream.drift.registry import DETECTORS, EXPORTABLE

__all__ = ["DETECTORS", "EXPORTABLE", "ConceptDetector", "ErrorRate", "InputDetector"]
