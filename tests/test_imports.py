"""Who may import whom: the live half never knows the offline one, and starts light."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.paths import ROOT

PACKAGE = ROOT / "asd_monitor"
OFFLINE = ROOT / "offline" / "asd_offline"

NOT_FOR_OFFLINE = {"sources", "sinks", "monitor", "pipeline", "cli", "commands", "builder"}


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
    "statement", ["import asd_monitor", "import asd_monitor.cli as c; c.create_app()"]
)
def test_starting_imports_nothing_heavy(statement: str) -> None:
    code = f"{statement}; import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
