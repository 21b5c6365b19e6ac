"""What all demos share: options, the page, a run that Ctrl-C ends, and the check of claims."""

from __future__ import annotations

import getpass
import math
import os
import select
import shutil
import signal
import sys
import threading
import time
import webbrowser
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import click

from loco_stream._ranges import FloatRange, IntRange
from loco_stream.stream import Prediction, Sink

if TYPE_CHECKING:
    from loco_stream.dashboard import Dashboard
    from loco_stream.engine import Report, StreamEngine

Command = Callable[..., object]
Row = TypeVar("Row")

_PORT = 8765
# a question that nobody answers means no, so that a demo started by a script ends
_ANSWER_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Demo:
    """How a demo runs.

    Attributes
    ----------
    headless
        Whether there is no page, and the exit code shows whether the claims hold.
    seconds
        Length of the run; infinite for a run until Ctrl-C.
    seed
        Seed of data and models.
    port
        Port of the page.
    open_page
        Whether the page is opened in a browser.
    """

    headless: bool
    seconds: float
    seed: int
    port: int
    open_page: bool

    @contextmanager
    def page(
        self,
        title: str,
        note: str,
        actions: Mapping[str, Callable[[], object]] | None = None,
        rivals: Mapping[str, Callable[[], float | None]] | None = None,
    ) -> Iterator[list[Dashboard]]:
        """Serve the page, unless headless, and yield the engine's `watchers`.

        The parameters are those of `Dashboard`.
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
                click.echo(ssh_advice(urlsplit(dashboard.url).port or self.port))
            if self.open_page:
                webbrowser.open(dashboard.url)
            yield [dashboard]


def over_ssh() -> bool:
    """Return whether the terminal is connected over SSH."""
    return bool(os.environ.get("SSH_CONNECTION"))


def ssh_advice(port: int) -> str:
    """Return how to see a page of this machine in a browser at the other end of SSH.

    Examples
    --------
    >>> ssh_advice(8765).splitlines()[-1]
    'and open http://127.0.0.1:8765/ there.'
    """
    here = (os.environ.get("SSH_CONNECTION", "").split() + [""] * 3)[2] or "THIS-MACHINE"
    return (
        "This terminal is connected over SSH. To see the page, run this where your browser is:\n"
        f"  ssh -N -L {port}:127.0.0.1:{port} {getpass.getuser()}@{here}\n"
        f"and open http://127.0.0.1:{port}/ there."
    )


class HitRecorder(Sink):
    """A sink that records by row whether its last prediction is correct."""

    def __init__(self) -> None:
        self.hits: dict[int, bool] = {}

    def write(self, prediction: Prediction) -> None:
        """Record one scored row."""
        self.hits[prediction.seq] = prediction.y_pred == prediction.y

    def close(self, report: Mapping[str, object]) -> None:
        """Do nothing: nothing is open."""


def has_browser() -> bool:
    """Return whether a person can see a browser opened from this terminal."""
    if os.environ.get("CI") or not (sys.stdin.isatty() and sys.stdout.isatty()):
        return False
    displays = {"DISPLAY", "WAYLAND_DISPLAY", "BROWSER"}
    if sys.platform.startswith("linux") and not displays & os.environ.keys():
        return False  # at best there is a text browser
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def _confirm(question: str) -> bool:
    """Ask at the terminal; no answer means no."""
    click.echo(f"{question} [y/N, no in {_ANSWER_SECONDS:.0f} s] ", nl=False)
    answered = bool(select.select([sys.stdin], [], [], _ANSWER_SECONDS)[0])
    answer = sys.stdin.readline() if answered else "\n"
    if not answered:
        click.echo()
    return answer.strip().lower() in ("y", "yes")


def demo_options(seconds: float, stays: bool = False) -> Callable[[Command], Command]:
    """Add the options of all demos, which the command receives as `demo`.

    Parameters
    ----------
    seconds
        Default length of the run.
    stays
        Whether a run with a page lasts until Ctrl-C by default.
    """

    def add(function: Command) -> Command:
        @wraps(function)
        def command(
            ask: bool,
            headless: bool,
            seconds: float | None,
            seed: int,
            port: int,
            open_page: bool,
            **values: object,
        ) -> object:
            if ask and not _accepts_offer():
                return None
            if seconds is None:
                seconds = default if headless or not stays else math.inf
            return function(demo=Demo(headless, seconds, seed, port, open_page or ask), **values)

        default = seconds
        decorated: Command = command
        for option in _options(seconds, stays):
            decorated = option(decorated)
        return decorated

    return add


def _accepts_offer() -> bool:
    """Offer the page, or print its address; return whether the offer is accepted."""
    if has_browser():
        return _confirm("Watch it live in your browser?")
    command = "loco-stream" if shutil.which("loco-stream") else sys.argv[0]
    demo = f"{command} demo {click.get_current_context().info_name}"
    where = ssh_advice(_PORT) if over_ssh() else f"Its page is http://127.0.0.1:{_PORT}/."
    click.echo(f"`{demo}` shows a demo live. {where}")
    return False


def _options(seconds: float, stays: bool) -> Sequence[Callable[[Command], Command]]:
    """Return the options, last one first."""
    length = f"{seconds:g}{' headless, else until Ctrl-C' if stays else ''}"
    return (
        click.option(
            "--ask",
            is_flag=True,
            help="Ask before the page is opened; without terminal or browser, print its address.",
        ),
        click.option("--open", "open_page", is_flag=True, help="Open the page in a browser."),
        click.option(
            "--port",
            type=IntRange(0, 65535),
            default=_PORT,
            metavar="PORT",
            help="Port of the page; 0 selects a free one.",
        ),
        click.option(
            "--seed",
            type=IntRange(0, 2**63 - 1),
            default=0,
            metavar="N",
            help="Random seed of data and models.",
        ),
        click.option(
            "--seconds",
            type=FloatRange(1.0),
            metavar="S",
            help=f"Approximate length of the run.  [default: {length}]",
        ),
        click.option("--headless", is_flag=True, help="No page; exit 1 if a claim fails."),
    )


def paced(rows: Iterable[Row], rate: float) -> Iterator[Row]:
    """Yield the rows of a stream with at most `rate` rows per second."""
    began = time.monotonic()
    for n, row in enumerate(rows):
        time.sleep(max(0.0, began + n / rate - time.monotonic()))
        yield row


def run_for(engine: StreamEngine, seconds: float = math.inf) -> Report:
    """Run an engine until its stream ends, Ctrl-C is pressed, or the time is over."""
    before = signal.signal(signal.SIGINT, lambda *_: engine.stop())
    timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), engine.stop)
    timer.daemon = True
    timer.start()
    try:
        return engine.run()
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, before)


def check_claims(claims: Sequence[tuple[bool, str]]) -> None:
    """Print each claim with what was measured; exit with code 1 if one does not hold."""
    for holds, text in claims:
        click.echo(f"{'yes' if holds else 'NO '}  {text}")
    if not all(holds for holds, _ in claims):
        raise SystemExit(1)
