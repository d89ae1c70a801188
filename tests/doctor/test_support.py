"""A file for support helps those who read it, and gives away no secret and no sound."""

import tarfile
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from asd_monitor.cli import create_app
from asd_monitor.doctor.finding import failed
from asd_monitor.doctor.support import write_support_file
from asd_monitor.errors import ConfigError
from asd_monitor.model_file.keys import own_key
from asd_monitor.web.access_store import FILE_NAME, AccessStore, Role

WRITTEN, IN_FILE, IN_ENVIRONMENT = "hunter2-in-the-file", "s3cret-of-the-broker", "pa55-of-the-env"
NOTIFY_TOKEN = "AbCdEf123456"  # noqa: S105 - of nothing


def write_config(folder: Path) -> Path:
    """Write settings that name secrets in each of the ways that settings can."""
    (folder / "broker_password").write_text(f"{IN_FILE}\n")
    config = folder / "plant.yaml"
    config.write_text(
        "machines: {pump: {mic: 0}}\n"
        f"mqtt: {{host: broker.example, username: m, password_file: {folder}/broker_password}}\n"
        f"mqtt_before: {{password: {WRITTEN}, password_env: BROKER_PASSWORD}}\n"
        f"notify: {{to: [{{url: 'json://user:{NOTIFY_TOKEN}@hooks.example/x'}}]}}\n"
    )
    return config


def read_archive(path: Path) -> dict[str, bytes]:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    with tarfile.open(path, mode="r:gz") as tar:
        members = {member.name: tar.extractfile(member) for member in tar.getmembers()}
        return {name: file.read() for name, file in members.items() if file is not None}


@pytest.mark.parametrize("name", ["support.tar.gz", "support.tgz", "support.zip"])
def test_a_support_file_has_no_key_no_password_no_token_and_no_sound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", IN_ENVIRONMENT)
    state, folder = tmp_path / "state", tmp_path / "etc"
    for path in (state / "recordings" / "pump" / "train", folder):
        path.mkdir(parents=True)
    (state / "recordings" / "pump" / "train" / "a.wav").write_bytes(b"RIFF-the-sound-itself")
    own_key(state)
    private_key = (state / "signing-key.pem").read_text()
    accounts = AccessStore(state / FILE_NAME)
    accounts.set_account("anna", "correct horse battery", Role.ADMIN)
    token = accounts.create_token("dashboard", Role.VIEWER)
    accounts.close()
    log = tmp_path / "monitor.log"
    secrets = [WRITTEN, IN_FILE, IN_ENVIRONMENT, NOTIFY_TOKEN]
    lines = [f"WARNING the broker refused {secret!r}" for secret in secrets]
    log.write_text("\n".join([*lines, f"Authorization: Bearer {token}", private_key, "the end"]))
    findings = [failed("mqtt login", f"refused with {IN_FILE}", "correct it", ConfigError)]

    out = tmp_path / name
    names = write_support_file(
        out, findings, state, config=write_config(folder), log=log, unit="asd-monitor@plant"
    )
    found = read_archive(out)
    assert {path.rpartition("/")[2] for path in found} == set(names)
    assert out.stat().st_mode & 0o777 == 0o600
    everything = b"\n".join(found.values())
    for secret in [*secrets, token, *private_key.split("\n")[1:-2], "the-sound-itself", "battery"]:
        assert secret.encode() not in everything, secret
    assert "PRIVATE KEY" not in everything.decode()
    text = found["asd-monitor-support/log.txt"].decode()
    assert "WARNING the broker refused" in text
    assert text.endswith("the end")
    assert "signing-key.pem" in found["asd-monitor-support/state-folder.txt"].decode()


@pytest.mark.parametrize("name", ["support.7z", "support", "support.gz"])
def test_an_archive_of_another_kind_is_refused_before_anything_is_checked(
    tmp_path: Path, name: str
) -> None:
    out = tmp_path / name
    done = CliRunner().invoke(create_app(), ["support", str(out), "--state-dir", str(tmp_path)])
    assert isinstance(done.exception, ConfigError)
    assert "expected a name that ends with .tar.gz, .tgz, .zip" in str(done.exception)
    assert "checking" not in done.output
    assert not out.exists()
