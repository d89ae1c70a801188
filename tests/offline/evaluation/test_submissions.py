"""Submissions are matched by clip name, and every fault is told with its file and row."""

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
from tests.offline.synthetic_evaluation import MadeUp, attribute_name, make_up

FIRST = "anomaly_score_bandsaw_section_00_test.csv"


@pytest.fixture
def made(tmp_path: Path) -> MadeUp:
    return make_up(tmp_path, 2023)


@pytest.fixture
def truth(made: MadeUp) -> GroundTruth:
    return read_ground_truth(made.truth, made.year)


def lines_of(made: MadeUp, name: str = FIRST) -> list[str]:
    return (made.scores / name).read_text().splitlines()


def refusal(made: MadeUp, truth: GroundTruth, content: bytes | list[str], name: str = FIRST) -> str:
    """Message of reading the submission with one file replaced."""
    data = content if isinstance(content, bytes) else "".join(f"{x}\n" for x in content).encode()
    (made.scores / name).write_bytes(data)
    with pytest.raises(DatasetError) as caught:
        read_submission("system_1", made.scores, truth)
    return str(caught.value)


def test_a_missing_row_is_told_with_the_clips_name(made: MadeUp, truth: GroundTruth) -> None:
    lines = lines_of(made)
    clip = lines[3].split(",")[0]
    told = refusal(made, truth, lines[:3] + lines[4:])
    assert FIRST in told
    assert f"no row for {clip} (expected 22 clips, found 21)" in told


def test_a_missing_row_hidden_by_a_doubled_one_is_found(made: MadeUp, truth: GroundTruth) -> None:
    lines = lines_of(made)
    told = refusal(made, truth, [lines[0], lines[0], *lines[2:]])
    assert f"row 2: {lines[0].split(',')[0]} a second time (first in row 1)" in told
    assert f"no row for {lines[1].split(',')[0]}" in told


def test_a_clip_of_another_section_is_told(made: MadeUp, truth: GroundTruth) -> None:
    told = refusal(made, truth, [*lines_of(made), "section_01_0000.wav,0.5"])
    assert "row 23: 'section_01_0000.wav' is not a clip of bandsaw section_00" in told


def test_a_header_row_is_told(made: MadeUp, truth: GroundTruth) -> None:
    told = refusal(made, truth, ["file_name,anomaly_score", *lines_of(made)])
    assert "row 1: 'file_name,anomaly_score' looks like a header" in told
    assert "no row for" not in told


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("nan", "expected a finite score for {clip}, found nan"),
        ("inf", "expected a finite score for {clip}, found inf"),
        ("-Infinity", "expected a finite score for {clip}, found -Infinity"),
        ("high", "expected a number after the file name, found 'high'"),
        ("", "expected a number after the file name, found ''"),
        ("0.5,1", "expected 2 columns 'file_name,value', found 3"),
    ],
)
def test_a_value_that_is_no_score_is_told_with_its_row(
    made: MadeUp, truth: GroundTruth, value: str, told: str
) -> None:
    lines = lines_of(made)
    clip = lines[4].split(",")[0]
    lines[4] = f"{clip},{value}"
    message = refusal(made, truth, lines)
    assert f"row 5: {told.format(clip=clip)}" in message
    assert "no row for" not in message


def test_a_first_row_without_a_number_is_not_taken_for_a_header(
    made: MadeUp, truth: GroundTruth
) -> None:
    lines = lines_of(made)
    told = refusal(made, truth, [f"{lines[0].split(',')[0]},x", *lines[1:]])
    assert "row 1: expected a number after the file name, found 'x'" in told


