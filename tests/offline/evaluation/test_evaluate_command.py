"""The command ``evaluate``: a table or a JSON document on stdout, the rest on stderr."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from asd_monitor.commands.evaluate import evaluate
from asd_monitor.errors import DatasetError
from asd_offline.datasets import CHALLENGES
from tests.offline.synthetic_evaluation import EvaluationFiles, write_evaluation_files

APP = typer.Typer()
APP.command()(evaluate)


def run(files: EvaluationFiles, *arguments: str, scores: Path | None = None) -> Result:
    positional = [str(scores or files.scores), "--year", str(files.year)]
    return CliRunner().invoke(APP, [*positional, "--ground-truth", str(files.truth), *arguments])


@pytest.mark.parametrize("year", CHALLENGES)
def test_the_table_fits_100_columns_and_names_every_machine(tmp_path: Path, year: int) -> None:
    files = write_evaluation_files(tmp_path, year)
    result = run(files)
    assert result.exit_code == 0
    assert "official score 0." in result.stdout
    assert "…" not in result.stdout
    assert max(len(line) for line in result.stdout.splitlines()) <= 100
    for machine, _ in files.clips:
        assert machine in result.stdout


@pytest.mark.parametrize("year", CHALLENGES)
def test_json_is_the_only_thing_on_stdout(tmp_path: Path, year: int) -> None:
    files = write_evaluation_files(tmp_path, year)
    result = run(files, "--json", "--out", str(tmp_path / "out"))
    document = json.loads(result.stdout)
    assert document["year"] == year
    assert document["system"] == "system_1"
    assert document["official_score"] == document["partial_score"]
    assert document["rejected"] == []


def test_the_organisers_csv_is_written_and_replaced(tmp_path: Path) -> None:
    files = write_evaluation_files(tmp_path, 2023)
    for _ in range(2):
        assert run(files, "--out", str(tmp_path / "out")).exit_code == 0
    names = [path.name for path in (tmp_path / "out").iterdir()]
    assert names == ["system_1_result.csv"]
    assert (tmp_path / "out" / names[0]).read_bytes().startswith(b"ToyDrone\nsection,AUC (all)")
    old = write_evaluation_files(tmp_path, 2020)
    run(old, "--out", str(tmp_path / "out"))
    assert (tmp_path / "out" / "result_system_1.csv").read_bytes().startswith(b"fan\nid,AUC,pAUC\n")


def test_an_output_folder_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    result = run(write_evaluation_files(tmp_path, 2023), "--out", str(tmp_path / "out"))
    assert isinstance(result.exception, DatasetError)
    assert "cannot be written" in str(result.exception)


def test_unread_files_are_reported_on_stderr_and_in_the_json(tmp_path: Path) -> None:
    files = write_evaluation_files(tmp_path, 2023)
    stray = files.scores / "anomaly_score_fan_section_00_test.csv"
    stray.write_text("x.wav,1\n")
    result = run(files, "--json")
    assert stray.name in result.stderr
    assert json.loads(result.stdout)["rejected"][0]["file"] == str(stray)


def test_what_an_incomplete_submission_lacks_is_reported(tmp_path: Path) -> None:
    files = write_evaluation_files(tmp_path, 2022)
    (files.scores / "anomaly_score_fan_section_04_test.csv").unlink()
    result = run(files)
    assert "no official score: no metrics of these of the eval set: fan section_04" in result.stdout
    assert "partial score" in result.stdout
    assert "anomaly_score_fan_section_04_test.csv" in result.stdout


def test_one_faulty_system_does_not_hide_the_others(tmp_path: Path) -> None:
    files = write_evaluation_files(tmp_path, 2023)
    broken = files.scores.parent / "system_2"
    broken.mkdir()
    (broken / "anomaly_score_bandsaw_section_00_test.csv").write_text("file_name,score\n")
    result = run(files, "--json", scores=files.scores.parent.parent)
    assert isinstance(result.exception, DatasetError)
    assert "header" in str(result.exception)
    good, bad = json.loads(result.stdout)["systems"]
    assert good["official_score"] is not None
    assert "header" in bad["error"]


def test_evaluation_needs_neither_torch_nor_pandas_nor_scikit_learn(tmp_path: Path) -> None:
    files = write_evaluation_files(tmp_path, 2022)
    program = (
        "import sys, typer; from asd_monitor.commands.evaluate import evaluate; "
        "from pathlib import Path; evaluate(Path(sys.argv[1]), 2022, Path(sys.argv[2])); "
        "print(sorted({'torch', 'pandas', 'sklearn', 'scipy'} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(files.scores), str(files.truth)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr.splitlines()[-1] == "[]"
