"""`python -m benchmarks dashboard`: cost of the live page."""

from __future__ import annotations

import shutil
import time
from contextlib import ExitStack
from typing import Any, ClassVar

import click

from benchmarks.grid import Grid, percent
from benchmarks.live_peers import CLASSES, FEATURES, peer_answer, start_peer, table
from benchmarks.machine import median
from benchmarks.options import Settings, common
from benchmarks.runs import Run
from loco_stream.stream import Block, Sample, Source

__all__ = ["command", "grids", "measure"]

_WAYS = ("row by row", "blocks of 64")
_PAGES = ("no page", "page, no reader", "page, one reader")
_BLOCK = 64
# Time of the first paint, and the bytes transferred for it: the page and all that it loads.
_PAINT = """[performance.getEntriesByName('first-contentful-paint')[0].startTime,
    [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')]
        .reduce((sum, entry) => sum + entry.transferSize, 0)]"""


class _Rows(Source):
    """A source in memory: dicts or blocks of rows."""

    name = "memory"
    guarantee = "rows of this bench"
    is_live = True
    position: ClassVar[dict[str, Any]] = {}

    def __init__(self, way: str, n: int) -> None:
        X, y = table(n)
        self._events: list[Any]
        if way == _WAYS[0]:
            rows = X.tolist()
            self._events = [
                Sample(dict(zip(FEATURES, row, strict=True)), label, i, time.time(), self.name)
                for i, (row, label) in enumerate(zip(rows, y, strict=True))
            ]
        else:
            self._events = [
                Block(X[a : a + _BLOCK], y[a : a + _BLOCK], FEATURES, a)
                for a in range(0, n, _BLOCK)
            ]

    def __iter__(self) -> Any:
        return iter(self._events)


def measure(way: str, page: str, n: int) -> dict[str, float]:
    """Learn n rows as `loco-stream run` does.

    Return rows per second by wall time and by CPU time, and the number of frames read.
    """
    from loco_stream import LOCOClassifier
    from loco_stream.dashboard import Dashboard
    from loco_stream.engine import StreamEngine
    from loco_stream.monitor import TaskMonitor

    with ExitStack() as stack:
        watchers = []
        reader = None
        if page != _PAGES[0]:
            watchers.append(stack.enter_context(Dashboard(0)))
        if page == _PAGES[2]:
            reader = start_peer(do="read", url=watchers[0].url)
            assert reader.stdout is not None
            reader.stdout.readline()  # the first event: the page is open
        # Without a holdout a block is learned in one call, as in `serve`.
        monitor = TaskMonitor() if way == _WAYS[0] else TaskMonitor(holdout=0)
        engine = StreamEngine(
            LOCOClassifier(seed=0), _Rows(way, n), monitor=monitor, watchers=watchers
        )
        wall = time.perf_counter()
        cpu = time.process_time()
        engine.run()
        wall = time.perf_counter() - wall
        cpu = time.process_time() - cpu
    frames = peer_answer(reader)["frames"] if reader else 0
    return {
        "rows_per_second": n / wall,
        "rows_per_cpu_second": n / cpu,
        "frames": frames,
        "seconds": wall,
    }


def rounds(way: str, n: int, pairs: int) -> dict[str, Any]:
    """Measure all kinds of page in turn, `pairs` times.

    Only measurements next to each other are compared, since machines are shared.
    """
    for page in _PAGES:
        measure(way, page, 10 * _BLOCK)  # compiles
    kinds = [_PAGES[i % len(_PAGES) :] + _PAGES[: i % len(_PAGES)] for i in range(pairs)]
    return {"rounds": [{page: measure(way, page, n) for page in order} for order in kinds]}


def paints(repeats: int) -> dict[str, Any]:
    """Open the page in Chromium `repeats` times with an empty cache.

    Return the milliseconds to the first paint, and the bytes sent.
    """
    from playwright.sync_api import sync_playwright

    from loco_stream import LOCOClassifier
    from loco_stream.dashboard import Dashboard
    from loco_stream.engine import StreamEngine

    found = []
    with Dashboard(0) as page, sync_playwright() as playwright:
        StreamEngine(LOCOClassifier(seed=0), _Rows(_WAYS[0], 2000), watchers=[page]).run()
        chromium = playwright.chromium.launch(executable_path=_browser(), args=["--no-sandbox"])
        for _ in range(repeats):
            context = chromium.new_context(bypass_csp=True)  # to wait for an expression
            seen = context.new_page()
            seen.goto(page.url)
            seen.wait_for_function(
                "performance.getEntriesByName('first-contentful-paint').length > 0"
            )
            found.append(seen.evaluate(_PAINT))
            context.close()
        chromium.close()
    return {"ms": [ms for ms, _ in found], "bytes": max(sent for _, sent in found)}


def _browser() -> str | None:
    return (
        shutil.which("chromium")
        or shutil.which("chromium-browser")
        or shutil.which("google-chrome")
    )


def _paint_grid(found: dict[str, Any]) -> Grid:
    grid = Grid(
        "first paint of the page on this machine, Chromium, empty cache",
        ["opened", "median ms", "worst", "kB"],
    )
    grid.row(
        str(len(found["ms"])),
        f"{median(found['ms']):.0f}",
        f"{max(found['ms']):.0f}",
        f"{found['bytes'] / 1e3:.0f}",
    )
    return grid


def grids(results: dict[str, dict[str, Any]]) -> list[Grid]:
    """Return median throughput and cost of each kind of page, and its first paint."""
    grid = Grid(
        f"the live page beside a run in memory ({len(FEATURES)} features, {len(CLASSES)} classes)",
        ["rows", "page", "rows/s", "cost", "rows/CPU s", "cost in CPU time", "frames/s"],
    )
    for way in _WAYS:
        if way not in results:
            continue
        found = results[way]
        for page in _PAGES:
            cells = []
            for unit in ("rows_per_second", "rows_per_cpu_second"):
                costs = [1.0 - turn[page][unit] / turn[_PAGES[0]][unit] for turn in found["rounds"]]
                cost = "-" if page == _PAGES[0] else f"{percent(median(costs))} %"
                cells += [f"{median([turn[page][unit] for turn in found['rounds']]):,.0f}", cost]
            frames = median(
                [turn[page]["frames"] / turn[page]["seconds"] for turn in found["rounds"]]
            )
            grid.row(way, page, *cells, f"{frames:.1f}")
    return [grid, *([_paint_grid(results["first paint"])] if "first paint" in results else [])]


@click.command("dashboard")
@click.option(
    "--rows",
    type=click.IntRange(min=640),
    default=40_000,
    show_default=True,
    help="Rows per run.",
)
@click.option(
    "--pairs",
    type=click.IntRange(min=1),
    default=7,
    show_default=True,
    help="Runs per kind, in turn.",
)
@common(seeds=1)
def command(settings: Settings, rows: int, pairs: int) -> None:
    """Measure throughput without the live page, with it, and with a reader, and its first paint.

    Throughputs are medians of pairs. The first paint needs Chromium and is left out without it.

    \b
    Examples
      python -m benchmarks dashboard
      python -m benchmarks dashboard --rows 5000 --pairs 3
    """
    runs = [
        Run(way, rounds, {"way": way, "n": rows, "pairs": pairs}, f"{rows} {pairs}")
        for way in _WAYS
    ]
    if _browser():
        runs.append(Run("first paint", paints, {"repeats": pairs}, f"paint {pairs}"))
    settings.anew().run("dashboard", runs, grids)
