"""The build of torch that the installation chooses, with a real pip and an index in a folder."""

import os
import subprocess
import venv
import zipfile
from pathlib import Path

import pytest

from tests.rig.paths import ROOT

SCRIPT = ROOT / "systemd" / "install-torch.sh"
PINNED = next(
    line.removeprefix("torch==")
    for line in (ROOT / "constraints.txt").read_text().split()
    if line.startswith("torch==")
)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of a new virtual environment."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True, symlinks=True)
    return folder / "bin" / "python"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Return a package index with an empty package as torch for processors."""
    folder = tmp_path / "simple" / "torch"
    folder.mkdir(parents=True)
    info, wheel = f"torch-{PINNED}+cpu.dist-info", f"torch-{PINNED}+cpu-py3-none-any.whl"
    members = {
        "METADATA": f"Metadata-Version: 2.1\nName: torch\nVersion: {PINNED}+cpu\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(folder / wheel, "w") as archive:
        for name, text in members.items():
            archive.writestr(f"{info}/{name}", text)
    (folder / "index.html").write_text(f'<a href="{wheel}">{wheel}</a>')
    return tmp_path / "simple"


def install(python: Path, index: Path | str, choice: str) -> subprocess.CompletedProcess[str]:
    location = index.as_uri() if isinstance(index, Path) else index
    environ = {key: value for key, value in os.environ.items() if not key.startswith("PIP_")}
    no_settings = {"PIP_CONFIG_FILE": os.devnull}
    return subprocess.run(
        ["sh", SCRIPT, python],
        env={**environ, **no_settings, "TORCH": choice, "TORCH_INDEX": location},
        capture_output=True,
        text=True,
        check=False,
    )


def installed_version(python: Path) -> str:
    code = "from importlib.metadata import version; print(version('torch'))"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def requirements_for(python: Path) -> str:
    """Return the list of packages that is installed after torch, which cannot be imported yet."""
    done = subprocess.run(
        ["sh", str(ROOT / "systemd" / "requirements-for.sh"), str(python)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_the_build_for_processors_is_installed_and_replaced_on_request(
    python: Path, index: Path
) -> None:
    done = install(python, index, "cpu")
    assert done.returncode == 0, done.stderr
    assert "about 1.1 GB" in done.stdout
    assert installed_version(python) == f"{PINNED}+cpu"
    assert install(python, "file:///nowhere", "cpu").stdout == "", "it is installed already"
    assert requirements_for(python) == "systemd/requirements-without-torch.txt", "keeps the build"

    done = install(python, index, "cuda")
    assert "about 5.5 GB" in done.stdout
    assert installed_version(python) == ""
    assert requirements_for(python) == "systemd/requirements.txt"


def test_without_the_index_the_default_build_is_used_and_the_user_is_informed(
    python: Path, tmp_path: Path
) -> None:
    done = install(python, (tmp_path / "absent").as_uri(), "cpu")
    assert done.returncode == 0
    assert "using the default torch instead (about 5.5 GB" in done.stderr


def test_an_unknown_build_is_refused(python: Path) -> None:
    done = install(python, "file:///nowhere", "rocm")
    assert done.returncode == 2
    assert "expected TORCH=auto, cpu or cuda, found TORCH=rocm" in done.stderr
