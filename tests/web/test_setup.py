"""From nothing to a monitored pump, on the page alone."""

import stat
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
import psutil
import pytest
from playwright.sync_api import Browser, Page

from asd_monitor.web.routes.setup import MAX_METER_PAGES
from tests.rig.browser import TIMEOUT_MS, running_chromium
from tests.rig.mosquitto import Collector, Mosquitto, wait_until
from tests.rig.raw_http import Answer, connect, request
from tests.rig.setup_process import (
    SetupProcess,
    monitor_without_machines,
    pump_sound,
    tapped_sound,
)
from tests.rig.virtual_microphone import MakeMicrophones, VirtualSound
from tests.rig.webhook import serve_webhook
from tests.web.test_browser import violations

LEARN_MINUTES = "0.35"
"""No model can be fitted to less than 20 s."""
LEARN_TIMEOUT_MS = 400_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as chromium:
        yield chromium


class Visitor:
    """A page whose steps are checked: accessible, no complaints, no sideways scrolling."""

    def __init__(self, browser: Browser, url: str, **context: object) -> None:
        self._context = browser.new_context(
            base_url=url,
            viewport={"width": 320, "height": 700},
            **context,  # type: ignore[arg-type]
        )
        self._context.set_default_timeout(TIMEOUT_MS)
        self.complaints: list[str] = []
        self._context.add_init_script(
            "document.addEventListener('securitypolicyviolation', (event) => "
            "console.error(`policy: ${event.violatedDirective} ${event.blockedURI}`))"
        )
        self.page: Page = self._context.new_page()
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.on("pageerror", lambda error: self._note("error", str(error)))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "status of 400" not in text:
            self.complaints.append(text)

    def check(self) -> None:
        """Check the page that is shown."""
        assert violations(self.page) == [], self.page.url
        width = self.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 320, self.page.url
        assert self.complaints == []

    def close(self) -> None:
        self._context.close()


def press_continue(page: Page) -> None:
    page.locator("main .primary").last.click()


def learn_a_pump(visitor: Visitor, url: str) -> None:
    page = visitor.page
    page.goto(url)
    page.wait_for_selector("#reacts:has-text('tapped reacts')")
    page.wait_for_selector(".input:has-text('pumpmic') meter")
    visitor.check()
    page.check("text=pumpmic")
    press_continue(page)
    page.fill("#name", "Feed pump 1/2")
    page.fill("#place", "Hall B")
    visitor.check()
    page.keyboard.press("Enter")
    page.fill("#minutes", LEARN_MINUTES)
    visitor.check()
    press_continue(page)
    page.wait_for_selector("#doing:has-text('Collecting normal sound')")
    page.click("text=Pause learning")
    page.wait_for_selector("#doing:has-text('Learning is paused')")
    visitor.check()
    page.click("text=Continue learning")
    page.wait_for_selector("#finished:visible", timeout=LEARN_TIMEOUT_MS)
    page.wait_for_selector("#findings li:has-text('All recordings are from within')")
    press_continue(page)


@pytest.mark.real_time
def test_from_nothing_to_a_monitored_pump(
    browser: Browser, tmp_path: Path, virtual_microphones: MakeMicrophones
) -> None:
    virtual_microphones(
        pumpmic=VirtualSound(pump_sound(120), exclusive=True),
        tapped=VirtualSound(tapped_sound(10)),
    )
    with monitor_without_machines(tmp_path) as process:
        visitor = Visitor(browser, process.url)
        page = visitor.page
        learn_a_pump(visitor, "/")
        visitor.check()
        press_continue(page)
        page.wait_for_selector("h2:has-text('Feed pump 1/2 is monitored')")
        assert "All recordings are from within" in page.inner_text("#findings")
        visitor.check()
        press_continue(page)
        page.wait_for_selector("#state:has-text('Normal')")
        assert page.inner_text("h1") == "Feed pump 1/2"
        assert "Hall B" in page.inner_text("main")
        assert "All recordings are from within" in page.inner_text("#learned")
        for path in ("/settings", "/setup/notify", "/setup/microphone"):
            page.goto(path)
            for summary in page.locator("details.service > summary").all():
                summary.click()
            visitor.check()
        visitor.close()
        assert process.stop() == 0
    assert stat.S_IMODE((tmp_path / "settings.yaml").stat().st_mode) == 0o600
    with monitor_without_machines(tmp_path) as process:
        assert b"Feed pump 1/2" in get(process, "/m/feed-pump-1-2").body


