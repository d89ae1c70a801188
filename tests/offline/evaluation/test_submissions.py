"""Submissions are matched by clip name, and every error is reported with its file and row."""

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_monitor.errors import DatasetError
from asd_offline.datasets.ground_truth import GroundTruth, read_ground_truth
from asd_offline.evaluation.challenge_score import evaluate_submission
from asd_offline.evaluation.rules import RULES
from asd_offline.evaluation.submission import find_systems, read_submission
from asd_offline.evaluation.submission_files import (
    FileKey,
    file_name,
    parse_file_name,
    write_submission_file,
)
from tests.offline.synthetic_evaluation import (
    EvaluationFiles,
    attribute_name,
    write_evaluation_files,
)

FIRST = "anomaly_score_bandsaw_section_00_test.csv"


@pytest.fixture
def files(tmp_path: Path) -> EvaluationFiles:
    return write_evaluation_files(tmp_path, 2023)


@pytest.fixture
def truth(files: EvaluationFiles) -> GroundTruth:
    return read_ground_truth(files.truth, files.year)


def lines_of(files: EvaluationFiles, name: str = FIRST) -> list[str]:
    return (files.scores / name).read_text().splitlines()


def refusal(
    files: EvaluationFiles, truth: GroundTruth, content: bytes | list[str], name: str = FIRST
) -> str:
    """Return the error of reading the submission with one file replaced."""
    data = content if isinstance(content, bytes) else "".join(f"{x}\n" for x in content).encode()
    (files.scores / name).write_bytes(data)
    with pytest.raises(DatasetError) as caught:
        read_submission("system_1", files.scores, truth)
    return str(caught.value)


def test_a_missing_row_is_reported_with_the_name_of_its_clip(
    files: EvaluationFiles, truth: GroundTruth
) -> None:
    lines = lines_of(files)
    clip = lines[3].split(",")[0]
    message = refusal(files, truth, lines[:3] + lines[4:])
    assert FIRST in message
    assert f"no row for {clip} (expected 22 clips, found 21)" in message


def test_a_missing_row_is_found_although_another_is_duplicated(
    files: EvaluationFiles, truth: GroundTruth
) -> None:
    lines = lines_of(files)
    message = refusal(files, truth, [lines[0], lines[0], *lines[2:]])
    assert f"row 2: {lines[0].split(',')[0]} again (first in row 1)" in message
    assert f"no row for {lines[1].split(',')[0]}" in message


def test_a_clip_of_another_section_is_reported(files: EvaluationFiles, truth: GroundTruth) -> None:
    message = refusal(files, truth, [*lines_of(files), "section_01_0000.wav,0.5"])
    assert "row 23: 'section_01_0000.wav' is not a clip of bandsaw section_00" in message


def test_a_header_row_is_reported(files: EvaluationFiles, truth: GroundTruth) -> None:
    message = refusal(files, truth, ["file_name,anomaly_score", *lines_of(files)])
    assert "row 1: 'file_name,anomaly_score' looks like a header" in message
    assert "no row for" not in message


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ("nan", "expected a finite score for {clip}, found nan"),
        ("inf", "expected a finite score for {clip}, found inf"),
        ("-Infinity", "expected a finite score for {clip}, found -Infinity"),
        ("high", "expected a number after the file name, found 'high'"),
        ("", "expected a number after the file name, found ''"),
        ("0.5,1", "expected 2 columns 'file_name,value', found 3"),
    ],
)
def test_an_invalid_score_is_reported_with_its_row(
    files: EvaluationFiles, truth: GroundTruth, value: str, problem: str
) -> None:
    lines = lines_of(files)
    clip = lines[4].split(",")[0]
    lines[4] = f"{clip},{value}"
    message = refusal(files, truth, lines)
    assert f"row 5: {problem.format(clip=clip)}" in message
    assert "no row for" not in message


def test_a_first_row_without_a_number_is_not_taken_for_a_header(
    files: EvaluationFiles, truth: GroundTruth
) -> None:
    lines = lines_of(files)
    message = refusal(files, truth, [f"{lines[0].split(',')[0]},x", *lines[1:]])
    assert "row 1: expected a number after the file name, found 'x'" in message


@pytest.mark.parametrize("value", ["1_000", "0_1.5", "\u0661"])
def test_numbers_that_only_python_reads_are_no_scores(
    files: EvaluationFiles, truth: GroundTruth, value: str
) -> None:
    lines = lines_of(files)
    clip = lines[0].split(",")[0]
    message = refusal(files, truth, [f"{clip},{value}", *lines[1:]])
    assert f"row 1: expected a number after the file name, found {value!r}" in message


