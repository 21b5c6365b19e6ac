"""Take the screenshots of the live page.

``python docs/screenshots.py`` runs each scene and takes a picture of its page as a desktop, a
laptop and a phone show it, light and dark, and while the first rows come. ``python
docs/screenshots.py NAME...`` takes those of the named scenes. Files are out/pages/SCENE-LOOK.png;
``--folder`` writes elsewhere. ``--guide`` also renews the pictures of the guide, in docs/images.
Needs Chromium and playwright, and a few minutes.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import drawn

ROOT = Path(__file__).parents[1]
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
SIZES = {"desktop": (1920, 1080), "laptop": (1366, 768), "phone": (390, 844)}
THEMES = ("light", "dark")
START_SECONDS = 300.0  # until the first row; a first run compiles


@dataclass(frozen=True)
class Scene:
    """What a page shows.

    Attributes
    ----------
    words
        Words of the command that serves the page.
    rows
        Rows after which pictures are taken.
    beside
        Words of a command that serves another page, which the first one is compared with.
    """

    words: tuple[str, ...]
    rows: int
    beside: tuple[str, ...] = ()


PAGE = ("--dashboard", "--dashboard-port", "0", "--stay", "--seed", "1")
SCENES = {
    "labelled": Scene(("demo", "machine", "--port", "0", "--seconds", "24"), 18_000),
    "unlabelled": Scene(("demo", "watch", "--port", "0", "--seconds", "30"), 2_330),
    "numbers": Scene(("run", "csv:load.csv?target=load&rate=400", *PAGE), 3_000),
    "forecast": Scene(("run", "csv:load.csv?target=load&rate=200", "--forecast", "24", *PAGE), 900),
    "compare": Scene(
        ("run", "csv:kinds.csv?target=kind&rate=300", *PAGE),
        4_000,
        ("run", "csv:kinds.csv?target=kind&rate=300", *PAGE, "--set", "rule=frozen"),
    ),
}


def write_tables(folder: Path) -> None:
    """Write a daily load curve, and two classes whose border bends and turns over after half."""
    draws = random.Random(1)
    lines = ["hour,heat,load"]
    for i in range(4000):
        heat = 15 + 8 * math.sin(2 * math.pi * i / 24) + draws.gauss(0, 1)
        lines.append(f"{i % 24},{heat:.2f},{50 + 2 * heat + draws.gauss(0, 3):.2f}")
    (folder / "load.csv").write_text("\n".join(lines) + "\n")
    lines = ["u,v,w,kind"]
    for i in range(6000):
        u, v, w = (draws.uniform(-1, 1) for _ in range(3))
        is_high = v > 0.7 * math.sin(4 * u) * (1 if w > 0 else -1)
        lines.append(f"{u:.3f},{v:.3f},{w:.3f},{'high' if is_high == (i < 3000) else 'low'}")
    (folder / "kinds.csv").write_text("\n".join(lines) + "\n")


# Picture of the guide: the screenshot, and the pixels that are shown from its top (0: all).
GUIDE = {
    "page": ("labelled-laptop-light", 0),
    "page_unlabelled": ("unlabelled-laptop-light", 0),
    "page_phone": ("unlabelled-phone-dark", 1688),
    "page_compare": ("compare-laptop-light", 770),
}


def renew_guide(folder: Path, scenes: Sequence[str]) -> None:
    """Write the pictures of the guide that show these scenes, with a palette of 256 colours."""
    from PIL import Image

    for name, (shot, height) in GUIDE.items():
        if shot.partition("-")[0] not in scenes:
            continue
        with Image.open(folder / f"{shot}.png") as image:
            shown = image.convert("RGB").crop((0, 0, image.width, height or image.height))
        target = ROOT / "docs" / "images" / f"{name}.png"
        small = shown.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE)
        small.save(target, optimize=True)
        drawn.record([name])
        print(target, flush=True)


@contextmanager
def served(words: tuple[str, ...]) -> Iterator[str]:
    """Start a command and yield the address of its page."""
    with tempfile.TemporaryDirectory() as folder:
        write_tables(Path(folder))
        process = subprocess.Popen(
            [sys.executable, "-m", "loco_stream", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.STDOUT,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            yield next(re.findall(r"http://\S+", line)[0] for line in lines if "live page" in line)
        finally:
            process.kill()
            process.communicate()


def wait(page: Any, expression: str) -> None:
    """Wait until an expression is true; the page's policy forbids playwright's own waiting."""
    deadline = time.monotonic() + START_SECONDS
    while not page.evaluate(expression):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{expression} did not become true")
        page.wait_for_timeout(50)


def shoot(page: Any, path: Path) -> None:
    """Take a picture of a whole page."""
    page.screenshot(path=path, full_page=True)
    print(path, flush=True)


def take(name: str, browser: Any, folder: Path) -> None:
    """Run a scene and take its pictures."""
    scene = SCENES[name]
    pages = {}
    with ExitStack() as running:
        words = scene.words
        if scene.beside:
            words = (*words, "--compare", running.enter_context(served(scene.beside)))
        url = running.enter_context(served(words))
        # those of the guide first: a scene may end before all pictures are taken
        looks = sorted(product(SIZES, THEMES), key=lambda look: look != ("laptop", "light"))
        for size, theme in looks:
            width, height = SIZES[size]
            context = browser.new_context(
                viewport={"width": width, "height": height},
                color_scheme=theme,
                device_scale_factor=2 if size == "phone" else 1,
            )
            pages[f"{size}-{theme}"] = context.new_page()
        early = pages["laptop-light"]
        early.goto(url)
        shoot(early, folder / f"{name}-waiting.png")
        wait(early, "state.score")
        shoot(early, folder / f"{name}-early.png")
        for page in pages.values():
            if page is not early:
                page.goto(url)
        for look, page in pages.items():
            wait(page, f"state.score && state.score[0] >= {scene.rows}")
            page.wait_for_timeout(300)
            shoot(page, folder / f"{name}-{look}.png")
        for page in pages.values():
            page.context.close()


def main(asked: list[str]) -> None:
    """Take the pictures of the named scenes, or of all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="*", metavar="NAME", help=", ".join(SCENES))
    parser.add_argument("--folder", type=Path, default=ROOT / "out" / "pages")
    parser.add_argument("--guide", action="store_true", help="renew the pictures of the guide")
    chosen = parser.parse_args(asked)
    unknown = set(chosen.scenes) - SCENES.keys()
    if unknown:
        parser.error(f"no such scene: {', '.join(sorted(unknown))}")
    if CHROMIUM is None:
        parser.error("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    chosen.folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name in chosen.scenes or SCENES:
            take(name, browser, chosen.folder)
        browser.close()
    if chosen.guide:
        renew_guide(chosen.folder, chosen.scenes or list(SCENES))


if __name__ == "__main__":
    main(sys.argv[1:])
