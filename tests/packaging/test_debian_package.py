"""The Debian package: its content, and dpkg's steps in a temporary root.

The package of these tests has asd-monitor without the packages it needs; `make soak` builds and
runs the complete one.
"""

import os
import re
import subprocess
from pathlib import Path

import pytest

from asd_monitor import __version__
from tests.rig.paths import CONFIGS, ROOT
from tests.rig.wheel import build_wheel

SYSTEM_PYTHON = "/usr/bin/python3"
HOME = Path("usr/lib/asd-monitor")
EXAMPLE = Path("usr/share/doc/asd-monitor/examples/monitor.yaml")
UNIT = Path("usr/lib/systemd/system/asd-monitor@.service")


def run(*command: str | Path, **environ: str) -> str:
    done = subprocess.run(
        [str(part) for part in command], env={**os.environ, **environ}, check=True,
        capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    build = ROOT / "packaging" / "deb" / "build.sh"
    run("sh", build, folder, WHEEL=str(wheel), PYTHON=SYSTEM_PYTHON)
    assert [path.suffix for path in folder.iterdir()] == [".deb"], "the build left other files"
    return next(folder.iterdir())


@pytest.fixture(scope="module")
def content(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("content")
    run("dpkg-deb", "--raw-extract", package, folder)
    return folder


class Dpkg:
    """dpkg, with a root of its own whose maintainer scripts run outside of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("info", "updates", "triggers"):
            (root / "var/lib/dpkg" / name).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()

    def __call__(self, *arguments: str | Path) -> str:
        forced = "script-chrootless,unsafe-io,depends,not-root,bad-path"
        return run(
            "dpkg", f"--root={self.root}", f"--force-{forced}", "--log=/dev/null", *arguments
        )

    def files(self) -> set[str]:
        """Return what names asd-monitor in the root, other than dpkg's own data."""
        return {
            str(path.relative_to(self.root))
            for path in self.root.rglob("*asd-monitor*")
            if "var/lib/dpkg" not in str(path)
        }


@pytest.fixture
def dpkg(tmp_path: Path) -> Dpkg:
    return Dpkg(tmp_path / "root")


def test_it_names_its_version_and_what_it_needs(package: Path) -> None:
    fields = run("dpkg-deb", "--field", package)
    interpreter = Path(SYSTEM_PYTHON).resolve().name
    assert f"\nVersion: {__version__}\n" in fields
    assert re.search(rf"\nDepends: {re.escape(interpreter)}, libportaudio2,", fields)


def test_the_unit_and_the_links_lead_to_the_program(content: Path) -> None:
    unit = (content / UNIT).read_text()
    program = re.search(r"^ExecStart=/(\S+)", unit, re.MULTILINE)
    manual = re.search(r"^Documentation=file:/(\S+)", unit, re.MULTILINE)
    assert program is not None
    assert manual is not None
    assert os.access(content / program[1], os.X_OK)
    assert (content / manual[1]).is_file()
    assert (content / "usr/bin/asd-monitor").resolve() == (content / program[1]).resolve()
    first_line = (content / program[1]).read_text().splitlines()[0]
    assert first_line == f"#!/{HOME}/bin/python"
    assert (content / HOME / "bin/python").readlink() == Path(SYSTEM_PYTHON).resolve()


def test_no_file_names_the_folder_of_the_build(content: Path, package: Path) -> None:
    named = [
        str(path.relative_to(content))
        for path in content.rglob("*")
        if path.is_file()
        and not path.is_symlink()
        and str(package.parent).encode() in path.read_bytes()
    ]
    assert named == []


def test_every_file_is_in_its_checksums_and_readable_by_all(content: Path) -> None:
    sums = (content / "DEBIAN" / "md5sums").read_text().splitlines()
    listed = {line.split("  ", 1)[1] for line in sums}
    present = {
        str(path.relative_to(content))
        for path in content.rglob("*")
        if path.is_file() and not path.is_symlink() and "DEBIAN" not in path.parts
    }
    assert listed == present
    unreadable = [name for name in listed if not (content / name).stat().st_mode & 0o004]
    assert unreadable == []


def test_the_interpreter_of_the_package_finds_the_program(content: Path) -> None:
    code = "from asd_monitor.service_files.packaged import *; print(read_packaged(UNIT))"
    printed = run(content / HOME / "bin/python", "-I", "-c", code)
    assert "asd-monitor run --config" in printed


@pytest.fixture
def next_package(package: Path, tmp_path: Path) -> Path:
    """Return a package of a later version, whose example and unit have changed."""
    content = tmp_path / "next"
    run("dpkg-deb", "--raw-extract", package, content)
    for changed in (UNIT, EXAMPLE):
        path = content / changed
        path.write_text(path.read_text() + "# of the next version\n")
    control = content / "DEBIAN" / "control"
    control.write_text(re.sub(r"^(Version: .*)$", r"\1+next", control.read_text(), flags=re.M))
    run("dpkg-deb", "--root-owner-group", "-Znone", "--build", content, tmp_path / "next.deb")
    return tmp_path / "next.deb"


def test_an_upgrade_asks_nothing_and_removal_keeps_what_was_learned(
    dpkg: Dpkg, package: Path, next_package: Path
) -> None:
    """Files in /etc that belong to the package would be asked about, and no one may be there."""
    dpkg("--install", package)
    example, etc = dpkg.root / EXAMPLE, dpkg.root / "etc/asd-monitor"
    assert example.read_text() == (CONFIGS / "monitor.yaml").read_text()
    assert list(etc.iterdir()) == []
    example.write_text("# edited\n")
    (etc / "pump.yaml").write_text("machines: {pump: {mic: 0}}\n")
    model = dpkg.root / "var/lib/private/asd-monitor/pump/models/pump.asd"
    model.parent.mkdir(parents=True)
    model.touch()
    (dpkg.root / HOME / "lib/added_with_pip").mkdir()

    dpkg("--install", next_package)
    assert example.read_text().endswith("# of the next version\n")

    dpkg("--remove", "asd-monitor")
    assert {(etc / "pump.yaml").exists(), model.exists()} == {True}
    left = dpkg.files()
    assert {"etc/asd-monitor", "var/lib/private/asd-monitor"} == left


def test_purge_leaves_nothing(dpkg: Dpkg, package: Path) -> None:
    dpkg("--install", package)
    system = dpkg.root / "etc/systemd/system"
    (system / "multi-user.target.wants").mkdir(parents=True)
    (system / "multi-user.target.wants/asd-monitor@pump.service").symlink_to(f"/{UNIT}")
    (system / "asd-monitor@pump.service.d").mkdir()
    (system / "asd-monitor@pump.service.d/override.conf").touch()
    (dpkg.root / "etc/asd-monitor/pump.mqtt_password").touch()
    (dpkg.root / "var/lib/private/asd-monitor/pump").mkdir(parents=True)
    dpkg("--purge", "asd-monitor")
    assert dpkg.files() == set()


def test_removal_stops_monitors_first_also_of_a_package_that_was_never_configured() -> None:
    """dpkg runs no prerm then; it was tried under systemd, which these tests do not start."""
    postrm = (ROOT / "packaging" / "deb" / "postrm").read_text()
    assert 0 < postrm.index("systemctl stop 'asd-monitor@*.service'") < postrm.index("rm -rf")


@pytest.mark.parametrize("script", ["postinst", "prerm", "postrm"])
def test_maintainer_scripts_have_no_errors_of_syntax(script: str) -> None:
    run("sh", "-n", ROOT / "packaging" / "deb" / script)