def test_a_single_column_is_reported(files: EvaluationFiles, truth: GroundTruth) -> None:
    lines = lines_of(files)
    message = refusal(files, truth, [*lines[:2], lines[2].replace(",", ";"), *lines[3:]])
    assert "row 3: expected 2 columns 'file_name,value', found 1" in message


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda data: b"\xef\xbb\xbf" + data, "row 1: starts with a byte-order mark"),
        (lambda data: data.replace(b"\n", b"\r\n"), "row 1: ends with a carriage return"),
        (lambda _: b"", "found an empty file"),
        (lambda _: b"\n\n", "found an empty file"),
        (lambda data: data[:40] + b"\xff\xfe" + data[40:], "cannot be read as UTF-8"),
        (lambda data: data.decode().encode("utf-16"), "cannot be read as UTF-8"),
    ],
)
def test_a_file_in_another_form_is_reported(
    files: EvaluationFiles, truth: GroundTruth, change: object, problem: str
) -> None:
    assert callable(change)
    message = refusal(files, truth, change((files.scores / FIRST).read_bytes()))
    assert FIRST in message
    assert problem in message


def test_problems_of_all_files_are_reported_together_and_long_lists_truncated(
    files: EvaluationFiles, truth: GroundTruth
) -> None:
    other = "decision_result_shaker_section_00_test.csv"
    (files.scores / other).write_text("section_00_0000.wav,2\n")
    message = refusal(files, truth, [f"x{i}.wav,1.0" for i in range(30)])
    assert "no row for section_00_0000.wav and 21 more (expected 22 clips, found 0)" in message
    assert "row 9: 'x8.wav'" in message
    assert "and 21 more problems" in message
    assert "row 1: expected the decision 0 or 1 for section_00_0000.wav, found 2" in message


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(22)), cut=st.integers(0, 21))
def test_any_change_of_the_set_of_clips_is_refused_and_any_order_accepted(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cut: int
) -> None:
    files = write_evaluation_files(tmp_path_factory.getbasetemp() / "orders", 2023)
    truth = read_ground_truth(files.truth, 2023)
    lines = lines_of(files)
    expected = read_submission("s", files.scores, truth).scores
    (files.scores / FIRST).write_text("".join(f"{lines[i]}\n" for i in order))
    assert read_submission("s", files.scores, truth).scores == expected
    refusal(files, truth, [lines[i] for i in order if i != cut])


def test_two_files_for_one_section_are_refused(files: EvaluationFiles, truth: GroundTruth) -> None:
    name = "anomaly_score_DCASE2023T2bandsaw_section_00_test_seed13711_id(0_)_Eval.csv"
    message = refusal(files, truth, lines_of(files), name)
    assert FIRST in message
    assert name in message


def test_baseline_style_names_and_attribute_names_give_the_same_result(
    files: EvaluationFiles, truth: GroundTruth
) -> None:
    expected = evaluate_submission(read_submission("s", files.scores, truth), truth)
    names = {
        (m, row[0]): f"{attribute_name(row)}.wav" for (m, _), c in files.clips.items() for row in c
    }
    for path in list(files.scores.iterdir()):
        kind, machine = path.name.split("_section")[0].rsplit("_", 1)
        rows = [line.split(",") for line in path.read_text().splitlines()]
        path.unlink()
        renamed = f"{kind}_DCASE2023T2{machine}_section_00_test_seed13711_id(0_)_Eval.csv"
        text = "".join(f"{names[machine, name]},{value}\n" for name, value in rows)
        (files.scores / renamed).write_text(text)
    result = evaluate_submission(read_submission("s", files.scores, truth), truth)
    assert result == expected


@pytest.mark.parametrize(
    ("year", "name", "key"),
    [
        (2020, "anomaly_score_ToyConveyor_id_04.csv", ("ToyConveyor", "id_04", "")),
        (2021, "anomaly_score_fan_section_03_target_test.csv", ("fan", "section_03", "target")),
        (2022, "anomaly_score_fan_section_03.csv", ("fan", "section_03", "")),
        (2022, "anomaly_score_fan_section_03_test.csv", ("fan", "section_03", "")),
        (2023, "anomaly_score_Vacuum_section_00_test.csv", ("Vacuum", "section_00", "")),
        (
            2023,
            "anomaly_score_DCASE2023T2fan_section_00_test_seed13711_id(0_).csv",
            ("fan", "section_00", ""),
        ),
        (
            2024,
            "anomaly_score_DCASE2024T23DPrinter_section_00_test_seed13711_id(0_)_Eval.csv",
            ("3DPrinter", "section_00", ""),
        ),
        (2024, "anomaly_score_3DPrinter_section_00_test.csv", ("3DPrinter", "section_00", "")),
        (
            2025,
            "anomaly_score_DCASE2025T2ToyPet_section_00_test_seed13711_id(0_)_Eval.csv",
            ("ToyPet", "section_00", ""),
        ),
        (
            2026,
            "anomaly_score_DCASE2026T2Sander_section_00_test_seed13711_id(0_)_Eval.csv",
            ("Sander", "section_00", ""),
        ),
    ],
)
def test_every_official_file_name_is_parsed(
    year: int, name: str, key: tuple[str, str, str]
) -> None:
    machine, section, domain = key
    assert parse_file_name(name, RULES[year]) == FileKey("anomaly_score", machine, section, domain)


