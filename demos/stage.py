"""What every demo with a page needs: options, the page, a clean end, and a verdict."""

from __future__ import annotations

import getpass
import math
import os
import select
import signal
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar
from urllib.parse import urlsplit

import click

from loco_stream.stream import Sink

__all__ = [
    "Hits",
    "Stage",
    "browser_at_hand",
    "conclude",
    "demo_options",
    "over_ssh",
    "paced",
    "play",
    "tunnel",
]

F = TypeVar("F", bound=Callable[..., Any])

_PORT = 8765
_STAYS = " headless, else until Ctrl-C"
_PATIENCE = (
    20.0  # seconds in which a question must be answered: a demo that is asked for by a script ends
)


@dataclass(frozen=True, slots=True)
class Stage:
    """How a demo is to be run; `seconds` is infinite where it stays until Ctrl-C."""

    headless: bool
    seconds: float
    seed: int
    port: int
    browse: bool

    @contextmanager
    def page(
        self,
        title: str,
        note: str,
        actions: Mapping[str, Callable[[], object]] | None = None,
        rivals: Mapping[str, Callable[[], float | None]] | None = None,
    ) -> Iterator[list[Any]]:
        """Open the page, unless headless, and give the engine's `watchers`.

        The rest is as in `Dashboard`.
        """
        if self.headless:
            yield []
            return
        from loco_stream.dashboard import Dashboard

        with Dashboard(
            self.port, actions=actions, title=title, note=note, rivals=rivals
        ) as dashboard:
            click.echo(f"live page: {dashboard.url} (Ctrl-C ends)")
            if over_ssh():
                click.echo(tunnel(urlsplit(dashboard.url).port or self.port))
            if self.browse:
                webbrowser.open(dashboard.url)
            yield [dashboard]


def over_ssh() -> bool:
    """Whether this terminal is at another machine."""
    return bool(os.environ.get("SSH_CONNECTION"))


def tunnel(port: int) -> str:
    """Return how to see a page of this machine, which only it can reach, in a browser at the other end of SSH.

    Examples
    --------
    >>> tunnel(8765).splitlines()[-1]
    'and open http://127.0.0.1:8765/ there.'
    """
    here = (os.environ.get("SSH_CONNECTION", "").split() + [""] * 3)[2] or "THIS-MACHINE"
    return (
        "You are here over SSH. To see the page, run this where your browser is:\n"
        f"  ssh -N -L {port}:127.0.0.1:{port} {getpass.getuser()}@{here}\n"
        f"and open http://127.0.0.1:{port}/ there."
    )


class Hits(Sink):
    """A sink that remembers of each row whether it was right."""

    def __init__(self) -> None:
        self.hits: list[bool] = []

    def write(self, prediction: Any) -> None:
        """Take one scored row."""
        self.hits.append(prediction.y_pred == prediction.y)


def browser_at_hand() -> bool:
    """Whether a person sits at this terminal, before a screen with a browser."""
    if os.environ.get("CI") or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    if (
        sys.platform.startswith("linux")
        and not {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"} & os.environ.keys()
    ):
        return False  # what is found then, if anything, is a browser made of text
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _agrees(question: str) -> bool:
    """Ask at the terminal; silence means no."""
    click.echo(f"{question} [y/N, no in {_PATIENCE:.0f} s] ", nl=False)
    answered = bool(select.select([sys.stdin], [], [], _PATIENCE)[0])
    answer = sys.stdin.readline() if answered else "\n"
    if not answered:
        click.echo()
    return answer.strip().lower() in ("y", "yes")


def demo_options(seconds: float, stays: bool = False) -> Callable[[F], F]:
    """Add the options of all demos, handed over as one `stage`.

    Parameters
    ----------
    seconds
        How long the demo runs if nobody says so.
    stays
        With a page it runs until Ctrl-C instead.
    """
    options = (
        click.option(
            "--ask",
            is_flag=True,
            help="Ask before the page is opened; where there is no terminal or no browser, do nothing.",
        ),
        click.option("--open", "browse", is_flag=True, help="Open the page in the browser."),
        click.option(
            "--port",
            type=click.IntRange(0, 65535),
            default=_PORT,
            show_default=True,
            metavar="PORT",
            help="Port of the page; 0 takes a free one.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(0, 2**63 - 1),
            default=0,
            show_default=True,
            metavar="N",
            help="Of the data and the models.",
        ),
        click.option(
            "--seconds",
            type=click.FloatRange(1.0),
            metavar="S",
            help=f"About how long it runs.  [default: {seconds:g}{_STAYS if stays else ''}]",
        ),
        click.option("--headless", is_flag=True, help="No page; exit 1 if the outcome fails."),
    )

    def add(function: F) -> Any:
        @wraps(function)
        def command(
            headless: bool,
            seconds: float | None,
            seed: int,
            port: int,
            browse: bool,
            ask: bool,
            **own: Any,
        ) -> Any:
            if ask and not browser_at_hand():
                if over_ssh():
                    click.echo(
                        f"`loco-stream demo {click.get_current_context().info_name}` shows this live. {tunnel(_PORT)}"
                    )
                return None
            if ask and not _agrees("Watch it live in your browser?"):
                return None
            if seconds is None:
                seconds = default if headless or not stays else math.inf
            return function(stage=Stage(headless, seconds, seed, port, browse or ask), **own)

        default = seconds
        for option in options:
            command = option(command)
        return command

    return add


def paced(pairs: Iterable[Any], rate: float) -> Iterator[Any]:
    """Yield the rows of a stream at most so many a second, so that one can look on."""
    began = time.monotonic()
    for row, pair in enumerate(pairs):
        time.sleep(max(0.0, began + row / rate - time.monotonic()))
        yield pair


def play(engine: Any, seconds: float = math.inf) -> Any:
    """Run an engine until its stream ends, Ctrl-C is pressed, or the time is over.

    Return the report.
    """
    before = signal.signal(signal.SIGINT, lambda *_: engine.stop())
    timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), engine.stop)
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
