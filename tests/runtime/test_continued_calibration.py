"""The calibration continues while monitoring: files, restarts, full disks, and what people undo."""

import errno
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from asd_monitor.config import Config, from_options
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.recalibration import sample as sample_module
from asd_monitor.recalibration.files import CalibrationFiles
from asd_monitor.recalibration.hours import KEPT_S, read_hours
from asd_monitor.records import (
    AlarmStatus,
    CalibrationStatus,
    MachineAlarm,
    Record,
    ScoredWindow,
    State,
)
from asd_monitor.runtime.continued_calibration import ContinuedCalibration, Surroundings
from asd_monitor.runtime.pipeline import Adjustment
from asd_monitor.runtime.state_dir import StateFolder
from asd_monitor.telemetry.metrics import Metrics
from tests.recalibration.streams import (
    NOON_S,
    SHA256,
    TARGET,
    WINDOW_S,
    draw_voices,
    make_manifest,
    play,
)
from tests.rig.paths import ROOT

HOUR = round(3600 / WINDOW_S)
MANIFEST = make_manifest(3.0)


class FakeDetector:
    """A detector whose windows were scored elsewhere."""

    def __init__(self, manifest: Manifest = MANIFEST) -> None:
        self.model = LoadedModel(cast("Any", None), manifest, SHA256, "cpu")
        self.manifest = manifest


