"""Chromium, with time enough for a busy computer."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

TIMEOUT_MS = 240_000
"""Of a wait for a page; a page that is ready continues at once."""


@contextmanager
def running_chromium(*arguments: str) -> Iterator[Browser]:
    """Run Chromium with further arguments of its command line."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium",
            args=["--no-sandbox", *arguments],
            timeout=TIMEOUT_MS,
        )
        yield browser
        browser.close()