def port_of(process: SetupProcess) -> int:
    return int(process.url.rsplit(":", 1)[1])


def get(process: SetupProcess, path: str, **headers: str) -> Answer:
    return request(port_of(process), "GET", path, headers)


def post(process: SetupProcess, path: str, fields: dict[str, str]) -> Answer:
    headers = {"Origin": process.url, "Content-Type": "application/x-www-form-urlencoded"}
    return request(port_of(process), "POST", path, headers, urlencode(fields).encode())


def captures(process: SetupProcess) -> list[psutil.Process]:
    """Return the capture processes of a monitor."""
    children = psutil.Process(process.process.pid).children(recursive=True)
    found = []
    for child in children:
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):  # it is ending
            if any("capture_main" in word for word in child.cmdline()):
                found.append(child)
    return found


def add_pump(process: SetupProcess, name: str = "Pump", microphone: str = "alsa:pumpmic#0") -> str:
    fields = {"microphone": microphone, "name": name, "minutes": "5"}
    answer = post(process, "/setup/learn", fields)
    return answer.headers.get("location", "") + answer.body.decode()


def test_machines_are_added_and_changed_without_scripts(
    browser: Browser, tmp_path: Path, virtual_microphones: MakeMicrophones
) -> None:
    both = np.stack([pump_sound(60), pump_sound(60, seed=3)], axis=1)
    virtual_microphones(
        pumpmic=VirtualSound(both, exclusive=True), other=VirtualSound(pump_sound(60, seed=4))
    )
    with monitor_without_machines(tmp_path) as process, Mosquitto(tmp_path) as broker:
        assert add_pump(process).startswith("/setup/learning/Pump")
        assert "This microphone is not there any more, or is in use" in add_pump(process, "Fan")
        assert "There is a machine with the id pump already" in add_pump(
            process, "pump", "alsa:other#0"
        )
        visitor = Visitor(browser, process.url, java_script_enabled=False)
        page = visitor.page
        page.goto("/setup")
        wait_until(
            lambda: get(process, "/setup/microphone?again=1").body.count(b"pumpmic, input") >= 2,
            "the channels of the card that Pump uses",
        )
        page.goto("/setup")
        assert "Used by Pump" in page.inner_text(".input:has-text('pumpmic, input 1')")
        assert page.is_enabled(".input:has-text('pumpmic, input 2') input")
        page.goto("/settings")
        page.click("summary:has-text('All settings in effect')")
        assert "this page" in page.inner_text("tr:has-text('machines.Pump.mic.device')")
        page.fill("#name-1", "Pump in hall B")
        page.locator("form[action='/settings/machine'] .primary").first.click()
        assert "Saved." in page.inner_text("main")
        page.goto("/")
        assert "Pump in hall B" in page.inner_text(".cards")
        page.goto("/setup/notify")
        page.fill("#host", "localhost")
        page.fill("#port", str(broker.port))
        page.locator("form[action^='/setup/notify/broker'] button:has-text('Test')").click()
        assert "The broker works." in page.inner_text("main")
        page.locator("form[action^='/setup/notify/broker'] .primary").click()
        with Collector(broker.port) as collector:
            assert b"LEARNING" in collector.wait_for("/Pump/state")[-1].payload
            assert add_pump(process, "Fan", "alsa:pumpmic#1").startswith("/setup/learning/Fan")
            collector.wait_for("/Fan/state")
            wait_until(
                lambda: any(b'"Fan"' in each.payload for each in collector.of("/info")),
                "the description with the machine that was added",
            )
            page.goto("/settings?machine=Fan")
            page.click("#machine-Fan summary:has-text('Remove')")
            assert (
                b"Confirm that"
                in post(process, "/settings/machine", {"machine": "Fan", "action": "remove"}).body
            )
            page.check("#machine-Fan [name='confirm']")
            page.click("button:has-text('Remove Fan')")
            assert "Saved." in page.inner_text("main")
            wait_until(
                lambda: collector.of("/Fan/state")[-1].payload == b"",
                "the end of what was retained of the machine",
            )
            assert b"LEARNING" in collector.of("/Pump/state")[-1].payload
            page.goto("/")
            assert "Fan" not in page.inner_text(".cards")
            assert get(process, "/m/Fan").status == 404
        page.goto("/setup/notify")
        page.click("summary:has-text('By e-mail')")
        page.fill("#to", "ann@example.com")
        page.fill("#server", "127.0.0.1:1")
        page.click("details[open] .primary")
        assert "was not accepted" in page.inner_text("[role='alert']")
        assert page.input_value("#server") == "127.0.0.1:1"
        page.click("summary:has-text('another service')")
        page.fill("#address", "json://127.0.0.1:1/pumps")
        page.click("details:has(#address) button:has-text('without a test')")
        assert "JSON (address 1)" in page.inner_text(".recipients")
        with serve_webhook() as service:
            page.click("summary:has-text('On a phone')")
            page.fill("#ntfy-server", f"http://{urlsplit(service.url).netloc.rpartition('@')[2]}")
            topic = page.input_value("#topic")
            page.click("details[open] .primary")
            assert "ntfy (address 2)" in page.inner_text(".recipients")
            assert [each["topic"] for each in service.received] == [topic]
        page.goto("/settings")
        assert f"localhost, port {broker.port}" in page.inner_text("main")
        page.click("label[for='sensitivity-low']")
        page.locator("form[action='/settings/sensitivity'] .primary").click()
        assert page.is_checked("#sensitivity-low")
        page.fill("[id='history.scores_days']", "0")
        page.locator("form[action='/settings/kept'] .primary").click()
        assert "History.scores_days: " in page.inner_text("[role='alert']")
        page.fill("[id='history.scores_days']", "30")
        page.locator("form[action='/settings/kept'] .primary").click()
        assert "Restart the monitor" not in page.inner_text("main")
        assert page.input_value("[id='history.scores_days']") == "30"
        visitor.close()


