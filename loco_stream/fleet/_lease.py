"""Leases in an object store: a process that renews its lease is alive.

Leases decide how long others wait before they take over. Fences decide who may write, so a clock
that is wrong costs time and no rows. Both times that are compared come from the store's clock.
"""

from __future__ import annotations

import threading
from typing import Any, TypeAlias

import obstore
from obstore import exceptions

from loco_stream.errors import CheckpointError
from loco_stream.fleet._journal import store_errors

__all__ = ["Lease"]

Store: TypeAlias = Any

_FOLDER = "leases"
_OLD = 3600.0  # seconds


class Lease:
    """The lease of this process, renewed in a thread, and a look at those of others.

    Parameters
    ----------
    store
        Of obstore.
    owner
        Name of this process.
    seconds
        Seconds after the last renewal at which a lease is over.
    """

    def __init__(self, store: Store, owner: str, seconds: float) -> None:
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
            with store_errors("delete from"):
                obstore.delete(self._store, _name(self._owner))

    def is_live(self, owner: str) -> bool:
        """Whether a process has a lease that is not over."""
        age = self._age(owner)
        return age is not None and age <= self._seconds

    def is_over(self, owner: str) -> bool:
        """Whether a process has a lease that is over."""
        age = self._age(owner)
        return age is not None and age > self._seconds

    def forget_old(self) -> None:
        """Delete the leases of processes that died long ago."""
        old = max(10.0 * self._seconds, _OLD)
        self.start()
        with store_errors("list"):
            names = [
                entry["path"] for chunk in obstore.list(self._store, _FOLDER) for entry in chunk
            ]
            owners = [name.removeprefix(f"{_FOLDER}/") for name in names]
            dead = [_name(owner) for owner in owners if (self._age(owner) or 0.0) > old]
            if dead:
                obstore.delete(self._store, dead)

    def _age(self, owner: str) -> float | None:
        """Return the seconds since the last renewal; None if there is no lease."""
        with store_errors("read"):
            try:
                renewed = obstore.head(self._store, _name(owner))["last_modified"]
            except (exceptions.NotFoundError, FileNotFoundError):
                return None
            self.start()
            self._renew()
            now = obstore.head(self._store, _name(self._owner))["last_modified"]
        return float((now - renewed).total_seconds())

    def _run(self) -> None:
        while not self._over.wait(self._seconds / 3):
            try:
                self._renew()
            except CheckpointError:
                continue  # the store cannot be reached: the next renewal tries again

    def _renew(self) -> None:
        with store_errors("write to"):
            obstore.put(self._store, _name(self._owner), b"", use_multipart=False)


def _name(owner: str) -> str:
    return f"{_FOLDER}/{owner}"
