"""A newcomer follows the demo on its page, by keyboard, and everything is there after a restart."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import Page

from asd_monitor.bench.fixtures import make_sound, write_wav
from tests.rig.browser import TIMEOUT_MS, running_chromium
from tests.rig.mosquitto import wait_until
from tests.rig.ports import free_port

COMMAND = [sys.executable, "-m", "asd_monitor.cli"]


class Terminal:
    """A program in a terminal, with what it has printed so far."""

    def __init__(self, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self.text = ""
        self.process = subprocess.Popen(
            [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            while part := os.read(self._ours, 65536):
                self.text += part.decode(errors="replace")
        except OSError:  # the program has ended
            return

    def press_ctrl_c(self) -> int:
        """End the program as a user does, and return its exit code."""
        self.process.send_signal(signal.SIGINT)
        code = self.process.wait(400)
        self._thread.join()
        return code

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()
        os.close(self._ours)


@contextmanager
def chromium_page() -> Iterator[Page]:
    with running_chromium("--autoplay-policy=no-user-gesture-required") as browser:
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        yield page


def press_on(page: Page, selector: str) -> None:
    """Operate an element by keyboard."""
    page.focus(selector)
    page.keyboard.press("Enter")
    page.wait_for_load_state()


def plays(page: Page) -> bool:
    """Return whether the first recording of the page plays."""
    page.evaluate("document.querySelector('audio').play()")
    page.wait_for_function("() => document.querySelector('audio').currentTime > 0.1")
    return float(page.evaluate("document.querySelector('audio').duration")) > 5


def follow(page: Page, url: str) -> str:
    """Wait for the event, play it, judge and acknowledge it by keyboard; return its id."""
    page.goto(f"{url}events")
    while not page.locator("#found .event").count():  # it has no event yet
        page.wait_for_timeout(500)
        page.reload()
    assert "still open" in page.inner_text("main")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url("**/events/*")
    page.wait_for_selector("#news:not([hidden]), audio")
    if not page.query_selector("audio"):
        press_on(page, "#news a")
    page.wait_for_selector("audio")
    assert plays(page)
    page.fill("#who", "anna")
    page.fill("#text", "bearing replaced")
    press_on(page, "button[value=fault]")
    page.wait_for_selector("#judging >> text=It was a fault")
    page.fill("#who", "anna")
    press_on(page, "button[value=ack]")
    page.wait_for_selector("text=acknowledged")
    return page.url.partition("#")[0].rpartition("/")[2]


@pytest.mark.real_time
@pytest.mark.timeout(300)
def test_the_event_of_the_demo_is_played_judged_and_there_after_a_restart(tmp_path: Path) -> None:
    demo = Terminal("demo", "--duration", "30", "--plain", "--keep", str(tmp_path / "kept"))
    try:
        wait_until(lambda: "in a browser" in demo.text, "the link", 90)
        found = re.search(r"open (http://127\.0\.0\.1:\d+/) in a browser", demo.text)
        assert found
        with chromium_page() as page:
            event_id = follow(page, found[1])
        wait_until(lambda: "Ctrl-C ends the demo" in demo.text, "the end", 90)
        with urlopen(f"{found[1]}events/{event_id}", timeout=60) as response:  # noqa: S310
            assert response.status == 200  # the page stays open
        assert demo.press_ctrl_c() == 0
        assert "summary of the demo" in demo.text
    finally:
        demo.close()
    (state,) = (tmp_path / "kept").iterdir()
    check_after_restart(state, tmp_path, event_id)


def check_after_restart(state: Path, folder: Path, event_id: str) -> None:
    write_wav(folder / "pump.wav", make_sound(5.0))
    config = folder / "monitor.json"
    wav = {"paths": [str(folder / "pump.wav")], "loop": True}
    port = free_port()
    config.write_text(
        json.dumps(
            {
                "state_dir": str(state), "machines": {"pump": {"wav": wav}}, "prometheus": None,
                "web": {"port": port},
            }
        )
    )  # fmt: skip
    monitor = Terminal("run", "--config", str(config), "--plain")
    try:
        wait_until(lambda: "web page at" in monitor.text, "the page", 90)
        with chromium_page() as page:
            page.goto(f"http://127.0.0.1:{port}/events/{event_id}")
            text = page.inner_text("main")
            assert plays(page)
        assert "It was a fault" in text
        assert "bearing replaced" in text
        assert "acknowledged" in text
        assert monitor.press_ctrl_c() == 0
    finally:
        monitor.close()
