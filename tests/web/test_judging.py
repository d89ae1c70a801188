"""People acknowledge, judge and shelve on the page and through its API."""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
import yaml
from playwright.sync_api import Browser

from asd_monitor.history.reader import HistoryReader
from asd_monitor.history.records import AuditEntry, NoteKind
from asd_monitor.judging.refit_job import RefitJobs
from asd_monitor.recalibration.files import CalibrationFiles
from asd_monitor.web.access_store import FILE_NAME as ACCESS_FILE
from asd_monitor.web.access_store import AccessStore, Role
from tests.rig.browser import TIMEOUT_MS
from tests.rig.mosquitto import wait_until
from tests.rig.paths import DOCS
from tests.rig.raw_http import Answer, request
from tests.rig.web_site import EVENT, OLD_EVENT, Site, web_site
from tests.web.test_browser import browser
from tests.web.test_openapi import check

__all__ = ["browser"]

SCHEMAS = yaml.safe_load((DOCS / "schemas" / "openapi.yaml").read_text())["components"]["schemas"]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with web_site(tmp_path) as running:
        yield running


def post(site: Site, path: str, body: object, method: str = "POST", **headers: str) -> Answer:
    """Send a request as the page itself does; a dict as JSON, text as a form."""
    is_form = isinstance(body, str)
    kind = "application/x-www-form-urlencoded" if is_form else "application/json"
    values = {"Content-Type": kind, "Origin": site.url} | headers
    content = body if isinstance(body, str) else json.dumps(body)
    return request(site.port, method, path, values, content.encode())


def audit(site: Site) -> list[AuditEntry]:
    return HistoryReader(site.folder / "history.db").audit()


@pytest.mark.parametrize("kind", ["ack", "normal", "fault", "unsure", "comment"])
def test_the_api_adds_notes_with_their_author(site: Site, kind: str) -> None:
    answer = post(
        site, f"/api/v1/events/{EVENT}/notes", {"kind": kind, "text": "seen", "who": "bert"}
    )
    assert answer.status == 201
    check(json.loads(answer.body), SCHEMAS["Done"])
    event = json.loads(request(site.port, path=f"/api/v1/events/{EVENT}").body)
    assert event["notes"][-1]["kind"] == kind
    assert (event["notes"][-1]["who"], event["notes"][-1]["text"]) == ("bert", "seen")
    assert event["acknowledged"] is (kind == "ack")
    (entry,) = audit(site)
    assert (entry.via, entry.action, entry.who) == ("page", kind, "bert")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        (f"/api/v1/events/{EVENT}/notes", {"kind": "shelve"}, 400),
        (f"/api/v1/events/{EVENT}/notes", {"kind": "ack", "text": "x" * 2001}, 400),
        (f"/api/v1/events/{EVENT}/notes", {"kind": "ack", "text": 7}, 400),
        (f"/api/v1/events/{EVENT}/notes", {"kind": "comment"}, 400),
        (f"/api/v1/events/{EVENT}/notes", ["ack"], 400),
        ("/api/v1/events/other/notes", {"kind": "ack"}, 404),
        ("/api/v1/machines/other/shelf", {}, 404),
        ("/api/v1/machines/pump/shelf", {"minutes": 0}, 400),
        ("/api/v1/machines/pump/shelf", {"minutes": True}, 400),
        ("/api/v1/machines/pump/shelf", {"minutes": 1e9}, 400),
        ("/api/v1/machines/pump/shelf", {"kind": "ack"}, 400),
        ("/api/v1/machines/pump/refit/accept", {}, 400),
        ("/api/v1/machines/pump/refit/undo", {}, 400),
    ],
)
def test_what_is_wrong_is_refused_and_recorded_nowhere(
    site: Site, path: str, body: object, status: int
) -> None:
    assert post(site, path, body).status == status
    assert audit(site) == []


def test_a_foreign_origin_changes_nothing(site: Site) -> None:
    path = f"/api/v1/events/{EVENT}/notes"
    assert post(site, path, {"kind": "ack"}, Origin="http://evil.example").status == 403
    form = urlencode({"kind": "ack"})
    assert post(site, f"/events/{EVENT}/notes", form, Origin="").status == 403
    assert audit(site) == []


def test_a_machine_is_shelved_and_unshelved(site: Site) -> None:
    path = "/api/v1/machines/pump/shelf"
    assert post(site, path, {"minutes": 30, "kind": "maintenance", "why": "oil"}).status == 201
    reader = HistoryReader(site.folder / "history.db")
    (shelf,) = reader.shelves("pump")
    assert (shelf.kind, shelf.why, shelf.who) == (NoteKind.MAINTENANCE, "oil", "local")
    assert post(site, path, {}, "DELETE").status == 200
    assert [entry.action for entry in audit(site)] == ["unshelve", "maintenance"]


def test_roles_decide_who_may_judge_and_who_may_change_the_model(tmp_path: Path) -> None:
    access = AccessStore(tmp_path / ACCESS_FILE)
    tokens = {role: access.create_token(role.label, role) for role in (Role.VIEWER, Role.OPERATOR)}
    access.close()
    with web_site(tmp_path, password=True) as site:
        path = f"/api/v1/events/{EVENT}/notes"
        for role, status in ((Role.VIEWER, 403), (Role.OPERATOR, 201)):
            header = f"Bearer {tokens[role]}"
            assert post(site, path, {"kind": "ack"}, Authorization=header).status == status
            accept = "/api/v1/machines/pump/refit/accept"
            assert post(site, accept, {}, Authorization=header).status == 403
            limits = "/api/v1/machines/pump/calibration"
            assert post(site, limits, {}, "DELETE", Authorization=header).status == 403
        assert post(site, path, {"kind": "ack"}).status == 401
        (entry,) = audit(site)
        assert entry.who == "operator"  # and not a name that the request could choose


