"""A thread that runs as long as a block."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def background_thread(work: Callable[[threading.Event], None], name: str) -> Iterator[None]:
    """Call `work(stop)` in a thread while the block runs; at its end, set `stop` and join.

    Examples
    --------
    >>> with background_thread(lambda stop: stop.wait() and print("joined"), "example"):
    ...     print("in the block")
    in the block
    joined
    """
    stop = threading.Event()
    thread = threading.Thread(target=work, args=(stop,), name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
