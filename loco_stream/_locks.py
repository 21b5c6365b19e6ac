"""Locks that survive a fork."""

from __future__ import annotations

import os
import threading
import time
import weakref

_PATIENCE = 2.0  # seconds that a fork waits for other threads


class ForkSafeLock:
    """A reentrant lock that is free in a forked process, whoever held it before.

    A thread that holds a lock does not exist in the child, and would never release it. A fork
    therefore takes every lock first, so that the child finds what they guard in a consistent state.
    After two seconds it goes on without those that are still held.
    """

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def acquire(self, seconds: float) -> bool:
        """Wait for the lock up to a number of seconds; return whether it was taken."""
        return self._lock.acquire(timeout=seconds)

    def release(self) -> None:
        """Release the lock."""
        self._lock.release()

    def renew(self) -> None:
        """Replace the lock by a free one."""
        self._lock = threading.RLock()


_LOCKS: weakref.WeakSet[ForkSafeLock] = weakref.WeakSet()
_held = threading.local()  # by the thread that forks


def fork_safe_lock() -> ForkSafeLock:
    """Return a new lock that `os.fork` renews in the child.

    Examples
    --------
    >>> lock = fork_safe_lock()
    >>> with lock, lock:
    ...     print("held twice")
    held twice
    """
    lock = ForkSafeLock()
    _LOCKS.add(lock)
    return lock


def _before_fork() -> None:
    deadline = time.monotonic() + _PATIENCE
    _held.locks = [
        lock for lock in list(_LOCKS) if lock.acquire(max(deadline - time.monotonic(), 0.0))
    ]


def _after_in_parent() -> None:
    for lock in _held.locks:
        lock.release()
    _held.locks = []


def _after_in_child() -> None:
    _held.locks = []
    for lock in list(_LOCKS):
        lock.renew()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_in_parent,
        after_in_child=_after_in_child,
    )
