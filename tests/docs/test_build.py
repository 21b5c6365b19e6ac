"""The guide is built without a warning: its links and its reference hold."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.docs.test_api import public_modules
from tests.helpers.pages import ROOT, pages

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not pages(), reason="not run from a checkout")]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    try:
        import myst_parser  # noqa: F401
    except ImportError:
        if os.environ.get("CI"):
            raise
        pytest.skip("needs pip install 'loco-stream[docs]'")
    folder = tmp_path_factory.mktemp("guide")
    built = subprocess.run(
        [
            sys.executable,
            "-m",
            "sphinx",
            "-W",
            "--keep-going",
            "-q",
            "-b",
            "html",
            "-d",
            folder / "trees",
            ROOT / "docs",
            folder / "site",
        ],
        env=dict(os.environ, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder / "site"


def test_every_page_is_in_the_site(site):
    pages = {
        path.relative_to(ROOT / "docs").with_suffix(".html")
        for path in (ROOT / "docs").rglob("*.md")
    }
    assert {str(page) for page in pages if not (site / page).is_file()} == set()


def test_nothing_is_fetched_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(
            r"<(?:script|img|link)[^>]*?(?:src|href)=\"(https?:[^\"]+)\"", page.read_text()
        )
        assert loaded == [], page


def test_the_reference_has_the_public_names(site):
    text = (site / "api.html").read_text()
    ids = re.findall(r'id="loco_stream[\w.]*\.(\w+)"', text)
    names = {name for module in public_modules() for name in module.__all__}
    assert names - {*ids, "__version__", "metrics"} == set()