def test_levels_are_read_by_the_own_page_only_and_by_few_at_once(
    tmp_path: Path, virtual_microphones: MakeMicrophones
) -> None:
    virtual_microphones(pumpmic=VirtualSound(pump_sound(10)))
    with monitor_without_machines(tmp_path) as process:
        path = "/setup/meters"
        assert get(process, path, Origin="https://evil.example.com").status == 403
        assert get(process, path, **{"Sec-Fetch-Site": "cross-site"}).status == 403
        with ExitStack() as streams:
            for _ in range(MAX_METER_PAGES):
                stream = streams.enter_context(connect(port_of(process)))
                stream.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                received = b""
                while b'"alsa:pumpmic#0": {"level_dbfs": -' not in received:
                    received += stream.recv(4000)
            assert captures(process)
            assert get(process, path).status == 503
        wait_until(lambda: not captures(process), "the end of the capture")


def test_a_first_start_that_others_can_reach_needs_the_link_that_it_prints(tmp_path: Path) -> None:
    config = tmp_path / "monitor.yaml"
    config.write_text("web: {address: 0.0.0.0, port: 0, plain_http: true}\n")
    with monitor_without_machines(tmp_path / "state", "--config", str(config)) as process:
        answer = get(process, "/setup/microphone")
        assert answer.headers["location"].startswith("/login")
        (link,) = [line for line in process.lines if "to set one up, open" in line]
        path = link.split("open ")[1].split(" ")[0]
        assert "/password?key=" in path
        path = path.removeprefix(process.url)
        assert b"Set a password" in get(process, path).body
        form = {"key": path.partition("key=")[2], "password": "correct horse", "name": "anna",
                "repeated": "correct horse"}  # fmt: skip
        answer = post(process, "/password", form)
        cookie = answer.headers["set-cookie"].split(";")[0]
        assert b"<svg xmlns" in get(process, "/setup/done", Cookie=cookie).body
        assert b"No microphone" in get(process, "/setup/microphone", Cookie=cookie).body
