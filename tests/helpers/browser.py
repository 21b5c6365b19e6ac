"""A browser for tests of pages: Chromium, driven by playwright, and axe-core."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
needs_browser = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"),
    reason="Chromium is not installed",
)
AXE = Path(__file__).parents[1] / "data" / "axe"
PICTURES = Path(os.environ.get("LOCO_PICTURES", "out/pages"))


class Watched:
    """A page whose requests and errors are recorded."""

    def __init__(self, browser, url, **options):
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.requests = []
        self.errors = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on(
            "console",
            lambda message: message.type == "error" and self.errors.append(message.text),
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(url)

    def wait(self, expression, seconds=120):
        """Wait until an expression is true; the page's policy forbids playwright's own waiting."""
        deadline = time.monotonic() + seconds
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, (
                f"{expression} did not become true; errors: {self.errors}"
            )
            self.page.wait_for_timeout(100)

    def own_errors(self):
        """Return errors of the page itself, without those about a server that has ended."""
        return [text for text in self.errors if "net::ERR_" not in text]

    def picture(self, name):
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png", full_page=True)


def findings(seen):
    """Return what axe-core finds."""
    seen.page.evaluate((AXE / "axe.min.js").read_text())
    passed, found = seen.page.evaluate(
        "axe.run().then(result => [result.passes.length, result.violations])"
    )
    assert passed > 20
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]
