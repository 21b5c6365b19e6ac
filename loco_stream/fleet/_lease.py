"""Leases in an object store: a process that renews its lease is alive.

Leases decide how long others wait before they take over. Fences decide who may write, so a clock
that is wrong costs time and no rows. Both times that are compared come from the store's clock.
"""

from __future__ import annotations

import threading

from loco_stream.errors import CheckpointError
from loco_stream.fleet._object_store import ObjectStore

_FOLDER = "leases"
_OLD = 3600.0  # seconds


class Lease:
    """The lease of this process, renewed in a thread, and a look at those of others.

    store: where the leases are
    owner: name of this process
    seconds: seconds after the last renewal at which the lease of this process is over
    """

    def __init__(self, store: ObjectStore, owner: str, seconds: float) -> None:
        self._store = store
        self._owner = owner
        self._seconds = seconds
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Take the lease, and renew it until `end`."""
        if self._thread is None:
            self._renew()
            self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Stop renewing, and delete the lease."""
        if self._thread is not None:
            self._over.set()
            self._thread.join()
            self._thread = None
            self._store.delete([_name(self._owner)])

    def is_live(self, owner: str) -> bool:
        """Whether a process has a lease that is not over."""
        left = self.left(owner)
        return left is not None and left >= 0.0

    def is_over(self, owner: str) -> bool:
        """Whether a process has a lease that is over."""
        left = self.left(owner)
        return left is not None and left < 0.0

    def forget_old(self) -> None:
        """Delete the leases that were over long ago."""
        owners = [name.rpartition("/")[2] for name in self._store.names(_FOLDER)]
        left = {owner: self.left(owner) for owner in owners}
        self._store.delete(
            _name(owner) for owner, time in left.items() if time is not None and time < -_OLD
        )

    def left(self, owner: str) -> float | None:
        """Return the seconds until a lease is over, negative afterwards; None without a lease."""
        lease = self._store.get_dated(_name(owner))
        if lease is None:
            return None
        seconds, renewed = lease
        self.start()
        self._renew()
        own_lease = self._store.get_dated(_name(self._owner))
        if own_lease is None:
            return None
        _, now = own_lease  # by the clock of the store
        return float(seconds) - (now - renewed).total_seconds()

    def _run(self) -> None:
        while not self._over.wait(self._seconds / 3):
            try:
                self._renew()
            except CheckpointError:
                continue  # the store cannot be reached: the next renewal tries again

    def _renew(self) -> None:
        self._store.put(_name(self._owner), b"%g" % self._seconds)


def _name(owner: str) -> str:
    return f"{_FOLDER}/{owner}"
