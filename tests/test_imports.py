"""Who may import whom: the live half never knows the offline one, and starts light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "asd_monitor"
OFFLINE = Path(__file__).parent.parent / "offline" / "asd_offline"

CORE = {"errors", "records"}
ALLOWED = {
    "errors": set[str](),
    "records": set[str](),
    "windows": CORE,
    "quality": CORE,
    "usual_range": CORE,
    "calibration": CORE | {"usual_range"},
    "recordings": CORE,
    "lasting_shift": CORE | {"usual_range"},
    "alarm": CORE | {"lasting_shift", "usual_range"},
    "metrics": CORE,
    "service": set[str](),
    "demo_sound": set[str](),
    "manifest": CORE | {"calibration"},
    "backends": CORE | {"calibration", "backends"},
    "detector": CORE | {"calibration", "manifest", "quality", "scorer", "usual_range", "windows"},
}
"""For each module or package of asd_monitor, which others it may import."""

NOT_FOR_OFFLINE = {"sources", "sinks", "monitor", "pipeline", "cli", "commands", "assembly"}


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_modules(path: Path) -> set[str]:
    names = {name.split(".")[1] for name in imported(path) if name.startswith("asd_monitor.")}
    return {
        each for each in names if (PACKAGE / f"{each}.py").exists() or (PACKAGE / each).is_dir()
    }


def files_of(module: str) -> list[Path]:
    folder = PACKAGE / module
    return sorted(folder.rglob("*.py")) if folder.is_dir() else [PACKAGE / f"{module}.py"]


@pytest.mark.parametrize("module", ALLOWED)
def test_a_module_imports_only_what_stands_below_it(module: str) -> None:
    for path in files_of(module):
        assert own_modules(path) <= ALLOWED[module], path


def test_the_live_half_never_imports_the_offline_half() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.name == "cli.py" or path.parent.name == "commands":
            continue
        assert not [name for name in imported(path) if name.startswith("asd_offline")], path


def test_the_offline_half_knows_no_sources_and_no_sinks() -> None:
    for path in OFFLINE.rglob("*.py"):
        assert not own_modules(path) & NOT_FOR_OFFLINE, path


def test_the_live_half_never_imports_torchaudio() -> None:
    for path in PACKAGE.rglob("*.py"):
        assert not [name for name in imported(path) if name.startswith("torchaudio")], path


HEAVY = ("torch", "sounddevice", "soundfile", "scipy", "matplotlib", "sklearn", "paho")


@pytest.mark.parametrize(
    "statement", ["import asd_monitor", "import asd_monitor.cli as c; c._register()"]
)
def test_starting_imports_nothing_heavy(statement: str) -> None:
    code = f"{statement}; import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
