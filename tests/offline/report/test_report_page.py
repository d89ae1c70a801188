"""The report as a reader sees it: what the alarm did and why, sound, and a table of the clips."""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page

from asd_offline.replay import ReplaySettings, replay
from asd_offline.replay.console import summarize
from asd_offline.replay.results import ReplayResult
from asd_offline.report import write_report
from asd_offline.report.sound import audio_data_uri
from tests.offline.fan_recordings import replay_settings
from tests.rig.browser import TIMEOUT_MS, running_chromium

WIDTHS = (390, 1200)


@pytest.fixture(scope="module")
def replayed(
    fans: Path, toy: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[ReplayResult, Path]:
    out = tmp_path_factory.mktemp("report")
    settings: ReplaySettings = replay_settings(fans, toy, out)
    return replay(settings, write_report=write_report), out / "report.html"


@pytest.fixture(scope="module")
def browser_page(replayed: tuple[ReplayResult, Path]) -> Iterator[tuple[Page, list[str]]]:
    """Return the report in Chromium, and what the console says."""
    with running_chromium() as browser:
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        messages: list[str] = []
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.goto(replayed[1].as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        yield page, messages


def test_the_sound_of_a_key_clip_plays(browser_page: tuple[Page, list[str]]) -> None:
    page, messages = browser_page
    played = page.evaluate(
        """async () => {
          const audio = document.querySelector("figure audio");
          audio.muted = true;
          await audio.play();
          return [audio.duration > 0, audio.error];
        }"""
    )
    assert played == [True, None]
    assert not messages


def test_clips_can_be_searched_and_sorted(browser_page: tuple[Page, list[str]]) -> None:
    page, messages = browser_page
    table = page.locator("table.clips").first
    scores = [float(text) for text in table.locator("td:nth-child(3)").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    table.locator("th:nth-child(3) button").click()
    scores = [float(text) for text in table.locator("td:nth-child(3)").all_inner_texts()]
    assert scores == sorted(scores)
    search = page.get_by_role("searchbox").first
    search.fill("anomalous")
    labels = {row.split("\t")[1] for row in table.locator("tbody tr:visible").all_inner_texts()}
    assert labels == {"anomalous"}
    search.fill("")
    assert not messages


@pytest.mark.parametrize("width", WIDTHS)
def test_only_tables_scroll_sideways(browser_page: tuple[Page, list[str]], width: int) -> None:
    page, _ = browser_page
    page.set_viewport_size({"width": width, "height": 900})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    covered = "getComputedStyle(document.querySelector('.scroll')).backgroundAttachment"
    assert page.evaluate(covered) == "local, local, scroll, scroll"  # the shade of what is cut


def test_the_page_says_why_the_alarm_reports_what_the_decisions_miss(
    replayed: tuple[ReplayResult, Path],
) -> None:
    page = replayed[1].read_text()
    assert "use <code>--decide gamma</code>" in page
    assert "too little normal sound to estimate how often" in page
    assert re.search(r"\d+ of \d+ anomalies raise it \(\d+ by the rule window", page)


def test_the_terminal_names_the_rules_and_the_verdicts(
    replayed: tuple[ReplayResult, Path],
) -> None:
    lines = [line for line in summarize(replayed[0]) if isinstance(line, str)]
    [raised] = [line for line in lines if line.startswith("  raised for ")]
    assert re.search(
        r"anomalies \(clip repeated for up to 5 min\): \d+ by the rule window$", raised
    )
    assert any(re.match(r"  anomalous: \d+ above threshold", line) for line in lines)
    assert any(line.endswith("too little normal sound to estimate how often") for line in lines)


@pytest.mark.parametrize(("rate_hz", "kind"), [(16_000, "audio/ogg"), (22_050, "audio/flac")])
def test_sound_is_embedded_at_every_rate(rate_hz: int, kind: str) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, rate_hz).astype(np.float32)
    assert audio_data_uri(noise, rate_hz).startswith(f"data:{kind};base64,")
