"""Imports: packages in layers as docs/architecture.md lists them, no circles, a light start."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.rig.paths import DOCS, ROOT

HALVES = {"asd_monitor": ROOT / "asd_monitor", "asd_offline": ROOT / "offline" / "asd_offline"}
MAX_TOP_MODULES = {"asd_monitor": 10, "asd_offline": 4}
SHARED_WITH_OFFLINE = {
    *("errors", "records", "progress", "file_lock", "settings_file", "features", "backends"),
    *(
        "unicode_names",
        "processes",
        "calibration",
        "normal_sound",
        "onnx",
        "audio",
        "model_file",
        "modes",
        "quickstart",
        "detection",
        "recalibration",
        "terminal",
        "storage",
        "synthesis",
        "detectability",
    ),
}
"""Packages of the live half that the offline half may import."""
SYNTHETIC_SOUND = {"asd_monitor.demo.pump_sound"}
"""Modules of the demo that the offline half may import."""


@cache
def modules() -> dict[str, Path]:
    """Return the path of every module of both halves by its dotted name."""
    path_of = {}
    for half, folder in HALVES.items():
        for path in folder.rglob("*.py"):
            parts = [half, *path.relative_to(folder).with_suffix("").parts]
            if parts[-1] == "__init__":
                parts.pop()
            path_of[".".join(parts)] = path
    return path_of


@cache
def imported_names(path: Path) -> frozenset[str]:
    """Return what a file imports, inside functions and under TYPE_CHECKING too."""
    names = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                names.add(name if name in modules() else node.module)
    return frozenset(names)


@cache
def module_graph() -> dict[str, frozenset[str]]:
    return {
        module: frozenset(
            name for name in imported_names(path) if name in modules() and name != module
        )
        for module, path in modules().items()
    }


def package_of(module: str) -> str:
    """Return the package, or top-level module, that a module belongs to."""
    return ".".join(module.split(".")[:2])


def package_imports() -> set[tuple[str, str, str, str]]:
    """Return (package, imported package, module, imported module) across packages."""
    return {
        (package_of(module), package_of(name), module, name)
        for module, names in module_graph().items()
        for name in names
        if package_of(module) != package_of(name) and package_of(name) not in HALVES
    }


def documented_layers(half: str) -> list[set[str]]:
    """Return the layers of a half as docs/architecture.md lists them, lowest first."""
    text = (DOCS / "architecture.md").read_text()
    match = re.search(rf"^```layers {half}\n(.*?)^```", text, re.M | re.S)
    assert match, half
    return [
        {f"{half}.{name.strip()}" for name in line.split(",")}
        for line in match.group(1).splitlines()
    ]


@pytest.mark.parametrize("half", HALVES)
def test_every_package_has_one_layer_in_the_documentation(half: str) -> None:
    listed = [name for layer in documented_layers(half) for name in layer]
    packages = {package_of(module) for module in modules() if module.startswith(half)}
    assert sorted(listed) == sorted(packages - {half})


@pytest.mark.parametrize("half", HALVES)
def test_packages_import_only_from_lower_layers(half: str) -> None:
    level = {name: n for n, layer in enumerate(documented_layers(half)) for name in layer}
    wrong = [
        f"{module} imports {name}"
        for package, imported, module, name in package_imports()
        if package in level and imported in level and level[imported] >= level[package]
    ]
    assert not wrong


def test_modules_form_no_import_circle() -> None:
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join([*above[above.index(module) :], module])
        if module in done:
            return
        for name in module_graph()[module]:
            visit(name, (*above, module))
        done.add(module)

    for module in modules():
        visit(module, ())


@pytest.mark.parametrize("half", HALVES)
def test_few_modules_are_outside_packages(half: str) -> None:
    assert len(list(HALVES[half].glob("*.py"))) <= MAX_TOP_MODULES[half]


def test_the_live_half_imports_the_offline_half_in_commands_only() -> None:
    importing = {
        package
        for package, imported, _, _ in package_imports()
        if package.startswith("asd_monitor") and imported.startswith("asd_offline")
    }
    assert importing <= {"asd_monitor.commands"}


def test_the_offline_half_imports_no_part_of_the_daemon() -> None:
    wrong = [
        f"{module} imports {name}"
        for package, imported, module, name in package_imports()
        if package.startswith("asd_offline")
        and imported.startswith("asd_monitor")
        and imported.removeprefix("asd_monitor.") not in SHARED_WITH_OFFLINE
        and name not in SYNTHETIC_SOUND
    ]
    assert not wrong


def test_only_a_benchmark_imports_torchaudio_whose_wheels_need_cuda() -> None:
    importing = {
        path.name
        for half in HALVES.values()
        for path in half.rglob("*.py")
        if any(name.startswith("torchaudio") for name in imported_names(path))
    }
    assert importing == {"reference_loops.py"}


HEAVY = ("torch", "sounddevice", "soundfile", "scipy", "matplotlib", "sklearn", "paho")


@pytest.mark.parametrize(
    "statement", ["import asd_monitor", "import asd_monitor.cli as c; c.create_app()"]
)
def test_starting_imports_nothing_heavy(statement: str) -> None:
    code = f"{statement}; import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
