"""Files that exist are not lost, and the steps that ``init`` names fit this computer."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from asd_monitor.cli import create_app
from asd_monitor.errors import ConfigError
from asd_monitor.service_files.unit import program_path, unreadable_by_service, write_unit
from asd_monitor.service_files.writing import write_files

TEXTS = {"plant.yaml": "new\n", "systemd/unit": "unit\n"}


def test_nothing_is_written_if_one_file_differs(tmp_path: Path) -> None:
    (tmp_path / "plant.yaml").write_text("edited\n")
    with pytest.raises(ConfigError, match=r"plant\.yaml\nnothing was written.*--force"):
        write_files(tmp_path, TEXTS, replace=False)
    assert (tmp_path / "plant.yaml").read_text() == "edited\n"
    assert not (tmp_path / "systemd").exists()


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    assert write_files(tmp_path, TEXTS, replace=False) == []
    assert write_files(tmp_path, TEXTS, replace=False) == []
    assert write_files(tmp_path, TEXTS, replace=True) == []
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["plant.yaml", "systemd", "unit"]


def test_a_file_that_is_replaced_is_kept(tmp_path: Path) -> None:
    (tmp_path / "plant.yaml").write_text("edited\n")
    assert write_files(tmp_path, TEXTS, replace=True) == ["plant.yaml"]
    assert (tmp_path / "plant.yaml").read_text() == "new\n"
    assert (tmp_path / "plant.yaml.old").read_text() == "edited\n"


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file: cannot be written: File exists"):
        write_files(tmp_path / "file", TEXTS, replace=False)


def test_the_unit_names_the_program_of_an_environment_with_any_path() -> None:
    unit = write_unit(Path("/srv/asd 100%"))
    assert "\nExecStart=/srv/asd\\x20100%%/bin/asd-monitor run" in unit
    assert "/opt/asd-monitor" not in unit


def test_environments_in_folders_that_the_unit_hides_are_named() -> None:
    assert unreadable_by_service(Path("/opt/asd-monitor"), Path("/usr")) is None
    hidden = Path("/home/ada/.local/share/uv/tools/asd-monitor")
    assert unreadable_by_service(hidden, Path("/usr")) == hidden
    assert unreadable_by_service(Path("/opt/x"), Path("/root/.pyenv")) == Path("/root/.pyenv")


def test_the_next_steps_name_the_program_as_a_shell_finds_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def steps(folder: str, path: Path) -> str:
        monkeypatch.setenv("PATH", str(path))
        arguments = ["init", str(tmp_path / folder), "--machine", "pump", "--wav", str(tmp_path)]
        return CliRunner().invoke(create_app(), arguments, catch_exceptions=False).output

    program = program_path()
    assert f"2. {program} check " in steps("elsewhere", tmp_path)
    assert "2. asd-monitor check " in steps("installed", program.parent)
