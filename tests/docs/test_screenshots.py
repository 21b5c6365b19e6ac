"""The command that takes the screenshots of the page works, and the guide has small ones."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys

import pytest

from tests.helpers.pages import ROOT, pages

SCRIPT = ROOT / "docs" / "screenshots.py"
HAS_BROWSER = any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="not from a checkout")


@pytest.fixture(scope="module")
def screenshots():
    sys.path.insert(0, str(SCRIPT.parent))  # it imports drawn.py beside it
    try:
        spec = importlib.util.spec_from_file_location("docs_screenshots", SCRIPT)
        module = importlib.util.module_from_spec(spec)
        sys.modules["docs_screenshots"] = module
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(SCRIPT.parent))
    return module


def test_pictures_of_the_page_are_small_and_shown(screenshots):
    shown = "\n".join(page.read_text() for page in pages())
    for name in screenshots.GUIDE:
        file = ROOT / "docs" / "images" / f"{name}.png"
        assert file.stat().st_size < 150_000
        assert f"images/{name}.png" in shown
    assert {shot.partition("-")[0] for shot, _ in screenshots.GUIDE.values()} <= set(
        screenshots.SCENES
    )


@pytest.mark.slow
@pytest.mark.skipif(not HAS_BROWSER, reason="Chromium is not installed")
def test_the_command_takes_each_look_of_a_scene(tmp_path, screenshots):
    from PIL import Image

    guide = {file: file.read_bytes() for file in (ROOT / "docs" / "images").glob("page*.png")}
    words = [sys.executable, str(SCRIPT), "numbers", "--folder", str(tmp_path)]
    subprocess.run(words, check=True, timeout=400, stdout=subprocess.DEVNULL)
    looks = [f"{size}-{theme}" for size in screenshots.SIZES for theme in screenshots.THEMES]
    names = {f"numbers-{look}.png" for look in ("waiting", "early", *looks)}
    assert {file.name for file in tmp_path.iterdir()} == names
    for size, (width, _) in screenshots.SIZES.items():
        with Image.open(tmp_path / f"numbers-{size}-dark.png") as image:
            assert image.width == width * (2 if size == "phone" else 1)
            colours = image.convert("RGB").getcolors(1 << 24)
            assert len(colours) > 50  # charts and texts
            assert max(colours)[1] < (60, 60, 60)  # a dark ground
    # without --guide, the pictures of the guide stay
    assert guide == {
        file: file.read_bytes() for file in (ROOT / "docs" / "images").glob("page*.png")
    }


def test_an_unknown_scene_is_refused(screenshots, capsys):
    with pytest.raises(SystemExit):
        screenshots.main(["nothing"])
    assert "no such scene: nothing" in capsys.readouterr().err
