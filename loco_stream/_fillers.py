"""Customary values for a missing one, such as -9999, 65535 or 1e20."""

import numpy as np

from loco_stream._compiler.jit import kernel

FILLERS = (
    *(999.0, 9999.0, 99999.0, 999999.0),
    *(32767.0, 32768.0, 65535.0, 2147483647.0, 2147483648.0, 4294967295.0),
    *(1e20, 1e30),
)
"""Customary values for a missing one, of either sign."""
_FILLERS = np.array(FILLERS)
_FLOAT32 = np.float64(np.float32(1e20)), np.float64(np.float32(1e30))  # as rows of arrays hold them


@kernel
def is_filler(value):  # type: ignore[no-untyped-def]
    """Return whether a value (float64) is a customary filler."""
    size = abs(value)
    if size < FILLERS[0]:  # the smallest
        return False
    if size == _FLOAT32[0] or size == _FLOAT32[1]:
        return True
    for filler in _FILLERS:  # noqa: SIM110 - numba compiles no generator
        if size == filler:
            return True
    return False
