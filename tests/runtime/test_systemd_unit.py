"""The systemd unit, checked with systemd's own tools."""

import configparser
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.paths import CONFIGS, ROOT

UNIT = ROOT / "systemd" / "asd-monitor@.service"


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=400,
        check=False,
        env={**os.environ, "SYSTEMD_COLORS": "0"},
    )


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root folder below which install.sh has installed the unit."""
    root = tmp_path_factory.mktemp("root")
    subprocess.run(
        ["sh", ROOT / "systemd" / "install.sh"],
        check=True,
        env={**os.environ, "DESTDIR": str(root), "PREFIX": sys.prefix},
    )
    return root


def unit_of(root: Path) -> Path:
    return root / "etc" / "systemd" / "system" / UNIT.name


def settings() -> dict[str, list[str]]:
    """Return the values of each key of the unit, in order."""
    values: dict[str, list[str]] = {}
    for line in UNIT.read_text().splitlines():
        if re.match(r"\w+=", line):
            key, value = line.split("=", 1)
            values.setdefault(key, []).append(value)
    return values


def test_verify_reports_nothing(installed: Path) -> None:
    done = analyze("verify", unit_of(installed))
    assert (done.returncode, done.stdout) == (0, "")


def test_verify_reports_an_unknown_key(installed: Path, tmp_path: Path) -> None:
    bad = tmp_path / UNIT.name
    bad.write_text(unit_of(installed).read_text().replace("RestartSec=", "RestartSecs="))
    assert "RestartSecs" in analyze("verify", bad).stdout


def test_the_exposure_is_at_most_two(installed: Path) -> None:
    done = analyze("security", "--offline=true", "--threshold=20", unit_of(installed))
    level = re.search(r"Overall exposure level.*: (\d+\.\d+)", done.stdout)
    assert level is not None, done.stdout
    assert float(level[1]) <= 2.0
    assert done.returncode == 0


def test_the_sandbox_allows_what_audio_and_torch_need() -> None:
    unit = settings()
    assert "MemoryDenyWriteExecute" not in unit
    assert "PrivateDevices" not in unit
    assert "PrivateUsers" not in unit
    assert unit["DevicePolicy"] == ["closed"]
    assert unit["DeviceAllow"] == ["char-alsa rw"]
    assert unit["SupplementaryGroups"] == ["audio"]
    assert "AF_UNIX AF_INET AF_INET6" in unit["RestrictAddressFamilies"]


def test_a_crash_leaves_no_memory_image_on_the_disk() -> None:
    """It would contain passwords, and fill the disk."""
    assert settings()["LimitCORE"] == ["0"]


def test_a_sound_card_may_be_connected_after_the_start() -> None:
    """Device groups that the kernel does not know when the service starts stay forbidden."""
    lines = UNIT.read_text().splitlines()
    assert "Wants=modprobe@snd.service" in lines
    assert "After=modprobe@snd.service" in lines


def test_the_service_notifies_has_a_watchdog_and_always_restarts() -> None:
    unit = settings()
    assert unit["Type"] == ["notify"]
    assert unit["NotifyAccess"] == ["main"]
    assert unit["WatchdogSec"] == ["30"]
    assert unit["Restart"] == ["always"]
    assert unit["StartLimitIntervalSec"] == ["0"]


def test_a_reload_needs_no_program_but_the_shell() -> None:
    """A minimal Debian has no `kill`, which is part of procps."""
    (reload,) = settings()["ExecReload"]
    with subprocess.Popen(["sleep", "600"]) as process:
        command = shlex.split(reload.replace("$MAINPID", str(process.pid)))
        assert command[0] == "/bin/sh"
        subprocess.run(command, env={"PATH": "/nonexistent"}, check=True)
        assert process.wait(60) == -signal.SIGHUP


def test_failed_starts_are_counted_until_the_service_is_stopped() -> None:
    unit = settings()
    assert unit["RuntimeDirectory"] == ["asd-monitor/%i"]
    assert unit["RuntimeDirectoryPreserve"] == ["restart"]


def test_each_instance_has_its_own_state_and_configuration() -> None:
    unit = settings()
    assert unit["StateDirectory"] == ["asd-monitor/%i"]
    assert unit["ExecStart"] == [
        "/opt/asd-monitor/bin/asd-monitor run --config /etc/asd-monitor/%i.yaml"
    ]


def test_the_installer_writes_the_program_path_into_the_unit(installed: Path) -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.read(unit_of(installed))
    program = parser["Service"]["ExecStart"].split()[0]
    assert program == f"{sys.prefix}/bin/asd-monitor"
    assert os.access(program, os.X_OK)
    assert (installed / "etc" / "asd-monitor" / "example.yaml").is_file()


def test_the_installer_keeps_an_example_that_was_edited(tmp_path: Path) -> None:
    example = tmp_path / "etc" / "asd-monitor" / "example.yaml"
    for _ in range(2):
        install = ["sh", str(ROOT / "systemd" / "install.sh")]
        subprocess.run(install, env={**os.environ, "DESTDIR": str(tmp_path)}, check=True)
        assert example.read_bytes() == (CONFIGS / "monitor.yaml").read_bytes()
        assert not example.with_name("example.yaml.old").exists()
    example.write_text("# edited\n")
    subprocess.run(install, env={**os.environ, "DESTDIR": str(tmp_path)}, check=True)
    assert example.with_name("example.yaml.old").read_text() == "# edited\n"


def test_the_installer_refuses_a_prefix_that_cannot_work() -> None:
    environ = {key: value for key, value in os.environ.items() if key != "DESTDIR"}
    done = subprocess.run(
        ["sh", ROOT / "systemd" / "install.sh"],
        env={**environ, "PREFIX": "/root/asd-monitor"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert re.search("in a home folder|expected to be root", done.stderr)
