"""Ground truth of each year is found in the organisers' repository and in folders above it."""

import shutil
from pathlib import Path

import pytest

from asd_monitor.errors import DatasetError
from asd_offline.datasets import CHALLENGES
from asd_offline.datasets.ground_truth import ClipTruth, read_ground_truth
from tests.offline.synthetic_evaluation import write_evaluation_files


@pytest.mark.parametrize("year", CHALLENGES)
def test_every_clip_has_its_label_and_domain(tmp_path: Path, year: int) -> None:
    files = write_evaluation_files(tmp_path, year)
    truth = read_ground_truth(files.truth, year)
    assert {m: tuple(sorted(s)) for m, s in truth.machines.items()} == dict(
        CHALLENGES[year].sets["eval"]
    )
    for (machine, section), rows in files.clips.items():
        expected = {name: ClipTruth(label, domain) for name, label, domain, *_ in rows}
        assert truth.machines[machine][section].clips == expected


@pytest.mark.parametrize("year", CHALLENGES)
def test_the_requested_year_is_chosen_among_several_below_a_folder(
    tmp_path: Path, year: int
) -> None:
    for other in CHALLENGES:
        write_evaluation_files(tmp_path / "downloads", other)
    truth = read_ground_truth(tmp_path, year)
    assert str(year) in str(truth.path.relative_to(tmp_path))


def test_the_data_folder_and_the_list_themselves_are_accepted(tmp_path: Path) -> None:
    files = write_evaluation_files(tmp_path, 2021)
    truth = read_ground_truth(files.truth / "ground_truth_data", 2021)
    assert truth == read_ground_truth(files.truth, 2021)
    listed = write_evaluation_files(tmp_path, 2020).truth / "eval_data_list.csv"
    assert read_ground_truth(listed, 2020).machines == read_ground_truth(tmp_path, 2020).machines


@pytest.mark.parametrize(
    ("given", "requested"),
    [
        *((2021, 2022), (2022, 2021), (2023, 2022), (2022, 2023), (2023, 2024), (2024, 2023)),
        *((2024, 2022), (2024, 2025), (2025, 2023), (2025, 2026), (2026, 2024), (2026, 2023)),
    ],
)
def test_ground_truth_of_another_year_is_refused(
    tmp_path: Path, given: int, requested: int
) -> None:
    files = write_evaluation_files(tmp_path, given)
    with pytest.raises(DatasetError, match=f"not named as in {requested}"):
        read_ground_truth(files.truth, requested)


def test_the_error_names_the_year_that_the_machines_are_of(tmp_path: Path) -> None:
    files = write_evaluation_files(tmp_path, 2025)
    with pytest.raises(DatasetError, match=r"AutoTrash.*ToyRCCar are machine types of 2025"):
        read_ground_truth(files.truth, 2024)


@pytest.mark.parametrize(("given", "requested"), [(2024, 2026), (2026, 2024)])
def test_the_columns_of_names_distinguish_a_machine_of_two_years(
    tmp_path: Path, given: int, requested: int
) -> None:
    files = write_evaluation_files(tmp_path, given)
    for path in files.truth.glob("ground_truth_*/*.csv"):
        if "ToothBrush" not in path.name:
            path.unlink()
    assert list(read_ground_truth(files.truth, given).machines) == ["ToothBrush"]
    with pytest.raises(DatasetError, match=f"columns of names in {requested}, found [23]"):
        read_ground_truth(files.truth, requested)


def test_both_names_of_a_list_of_three_columns_are_known(tmp_path: Path) -> None:
    files = write_evaluation_files(tmp_path, 2024)
    path = files.truth / "ground_truth_attributes/ground_truth_AirCompressor_section_00_test.csv"
    official, full, _ = path.read_text().splitlines()[0].split(",")
    hidden = full.removesuffix("vel_1") + "noAttribute"
    path.write_text(f"{official},{hidden},{full}.wav\r\n", newline="")
    aliases = read_ground_truth(files.truth, 2024).machines["AirCompressor"]["section_00"].aliases
    assert aliases == {f"{hidden}.wav": official, f"{full}.wav": official}


