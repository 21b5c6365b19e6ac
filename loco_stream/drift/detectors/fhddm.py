"""FHDDM (Pesaranghader, Viktor: Fast Hoeffding Drift Detection Method, ECML 2016)."""

from __future__ import annotations

from functools import cache
from typing import Any

from loco_stream.drift.detectors._definition import DetectorDefinition


@cache
def _load() -> type[Any]:
    """Return river's FHDDM fed with hits: the class of river fires when the ones become fewer."""
    from river.drift.binary import FHDDM as RiverFHDDM

    class FHDDM(RiverFHDDM):
        def update(self, x: float) -> None:
            super().update(1 - x)

    return FHDDM


FHDDM = DetectorDefinition(
    name="FHDDM",
    description="compares the accuracy of a sliding window with its maximum",
    load=_load,
)
