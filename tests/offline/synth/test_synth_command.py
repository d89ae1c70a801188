"""The command ``synth``, called as a user calls it."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner, Result

from asd_monitor.commands.synth import synth
from asd_monitor.errors import ConfigError

SMALL = ["--machines", "fan", "--clips", "4", "--test-clips", "1", "--clip-s", "1"]

app = typer.Typer()
app.command("synth")(synth)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def error_of(*arguments: str) -> str:
    result = call(*arguments)
    assert isinstance(result.exception, ConfigError), result.output
    return str(result.exception)


@pytest.fixture
def normals(tmp_path: Path) -> Path:
    folder = tmp_path / "saw"
    folder.mkdir()
    for number in range(3):
        sound = 0.05 * np.random.default_rng(number).standard_normal(16000)
        soundfile.write(folder / f"{number}.wav", sound, 16000)
    return folder


def test_a_challenge_set_is_reported_in_one_json_document(tmp_path: Path) -> None:
    out = tmp_path / "set"
    result = call(str(out), "--year", "2023", "--set", "dev", *SMALL, "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report == {"out": str(out), "year": 2023, "clips": 8, "ground_truth": None}
    assert len(list(out.rglob("*.wav"))) == 8


def test_sentence_names_the_next_command_with_the_ground_truth(tmp_path: Path) -> None:
    out = tmp_path / "set"
    result = call(str(out), "--year", "2021", "--set", "both", *SMALL)
    assert f"asd-monitor replay {out} --ground-truth {out / 'ground_truth'}" in result.stdout


def test_faults_are_put_into_recordings(tmp_path: Path, normals: Path) -> None:
    out = tmp_path / "set"
    result = call(
        str(out), "--inject", str(normals), "--kinds", "hiss,whine", "--levels", "-6, 0", "--json"
    )
    report = json.loads(result.stdout)
    counts = report["train_clips"], report["test_normals"], report["test_anomalies"]
    assert counts == (2, 1, 4)
    assert (out / "saw/test/anomaly_id_00_00000003.wav").is_file()


def test_machine_of_injected_set_can_be_named(tmp_path: Path, normals: Path) -> None:
    arguments = ["--inject", str(normals), "--kinds", "hiss", "--levels", "-6"]
    call(str(tmp_path / "set"), *arguments, "--machines", "saw-7")
    assert (tmp_path / "set/saw-7/train").is_dir()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (
            ["--year", "2019"],
            "--year: expected one of 2020, 2021, 2022, 2023, 2024, 2025, 2026, got 2019",
        ),
        (["--machines", "motor"], "motor: not among the machines of 2020"),
        (["--kinds", "hiss"], "--kinds: needs --inject"),
        (["--train-clips", "3"], "--train-clips: needs --inject"),
        (["--inject", ".", "--year", "2020"], "--year: has no effect with --inject"),
        (["--inject", ".", "--set", "dev"], "--set: has no effect with --inject"),
        (["--inject", ".", "--levels", "loud"], "--levels: expected dB separated by commas"),
        (["--inject", ".", "--machines", "a,b"], "--machines: expected one name with --inject"),
        (["--inject", "/no/such/folder"], "expected a folder of normal recordings"),
    ],
)
def test_wrong_option_is_refused_and_nothing_is_written(
    tmp_path: Path, arguments: list[str], complaint: str
) -> None:
    assert complaint in error_of(str(tmp_path / "set"), *arguments)
    assert not (tmp_path / "set").exists()


def test_unknown_set_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    result = call(str(tmp_path / "set"), "--set", "test")
    assert result.exit_code == 2
    assert "'test' is not one of" in result.stderr
    assert not (tmp_path / "set").exists()


def test_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    assert "expected a new or empty folder" in error_of(str(tmp_path), *SMALL, "--force")


def test_file_instead_of_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    assert "expected a folder, found a file" in error_of(str(tmp_path / "letter.txt"), *SMALL)
