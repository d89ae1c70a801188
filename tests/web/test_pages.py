"""Every page answers, with the data of its machine or event."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from asd_monitor.history.records import EventNote, NoteKind
from asd_monitor.records import UNLEARNED_RULE, ModeReading, State
from asd_monitor.web.formats import describe_zone, format_time
from tests.rig.web_site import (
    EVENT,
    HEADLINE,
    MACHINES,
    Site,
    transition,
    web_site,
    window,
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with web_site(tmp_path_factory.mktemp("state")) as running:
        yield running


def get(site: Site, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    request = Request(site.url + path, headers=headers)  # noqa: S310 - of the test's own server
    try:
        with urlopen(request, timeout=60) as response:  # noqa: S310
            return response.status, dict(response.headers), response.read()
    except HTTPError as error:
        with error:
            return error.code, dict(error.headers), error.read()


def get_json(site: Site, path: str) -> dict[str, object]:
    status, _, body = get(site, path)
    assert status == 200, body
    value: dict[str, object] = json.loads(body)
    return value


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/", "Mixer in hall B"),
        ("/fragments/machines", "1 in alarm"),
        ("/m/pump", "above threshold"),
        ("/m/compressor-2", "3 min 10 s of 5 min"),
        ("/m/mixer", "no microphone with the name"),
        ("/m/pump/trend", "Day by day"),
        ("/m/fan/trend?range=1y", "warning 4 min"),
        ("/events", HEADLINE[1:]),
        ("/events?machine=fan&state=WARNING&open=no", "it was normal"),
        (f"/events/{EVENT}", "9 dB louder"),
        ("/system", "Apache License"),
    ],
)
def test_a_page_shows_its_data(site: Site, path: str, text: str) -> None:
    status, headers, body = get(site, path)
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert text in body.decode()


@pytest.mark.parametrize(
    ("zone", "name"), [("CET-1", "CET (UTC+01:00)"), ("<+0545>-5:45", "UTC+05:45"), ("UTC", "UTC")]
)
def test_without_scripts_times_are_in_the_zone_of_the_monitor_which_is_named(
    monkeypatch: pytest.MonkeyPatch, zone: str, name: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        text = format_time(1_796_000_000.0)
        local = time.localtime(1_796_000_000.0)
        assert time.strftime(">%Y-%m-%d %H:%M:%S ", local) + name.partition(" ")[0] in text
        assert describe_zone(local) == name
    finally:
        monkeypatch.undo()
        time.tzset()


def test_the_overview_lists_the_most_urgent_machine_first(site: Site) -> None:
    page = get(site, "/")[2].decode()
    order = ["Feed pump 1", "Mixer in hall B", "Compressor 2", "Exhaust fan"]
    assert sorted(order, key=page.index) == order


@pytest.mark.parametrize(
    "path", ["/nothing", "/m/other", "/events/other", "/m/pump/", "/static/x/none.js", "//"]
)
def test_what_does_not_exist_is_not_found(site: Site, path: str) -> None:
    status, _, body = get(site, path)
    assert (status, b"Not found" in body) == (404, True)


def test_the_api_describes_every_machine(site: Site) -> None:
    machines = get_json(site, "/api/v1/machines")["machines"]
    assert isinstance(machines, list)
    assert [machine["id"] for machine in machines] == list(MACHINES)
    pump = get_json(site, "/api/v1/machines/pump")
    assert (pump["state"], pump["event_id"], pump["name"]) == ("ALARM", EVENT, "Feed pump 1")
    assert isinstance(pump["score"], dict)
    assert pump["score"]["verdict"]["word"] == "above threshold"


def test_the_api_returns_the_history_of_a_machine(site: Site) -> None:
    day = get_json(site, "/api/v1/machines/pump/history?points=100")
    assert isinstance(day["scores"], list)
    assert 50 < len(day["scores"]) <= 101
    assert isinstance(day["time_in_state_s"], dict)
    assert day["time_in_state_s"]["NORMAL"] > 80_000
    begin = float(str(day["to"])) - 600
    minutes = get_json(site, f"/api/v1/machines/pump/history?from={begin}&points=1000")["scores"]
    assert isinstance(minutes, list)
    assert max(row["highest"] for row in minutes) > 9


def test_a_machine_that_was_added_minutes_ago_has_a_trend_already(site: Site) -> None:
    now = time.time()
    for n in range(100):
        site.emit(window("compressor-2", now - 100 + n, 1.0 + n / 100))
    site.history.flush()
    year = get_json(site, f"/api/v1/machines/compressor-2/history?from={now - 365 * 86_400}")
    assert isinstance(year["scores"], list)
    assert len(year["scores"]) > 5
    assert max(row["highest"] for row in year["scores"]) == 1.99


def test_the_times_in_each_mode_are_in_the_api_and_on_both_pages(site: Site) -> None:
    now = time.time()
    for n in range(100):
        made = window("mixer", now - 100 + n, 1.0)
        mode = "idle" if n < 40 else "full <load>"
        site.emit(replace(made, decision=replace(made.decision, mode=mode)))
    site.history.flush()
    day = get_json(site, "/api/v1/machines/mixer/history")
    assert isinstance(day["modes"], list)
    assert [span["mode"] for span in day["modes"]] == ["idle", "full <load>"]
    assert day["modes"][1]["to_s"] is None
    assert isinstance(day["time_in_mode_s"], dict)
    assert day["time_in_mode_s"]["idle"] == pytest.approx(40, abs=0.01)
    page = get(site, "/m/mixer")[2].decode()
    assert re.search(r"Last 24 hours: full &lt;load&gt; [0-9.]+ min; idle 40 s\.", page)
    trend = get(site, "/m/mixer/trend")[2].decode()
    assert trend.index("<b>full &lt;load&gt;</b>") < trend.index("<b>idle</b>")
    assert 'class="mode"' in trend
    assert 'class="mode"' not in get(site, "/m/pump/trend")[2].decode()


@pytest.mark.parametrize("query", ["points=x", "points=0", "points=nan", "from=yesterday", "to=-1"])
def test_a_wrong_parameter_is_refused_with_its_name(site: Site, query: str) -> None:
    status, _, body = get(site, f"/api/v1/machines/pump/history?{query}")
    assert status == 400
    assert json.loads(body)["error"].startswith(query.split("=")[0])


def test_the_trend_can_be_downloaded_as_csv(site: Site) -> None:
    status, headers, body = get(site, "/m/pump/trend.csv?range=24h")
    lines = body.decode().splitlines()
    assert (status, headers["content-type"]) == (200, "text/csv; charset=utf-8")
    assert lines[0].startswith("time_utc,lowest,median,highest")
    assert len(lines) > 100


def test_an_event_names_its_files(site: Site) -> None:
    event = get_json(site, f"/api/v1/events/{EVENT}")
    assert (event["headline"], event["peak_state"]) == (HEADLINE, "ALARM")
    assert isinstance(event["files"], dict)
    assert set(event["files"]) == {"clip", "picture", "nearest_clip", "nearest_picture"}
    for url in event["files"].values():
        assert get(site, url)[0] == 200


def test_no_recording_is_promised_of_a_machine_whose_sound_is_not_kept(tmp_path: Path) -> None:
    with web_site(tmp_path) as site:
        opened = transition("fan", State.ALARM, time.time(), "loud", "20261130T000000-fan-0000")
        site.emit(opened)
        assert site.history.flush()
        page = get(site, f"/events/{opened.event_id}")[2].decode()
    assert "No sound is kept of the events of this machine" in page
    assert "recording follows" not in page


def test_a_player_can_seek_in_a_clip(site: Site, tmp_path: Path) -> None:
    url = f"/api/v1/events/{EVENT}/clip.flac"
    _, headers, whole = get(site, url)
    assert (headers["content-type"], whole[:4]) == ("audio/flac", b"fLaC")
    status, headers, part = get(site, url, Range="bytes=100-199")
    assert (status, part) == (206, whole[100:200])
    assert headers["content-range"] == f"bytes 100-199/{len(whole)}"
    assert get(site, url, Range=f"bytes={len(whole)}-")[0] == 416


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/events/{EVENT}/evidence.json",
        f"/api/v1/events/{EVENT}/..%2F..%2Fhistory.db",
        f"/api/v1/events/{EVENT}/%2e%2e",
        "/api/v1/events/../history.db",
        "/api/v1/events/%2e%2e/clip.flac",
        "/static/x/../../settings.py",
        "/static/x/..%2f..%2fsettings.py",
        "/static/x/%2fetc%2fpasswd",
    ],
)
def test_only_files_of_the_list_are_served(site: Site, path: str) -> None:
    assert get(site, path)[0] == 404


def test_the_folder_of_an_event_that_the_database_does_not_know_is_not_served(site: Site) -> None:
    folder = site.folder / "events" / "other"
    folder.mkdir(exist_ok=True)
    (folder / "clip.flac").write_bytes(b"fLaC")
    assert get(site, "/api/v1/events/other/clip.flac")[0] == 404


def test_health_and_readiness_say_what_is_wrong(site: Site) -> None:
    assert get(site, "/api/v1/healthz")[::2] == (200, b"ok\n")
    for path in ("/readyz", "/api/v1/readyz"):
        status, _, text = get(site, path)
        assert (status, b"mixer: its source is " in text) == (503, True)


def test_browsers_may_keep_static_files_for_ever(site: Site) -> None:
    page = get(site, "/")[2].decode()
    url = page.split('rel="stylesheet" href="')[1].split('"')[0]
    status, headers, _ = get(site, url)
    assert (status, headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert "immutable" in headers["cache-control"]
    assert get(site, "/")[1]["cache-control"] == "no-store"


def moded(site: Site, mode: ModeReading, rule: str = "") -> None:
    """Score a window of the pump in a mode."""
    scored = window("pump", time.time(), 9.2, mode=mode)
    site.emit(replace(scored, decision=replace(scored.decision, mode=mode.label, rule=rule)))


def test_only_the_mode_that_is_shown_can_be_named(site: Site) -> None:
    moded(site, ModeReading("running 2"))
    assert 'name="old" value="running 2"' in get(site, "/m/pump")[2].decode()
    moded(site, ModeReading("running 2", is_learned=False))
    assert "Name this mode" not in get(site, "/m/pump")[2].decode()


def test_a_state_that_was_confirmed_as_normal_is_not_asked_about_again(site: Site) -> None:
    moded(site, ModeReading("running 2", is_learned=False), UNLEARNED_RULE)
    assert "This is normal" in get(site, "/m/pump")[2].decode()
    site.history.add_note(EventNote(EVENT, time.time(), "anna", NoteKind.NORMAL))
    site.history.flush()
    page = get(site, "/m/pump")[2].decode()
    assert "This is normal" not in page
    assert '<a href="/m/pump/refit">learn it as a further mode</a>' in page