@pytest.mark.parametrize("year", RULES)
def test_written_names_are_read_back(year: int) -> None:
    for machine, number in itertools.product(("fan", "ToyCar"), (0, 3)):
        section = f"id_{number:02d}" if year == 2020 else f"section_{number:02d}"
        key = FileKey("decision_result", machine, section, "source" if year == 2021 else "")
        assert parse_file_name(file_name(key, RULES[year]), RULES[year]) == key


def test_written_scores_are_the_same_when_read(files: EvaluationFiles, truth: GroundTruth) -> None:
    before = read_submission("s", files.scores, truth).scores
    for machine, sections in before.items():
        for section, values in sections.items():
            precise = {name: value / 3.0 + 1e-17 for name, value in values.items()}
            key = FileKey("anomaly_score", machine, section)
            path = files.scores / file_name(key, RULES[2023])
            write_submission_file(path, precise)
            assert b"\r" not in path.read_bytes()
            after = read_submission("s", files.scores, truth).scores[machine][section]
            assert after == precise


def test_files_of_other_sections_or_years_are_listed_as_not_read(
    files: EvaluationFiles, truth: GroundTruth
) -> None:
    for name in ("anomaly_score_fan_section_00_test.csv", "anomaly_score_fan_id_00.csv"):
        (files.scores / name).write_text("x.wav,1\n")
    rejected = read_submission("s", files.scores, truth).rejected
    assert {r.path.name for r in rejected} == {
        "anomaly_score_fan_section_00_test.csv",
        "anomaly_score_fan_id_00.csv",
    }
    assert any("has no clips of fan section_00" in r.reason for r in rejected)
    assert any("not named as in 2023" in r.reason for r in rejected)


def test_a_missing_file_is_listed_and_the_rest_evaluated(
    files: EvaluationFiles, truth: GroundTruth
) -> None:
    (files.scores / FIRST).unlink()
    submission = read_submission("s", files.scores, truth)
    assert submission.missing == (FIRST,)
    result = evaluate_submission(submission, truth)
    assert result.official_score is None
    assert result.missing == ("bandsaw",)


def test_a_missing_domain_of_2021_is_null_with_the_reason(tmp_path: Path) -> None:
    files = write_evaluation_files(tmp_path, 2021)
    truth = read_ground_truth(files.truth, 2021)
    (files.scores / "anomaly_score_fan_section_03_target_test.csv").unlink()
    document = evaluate_submission(read_submission("s", files.scores, truth), truth).to_dict()
    section = document["machines"]["fan"]["sections"]["section_03"]
    assert section["auc_source"] is not None
    assert section["auc_target"] is None
    assert "target" in section["reason"]
    assert document["missing"] == ["fan section_03"]


def test_scores_of_another_year_are_refused_with_an_example(
    tmp_path: Path, files: EvaluationFiles
) -> None:
    truth = read_ground_truth(write_evaluation_files(tmp_path, 2021).truth, 2021)
    with pytest.raises(DatasetError) as caught:
        read_submission("s", files.scores, truth)
    assert "anomaly_score_ToyCar_section_03_source_test.csv" in str(caught.value)
    assert "Is the year right? Names as in 2022 or 2023" in str(caught.value)


def test_systems_of_several_teams_are_found_under_distinct_names(files: EvaluationFiles) -> None:
    teams = files.scores.parent.parent
    for name in ("b/system_1", "b/system_2"):
        (teams / name).mkdir(parents=True)
        (teams / name / FIRST).write_text("x\n")
    systems = find_systems(teams)
    assert list(systems) == ["b_system_1", "system_2", "team_system_1"]
    assert list(find_systems(files.scores)) == ["system_1"]


def test_a_folder_without_scores_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(DatasetError, match="anomaly_score_"):
            find_systems(folder)
