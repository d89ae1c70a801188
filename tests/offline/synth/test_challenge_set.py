"""Synthetic challenge sets have official layouts and names, and equal bytes for equal seeds."""

import csv
import hashlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor.errors import ConfigError
from asd_monitor.progress import NoProgress
from asd_offline.datasets import CHALLENGES
from asd_offline.datasets.challenge import SetName
from asd_offline.datasets.loading import open_dataset
from asd_offline.synth.challenge_set import (
    ChallengeSetSettings,
    make_challenge_set,
    plan_challenge_set,
)
from asd_offline.synth.machines import MACHINES
from asd_offline.synth.render import render

BOTH: tuple[SetName, ...] = ("dev", "eval")
MACHINES_OF = {
    2020: ("fan", "ToyCar"),
    2021: ("pump",),
    2022: ("valve", "ToyTrain"),
    2023: ("gearbox", "Vacuum"),
    2024: ("gearbox", "AirCompressor", "BrushlessMotor", "RoboticArm"),
    2025: ("bearing", "CoffeeGrinder"),
    2026: ("ToyCarEmu", "Sander"),
}


def settings(year: int, **changes: object) -> ChallengeSetSettings:
    small = ChallengeSetSettings(year, BOTH, MACHINES_OF[year], clips=4, test_clips=1, clip_s=1.0)
    return replace(small, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    folders = {year: tmp_path_factory.mktemp(str(year)) / "set" for year in MACHINES_OF}
    for year, folder in folders.items():
        make_challenge_set(folder, settings(year), NoProgress())
    return folders


def read_rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("year", MACHINES_OF)
def test_set_opens_as_its_year_with_every_label(sets: dict[int, Path], year: int) -> None:
    dataset = open_dataset(sets[year], ground_truth=sets[year] / "ground_truth")
    assert dataset.year == year
    assert dataset.sets == BOTH
    assert dataset.rejected == ()
    assert dataset.notes == ()
    expected = {
        machine: sections
        for subset in BOTH
        for machine, sections in CHALLENGES[year].sets[subset].items()
        if machine in MACHINES_OF[year]
    }
    assert set(dataset.machines()) == set(expected)
    domains = ("",) if year == 2020 else ("source", "target")
    for machine in dataset.machines():
        for section in dataset.sections(machine):
            assert len(dataset.select(machine, section, "train")) == 4
            tests = Counter((c.domain, c.label) for c in dataset.select(machine, section, "test"))
            assert tests == {(domain, label): 1 for domain in domains for label in (0, 1)}


@pytest.mark.parametrize("year", [year for year in MACHINES_OF if year > 2020])
def test_few_training_clips_are_of_the_target_domain(sets: dict[int, Path], year: int) -> None:
    dataset = open_dataset(sets[year])
    for machine in dataset.machines():
        for section in dataset.sections(machine):
            assert len(dataset.select(machine, section, "train", "target")) == 1


@pytest.mark.parametrize("year", [2022, 2023])
def test_attribute_lists_agree_with_the_names(sets: dict[int, Path], year: int) -> None:
    lists = sorted(sets[year].glob("*_data/*/attributes_*.csv"))
    sections = {(c.machine, c.section) for c in open_dataset(sets[year]).clips}
    assert len(lists) == len(sections)
    for path in lists:
        rows = read_rows(path)
        assert rows
        for row in rows:
            clip = path.parents[1] / row["file_name"]
            assert clip.is_file()
            assert f"_{row['d1v']}" in clip.name


def test_evaluation_names_hide_label_and_domain_as_their_year_does(sets: dict[int, Path]) -> None:
    names = {
        year: sorted(p.name for p in folder.glob("eval_data/*/*test/*.wav"))
        for year, folder in sets.items()
    }
    assert "id_01_00000000.wav" in names[2020]
    assert "section_03_source_test_0000.wav" in names[2021]
    assert "section_03_0000.wav" in names[2022]
    assert "section_00_0003.wav" in names[2023]
    assert not any(
        "normal" in name or "anomaly" in name
        for file_names in names.values()
        for name in file_names
    )


def test_names_and_folders_of_the_development_set(sets: dict[int, Path]) -> None:
    expected = {
        2020: "fan/test/anomaly_id_00_00000000.wav",
        2021: "pump/target_test/section_00_target_test_anomaly_0000.wav",
        2022: "valve/test/section_00_source_test_normal_0000_pat_0?.wav",
        2023: "gearbox/train/section_00_target_train_normal_0000_volt_*_wt_*.wav",
    }
    for year, pattern in expected.items():
        assert len(list(sets[year].glob(f"dev_data/{pattern}"))) == 1


def test_ground_truth_has_the_evaluators_form(sets: dict[int, Path]) -> None:
    def lines(year: int, path: str) -> list[str]:
        return (sets[year] / "ground_truth" / path).read_text(encoding="utf-8").splitlines()

    listed = lines(2020, "eval_data_list.csv")
    assert listed[0] == "fan"
    assert listed[1].startswith("id_01_00000000.wav,")
    assert "ToyCar" in listed
    name, label = lines(2021, "ground_truth_data/ground_truth_pump_section_03_source_test.csv")[
        0
    ].split(",")
    assert (name, label in "01") == ("section_03_source_test_0000.wav", True)
    header = lines(2022, "ground_truth_attributes/valve/attributes_04.csv")[0]
    assert header == "file_name,d1p,d1v,d2p,d2v,file_name_with_full_attributes"
    hidden, original = lines(
        2023, "ground_truth_attributes/ground_truth_Vacuum_section_00_test.csv"
    )[0].split(",")
    assert hidden == "section_00_0000.wav"
    assert original.startswith("section_00_")
    assert "_test_" in original
    assert not original.endswith(".wav")


@pytest.mark.parametrize("year", MACHINES_OF)
def test_clips_are_16_bit_at_16_khz_with_the_channels_of_the_year_and_neither_clipped_nor_silent(
    sets: dict[int, Path], year: int
) -> None:
    for path in sets[year].rglob("*.wav"):
        sound, sample_rate_hz = soundfile.read(path, dtype="int16")
        assert soundfile.info(path).subtype == "PCM_16"
        shape = (16000,) if year != 2026 else (16000, 2)
        assert (sample_rate_hz, sound.shape) == (16000, shape)
        assert 100 < np.abs(sound).max() < 32767


def test_faults_are_listed_with_kind_and_level(sets: dict[int, Path]) -> None:
    rows = read_rows(sets[2020] / "faults.csv")
    anomalies = [c for c in open_dataset(sets[2020]).clips if c.label == 1]
    assert {str(c.path.relative_to(sets[2020])) for c in anomalies} <= {r["path"] for r in rows}
    assert len(rows) == 14
    assert all(-26.0 <= float(row["level_db"]) <= -6.0 for row in rows)


def test_same_seed_gives_the_same_bytes_in_one_process_and_in_two(
    sets: dict[int, Path], tmp_path: Path
) -> None:
    make_challenge_set(tmp_path / "again", settings(2023), NoProgress(), workers=2)
    assert digests(tmp_path / "again") == digests(sets[2023])


def test_another_seed_gives_other_sounds_under_other_conditions(
    sets: dict[int, Path], tmp_path: Path
) -> None:
    make_challenge_set(tmp_path / "other", settings(2023, seed=2), NoProgress())
    sounds = {d for name, d in digests(tmp_path / "other").items() if name.endswith(".wav")}
    assert not sounds & set(digests(sets[2023]).values())


@pytest.mark.parametrize("year", CHALLENGES)
def test_every_machine_of_the_year_can_be_planned_and_no_clip_is_planned_twice(year: int) -> None:
    plans, _ = plan_challenge_set(ChallengeSetSettings(year, BOTH, clips=4))
    assert {p.machine for p in plans} == {m for name in BOTH for m in CHALLENGES[year].sets[name]}
    assert len({plan.path for plan in plans}) == len(plans)
    assert len({plan.seed for plan in plans}) == len(plans)


@pytest.mark.parametrize("machine", MACHINES)
def test_no_machine_is_silent_and_its_fault_changes_the_sound(machine: str) -> None:
    year = next(
        y for y in MACHINES_OF if machine in {m for name in BOTH for m in CHALLENGES[y].sets[name]}
    )
    plans, _ = plan_challenge_set(ChallengeSetSettings(year, BOTH, (machine,), clips=4, clip_s=1.0))
    faulty = next(plan for plan in plans if plan.kind)
    loud = render(replace(faulty, level_db=0.0)).astype(float)
    normal = render(replace(faulty, kind="")).astype(float)
    assert np.std(normal) > 100.0
    assert np.std(loud - normal) > 0.1 * np.std(normal)


def test_units_of_one_machine_type_differ_and_a_unit_is_the_same_in_all_clips() -> None:
    plans, _ = plan_challenge_set(ChallengeSetSettings(2020, ("dev",), ("fan",), clips=4))
    units = {plan.path.split("_id_")[1][:2]: plan.conditions.unit_seed for plan in plans}
    assert len(set(units.values())) == 4
    assert len({plan.conditions.unit_seed for plan in plans}) == 4


def test_target_domain_has_conditions_that_the_source_domain_lacks() -> None:
    plans, _ = plan_challenge_set(ChallengeSetSettings(2022, ("dev",), clips=40))
    for section in ("00", "01", "02"):
        named = [p for p in plans if f"/section_{section}" in p.path]
        source = {(p.machine, p.conditions) for p in named if "_source_" in p.path}
        target = {(p.machine, p.conditions) for p in named if "_target_" in p.path}
        assert not source & target


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"machines": ("bearing",)}, "bearing: not among the machines of 2020"),
        ({"machines": ("Fan",)}, "which are fan, pump, slider, valve, ToyCar, ToyConveyor"),
        ({"clips": 3}, "--clips: expected 4 to 9999, got 3"),
        ({"test_clips": 0}, "--test-clips: expected 1 to"),
        ({"clip_s": 0.1}, "--clip-s: expected 1.0 to 60.0"),
        ({"snr_db": 99.0}, "--snr-db: expected"),
        ({"seed": -1}, "--seed: expected 0 to"),
    ],
)
def test_impossible_setting_is_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        plan_challenge_set(settings(2020, **changes))


