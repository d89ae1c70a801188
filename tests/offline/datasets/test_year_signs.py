"""Each sign that distinguishes 2023 to 2026 decides the year; without one it is asked for."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor.errors import DatasetError
from asd_offline.datasets import CHALLENGES, open_dataset
from asd_offline.datasets.layout_detection import machine_name
from asd_offline.synth.challenge_set import ChallengeSetSettings, plan_challenge_set
from tests.offline.dataset_layouts import dev_2021, dev_2022, dev_2024, touch

WHOLE_SET = range(990)


def train(
    root: Path,
    machine: str,
    tail: str = "noAttribute",
    numbers: Iterable[int] = (1, 2),
    channels: int = 0,
) -> Path:
    """Write training clips; empty files, or one clip of the given number of channels."""
    names = [f"section_00_source_train_normal_{n:04d}_{tail}.wav" for n in numbers]
    folder = root / machine / "train"
    touch(folder, names)
    if channels:
        soundfile.write(folder / names[0], np.zeros((800, channels)), 16000)
    return root


def year_of(root: Path) -> int | None:
    return open_dataset(root).year


@pytest.mark.parametrize(
    ("machine", "year"),
    [
        *((name, 2024) for name in CHALLENGES[2024].sets["eval"] if name != "ToothBrush"),
        *((name, 2025) for name in CHALLENGES[2025].sets["eval"]),
        *((name, 2026) for name in CHALLENGES[2026].machines if name.endswith("Emu")),
        ("BlowerDustCollector", 2026),
        ("Sander", 2026),
        ("SewingMachine", 2026),
    ],
)
def test_a_machine_of_one_year_decides(tmp_path: Path, machine: str, year: int) -> None:
    touch(tmp_path / machine / "test", ["section_00_0001.wav"])
    assert year_of(tmp_path) == year


def test_folders_of_test_clips_by_domain_decide(tmp_path: Path) -> None:
    dev_2021(tmp_path / "a", "fan")
    dev_2022(tmp_path / "b", "fan")
    assert (year_of(tmp_path / "a"), year_of(tmp_path / "b")) == (2021, 2022)


@pytest.mark.parametrize("machine", ["fan", "gearbox", "slider", "valve", "ToyCar", "ToyTrain"])
def test_several_sections_exclude_the_years_with_one(tmp_path: Path, machine: str) -> None:
    for section in ("00", "01"):
        name = f"section_{section}_source_train_normal_0000_A.wav"
        touch(tmp_path / machine / "train", [name])
    with pytest.raises(DatasetError, match=r"fit DCASE 2021 and 2022, and"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match=r"opened as DCASE 2025, but .* of 2021 or 2022"):
        open_dataset(tmp_path, 2025)


def test_a_hidden_attribute_of_any_machine_excludes_the_years_before(tmp_path: Path) -> None:
    train(tmp_path, "press", channels=1)
    with pytest.raises(DatasetError, match=r"opened as DCASE 2023, but .* of 2024 or 2025"):
        open_dataset(tmp_path, 2023)


def test_the_numbers_of_toytrain_are_the_same_in_both_years(tmp_path: Path) -> None:
    train(tmp_path, "ToyTrain", numbers=(1 + n for n in WHOLE_SET))
    with pytest.raises(DatasetError, match="fit DCASE 2024 and 2025, and"):
        open_dataset(tmp_path)


@pytest.mark.parametrize(
    ("machine", "year"), [("gearbox", 2024), ("bearing", 2025), ("ToyCar", 2026)]
)
def test_the_machine_with_hidden_attributes_decides(
    tmp_path: Path, machine: str, year: int
) -> None:
    assert year_of(train(tmp_path, machine)) == year


@pytest.mark.parametrize("machine", ["fan", "valve", "ToyCar", "gearbox", "ToyTrain"])
def test_supplemental_data_decides(tmp_path: Path, machine: str) -> None:
    hidden = machine in CHALLENGES[2025].hidden_attributes
    train(tmp_path, machine, "noAttribute" if hidden else "n_A")
    touch(tmp_path / machine / "supplemental", ["section_00_noise_source_0000.wav"])
    assert year_of(tmp_path) == 2025


@pytest.mark.parametrize("machine", ["fan", "ToothBrush", "ToyDrone", "ToyCar"])
def test_two_channels_decide(tmp_path: Path, machine: str) -> None:
    touch(tmp_path / machine / "test", ["section_00_0001.wav"])
    clip = tmp_path / machine / "test" / "section_00_0000.wav"
    soundfile.write(clip, np.zeros((800, 2)), 16000)
    assert year_of(tmp_path) == 2026


@pytest.mark.parametrize(("machine", "year"), [("ToothBrush", 2024), ("ToyDrone", 2023)])
def test_one_channel_decides(tmp_path: Path, machine: str, year: int) -> None:
    (tmp_path / machine / "test").mkdir(parents=True)
    soundfile.write(tmp_path / machine / "test" / "section_00_0000.wav", np.zeros(800), 16000)
    assert year_of(tmp_path) == year


def test_a_repeated_key_decides(tmp_path: Path) -> None:
    assert year_of(train(tmp_path / "a", "ToyDrone", "car_B1_spd_1_mic_2_mic_1")) == 2026
    assert year_of(train(tmp_path / "b", "ToyDrone", "car_C1_spd_1_mic_2")) == 2023


@pytest.mark.parametrize(
    ("machine", "first", "year"),
    [
        ("ToothBrush", 1, 2024),
        ("ToothBrush", 0, 2026),
        ("slider", 1, 2024),
        ("slider", 0, 2025),
    ],
)
def test_the_numbers_of_the_training_clips_decide(
    tmp_path: Path, machine: str, first: int, year: int
) -> None:
    assert year_of(train(tmp_path, machine, numbers=(first + n for n in WHOLE_SET))) == year


@pytest.mark.parametrize(
    ("folder", "year"),
    [
        ("eval_data_3DPrinter_train_r2", 2024),
        ("eval_data_RoboticArm_train_r2", 2024),
        ("dev_ToyCar_r2", 2026),
    ],
)
def test_the_name_of_a_second_issue_decides(tmp_path: Path, folder: str, year: int) -> None:
    machine = machine_name(folder)
    assert machine in CHALLENGES[year].machines
    touch(tmp_path / folder / "test", ["section_00_0000.wav"])
    dataset = open_dataset(tmp_path)
    assert (dataset.year, dataset.machines()) == (year, (machine,))


@pytest.mark.parametrize("year", [2023, 2024, 2025, 2026])
def test_a_whole_development_set_is_recognised(tmp_path: Path, year: int) -> None:
    plans, _ = plan_challenge_set(ChallengeSetSettings(year, ("dev",), clips=4, test_clips=1))
    for plan in plans:
        if "supplemental" not in plan.path:
            touch((tmp_path / plan.path).parent, [Path(plan.path).name])
    assert year_of(tmp_path) == year


@pytest.mark.parametrize(
    ("machine", "tail", "candidates"),
    [
        ("fan", "m-n_W", "2023, 2024 and 2025"),
        ("valve", "pat_01", "2023, 2024 and 2025"),
        ("ToyCar", "car_A1_spd_28V_mic_1_noise_1", "2023, 2024 and 2025"),
        ("bearing", "vel_12", "2023 and 2024"),
        ("gearbox", "volt_1.0_wt_50", "2023 and 2025"),
        ("slider", "noAttribute", "2024 and 2025"),
        ("ToyTrain", "noAttribute", "2024 and 2025"),
    ],
)
def test_without_a_certain_sign_the_year_is_asked_for_and_the_candidates_named(
    tmp_path: Path, machine: str, tail: str, candidates: str
) -> None:
    train(tmp_path, machine, tail, channels=1)
    with pytest.raises(DatasetError, match=f"fit DCASE {candidates}, and.*give the year with"):
        open_dataset(tmp_path)
    for year in map(int, candidates.replace(" and", ",").split(", ")):
        assert open_dataset(tmp_path, year).year == year


def test_a_given_year_that_a_sign_contradicts_is_refused(tmp_path: Path) -> None:
    for name, given in (("a", 2023), ("b", 2025)):
        train(tmp_path / name, "fan", "spd_1", channels=2)
        with pytest.raises(DatasetError, match=f"opened as DCASE {given}, but .* of 2026"):
            open_dataset(tmp_path / name, given)


def test_a_copy_of_the_near_channel_is_read_as_the_given_year(tmp_path: Path) -> None:
    train(tmp_path, "fan", "spd_1", channels=1)
    assert open_dataset(tmp_path, 2026).year == 2026


@pytest.mark.parametrize("record", [".download/year", "synth.json"])
def test_the_year_that_the_program_recorded_decides(tmp_path: Path, record: str) -> None:
    train(tmp_path / "dev_data", "fan", "m-n_W", channels=1)
    (tmp_path / ".download").mkdir()
    text = "2024\n" if record.endswith("year") else '{"parameters": {"year": 2024}}'
    (tmp_path / record).write_text(text)
    for root in (tmp_path, tmp_path / "dev_data", tmp_path / "dev_data" / "fan"):
        assert open_dataset(root).year == 2024


def test_renamed_test_clips_are_not_read_twice(tmp_path: Path) -> None:
    dev_2024(tmp_path)
    before = open_dataset(tmp_path)
    touch(tmp_path / "gearbox" / "test_rename", ["section_00_source_test_normal_0001_A_b.wav"])
    after = open_dataset(tmp_path)
    assert (after.clips, after.rejected) == (before.clips, before.rejected)
    assert any("test_rename/" in note for note in after.notes)
