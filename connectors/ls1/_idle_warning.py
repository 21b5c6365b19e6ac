"""Warning of a sender that gets no answer."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable

from loco_stream.errors import LocoStreamWarning

_SECONDS = 5.0  # a busy engine answers sooner; one that compiles may not


class IdleWarning:
    """Warns once whenever an engine is silent for 5 s.

    Parameters
    ----------
    address
        Of the engine.
    clock
        Monotonic time in seconds.
    """

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self._clock = clock
        self._since = clock()
        self._is_given = False

    def reset(self) -> None:
        """Note that the engine has answered, or that nothing is expected of it."""
        self._since = self._clock()
        self._is_given = False

    @property
    def due_in(self) -> float:
        """Seconds until the warning is due; infinite once it was given."""
        if self._is_given:
            return math.inf
        return max(0.0, self._since + _SECONDS - self._clock())

    def check(self) -> None:
        """Warn if it is due."""
        if self.due_in == 0.0:
            self._is_given = True
            warnings.warn(
                f"no answer from {self._address} for {_SECONDS:g} s: is an engine running there? "
                "Still trying",
                LocoStreamWarning,
                stacklevel=2,
            )
