"""The pages in Debian's Chromium: no error, no violation of the policy, accessible, live."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Request

from asd_monitor.records import EvidenceReady, State
from asd_monitor.web.live import MAX_STREAMS
from tests.rig.browser import TIMEOUT_MS, running_chromium
from tests.rig.paths import ROOT
from tests.rig.raw_http import connect
from tests.rig.web_site import (
    ABOVE,
    ADMIN,
    EVENT,
    HEADLINE,
    NORMAL,
    Site,
    transition,
    web_site,
    window,
)

AXE = ROOT / "node_modules" / "axe-core" / "axe.min.js"
PAGES = {
    "overview": "/",
    "machine": "/m/pump",
    "machine that learns": "/m/compressor-2",
    "machine without a microphone": "/m/mixer",
    "trend": "/m/pump/trend",
    "events": "/events",
    "event": f"/events/{EVENT}",
    "learning again": "/m/pump/refit",
    "system": "/system",
    "not found": "/nothing",
}
VIEWPORTS = {"phone": (390, 844), "desktop": (1280, 900)}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with web_site(tmp_path_factory.mktemp("state")) as running:
        yield running


class Watched:
    """A page that records what the browser complains about."""

    def __init__(self, browser: Browser, site: Site, size: tuple[int, int], **context: str) -> None:
        self._context = browser.new_context(
            base_url=site.url,
            viewport={"width": size[0], "height": size[1]},
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
        self.page.on("request", self._check_request)
        self._own = site.url

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and "status of 404" not in text:
            self.complaints.append(text)

    def _check_request(self, request: Request) -> None:
        if not request.url.startswith((self._own, "data:", "blob:")):
            self.complaints.append(f"request to {request.url}")

    def close(self) -> None:
        self._context.close()


@pytest.fixture
def watch(browser: Browser, site: Site) -> Iterator[Callable[..., Watched]]:
    opened: list[Watched] = []

    def make(size: str = "desktop", **context: str) -> Watched:
        opened.append(Watched(browser, site, VIEWPORTS[size], **context))
        return opened[-1]

    yield make
    for watched in opened:
        watched.close()


def violations(page: Page) -> list[str]:
    """Return what axe finds, in spite of the page's policy: the script is evaluated over CDP."""
    assert AXE.exists(), "run `npm ci --ignore-scripts`, as `make test` does"
    page.evaluate(AXE.read_text() + "\n;0")
    found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
    return [f"{one['id']}: {[node['html'][:200] for node in one['nodes']]}" for one in found]


def emit_until_shown(site: Site, page: Page, score: float) -> None:
    """Emit a score of the fan until its page shows it: scores are sent about every two seconds."""
    while page.inner_text("#score") != f"{score:g}":
        site.emit(window("fan", time.time(), score))
        page.wait_for_timeout(200)


@pytest.mark.parametrize(("size", "scheme"), [("phone", "dark"), ("desktop", "light")])
def test_every_page_is_clean_and_accessible(
    watch: Callable[..., Watched], size: str, scheme: str
) -> None:
    watched = watch(size, color_scheme=scheme)
    page = watched.page
    for name, path in PAGES.items():
        page.goto(path)
        page.wait_for_function(
            "() => [...document.querySelectorAll('.chart')].every((chart) => chart.firstChild)"
        )
        assert violations(page) == [], name
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= VIEWPORTS[size][0], name
    assert watched.complaints == []


def test_no_page_scrolls_sideways_at_320_pixels(watch: Callable[..., Watched]) -> None:
    page = watch().page
    page.set_viewport_size({"width": 320, "height": 640})
    for name, path in PAGES.items():
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, name


def test_charts_follow_a_change_between_light_and_dark(watch: Callable[..., Watched]) -> None:
    page = watch(color_scheme="light").page
    page.goto("/m/pump/trend")
    page.wait_for_selector(".chart canvas")
    page.evaluate("window.light = document.querySelector('.chart canvas').toDataURL()")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "() => document.querySelector('.chart canvas').toDataURL() !== window.light"
    )
    page.emulate_media(color_scheme="light")
    page.wait_for_function(
        "() => document.querySelector('.chart canvas').toDataURL() === window.light"
    )


def test_times_are_those_of_the_viewer(watch: Callable[..., Watched]) -> None:
    page = watch(timezone_id="Asia/Kolkata").page
    page.goto(f"/events/{EVENT}")
    assert "UTC+05:30" in page.inner_text("main time >> nth=0")
    assert "Asia/Calcutta (UTC+05:30)" in page.inner_text("footer").replace("Kolkata", "Calcutta")


