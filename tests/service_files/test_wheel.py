"""The wheel has the files of an installation, and ``init`` writes them without a checkout."""

import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from asd_monitor.service_files.packaged import FILES, UNIT, list_packaged, source_of
from tests.rig.paths import DOCS, ROOT
from tests.rig.wheel import build_wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel of this tree."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a virtual environment with the wheel, and the other packages of this one."""
    folder = tmp_path_factory.mktemp("clean") / "asd-monitor"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
    subprocess.run(
        [*pip, "--disable-pip-version-check", "--no-deps", "--no-index", wheel], check=True
    )
    packages = next(folder.glob("lib/python*/site-packages"))
    (packages / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def test_the_wheel_has_every_file_as_it_is_in_the_tree(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for name in FILES:
            content = archive.read(f"asd_monitor/service_files/data/{name}")
            assert content == source_of(ROOT, name).read_bytes(), name
        manual = next(name for name in archive.namelist() if name.endswith("/operations.md"))
        assert archive.read(manual) == (DOCS / "operations.md").read_bytes()


def test_every_file_for_prometheus_grafana_and_mosquitto_is_written() -> None:
    folders = ("prometheus", "grafana", "mosquitto")
    present = {
        str(path.relative_to(ROOT / "configs"))
        for folder in folders
        for path in (ROOT / "configs" / folder).rglob("*")
        if path.is_file() and "_test" not in path.name
    }
    assert set(list_packaged()) == present


def test_init_works_from_a_wheel_without_a_checkout(environment: Path, tmp_path: Path) -> None:
    program = environment / "bin" / "asd-monitor"

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [program, *arguments], cwd=tmp_path, env={"PATH": "/usr/bin", "HOME": str(tmp_path)},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    printed = run("init", "files", "--machine", "pump", "--wav", "clips", "--name", "hall")
    written = {str(path.relative_to(tmp_path / "files")) for path in tmp_path.rglob("files/**/*.*")}
    assert {"hall.yaml", UNIT, *list_packaged()} == {
        name for name in written | {"mosquitto/acl"} if (tmp_path / "files" / name).is_file()
    }
    unit = (tmp_path / "files" / UNIT).read_text()
    assert f"ExecStart={program} run --config" in unit
    manual = re.search(r"More: (.*)", printed)
    assert manual is not None
    assert Path(manual[1]).read_text() == (DOCS / "operations.md").read_text()
    assert f"Documentation=file:{manual[1]}" in unit
    assert "1 machine(s)" in run("check", "files/hall.yaml")
