"""What every demo with a page needs: options, the page, a clean end, and a verdict."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import click

__all__ = ["conclude", "demo_options", "paced", "page", "play"]

F = TypeVar("F", bound=Callable[..., Any])


_STAYS = " headless, else until Ctrl-C"


def _default(seconds: float, stays: bool) -> Callable[[click.Context, click.Parameter, float | None], float | None]:
    def choose(context: click.Context, _: click.Parameter, given: float | None) -> float | None:
        return seconds if given is None and (context.params["headless"] or not stays) else given

    return choose


def demo_options(seconds: float, stays: bool = False) -> Callable[[F], F]:
    """Add the options of all demos; one that `stays` gets None for the time if the page may stay open."""

    def add(function: F) -> F:
        for option in (
            click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, metavar="PORT",
                         help="Port of the page; 0 takes a free one."),
            click.option("--seconds", type=click.FloatRange(1.0), callback=_default(seconds, stays), metavar="S",
                         help=f"About how long it runs.  [default: {seconds:g}{_STAYS if stays else ''}]"),
            click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, metavar="N",
                         help="Of the data and the models."),
            click.option("--headless", is_flag=True, is_eager=True, help="No page; exit 1 if the outcome fails."),
        ):  # fmt: skip
            function = option(function)
        return function

    return add


@contextmanager
def page(headless: bool, port: int, actions: Mapping[str, Callable[[], object]] | None = None) -> Iterator[list[Any]]:
    """Open the page, unless headless, and give the engine's `watchers`."""
    if headless:
        yield []
        return
    from loco_stream.dashboard import Dashboard

    with Dashboard(port, actions=actions) as dashboard:
        click.echo(f"open {dashboard.url} (Ctrl-C ends)")
        yield [dashboard]


def paced(pairs: Iterable[Any], rate: float) -> Iterator[Any]:
    """Yield the rows of a stream at most so many a second, so that one can look on."""
    began = time.monotonic()
    for row, pair in enumerate(pairs):
        time.sleep(max(0.0, began + row / rate - time.monotonic()))
        yield pair


def play(engine: Any, seconds: float | None = None) -> Any:
    """Run an engine until its stream ends, Ctrl-C is pressed, or the time is over; return the report."""
    before = signal.signal(signal.SIGINT, lambda *_: engine.stop())
    timer = threading.Timer(seconds or threading.TIMEOUT_MAX, engine.stop)
    timer.daemon = True
    timer.start()
    try:
        return engine.run()
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)


def conclude(claims: Sequence[tuple[bool, str]]) -> None:
    """Print each claim with what was measured; exit with code 1 if one does not hold."""
    for holds, text in claims:
        click.echo(f"{'yes' if holds else 'NO '}  {text}")
    if not all(holds for holds, _ in claims):
        raise SystemExit(1)
