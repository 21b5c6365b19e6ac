"""How much the vector loops take at once."""

from __future__ import annotations

__all__ = ["BLOCK", "BYTES", "TILE", "TIMES"]

BYTES = 64
BLOCK = BYTES // 8  # doubles of a vector
TIMES = 4  # whose sums `sum_dense` forms together
# vectors a tile: enough to hide the latency of an addition, few enough for 16 registers of 32 bytes
TILE = 4
