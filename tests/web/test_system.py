"""The system page checks the installation, and hands out backups and support files to admins."""

import io
import logging
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from asd_monitor.config import from_options
from asd_monitor.doctor.while_running import RunningDiagnosis
from asd_monitor.telemetry.reload_result import ReloadResult
from asd_monitor.web.access_store import FILE_NAME, AccessStore, Role
from asd_monitor.web.diagnosis import CheckResult
from tests.rig.mosquitto import wait_until
from tests.rig.web_site import EVENT, Site, web_site

SECRET = "password-of-the-plant"  # noqa: S105 - made for this test
VIEWER = "dashboard"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("state")
    file = folder / "monitor.yaml"
    file.write_text(f"notify:\n  to: [json://asd:{SECRET}@127.0.0.1:1/]\n")
    mqtt = {"host": "127.0.0.1", "port": 1}
    config = from_options({"state_dir": str(folder), "machines": {}, "mqtt": mqtt})
    with web_site(folder, diagnosis=RunningDiagnosis(config, folder, file)) as running:
        yield running


def post(site: Site, path: str, **headers: str) -> tuple[int, bytes]:
    origin = {"Origin": site.url.rstrip("/")} | headers
    request = Request(site.url + path, b"", origin)  # noqa: S310 - of the test's own server
    try:
        with urlopen(request, timeout=60) as response:  # noqa: S310
            return response.status, response.read()
    except HTTPError as error:
        with error:
            return error.code, error.read()


def test_checks_report_what_is_wrong_and_what_to_do(site: Site) -> None:
    status, body = post(site, "/system/check")
    page = body.decode()
    assert status == 200
    assert "History: ok" in page
    assert "MQTT tcp: failed" in page
    assert "the check itself failed" not in page.lower()
    assert SECRET not in page


def test_the_last_reload_is_named_with_what_needs_a_restart_or_is_wrong(site: Site) -> None:
    site.tracker.note_reload(ReloadResult(1e9, ("pump added",), ("node",)))
    with urlopen(site.url + "/system", timeout=60) as response:  # noqa: S310
        page = response.read().decode()
    assert "pump added; used after a restart only: node" in page
    site.tracker.note_reload(ReloadResult(1e9, problems=("monitor.yaml:3: <no>",)))
    with urlopen(site.url + "/system", timeout=60) as response:  # noqa: S310
        page = response.read().decode()
    assert "monitor.yaml:3: &lt;no&gt;; the former settings remain in use" in page


def test_a_backup_has_history_and_events_and_is_removed_afterwards(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    status, body = post(site, "/system/backup")
    assert status == 200
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        names = tar.getnames()
    assert {"history.db", "backup.json", f"events/{EVENT}/clip.flac"} <= set(names)
    assert FILE_NAME not in names
    wait_until(lambda: not list(tmp_path.iterdir()), "the file is removed")


def test_a_support_file_has_the_log_and_no_secret(site: Site) -> None:
    logging.getLogger("test").warning("the service refused %s", SECRET)
    status, body = post(site, "/system/support")
    assert status == 200
    with tarfile.open(fileobj=io.BytesIO(body)) as tar:
        texts = {
            name.rpartition("/")[2]: content.read().decode()
            for name in tar.getnames()
            if (content := tar.extractfile(name)) is not None
        }
    assert "refused" in texts["log.txt"]
    assert "notify" in texts["configuration.yaml"]
    assert not [name for name, text in texts.items() if SECRET in text]


def test_the_log_is_shown_without_the_key_of_a_link(site: Site) -> None:
    logging.getLogger("test").warning("open http://127.0.0.1/password?key=%s now", "abc123")
    with urlopen(f"{site.url}/system", timeout=60) as response:  # noqa: S310
        page = response.read().decode()
    assert "password?key=(removed) now" in page
    assert "abc123" not in page


def test_only_admins_see_the_log_and_download(tmp_path: Path) -> None:
    class NoDiagnosis:
        def check(self) -> Sequence[CheckResult]:
            raise AssertionError

        def write_support_file(self, out: Path, log: Path) -> None:
            raise AssertionError

    access = AccessStore(tmp_path / FILE_NAME)
    access.set_account("anna", "correct horse battery", Role.ADMIN)
    token = access.create_token(VIEWER, Role.VIEWER)
    access.close()
    with web_site(tmp_path, diagnosis=NoDiagnosis()) as site:
        bearer = {"Authorization": f"Bearer {token}"}
        request = Request(f"{site.url}/system", headers=bearer)  # noqa: S310
        with urlopen(request, timeout=60) as response:  # noqa: S310
            page = response.read().decode()
        assert "Apache License" in page
        assert "/system/backup" not in page
        assert "Newest lines" not in page
        for path in ("check", "backup", "support"):
            assert post(site, f"/system/{path}", **bearer)[0] == 403


def test_a_second_check_is_refused_meanwhile(site: Site) -> None:
    lock = site.service._context.long_work
    with lock:
        assert post(site, "/system/check")[0] == 503
    assert not lock.locked()
