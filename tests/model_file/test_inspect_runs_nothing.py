"""A model file is a program of its maker: commands that only look at it do not run it."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from asd_monitor.cli import create_app
from asd_monitor.model_file import save, script
from tests.rig.toy_model import LogBands, manifest


class Writing(torch.nn.Module):
    """Overwrite a file whenever it is run."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Write one byte into the file, and return zeros."""
        written = torch.from_file(self.path, True, 1, dtype=torch.uint8).fill_(33)
        return torch.zeros(waveform.size(0)) + written.sum()


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    victim = tmp_path / "victim"
    model = tmp_path / "hostile.asd"
    save(model, script(Writing(str(victim))), manifest())
    victim.write_bytes(b"A")
    return model


def test_inspect_and_check_run_nothing(hostile: Path, tmp_path: Path) -> None:
    file = tmp_path / "monitor.yaml"
    file.write_text(
        f"machines: {{pump: {{wav: {tmp_path}, model: {hostile}, target: pump}}}}\n"
        f"state_dir: {tmp_path}\n"
    )
    for arguments in (["inspect", hostile], ["inspect", hostile, "--json"], ["check", file]):
        done = CliRunner().invoke(create_app(), [str(argument) for argument in arguments])
        assert done.exit_code == 0, done.output
    assert (tmp_path / "victim").read_bytes() == b"A"


def test_inspect_says_that_a_model_is_a_program(hostile: Path, tmp_path: Path) -> None:
    output = CliRunner().invoke(create_app(), ["inspect", str(hostile)]).output
    assert "running it runs code of its maker" in output
    assert "it was not run" in output
    # What the option does, and why it is one.
    CliRunner().invoke(create_app(), ["inspect", "--run", str(hostile)])
    assert (tmp_path / "victim").read_bytes() == b"!"


def test_inspect_with_run_measures_the_speed(tmp_path: Path) -> None:
    save(tmp_path / "toy.asd", script(LogBands()), manifest())
    output = (
        CliRunner().invoke(create_app(), ["inspect", "--run", str(tmp_path / "toy.asd")]).output
    )
    assert "reference scores ok" in output
    assert "ms per window" in output
