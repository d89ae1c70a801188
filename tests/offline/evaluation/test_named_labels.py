"""Scores of the development set are evaluated with the labels in the names of its clips."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from asd_monitor.commands.evaluate import evaluate
from asd_monitor.errors import DatasetError
from asd_offline.datasets import CHALLENGES
from asd_offline.datasets.ground_truth import GroundTruth, read_ground_truth
from asd_offline.evaluation.named_labels import with_named_sections
from asd_offline.evaluation.rules import RULES
from asd_offline.evaluation.submission import read_submission
from asd_offline.evaluation.submission_files import FileKey, file_name
from tests.offline.synthetic_evaluation import write_evaluation_files

YEARS = list(CHALLENGES)
APP = typer.Typer()
APP.command()(evaluate)


def write_development_scores(folder: Path, year: int) -> None:
    """Scores that separate anomalies from normal clips, named as the year's archives."""
    challenge, rules = CHALLENGES[year], RULES[year]
    folder.mkdir(parents=True)
    for machine, sections in challenge.sets["dev"].items():
        for section in sections:
            for file_domain in challenge.domains if rules.domain_files else ("",):
                domains = (file_domain,) if file_domain else challenge.domains or ("",)
                rows = [
                    f"{name},{index + 10 * (label == 'anomaly')}\n"
                    for domain in domains
                    for label in ("normal", "anomaly")
                    for index in range(3)
                    for name in [
                        challenge.test_name.format(
                            section=section, domain=domain, label=label, index=index, tail="_vel_5"
                        )
                    ]
                ]
                key = FileKey("anomaly_score", machine, section, file_domain)
                (folder / file_name(key, rules)).write_text("".join(rows))


def run(*arguments: str) -> tuple[int, dict[str, object]]:
    result = CliRunner().invoke(APP, [*arguments, "--json"])
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.parametrize("with_truth", [False, True])
@pytest.mark.parametrize("year", YEARS)
def test_development_scores_have_an_official_score(
    tmp_path: Path, year: int, with_truth: bool
) -> None:
    write_development_scores(tmp_path / "dev", year)
    arguments = [str(tmp_path / "dev"), "--year", str(year)]
    if with_truth:
        arguments += ["--ground-truth", str(write_evaluation_files(tmp_path, year).truth)]
    code, document = run(*arguments)
    assert code == 0
    assert document["official_score"] == 1.0


@pytest.mark.parametrize("year", YEARS)
def test_names_do_not_replace_the_ground_truth_of_its_sections(tmp_path: Path, year: int) -> None:
    files = write_evaluation_files(tmp_path, year)
    truth = read_ground_truth(files.truth, year)
    assert with_named_sections(truth, files.scores) == truth


def test_a_section_without_labels_in_its_names_is_reported_without_a_hint_at_the_year(
    tmp_path: Path,
) -> None:
    (tmp_path / "anomaly_score_fan_section_00_test.csv").write_text("section_00_0000.wav,1\n")
    truth = with_named_sections(GroundTruth(2023, tmp_path, {}), tmp_path)
    with pytest.raises(DatasetError, match="names in it do not show labels") as caught:
        read_submission("s", tmp_path, truth)
    assert "Is the year right?" not in str(caught.value)


def test_a_section_of_another_year_is_reported_with_a_hint_at_it(tmp_path: Path) -> None:
    (tmp_path / "anomaly_score_fan_section_03_test.csv").write_text("section_03_0000.wav,1\n")
    with pytest.raises(DatasetError, match=r"Is the year right\? Names as in 2022$"):
        read_submission("s", tmp_path, GroundTruth(2023, tmp_path, {}))