def test_unknown_year_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"--year: expected one of 2020, .*, 2026, got 2027"):
        plan_challenge_set(ChallengeSetSettings(2027))


def test_machine_of_the_other_set_of_2023_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Vacuum: not among the machines of 2023 \(dev\)"):
        plan_challenge_set(ChallengeSetSettings(2023, ("dev",), ("fan", "Vacuum")))


def test_folder_with_anything_else_in_it_is_refused_even_with_force(tmp_path: Path) -> None:
    other_file = tmp_path / "thesis.txt"
    other_file.write_text("do not delete")
    with pytest.raises(ConfigError, match="found files in it; choose another folder"):
        make_challenge_set(tmp_path, settings(2023), NoProgress(), force=True)
    assert other_file.read_text() == "do not delete"


def test_older_set_is_replaced_with_force_only_and_nothing_else_is_touched(tmp_path: Path) -> None:
    small = settings(2023, sets=("dev",), machines=("gearbox",), clips=4, test_clips=1)
    out = tmp_path / "set"
    make_challenge_set(out, small, NoProgress())
    (out / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="add --force to replace it"):
        make_challenge_set(out, small, NoProgress())
    make_challenge_set(out, replace(small, machines=("fan",)), NoProgress(), force=True)
    assert (out / "notes.txt").read_text() == "mine"
    assert [path.name for path in (out / "dev_data").iterdir()] == ["fan"]


def test_manifest_records_how_the_set_was_made(sets: dict[int, Path]) -> None:
    manifest = json.loads((sets[2021] / "synth.json").read_text(encoding="utf-8"))
    assert manifest["complete"] is True
    assert manifest["clips"] == len(list(sets[2021].rglob("*.wav")))
    assert manifest["parameters"]["year"] == 2021
    assert manifest["parameters"]["seed"] == 1