def test_a_lone_column_is_told(made: MadeUp, truth: GroundTruth) -> None:
    lines = lines_of(made)
    told = refusal(made, truth, [*lines[:2], lines[2].replace(",", ";"), *lines[3:]])
    assert "row 3: expected 2 columns 'file_name,value', found 1" in told


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda data: b"\xef\xbb\xbf" + data, "row 1: starts with a byte-order mark"),
        (lambda data: data.replace(b"\n", b"\r\n"), "row 1: ends with a carriage return"),
        (lambda _: b"", "found an empty file"),
        (lambda _: b"\n\n", "found an empty file"),
        (lambda data: data[:40] + b"\xff\xfe" + data[40:], "cannot be read as UTF-8"),
        (lambda data: data.decode().encode("utf-16"), "cannot be read as UTF-8"),
    ],
)
def test_a_file_in_another_form_is_told(
    made: MadeUp, truth: GroundTruth, change: object, told: str
) -> None:
    assert callable(change)
    message = refusal(made, truth, change((made.scores / FIRST).read_bytes()))
    assert FIRST in message
    assert told in message


def test_problems_of_all_files_are_told_at_once_and_long_lists_cut(
    made: MadeUp, truth: GroundTruth
) -> None:
    other = "decision_result_shaker_section_00_test.csv"
    (made.scores / other).write_text("section_00_0000.wav,2\n")
    told = refusal(made, truth, [f"x{i}.wav,1.0" for i in range(30)])
    assert "no row for section_00_0000.wav and 21 more (expected 22 clips, found 0)" in told
    assert "row 9: 'x8.wav'" in told
    assert "and 21 more of such" in told
    assert "row 1: expected the decision 0 or 1 for section_00_0000.wav, found 2" in told


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(22)), cut=st.integers(0, 21))
def test_any_change_of_the_set_of_clips_is_refused_and_any_order_accepted(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], cut: int
) -> None:
    made = make_up(tmp_path_factory.getbasetemp() / "orders", 2023)
    truth = read_ground_truth(made.truth, 2023)
    lines = lines_of(made)
    expected = read_submission("s", made.scores, truth).scores
    (made.scores / FIRST).write_text("".join(f"{lines[i]}\n" for i in order))
    assert read_submission("s", made.scores, truth).scores == expected
    refusal(made, truth, [lines[i] for i in order if i != cut])


def test_two_files_for_one_section_are_refused(made: MadeUp, truth: GroundTruth) -> None:
    name = "anomaly_score_DCASE2023T2bandsaw_section_00_test_seed13711_id(0_)_Eval.csv"
    told = refusal(made, truth, lines_of(made), name)
    assert FIRST in told
    assert name in told


def test_baseline_style_names_and_attribute_names_give_the_same_result(
    made: MadeUp, truth: GroundTruth
) -> None:
    expected = evaluate_submission(read_submission("s", made.scores, truth), truth)
    names = {
        (m, row[0]): f"{attribute_name(row)}.wav" for (m, _), c in made.clips.items() for row in c
    }
    for path in list(made.scores.iterdir()):
        kind, machine = path.name.split("_section")[0].rsplit("_", 1)
        rows = [line.split(",") for line in path.read_text().splitlines()]
        path.unlink()
        renamed = f"{kind}_DCASE2023T2{machine}_section_00_test_seed13711_id(0_)_Eval.csv"
        text = "".join(f"{names[machine, name]},{value}\n" for name, value in rows)
        (made.scores / renamed).write_text(text)
    found = evaluate_submission(read_submission("s", made.scores, truth), truth)
    assert found == expected


@pytest.mark.parametrize(
    ("year", "name", "key"),
    [
        (2020, "anomaly_score_ToyConveyor_id_04.csv", ("ToyConveyor", "id_04", "")),
        (2021, "anomaly_score_fan_section_03_target_test.csv", ("fan", "section_03", "target")),
        (2022, "anomaly_score_fan_section_03.csv", ("fan", "section_03", "")),
        (2022, "anomaly_score_fan_section_03_test.csv", ("fan", "section_03", "")),
        (2023, "anomaly_score_Vacuum_section_00_test.csv", ("Vacuum", "section_00", "")),
    ],
)
def test_every_official_file_name_is_understood(
    year: int, name: str, key: tuple[str, str, str]
) -> None:
    machine, section, domain = key
    assert parse_file_name(name, RULES[year]) == FileKey("anomaly_score", machine, section, domain)


