"""A model file is a program of its maker: commands that only look at it do not run it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from asd_monitor.cli import create_app
from asd_monitor.errors import ModelFileError
from tests.rig.hostile_models import Writing, save_foreign, save_hostile
from tests.rig.toy_model import save_toy


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    model = save_hostile(tmp_path / "hostile.asd", Writing(str(tmp_path / "victim")))
    (tmp_path / "victim").write_bytes(b"A")
    return model


def test_inspect_and_check_refuse_a_hostile_model_and_run_nothing(
    hostile: Path, tmp_path: Path
) -> None:
    file = tmp_path / "monitor.yaml"
    file.write_text(
        f"machines: {{pump: {{wav: {tmp_path}, model: {hostile}, target: pump}}}}\n"
        f"state_dir: {tmp_path}\n"
    )
    for arguments in (["inspect", hostile], ["inspect", "--run", hostile], ["check", file]):
        done = CliRunner().invoke(create_app(), [str(argument) for argument in arguments])
        assert isinstance(done.exception, ModelFileError)
        assert "it uses torch.from_file" in str(done.exception)
    assert (tmp_path / "victim").read_bytes() == b"A"


def test_inspect_and_check_say_that_a_model_is_a_program(tmp_path: Path) -> None:
    model = save_foreign(tmp_path / "toy.asd")
    file = tmp_path / "monitor.yaml"
    file.write_text(
        f"machines: {{pump: {{wav: {tmp_path}, model: {model}, target: pump}}}}\n"
        f"state_dir: {tmp_path}\n"
    )
    for arguments in (["inspect", model], ["check", file]):
        output = CliRunner().invoke(create_app(), [str(argument) for argument in arguments]).output
        assert "not signed: it is a program, and running it runs code of its maker" in output
    assert "it was not run" in CliRunner().invoke(create_app(), ["inspect", str(model)]).output


def test_inspect_with_run_measures_the_speed(tmp_path: Path) -> None:
    model = save_toy(tmp_path / "toy.asd")
    output = CliRunner().invoke(create_app(), ["inspect", "--run", str(model)]).output
    assert "reference scores ok" in output
    assert "ms per window" in output
