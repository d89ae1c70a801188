"""Supplemental clips are what their names say, and never normal sound to train on."""

from pathlib import Path

import pytest

from asd_monitor.errors import DatasetError
from asd_offline.datasets import CHALLENGES, open_dataset
from asd_offline.datasets.layouts.supplemental_names import parse_supplemental_name
from asd_offline.datasets.parsed_name import UnrecognisedFileName
from asd_offline.datasets.targets import plan_targets
from tests.offline.dataset_layouts import dev_2024, dev_2025, eval_2025, touch

NAMES = {
    "section_00_machine_source_0000_noAttribute.wav": ("machine", "source", ()),
    "section_00_machine_source_0003_n_B.wav": ("machine", "source", (("n", "B"),)),
    "section_00_noise_supplemental_normal_0000.wav": ("noise", "", ()),
    "section_00_source_supplemental_machine_0000.wav": ("machine", "source", ()),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_known_form_of_name_is_read(name: str) -> None:
    parsed = parse_supplemental_name(name, CHALLENGES[2025])
    assert (parsed.content, parsed.domain, parsed.attributes) == NAMES[name]
    assert parsed.section == "section_00"


@pytest.mark.parametrize(
    "name",
    [
        "section_00_source_train_normal_0000_noAttribute.wav",
        "section_00_machine_noise_0000.wav",
        "hello.wav",
        "section_00_0000.wav",
    ],
)
def test_a_name_that_says_neither_or_both_is_refused(name: str) -> None:
    with pytest.raises(UnrecognisedFileName, match="expected a name such as"):
        parse_supplemental_name(name, CHALLENGES[2025])


def test_supplemental_clips_are_no_training_and_no_test_clips(tmp_path: Path) -> None:
    dev_2025(tmp_path / "dev_data")
    eval_2025(tmp_path / "eval_data")
    dataset = open_dataset(tmp_path)
    assert not any(clip.path.parent.name == "supplemental" for clip in dataset.clips)
    assert {(c.machine, c.content, c.subset) for c in dataset.supplemental} == {
        (machine, content, subset)
        for machine, subset in (("bearing", "dev"), ("Polisher", "eval"))
        for content in ("machine", "noise")
    }
    assert not dataset.rejected


def test_targets_offer_the_supplemental_clips_of_their_machine(tmp_path: Path) -> None:
    for machine in ("bearing", "valve"):
        dev_2025(tmp_path, machine)
    dataset = open_dataset(tmp_path)
    targets = plan_targets(dataset.select(split="train"), supplemental=dataset.supplemental)
    for target in targets:
        assert {clip.machine for clip in target.supplemental} == {target.machine}
        assert len(target.supplemental) == 2
        learned = {clip.path for clip in (*target.clips, *target.held_out)}
        assert not learned & {clip.path for clip in target.supplemental}


def test_machines_can_be_chosen(tmp_path: Path) -> None:
    for machine in ("bearing", "valve"):
        dev_2025(tmp_path, machine)
    dataset = open_dataset(tmp_path, machines=["valve"])
    assert {clip.machine for clip in dataset.supplemental} == {"valve"}


def test_supplemental_data_of_a_year_without_it_is_rejected(tmp_path: Path) -> None:
    dev_2024(tmp_path)
    touch(tmp_path / "gearbox" / "supplemental", ["section_00_noise_source_0000.wav"])
    dataset = open_dataset(tmp_path)
    assert (dataset.year, dataset.supplemental) == (2024, ())
    assert [file.reason for file in dataset.rejected] == ["DCASE 2024 has no supplemental data"]


def test_a_misnamed_supplemental_clip_is_rejected(tmp_path: Path) -> None:
    dev_2025(tmp_path)
    touch(tmp_path / "bearing" / "supplemental", ["section_00_source_train_normal_0000_n_A.wav"])
    [file] = open_dataset(tmp_path).rejected
    assert "expected a name such as" in file.reason


def test_supplemental_data_alone_is_refused(tmp_path: Path) -> None:
    touch(tmp_path / "fan" / "supplemental", ["section_00_machine_source_0000.wav"])
    with pytest.raises(DatasetError):
        open_dataset(tmp_path, 2025)