class Scene:
    """A continued calibration of one machine, driven window by window."""

    def __init__(self, root: Path, **learn: object) -> None:
        options = {"machines": {"pump": {"mic": {"device": "any"}}}, "learn": learn}
        self.config: Config = from_options(options)
        self.metrics = Metrics(CollectorRegistry())
        self.metrics.add_machines(["pump"])
        self.adjustments: list[Adjustment] = []
        self.records: list[Record] = []
        self.recorded: list[str] = []
        self.files = CalibrationFiles(root, "pump")
        self.now = NOON_S
        surroundings = Surroundings(
            config=lambda: self.config,
            detector=lambda _machine: cast("Any", FakeDetector()),
            rings={},
            adjust=lambda _machine, adjustment: self.adjustments.append(adjustment),
            post=self.records.append,
            record=lambda _machine, text: self.recorded.append(text),
            clock=lambda: self.now,
        )
        self.calibration = ContinuedCalibration(
            StateFolder(root), self.metrics.calibration, surroundings
        )

    def play(self, hours: float, first_h: float = 0.0, state: State = State.NORMAL) -> None:
        """Emit consecutive windows, and let the thread's work be done."""
        voices = draw_voices(round(hours * HOUR), seed=round(10 * first_h))
        self.emit(play(voices, state, first=round(first_h * HOUR)))

    def emit(self, windows: Iterator[ScoredWindow]) -> None:
        for window in windows:
            self.now = window.score.captured_at
            self.calibration.emit(window)
        self.calibration.work()

    def value(self, name: str) -> float:
        labels = {} if name.endswith("errors_total") else {"machine": "pump"}
        found = self.metrics.registry.get_sample_value(name, labels)
        assert found is not None
        return found

    @property
    def statuses(self) -> list[CalibrationStatus]:
        return [record for record in self.records if isinstance(record, CalibrationStatus)]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_hours_of_monitoring_sharpen_the_limits_and_end_the_provisional_state(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    scene.play(3)
    last = scene.adjustments[-1]
    assert not last.rule.provisional
    assert last.model_sha256 == SHA256
    supported = last.rule.supported_false_alarms_per_month
    assert supported is not None
    assert supported <= 1.0
    assert "provisional yes -> no" in " ".join(scene.recorded)
    assert "limits computed again from monitoring" in caplog.text
    assert scene.value("asd_calibration_sample_seconds") == pytest.approx(2.5 * 3600, abs=700)
    assert scene.value("asd_calibration_extensions_total") == len(scene.adjustments)
    assert scene.statuses[-1].is_extended
    assert scene.statuses[-1].progress.endswith("that is enough for one false alarm a month")


def test_the_limits_of_a_long_commissioning_are_kept(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_monitor.recalibration.followed_machine.LONG_COMMISSIONING_S", 60.0)
    scene.play(3)
    assert scene.adjustments == []
    assert scene.value("asd_calibration_sample_seconds") > 0


def test_hours_that_are_no_longer_needed_are_removed(scene: Scene) -> None:
    scene.play(3)
    assert len(read_hours(scene.files.hours)) >= 2
    scene.play(2, first_h=24 * 400)
    assert {hour.start_s >= scene.now - KEPT_S for hour in read_hours(scene.files.hours)} == {True}


def test_before_enough_was_collected_the_progress_says_how_much_is_needed(scene: Scene) -> None:
    scene.play(0.1)
    assert scene.statuses[0].progress.startswith(
        "no normal sound collected while monitoring yet; about "
    )
    assert not scene.adjustments


def test_a_setting_turns_it_off(tmp_path: Path) -> None:
    scene = Scene(tmp_path, while_monitoring=False)
    scene.play(2)
    assert not scene.adjustments
    assert not scene.files.sample.parent.exists()


def test_a_shelved_machine_is_not_learned_from(scene: Scene) -> None:
    scene.calibration.emit(MachineAlarm("pump", AlarmStatus.MAINTENANCE, NOON_S))
    scene.play(2)
    assert not scene.adjustments


def test_a_restart_continues_with_the_sample_and_the_limits(scene: Scene, tmp_path: Path) -> None:
    scene.play(2)
    collected_s = scene.value("asd_calibration_sample_seconds")
    extension = scene.files.read_extension()
    again = Scene(tmp_path)
    again.play(0.02, first_h=3)
    assert again.value("asd_calibration_sample_seconds") == collected_s
    assert again.statuses[-1].is_extended
    assert not again.adjustments  # the detector was built with these limits
    assert extension is not None
    assert extension.make_rule(MANIFEST, 1.0) == scene.adjustments[-1].rule


def test_scores_of_another_model_are_not_mixed_in(scene: Scene, tmp_path: Path) -> None:
    scene.play(2)
    sample = scene.files.read_sample()
    assert sample is not None
    sample.model_sha256 = "cd" * 32
    sample.write(scene.files.sample)
    again = Scene(tmp_path)
    again.play(0.02, first_h=3)
    assert again.value("asd_calibration_sample_seconds") == 0.0


def test_a_damaged_sample_is_set_aside_and_collected_again(
    scene: Scene, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    scene.play(2)
    content = scene.files.sample.read_bytes()
    scene.files.sample.write_bytes(content[:-100])
    again = Scene(tmp_path)
    again.play(2, first_h=3)
    assert "its checksum does not match" in caplog.text
    assert scene.files.sample.with_name("pump.sample.damaged").read_bytes() == content[:-100]
    assert again.value("asd_calibration_sample_seconds") > 3600


def test_on_a_full_disk_it_continues_in_memory_and_writes_later(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(sample_module, "write_durably", refuse)
        scene.play(2)
    assert scene.value("asd_calibration_file_errors_total") > 1
    assert caplog.text.count("pump.sample cannot be written") == 1
    assert not scene.files.sample.exists()
    assert scene.adjustments
    scene.play(1, first_h=2)
    sample = scene.files.read_sample()
    assert sample is not None
    assert sample.duration_s == pytest.approx(2.5 * 3600, abs=700)


def test_what_a_person_resets_is_forgotten_and_collected_again(scene: Scene) -> None:
    scene.play(2)
    scene.files.reset()
    scene.calibration.forget("pump")
    scene.play(0.1, first_h=2)
    assert scene.value("asd_calibration_sample_seconds") == 0.0
    assert not scene.statuses[-1].is_extended


def test_an_alarm_keeps_the_sound_around_it_out(scene: Scene) -> None:
    scene.play(1.0)
    scene.play(0.5, first_h=1.0, state=State.ALARM)
    scene.play(1.0, first_h=1.5)
    sample = scene.files.read_sample()
    assert sample is not None
    for stretch in sample.stretches:
        start_h = (stretch.start_s - NOON_S) / 3600
        assert start_h + len(stretch) * 10 / 3600 <= 1.0 - 1 / 6 + 0.01 or start_h >= 1.5 + 1 / 6


def test_a_slow_drift_is_reported_and_not_learned(scene: Scene) -> None:
    rule = DecisionRule.from_manifest(MANIFEST, TARGET)
    assert rule.voices is not None
    windows = round(8 * HOUR)
    moved = draw_voices(windows) - 2.0 * rule.voices.scale
    scene.emit(play(moved))
    assert not scene.adjustments
    assert scene.value("asd_drift_scales") == pytest.approx(2.0, abs=0.2)
    assert "times the normal spread" in scene.statuses[-1].drift


def test_a_kill_at_any_moment_leaves_a_sample_that_can_be_read(tmp_path: Path) -> None:
    script = """
        import sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        from tests.recalibration.streams import make_stretch, NOON_S, SHA256, TARGET, WINDOW_S
        from asd_monitor.recalibration.sample import CalibrationSample
        sample = CalibrationSample(SHA256, TARGET, WINDOW_S)
        for number in range(100_000):
            sample.add(make_stretch(NOON_S + 600 * number))
            sample.write(Path(sys.argv[1]))
            print(len(sample), flush=True)
    """
    path = tmp_path / "calibration" / "pump.sample"
    for pause_s in (0.0, 0.01, 0.05):
        with subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(script), path, ROOT],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'offline'}"},
        ) as process:
            assert process.stdout is not None
            written = [int(process.stdout.readline()) for _ in range(3)][-1]
            time.sleep(pause_s)
            process.send_signal(signal.SIGKILL)
        sample = CalibrationFiles(tmp_path, "pump").read_sample()
        assert sample is not None
        assert len(sample) >= written
        assert np.all(np.isfinite(sample.scores()))
