"""HTML for notebooks: progress below a cell while an engine runs, and tables."""

from __future__ import annotations

import html
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from loco_stream.engine._background_thread import background_thread

_SECONDS = 0.5


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, whose cells show HTML."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


@contextmanager
def cell(content: Callable[[], str]) -> Iterator[None]:
    """Show HTML below the current cell, renewed twice per second, until the block ends.

    The block does not wait for it.
    """
    from IPython.display import HTML, display

    def page() -> Any:
        return HTML(content())  # type: ignore[no-untyped-call]

    handle = display(page(), display_id=True)  # type: ignore[no-untyped-call]

    def renew(stop: threading.Event) -> None:
        while not stop.wait(_SECONDS):
            handle.update(page())

    try:
        with background_thread(renew, "progress"):
            yield
    finally:
        handle.update(page())


def progress_html(text: str, share: float | None, alarm: str | None) -> str:
    """Return a progress bar, if the share done is known, and a line of text; or an alarm.

    Examples
    --------
    >>> progress_html("00:10  50 samples", 0.25, None)
    '<progress max="1" value="0.250" style="width: 20em"></progress><pre>00:10  50 samples</pre>'
    """
    if alarm is not None:
        return f'<pre role="alert" style="font-weight: bold">ALARM: {html.escape(alarm)}</pre>'
    bar = ""
    if share is not None:
        bar = f'<progress max="1" value="{share:.3f}" style="width: 20em"></progress>'
    return f"{bar}<pre>{html.escape(text)}</pre>"


def table_html(title: str, lines: Iterable[tuple[str, str]]) -> str:
    """Return a table of names and values.

    Examples
    --------
    >>> table_html("a < b", [("rows", "3")]).startswith("<table><caption>a &lt; b</caption>")
    True
    """
    left = "text-align: left; font-weight: normal"
    right = "text-align: right"
    rows = "".join(
        f'<tr><th scope="row" style="{left}">{html.escape(name)}</th>'
        f'<td style="{right}">{html.escape(value)}</td></tr>'
        for name, value in lines
    )
    return f"<table><caption>{html.escape(title)}</caption><tbody>{rows}</tbody></table>"