def test_the_limits_of_the_model_file_are_used_again_after_a_confirmation(
    site: Site, browser: Browser
) -> None:
    files = CalibrationFiles(site.folder, "pump")
    files.sample.parent.mkdir(exist_ok=True)
    for path in (files.sample, files.extension, files.hours):
        path.write_text("collected")
    context = browser.new_context(base_url=site.url, viewport={"width": 390, "height": 844})
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.goto("/m/pump")
    assert not page.is_visible("#who-resets")
    page.click("text=Go back to the limits of the model file")
    page.fill("#who-resets", "Anna")
    page.click("button:text-is('Go back')")
    page.wait_for_url("**/m/pump?limits=reset#learned")
    assert "The limits of the model file are used again" in page.inner_text("#learned")
    assert page.query_selector("#who-resets") is None
    context.close()
    assert [path.exists() for path in (files.sample, files.extension, files.hours)] == [
        False,
        False,
        True,
    ]
    (entry,) = audit(site)
    assert (entry.action, entry.machine, entry.who) == ("reset-calibration", "pump", "Anna")
    assert post(site, "/api/v1/machines/pump/calibration", {}, "DELETE").status == 400
    files.sample.write_text("collected")
    answer = post(site, "/api/v1/machines/pump/calibration", {}, "DELETE")
    check(json.loads(answer.body), SCHEMAS["Done"])
    assert not files.sample.exists()


def test_the_event_is_judged_on_its_page_by_keyboard(site: Site, browser: Browser) -> None:
    context = browser.new_context(base_url=site.url, viewport={"width": 390, "height": 844})
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    page.goto(f"/events/{OLD_EVENT}")
    page.fill("#who", "Anna")
    page.fill("#text", "valve test")
    page.focus("button[value=normal]")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/events/{OLD_EVENT}#judging")
    text = page.inner_text("main")
    assert "Counted as a false alarm." in text
    assert "valve test" in text
    assert "Anna" in text
    page.goto("/m/pump")
    page.fill("#why", "painting")
    page.click("button[value=shelve]")
    page.wait_for_url("**/m/pump#silence")
    context.close()
    assert [entry.action for entry in audit(site)] == ["shelve", "normal"]


def test_the_page_of_a_refit_says_what_was_done(site: Site) -> None:
    answer = post(site, "/m/pump/refit", "action=discard")
    assert answer.status == 303
    page = request(site.port, path=answer.headers["location"]).body.decode()
    assert "The new model was deleted." in page
    assert "was deleted" not in request(site.port, path="/m/pump/refit?done=other").body.decode()
    (entry,) = audit(site)
    assert entry.action == "discard-refit"


def test_a_failed_refit_says_why_and_changes_nothing(site: Site) -> None:
    path = "/api/v1/machines/pump/refit"
    answer = json.loads(post(site, path, {}).body)
    check(answer, SCHEMAS["Refit"])

    def status() -> str:
        return str(json.loads(request(site.port, path=path).body)["state"])

    wait_until(lambda: status() == "failed", "the end", timeout_s=300)
    found = json.loads(request(site.port, path=path).body)
    assert "no model that was learned here" in found["problem"]
    assert found["proposal"] is None


def test_a_refit_that_runs_ends_with_the_page(tmp_path: Path) -> None:
    jobs = RefitJobs(tmp_path)
    assert jobs.status("pump") == ("none", "")
    assert jobs.start("pump")
    assert not jobs.start("pump")  # one at a time
    jobs.close()
    assert jobs.status("pump") == ("none", "")


def acknowledged(site: Site) -> dict[str, bool]:
    events = json.loads(request(site.port, path="/api/v1/events").body)["events"]
    return {event["id"]: event["acknowledged"] for event in events}


def test_all_events_of_the_list_are_acknowledged_at_once(site: Site) -> None:
    events = json.loads(request(site.port, path="/api/v1/events").body)["events"]
    before_s = min(event["opened_s"] for event in events) - 1
    for seen_s in (before_s, 1e11):
        form = urlencode({"which": "all", "seen_s": seen_s})
        answer = post(site, "/events/acknowledge?machine=pump&state=&open=", form)
        assert answer.status == 303
        assert answer.headers["location"] == "/events?machine=pump&state=&open="
        assert acknowledged(site)[EVENT] is (seen_s > before_s)


def test_the_keys_of_the_list_move_acknowledge_and_mark_as_normal(
    site: Site, browser: Browser
) -> None:
    page = browser.new_page(base_url=site.url)
    page.set_default_timeout(TIMEOUT_MS)
    page.goto("/events")
    assert "acknowledge" in page.inner_text(".keys")
    page.keyboard.press("a")  # without a row, nothing happens
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.pathname") == f"/events/{EVENT}"
    page.keyboard.press("a")
    page.wait_for_selector(f"[data-event='{EVENT}'] >> text=acknowledged")
    page.keyboard.press("n")
    page.wait_for_selector(f"[data-event='{EVENT}'] >> text=it was normal")
    assert page.evaluate("document.activeElement.pathname") == f"/events/{EVENT}"
    assert [entry.action for entry in audit(site)] == ["normal", "ack"]
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/events/{EVENT}")
    page.close()
