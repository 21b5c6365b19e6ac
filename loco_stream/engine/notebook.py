"""What a notebook shows while an engine runs, and of its results."""

from __future__ import annotations

import html
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from loco_stream.engine.beside import beside

__all__ = ["cell", "in_notebook", "progress_html", "table_html"]

_SECONDS = 0.5


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, whose cells show HTML."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


@contextmanager
def cell(content: Callable[[], str]) -> Iterator[None]:
    """Show HTML below the cell that runs, twice a second anew, until the block ends.

    The block never waits for it.
    """
    from IPython.display import HTML, display

    def page() -> Any:
        return HTML(content())  # type: ignore[no-untyped-call]

    handle = display(page(), display_id=True)  # type: ignore[no-untyped-call]

    def renew(over: threading.Event) -> None:
        while not over.wait(_SECONDS):
            handle.update(page())

    try:
        with beside(renew, "progress"):
            yield
    finally:
        handle.update(page())


def progress_html(text: str, share: float | None, alarm: str | None) -> str:
    """Return a bar, where the share that is done is known, and the line below it.

    An alarm takes its place.

    Examples
    --------
    >>> progress_html("00:10  50 samples", 0.25, None)
    '<progress max="1" value="0.250" style="width: 20em"></progress><pre>00:10  50 samples</pre>'
    """
    if alarm is not None:
        return f'<pre role="alert" style="font-weight: bold">ALARM: {html.escape(alarm)}</pre>'
    bar = (
        ""
        if share is None
        else f'<progress max="1" value="{share:.3f}" style="width: 20em"></progress>'
    )
    return f"{bar}<pre>{html.escape(text)}</pre>"


def table_html(title: str, lines: Iterable[tuple[str, str]]) -> str:
    """Return a table of names and values.

    Examples
    --------
    >>> table_html("a < b", [("rows", "3")]).startswith("<table><caption>a &lt; b</caption>")
    True
    """
    rows = "".join(
        f'<tr><th scope="row" style="text-align: left; font-weight: normal">{html.escape(name)}</th>'
        f'<td style="text-align: right">{html.escape(value)}</td></tr>'
        for name, value in lines
    )
    return f"<table><caption>{html.escape(title)}</caption><tbody>{rows}</tbody></table>"