def test_pages_are_useful_without_scripts(browser: Browser, site: Site) -> None:
    context = browser.new_context(base_url=site.url, java_script_enabled=False)
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.goto("/")
    assert "Alarm" in page.inner_text(".card >> nth=0")
    page.click("text=Louder at 250 Hz")
    assert page.locator("audio").count() == 2
    page.goto("/events")
    page.select_option("#state", "WARNING")
    page.click("button:has-text('Show')")
    assert "1 event" in page.inner_text("#found")
    context.close()


def test_the_overview_follows_a_change_of_state(watch: Callable[..., Watched], site: Site) -> None:
    watched = watch()
    watched.page.goto("/")
    watched.page.wait_for_selector("text=1 learning, 1 normal")
    site.emit(transition("compressor-2", State.NORMAL, time.time(), "a model was installed"))
    watched.page.wait_for_selector("text=1 unknown, 2 normal")
    site.emit(transition("compressor-2", State.LEARNING, time.time(), "collecting normal sound"))
    watched.page.wait_for_selector("text=1 learning, 1 normal")
    assert watched.complaints == []


def test_the_machine_page_follows_scores_and_states(
    watch: Callable[..., Watched], site: Site
) -> None:
    watched = watch()
    page = watched.page
    page.goto("/m/fan")
    page.wait_for_selector("#verdict:has-text('within its normal range')")
    emit_until_shown(site, page, 9.4)
    emit_until_shown(site, page, 9.5)
    page.wait_for_selector("#recent canvas")
    site.emit(transition("fan", State.WARNING, time.time(), "above the threshold"))
    page.wait_for_selector("#state:has-text('Warning')")
    site.emit(transition("fan", State.NORMAL, time.time(), NORMAL.sentence))
    page.wait_for_selector("#state:has-text('Normal')")
    assert watched.complaints == []


def test_the_spectrogram_shows_the_last_minute_and_goes_on(
    watch: Callable[..., Watched], site: Site
) -> None:
    page = watch().page
    page.goto("/m/pump")
    bright = (
        "() => { const c = document.getElementById('waterfall'); const rows = [];"
        "for (const x of [60, c.width - 2]) { const d = c.getContext('2d')"
        ".getImageData(x, 0, 1, 64).data; let best = 0;"
        "for (let y = 0; y < 64; y++) if (d[4 * y] + d[4 * y + 1] > d[4 * best] + d[4 * best + 1])"
        " best = y; rows.push(d[4 * best + 3] ? best : -1); } return rows; }"
    )
    page.wait_for_function(f"() => ({bright})().every((row) => row >= 0)")
    # The hum at 250 Hz and the fault at 700 Hz are in the middle of the logarithmic axis.
    assert all(20 <= row <= 50 for row in page.evaluate(bright))
    before = page.evaluate("document.getElementById('waterfall').toDataURL()")
    site.play(2.0)
    site.emit(window("pump", time.time(), 9.2))
    page.wait_for_function(
        "(before) => document.getElementById('waterfall').toDataURL() !== before", arg=before
    )


def test_a_player_moves_the_cursor_and_a_click_seeks(watch: Callable[..., Watched]) -> None:
    watched = watch()
    page = watched.page
    page.goto(f"/events/{EVENT}")
    page.wait_for_function("() => document.querySelector('audio').duration > 11")
    page.locator(".picture").first.click(position={"x": 250, "y": 60})
    page.wait_for_function("() => document.querySelector('audio').currentTime > 3")
    page.wait_for_function("() => !document.querySelector('.cursor').hidden")
    assert watched.complaints == []


def test_the_page_of_an_open_event_says_when_there_is_more(
    watch: Callable[..., Watched], site: Site
) -> None:
    watched = watch()
    watched.page.goto(f"/events/{EVENT}")
    watched.page.wait_for_selector("#news", state="attached")
    while watched.page.is_hidden("#news"):  # until the stream is open
        site.service.emit(EvidenceReady("pump", EVENT, time.time(), HEADLINE))
        watched.page.wait_for_timeout(100)
    assert violations(watched.page) == []
    assert watched.complaints == []


def test_a_filter_loads_only_the_list(watch: Callable[..., Watched]) -> None:
    watched = watch()
    watched.page.goto("/events")
    watched.page.select_option("#machine", "fan")
    watched.page.wait_for_selector("#found:has-text('1 event')")
    assert "machine=fan" in watched.page.url
    assert watched.complaints == []


