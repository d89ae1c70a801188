"""The benchmark of timelines puts scored parts together as the streams that they stand for."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor import model_file
from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_offline.benchmarks.timelines import paths, pump, ranking, thresholds
from asd_offline.benchmarks.timelines.fitted import SAMPLE_RATE_HZ, Part, play_parts
from asd_offline.benchmarks.timelines.pump import DRIFTS, PumpMachine
from asd_offline.benchmarks.timelines.recordings import (
    RecordingsSettings,
    measure_split,
    read_clips,
)
from tests.offline.timeline.streams import make_score
from tests.rig.toy_model import save_toy

CLIP_S = 10


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve normal clips and two faulty ones of the demo's pump."""
    folder, machine = tmp_path_factory.mktemp("pump"), PumpSound(1, SAMPLE_RATE_HZ)
    for number in range(14):
        name = f"normal_{number}.wav" if number < 12 else f"anomaly_{number}.wav"
        count = CLIP_S * SAMPLE_RATE_HZ
        sound = machine.block(number * count, count, 0.0 if number < 12 else 1.0)
        soundfile.write(folder / name, sound, SAMPLE_RATE_HZ)
    return folder


def test_adjacent_parts_of_one_label_are_one_fault_and_its_delay_counts_from_the_first(
    tmp_path: Path,
) -> None:
    rule = DecisionRule.from_manifest(
        model_file.load(save_toy(tmp_path / "toy.asd"), "cpu").manifest, "fan"
    )

    def part(value: float, label: str = "") -> Part:
        scores = tuple(make_score(index, value, rule) for index in range(300))
        return Part(scores, 300 * rule.window_samples, label)

    normal, loud = part(0.0), part(1000.0, "loud")
    outcome = play_parts("x", [normal, loud, loud, *[normal] * 3], rule, AlarmSettings())
    (fault,) = outcome.faults
    part_s = 300 * rule.window_samples / rule.sample_rate_hz
    assert (fault.span.start_s, fault.span.end_s) == (part_s, 3 * part_s)
    assert fault.delay_s is not None
    assert 0 < fault.delay_s <= 2 * part_s
    assert outcome.duration_s == 6 * part_s
    assert not outcome.false_alarms


def test_a_split_plays_unseen_normals_and_injected_and_recorded_faults(recordings: Path) -> None:
    clips = read_clips(recordings)
    assert (len(clips.normal), len(clips.faulty)) == (12, 2)
    settings = RecordingsSettings(
        recordings,
        learn_clips=8,
        splits=1,
        normal_h=0.05,
        fault_s=60.0,
        kinds=("impacts",),
        levels_db=(0.0,),
        orders=1,
    )
    outcome = measure_split(clips, settings, 100)
    (normal,), (injected,), (recorded,) = outcome.normal, outcome.injected, outcome.recorded
    assert normal.duration_s >= 180
    assert normal.faults == ()
    assert [fault.span.label for fault in injected.faults] == ["impacts 0"]
    assert injected.faults[0].span.start_s == 60
    assert recorded.faults[0].delay_s is not None
    assert recorded.faults[0].delay_s <= 60


def test_the_ranking_is_that_of_the_score_and_of_each_voice(recordings: Path) -> None:
    found = ranking.measure_split(read_clips(recordings), 8, 100, kinds=("impacts",))
    assert found.auc.keys() == {"impacts", "recorded"}
    assert {len(auc) for auc in found.auc.values()} == {1 + len(found.voices)}
    assert found.auc["recorded"][0] == 1.0
    assert found.auc["impacts"][0] > 0.8
    splits, score, best, voice = ranking.cells("recorded", [found, found])
    assert (splits, score, best) == ("2", "1.000", "1.000")
    assert voice in found.voices


def test_windows_of_unseen_recordings_above_the_threshold_are_counted(recordings: Path) -> None:
    clips = read_clips(recordings)
    found = thresholds.measure_split(clips, 8, 100)
    assert len(found.exceeded) == 4
    assert found.windows == 4 * (found.learned_windows // 8)
    below = thresholds.Exceedances(40, 5.0, 0.001, (0, 3, 5, 0), 20)
    assert thresholds.cells([found, below])[3:] == [
        f"{(sum(found.exceeded) + 8) / (found.windows + 20):.4f}",
        f"{2 + sum(count >= 3 for count in found.exceeded)} of 8",
    ]


def test_the_same_seed_gives_the_same_split(recordings: Path) -> None:
    clips = read_clips(recordings)
    settings = RecordingsSettings(
        recordings, learn_clips=8, splits=1, normal_h=0.05, kinds=(), orders=1
    )
    first, second = (measure_split(clips, settings, 101) for _ in range(2))
    assert first == second


def test_too_few_recordings_are_reported(recordings: Path) -> None:
    clips = read_clips(recordings)
    with pytest.raises(ValueError, match="expected more than 12 normal recordings, found 12"):
        measure_split(clips, RecordingsSettings(recordings, learn_clips=12), 100)


def test_a_plain_fault_of_the_pump_is_detected_within_a_minute_and_normal_sound_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pump, "LEAD_S", 20)
    monkeypatch.setattr(pump, "FAULT_S", 60)
    machine = PumpMachine(1, 60)
    assert machine.play_normal(0.02).false_alarms == ()
    (fault,) = machine.play_fault(1.0).faults
    assert fault.delay_s is not None
    assert fault.delay_s <= 60


@pytest.mark.parametrize("drift", DRIFTS, ids=lambda drift: drift.name)
def test_the_first_step_of_a_drift_is_normal_sound_and_the_last_is_changed(
    drift: pump.Drift, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pump, "BLOCK_S", 10)
    machine = PumpMachine.__new__(PumpMachine)
    machine._pump, machine.test_s = PumpSound(1, SAMPLE_RATE_HZ), 0
    machine._background = np.random.default_rng(1)
    normal, none, last = (
        machine._sound(0, 10),
        machine._drifted(drift, 0.0, 0),
        machine._drifted(drift, 3.0, 5),
    )
    assert len(normal) == len(none) == len(last)
    assert np.allclose(normal, none, atol=1e-5)
    assert not np.allclose(machine._sound(50, 10), last, atol=1e-3)


def test_the_command_prints_its_help() -> None:
    command = [sys.executable, "-m", "asd_offline.benchmarks.timelines", "recordings", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--learn-clips" in result.stdout


def test_a_microphone_at_48_khz_delivers_the_same_sound_up_to_its_resamplers_limit() -> None:
    time_s = np.arange(2 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    for frequency_hz, kept in ((1000.0, 1.0), (7900.0, 0.0)):
        tone = np.sin(2 * np.pi * frequency_hz * time_s).astype(np.float32)
        delivered = paths.through_microphone(tone)
        assert delivered.shape == tone.shape
        middle = slice(SAMPLE_RATE_HZ // 2, 3 * SAMPLE_RATE_HZ // 2)
        assert np.abs(delivered[middle] - kept * tone[middle]).max() < 0.02
