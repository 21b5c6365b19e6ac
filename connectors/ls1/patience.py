"""A sender that waits for its engine says so after a while."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

from loco_stream.errors import LocoStreamWarning

__all__ = ["Patience"]

_SECONDS = 5.0  # a busy engine answers long before, one that compiles its first row may not


class Patience:
    """Warns once for each silence of more than 5 s.

    Parameters
    ----------
    address
        Where the engine should be.
    clock
        Seconds, monotonic.
    """

    def __init__(self, address: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._address = address
        self._clock = clock
        self._since = clock()
        self._told = False

    def renew(self) -> None:
        """Take note that the engine is there, or that nobody waits for it."""
        self._since = self._clock()
        self._told = False

    @property
    def left(self) -> float:
        """Seconds until the warning is due; infinite once it was given."""
        return float("inf") if self._told else max(0.0, self._since + _SECONDS - self._clock())

    def check(self) -> None:
        """Warn if it is time."""
        if not self._told and self.left == 0.0:
            self._told = True
            text = f"no answer from {self._address} for {_SECONDS:g} s: is an engine running there? Still trying"
            warnings.warn(text, LocoStreamWarning, stacklevel=2)
