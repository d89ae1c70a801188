"""Synthetic sets have the oddities of their year: names, numbers, lists, lengths and channels."""

import re
from dataclasses import replace
from pathlib import PurePosixPath

import numpy as np
import pytest
from numpy.typing import NDArray

from asd_offline.datasets import CHALLENGES
from asd_offline.datasets.challenge import SetName
from asd_offline.datasets.clip import SupplementalContent
from asd_offline.synth.challenge_set import ChallengeSetSettings, plan_challenge_set
from asd_offline.synth.render import ClipPlan, render

BOTH: tuple[SetName, ...] = ("dev", "eval")
TRUTH = "ground_truth/ground_truth_attributes/ground_truth_{}_section_00_test.csv"


def planned(
    year: int, *machines: str, clips: int = 8, clip_s: float | None = None
) -> tuple[list[ClipPlan], dict[str, str]]:
    return plan_challenge_set(
        ChallengeSetSettings(year, BOTH, machines, clips, test_clips=2, clip_s=clip_s)
    )


def numbers(plans: list[ClipPlan], pattern: str) -> list[int]:
    found = [re.search(rf"{pattern}(\d{{4}})", plan.path) for plan in plans]
    return sorted(int(match[1]) for match in found if match)


@pytest.mark.parametrize("year", [2024, 2025, 2026])
def test_exactly_the_machines_with_hidden_attributes_hide_them(year: int) -> None:
    plans, files = planned(year)
    for plan in plans:
        if "/train/" not in plan.path:
            continue
        hides = plan.machine in CHALLENGES[year].hidden_attributes
        assert plan.path.endswith("_noAttribute.wav") == hides
    for path, text in files.items():
        if "attributes_00.csv" in path:
            hides = PurePosixPath(path).parts[1] in CHALLENGES[year].hidden_attributes
            assert (text.splitlines()[0] == "file_name") == hides


def test_some_machines_number_their_clips_from_1() -> None:
    plans, _ = planned(2024, "gearbox", "AirCompressor", "HoveringDrone", "3DPrinter", "fan")
    for machine, first_train, first_test in (
        ("gearbox", 1, 1),
        ("AirCompressor", 1, 1),
        ("HoveringDrone", 1, 0),
        ("3DPrinter", 0, 1),
        ("fan", 0, 0),
    ):
        of_machine = [plan for plan in plans if plan.machine == machine]
        assert numbers(of_machine, "target_train_normal_")[0] == first_train
        test = "_target_test_normal_" if machine in ("gearbox", "fan") else "/test/section_00_"
        assert numbers(of_machine, test)[0] == first_test


def test_numbers_run_on_over_groups_where_they_do_in_the_year() -> None:
    motor, _ = planned(2024, "BrushlessMotor")
    assert numbers(motor, "source_train_normal_") == [0, 1, 2, 3, 4, 5]
    assert numbers(motor, "target_train_normal_") == [6, 7]
    car, _ = planned(2026, "ToyCarEmu")
    assert numbers(car, "_test_(?:normal|anomaly)_") == list(range(8))


def test_the_ground_truth_of_2024_has_three_columns_and_a_name_without_its_split() -> None:
    _, files = planned(2024, "AirCompressor", "RoboticArm", "Scanner")
    for line in files[TRUTH.format("AirCompressor")].split("\r\n")[:-1]:
        official, hidden, full = line.split(",")
        assert re.fullmatch(r"section_00_\d{4}\.wav", official)
        assert re.fullmatch(r"section_00_\w+_test_\w+_\d{4}_noAttribute", hidden)
        assert re.fullmatch(r"section_00_\w+_test_\w+_\d{4}_fl_\d_nos_\d\.wav", full)
        assert full.startswith(hidden.removesuffix("noAttribute"))
    assert "_test_" not in files[TRUTH.format("RoboticArm")]
    assert files[TRUTH.format("Scanner")].count("_test_") == 8


def test_clips_are_as_long_as_those_of_their_machine_unless_given() -> None:
    for year, machine, seconds in (
        (2024, "BrushlessMotor", 6.5),
        (2024, "ToyTrain", 12.0),
        (2025, "CoffeeGrinder", 5.0),
        (2025, "fan", 10.0),
        (2026, "ToyCar", 11.0),
        (2023, "Vacuum", 10.0),
    ):
        assert {plan.n_samples for plan in planned(year, machine)[0]} == {seconds * 16000}
        assert {p.n_samples for p in planned(year, machine, clip_s=2.0)[0]} == {32000}


def test_supplemental_clips_have_no_noise_or_only_noise() -> None:
    plans, _ = planned(2025, "bearing", "fan", clips=20, clip_s=1.0)
    extra = [plan for plan in plans if "/supplemental/" in plan.path]
    assert len(extra) == 4
    assert {plan.content for plan in extra} == {"machine", "noise"}
    for plan in extra:
        assert f"section_00_{plan.content}_source_" in plan.path
        assert not plan.kind
    [machine, *_] = [plan for plan in extra if plan.content == "machine"]
    [noise, *_] = [plan for plan in extra if plan.content == "noise"]
    others: dict[object, SupplementalContent] = {"machine": "noise", "noise": "machine"}
    for plan in (machine, noise):
        other = others[plan.content]
        parts = {content: rendered(plan, content) for content in (plan.content, other, None)}
        whole = parts[plan.content] + parts[other]
        assert np.abs(whole - parts[None]).max() <= 2.0  # rounding


def rendered(plan: ClipPlan, content: SupplementalContent | None) -> NDArray[np.float64]:
    return render(replace(plan, content=content)).astype(np.float64)


def test_the_far_channel_has_the_machine_more_faintly_and_the_same_noise() -> None:
    plans, _ = planned(2026, "fan", clip_s=1.0)
    [plan, *_] = [plan for plan in plans if "source_train" in plan.path]
    machine = rendered(plan, "machine")
    noise = rendered(plan, "noise")
    assert machine.shape == (16000, 2)
    near_db, far_db = 20 * np.log10(machine.std(axis=0))
    assert near_db - far_db == pytest.approx(12.0, abs=0.1)
    assert 20 * np.log10(noise[:, 0].std() / noise[:, 1].std()) == pytest.approx(0.0, abs=0.1)
    assert np.abs(machine + noise - render(plan)).max() <= 2.0
