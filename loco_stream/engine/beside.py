"""A thread that works while a block runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["beside"]


@contextmanager
def beside(work: Callable[[threading.Event], None], name: str) -> Iterator[None]:
    """Call `work(over)` in a thread while the block runs.

    Then `over` is set, and the thread is waited for.

    Examples
    --------
    >>> with beside(lambda over: over.wait() and print("the block is over"), "example"):
    ...     print("in the block")
    in the block
    the block is over
    """
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