def test_names_that_lack_the_split_are_known_with_and_without_it(tmp_path: Path) -> None:
    files = write_evaluation_files(tmp_path, 2024)
    path = files.truth / "ground_truth_attributes/ground_truth_RoboticArm_section_00_test.csv"
    path.write_text("section_00_0035.wav,section_00_source_normal_0035_weight15_BckgF\n")
    aliases = read_ground_truth(files.truth, 2024).machines["RoboticArm"]["section_00"].aliases
    assert set(aliases) == {
        "section_00_source_normal_0035_weight15_BckgF.wav",
        "section_00_source_test_normal_0035_weight15_BckgF.wav",
    }


def test_two_copies_of_a_ground_truth_are_ambiguous(tmp_path: Path) -> None:
    files = write_evaluation_files(tmp_path, 2022)
    shutil.copytree(files.truth, tmp_path / "other_2022")
    with pytest.raises(DatasetError, match="several"):
        read_ground_truth(tmp_path, 2022)


def test_identical_lists_of_2020_are_accepted(tmp_path: Path) -> None:
    files = write_evaluation_files(tmp_path, 2020)
    shutil.copytree(files.truth, tmp_path / "copy")
    assert read_ground_truth(tmp_path, 2020).machines
    listed = tmp_path / "copy" / "eval_data_list.csv"
    listed.write_text(listed.read_text().replace(",1\n", ",0\n", 1))
    with pytest.raises(DatasetError, match="several"):
        read_ground_truth(tmp_path, 2020)


@pytest.mark.parametrize("year", [*CHALLENGES, max(CHALLENGES) + 1])
def test_a_folder_without_ground_truth_is_refused(tmp_path: Path, year: int) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DatasetError, match="expected"):
            read_ground_truth(folder, year)


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("section_03_source_test_0099.wav,2", "row 12: expected 0 or 1"),
        (
            "section_03_source_test_0000.wav,0",
            "row 12: section_03_source_test_0000.wav occurs twice",
        ),
        ("section_03_source_test_0099.wav", "row 12: expected 'file_name,0'"),
    ],
)
def test_an_invalid_row_is_reported_with_its_file(tmp_path: Path, line: str, problem: str) -> None:
    files = write_evaluation_files(tmp_path, 2021)
    name = "ground_truth_fan_section_03_source_test.csv"
    with (files.truth / "ground_truth_data" / name).open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises(DatasetError) as caught:
        read_ground_truth(files.truth, 2021)
    assert name in str(caught.value)
    assert problem in str(caught.value)


def test_labels_and_domains_must_be_of_the_same_clips(tmp_path: Path) -> None:
    files = write_evaluation_files(tmp_path, 2023)
    path = files.truth / "ground_truth_domain" / "ground_truth_bandsaw_section_00_test.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(lines[1:]))
    with pytest.raises(DatasetError, match=lines[0].split(",")[0]):
        read_ground_truth(files.truth, 2023)
    path.unlink()
    with pytest.raises(DatasetError, match="ground_truth_domain"):
        read_ground_truth(files.truth, 2023)


def test_an_unclosed_quote_is_reported_with_its_row(tmp_path: Path) -> None:
    rows = "".join(f"id_01_{n:08d}.wav,normal_id_01_{n:08d}.wav,0\n" for n in range(10_000))
    (tmp_path / "eval_data_list.csv").write_text(f'fan\n"{rows}')
    with pytest.raises(DatasetError, match="row 2: a quotation mark"):
        read_ground_truth(tmp_path, 2020)


def test_an_invalid_list_of_2020_is_reported_with_its_row(tmp_path: Path) -> None:
    path = tmp_path / "eval_data_list.csv"
    path.write_text("fan\nid_01_00000000.wav,normal_id_01_00000000.wav\n")
    with pytest.raises(DatasetError, match="row 2"):
        read_ground_truth(tmp_path, 2020)
