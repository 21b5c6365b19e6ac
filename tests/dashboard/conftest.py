"""Fixtures of tests with a browser."""

from __future__ import annotations

import pytest

from tests.helpers.browser import CHROMIUM, Watched


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    assert CHROMIUM is not None, "CI must have a Chromium"
    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-dev-shm-usage",
    ]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def watch(browser):
    opened = []

    def open_(url, **options):
        opened.append(Watched(browser, url, **options))
        return opened[-1]

    yield open_
    for watched in opened:
        watched.context.close()
