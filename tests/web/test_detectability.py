"""The page of a machine shows what its model can and cannot detect."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from asd_monitor.detectability.result import FaultLevels
from asd_monitor.web.detectability import draw_shares, explain_absence
from tests.rig.raw_http import request
from tests.rig.records import MODEL
from tests.rig.web_site import Site, web_site, write_detectability


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with web_site(tmp_path_factory.mktemp("state")) as running:
        yield running


def get(site: Site, path: str) -> str:
    answer = request(site.port, path=path)
    assert answer.status == 200
    return answer.body.decode()


def test_the_page_names_every_kind_with_its_levels(site: Site) -> None:
    page = get(site, "/m/pump")
    assert "Within 5 minutes, at 1 false alarm a day, it detects" in page
    assert "it does not detect a missing part of the sound, even at 0 dB" in page
    for text in (
        "damaged bearing",
        "-21\N{NO-BREAK SPACE}dB",
        "not detected",
        "a whine above 8 kHz",
    ):
        assert text in page
    assert page.count('class="fast" d="M0 10V') == 4


def test_the_api_returns_the_measurement(site: Site) -> None:
    answer = json.loads(get(site, "/api/v1/machines/pump/detectability"))
    faults = {fault["kind"]: fault["detected_db"] for fault in answer["result"]["faults"]}
    assert faults["impacts"] == {"60": -18.0, "300": -21.0}
    assert faults["missing_band"] == {"60": None, "300": None}
    assert answer["sentence"].startswith("within 5 minutes")


def test_nothing_is_shown_of_a_machine_without_a_measurement(site: Site) -> None:
    assert "What it can and cannot detect" not in get(site, "/m/fan")
    answer = json.loads(get(site, "/api/v1/machines/fan/detectability"))
    assert answer == {"machine": "fan", "sentence": "", "result": None}


def test_the_measurement_of_another_model_is_not_shown(tmp_path: Path) -> None:
    with web_site(tmp_path) as site:
        write_detectability(tmp_path, "ab" * 32)
        (tmp_path / "models" / "pump.asd").write_bytes(b"model")
        assert json.loads(get(site, "/api/v1/machines/pump/detectability"))["result"] is None
        page = get(site, "/m/pump")
        assert "Not measured yet" in page
        assert "<code>asd-monitor detectability pump</code>" in page


def test_the_bars_fall_with_the_level() -> None:
    fault = FaultLevels("whine", (0.0, -6.0), {60: (0.0, None), 300: (-6.0, 0.0)})
    assert draw_shares(fault, 300) == "M0 10V0H65V5H130V10z"
    assert draw_shares(fault, 60) == "M0 10V5H65V10H130V10z"


def test_too_little_learned_sound_is_the_reason_why_nothing_was_measured() -> None:
    little = replace(MODEL, calibration_windows=60)
    assert "it takes 3 min of normal sound, and 120 s were learned" in explain_absence("p", little)
    for model in (MODEL, None):
        assert explain_absence("p", model).startswith("not measured yet")