@pytest.mark.parametrize("year", [2020, 2021, 2022, 2023])
def test_written_names_are_read_back(year: int) -> None:
    for machine, number in itertools.product(("fan", "ToyCar"), (0, 3)):
        section = f"id_{number:02d}" if year == 2020 else f"section_{number:02d}"
        key = FileKey("decision_result", machine, section, "source" if year == 2021 else "")
        assert parse_file_name(file_name(key, RULES[year]), RULES[year]) == key


def test_written_scores_are_the_same_when_read(made: MadeUp, truth: GroundTruth) -> None:
    before = read_submission("s", made.scores, truth).scores
    for machine, sections in before.items():
        for section, values in sections.items():
            precise = {name: value / 3.0 + 1e-17 for name, value in values.items()}
            key = FileKey("anomaly_score", machine, section)
            path = made.scores / file_name(key, RULES[2023])
            write_submission_file(path, precise)
            assert b"\r" not in path.read_bytes()
            after = read_submission("s", made.scores, truth).scores[machine][section]
            assert after == precise


def test_files_of_other_sections_or_years_are_listed_as_not_read(
    made: MadeUp, truth: GroundTruth
) -> None:
    for name in ("anomaly_score_fan_section_00_test.csv", "anomaly_score_fan_id_00.csv"):
        (made.scores / name).write_text("x.wav,1\n")
    rejected = read_submission("s", made.scores, truth).rejected
    assert {r.path.name for r in rejected} == {
        "anomaly_score_fan_section_00_test.csv",
        "anomaly_score_fan_id_00.csv",
    }
    assert any("has no clips of fan section_00" in r.reason for r in rejected)
    assert any("not named as in 2023" in r.reason for r in rejected)


def test_a_missing_file_is_listed_and_the_rest_evaluated(made: MadeUp, truth: GroundTruth) -> None:
    (made.scores / FIRST).unlink()
    submission = read_submission("s", made.scores, truth)
    assert submission.missing == (FIRST,)
    result = evaluate_submission(submission, truth)
    assert result.official_score is None
    assert result.missing == ("bandsaw",)


def test_a_missing_domain_of_2021_is_null_with_the_reason(tmp_path: Path) -> None:
    made = make_up(tmp_path, 2021)
    truth = read_ground_truth(made.truth, 2021)
    (made.scores / "anomaly_score_fan_section_03_target_test.csv").unlink()
    document = evaluate_submission(read_submission("s", made.scores, truth), truth).to_dict()
    section = document["machines"]["fan"]["sections"]["section_03"]
    assert section["auc_source"] is not None
    assert section["auc_target"] is None
    assert "target" in section["reason"]
    assert document["missing"] == ["fan section_03"]


def test_scores_of_another_year_are_refused_with_an_example(tmp_path: Path, made: MadeUp) -> None:
    truth = read_ground_truth(make_up(tmp_path, 2021).truth, 2021)
    with pytest.raises(DatasetError) as caught:
        read_submission("s", made.scores, truth)
    assert "anomaly_score_ToyCar_section_03_source_test.csv" in str(caught.value)
    assert "Is the year right? Names as in 2022 or 2023" in str(caught.value)


def test_systems_of_several_teams_are_found_and_named_apart(made: MadeUp) -> None:
    teams = made.scores.parent.parent
    for name in ("b/system_1", "b/system_2"):
        (teams / name).mkdir(parents=True)
        (teams / name / FIRST).write_text("x\n")
    found = find_systems(teams)
    assert list(found) == ["b_system_1", "system_2", "team_system_1"]
    assert list(find_systems(made.scores)) == ["system_1"]


def test_a_folder_without_scores_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(DatasetError, match="anomaly_score_"):
            find_systems(folder)