def test_all_of_the_page_is_reached_by_keyboard(watch: Callable[..., Watched]) -> None:
    page = watch().page
    page.goto("/")
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert reached[:5] == ["Skip to content", "plant-1", "Machines", "Events", "System"]
    assert {"Feed pump 1", "Mixer in hall B", "Exhaust fan"} <= set(reached)


def test_the_overview_keeps_the_focus_when_it_is_refreshed(
    watch: Callable[..., Watched], site: Site
) -> None:
    page = watch().page
    page.goto("/")
    page.focus("a:has-text('Exhaust fan')")
    site.emit(transition("compressor-2", State.OFF, time.time(), "it is off"))
    page.wait_for_selector(".summary:has-text('1 off')")
    assert page.evaluate("document.activeElement.textContent") == "Exhaust fan"
    site.emit(transition("compressor-2", State.LEARNING, time.time(), "collecting normal sound"))


def test_the_33rd_viewer_still_gets_the_page(watch: Callable[..., Watched], site: Site) -> None:
    streams = [connect(site.port) for _ in range(MAX_STREAMS)]
    for stream in streams:
        stream.sendall(b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stream.recv(4000)
    page = watch().page
    page.goto("/m/pump")
    page.wait_for_selector("#connection:visible")
    assert "above threshold" in page.inner_text("#verdict")
    for stream in streams:
        stream.close()


def test_a_viewer_that_reads_nothing_loses_the_oldest_messages_and_delays_nobody(
    watch: Callable[..., Watched], site: Site
) -> None:
    with connect(site.port) as slow:
        slow.sendall(b"GET /api/v1/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert slow.recv(100)
        page = watch().page
        page.goto("/m/fan")
        hub = site.service._hub
        text = "x" * 20_000
        while not hub.dropped:
            site.emit(transition("mixer", State.UNKNOWN, time.time(), text))
        emit_until_shown(site, page, 1.11)
    dropped = site.metrics.registry.get_sample_value("asd_dropped_total", {"queue": "web"})
    assert dropped == hub.dropped


def test_the_newest_state_is_shown_although_an_older_one_is_still_being_fetched(
    watch: Callable[..., Watched], site: Site
) -> None:
    page = watch().page
    page.goto("/m/fan")
    page.wait_for_selector("#state:has-text('Normal')")
    page.wait_for_timeout(500)
    # The page as it is rendered for the first change arrives after the second change.
    page.evaluate("""() => {
        const real = window.fetch;
        let first = true;
        window.fetch = async (...request) => {
            const response = await real(...request);
            const text = await response.clone().text();
            if (String(request[0]).endsWith("/m/fan") && first) {
                first = false;
                await new Promise((resolve) => { setTimeout(resolve, 800); });
            }
            return new Response(text, { status: response.status });
        };
    }""")
    now = time.time()
    site.emit(transition("fan", State.UNKNOWN, now, "no sound"))
    page.wait_for_timeout(300)
    site.emit(transition("fan", State.ALARM, now + 1, ABOVE.sentence, "20261130T000000-fan-0000"))
    page.wait_for_selector("#state:has-text('Alarm')")


def test_a_page_reconnects_to_a_monitor_that_was_killed(browser: Browser, tmp_path: Path) -> None:
    from tests.rig.web_process import killed_and_started_again

    with killed_and_started_again(tmp_path) as (url, kill, start_again):
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.goto(f"{url}/m/pump")
        page.wait_for_selector("#state:has-text('Alarm')")
        kill()
        page.wait_for_selector("#connection:visible")
        start_again()
        page.wait_for_selector("#connection", state="hidden")
        page.close()


def test_signing_in_and_out(browser: Browser, tmp_path: Path) -> None:
    with web_site(tmp_path, password=True) as site:
        context = browser.new_context(base_url=site.url)
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        page.goto("/m/fan")
        page.fill("#name", ADMIN[0])
        page.fill("#password", "wrong password")
        page.keyboard.press("Enter")
        page.wait_for_selector("text=Name or password is wrong.")
        assert violations(page) == []
        page.fill("#name", ADMIN[0])
        page.fill("#password", ADMIN[1])
        page.keyboard.press("Enter")
        page.wait_for_selector("h1:has-text('Exhaust fan')")
        page.click("text=Sign out")
        page.wait_for_selector("h1:has-text('Sign in')")
        context.close()
