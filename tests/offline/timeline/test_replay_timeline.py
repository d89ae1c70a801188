"""``replay --timeline`` on streams, called as a user calls it."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import typer
from typer.testing import CliRunner, Result

from asd_monitor import model_file
from asd_monitor.commands.replay import replay
from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.detector import Detector
from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.records import State, WindowScore
from asd_offline.timeline.play import MACHINE, score_stream
from asd_offline.timeline.trace import MAX_BINS, trace_scores
from tests.offline.timeline.streams import make_score, write_levels
from tests.rig.toy_model import RATE_HZ, save_toy

HEADER = "start_s,end_s,label\n"

app = typer.Typer()
app.command("replay")(replay)


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, list(map(str, arguments)))


def report(*arguments: object) -> dict[str, Any]:
    result = call(*arguments, "--timeline", "--json", "--jobs", 1)
    assert result.exit_code == 0, result.exception
    timeline: dict[str, Any] = json.loads(result.stdout)["timeline"]
    return timeline


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("model") / "toy.asd")


@pytest.fixture
def fan(tmp_path: Path) -> Path:
    """A fan with a stream that is louder from 20 to 50 s, and one that is always normal."""
    folder = tmp_path / "fan"
    write_levels(folder / "streams" / "a.wav", [(20, -20), (30, -8), (50, -20)])
    (folder / "streams" / "a.csv").write_text(HEADER + "20,50,loud\n")
    write_levels(folder / "streams" / "b.wav", [(30, -20)], seed=1)
    (folder / "streams" / "b.csv").write_text(HEADER)
    return folder


def test_a_fault_is_detected_and_normal_sound_is_counted(fan: Path, toy: Path) -> None:
    timeline = report(fan, "--model", toy)
    assert (timeline["streams"], timeline["faults"], timeline["detected"]) == (2, 1, 1)
    assert (timeline["detected_within_60_s"], timeline["false_alarms"]) == (1, 0)
    assert timeline["normal_h"] == pytest.approx(100 / 3600, rel=0.02)
    first, second = timeline["by_stream"]
    assert (first["name"], first["detected"], second["name"]) == ("a", 1, "b")
    assert first["fault_list"][0]["delay_s"] == first["alarm_list"][0]["raised_s"] - 20


def test_states_are_those_of_the_live_path_and_do_not_depend_on_the_pieces(
    fan: Path, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_file.load(toy, "cpu")
    rule = DecisionRule.from_manifest(model.manifest, "fan")
    whole, _ = soundfile.read(fan / "streams" / "a.wav", dtype="float32")
    detector = Detector(model, {MACHINE: rule})
    windows = detector.score_recording(whole, "", MACHINE).windows
    alarm = Alarm(MACHINE, AlarmSettings(), "test")
    alarm.configure(rule, at=0.0)
    expected = [alarm.update(window)[0].state for window in windows]
    monkeypatch.setattr("asd_monitor.audio.files._BLOCK_FRAMES", 777)
    played = list(score_stream(fan / "streams" / "a.wav", Detector(model, {MACHINE: rule})))
    trace = trace_scores(played, rule, AlarmSettings(), 100)
    found = [
        next(p.state for p in trace.periods if p.start_s <= score.captured_at < p.end_s)
        for score in played[:-1]
    ]
    assert [score.value for score in played] == pytest.approx([w.value for w in windows], abs=1e-6)
    assert found == expected[:-1]
    assert State.ALARM in found


def test_training_recordings_are_learned_and_the_model_is_kept(tmp_path: Path) -> None:
    pump, rate_hz = PumpSound(3), 16_000
    for name, start_s, length_s, level in (("train/a", 0, 60, 0.0), ("streams/day", 100, 80, 0.6)):
        path = tmp_path / "pump" / f"{name}.wav"
        path.parent.mkdir(parents=True)
        normal = pump.block(start_s * rate_hz, length_s * rate_hz // 2)
        rest = pump.block((start_s + length_s // 2) * rate_hz, length_s * rate_hz // 2, level)
        soundfile.write(path, np.concatenate([normal, rest]), rate_hz)
    (tmp_path / "pump" / "streams" / "day.csv").write_text(HEADER + "40,80,bearing\n")
    out = tmp_path / "out"
    timeline = report(tmp_path / "pump", "--out", out)
    assert (timeline["detected"], timeline["false_alarms"]) == (1, 0)
    assert timeline["learned_h"] == pytest.approx(1 / 60)
    manifest, _ = model_file.read_manifest(out / "models" / "pump.asd")
    assert manifest.training["recordings"] == 6
    assert (manifest.targets, manifest.hop_samples) == (("pump",), rate_hz)
    page = (out / "report.html").read_text()
    assert "<svg" in page
    assert "bearing" in page
    assert json.loads((out / "result.json").read_text())["timeline"] == timeline


def test_machines_in_folders_are_scored_by_their_targets(
    fan: Path, toy: Path, tmp_path: Path
) -> None:
    write_levels(tmp_path / "pump" / "streams" / "a.wav", [(20, -26)])
    (tmp_path / "pump" / "streams" / "a.csv").write_text(HEADER)
    both = report(tmp_path, "--model", toy)
    assert [s["machine"] for s in both["by_stream"]] == ["fan", "fan", "pump"]
    assert both["false_alarms"] == 0
    assert report(tmp_path, "--model", toy, "--machine", "pump")["streams"] == 1
    error = call(tmp_path, "--timeline", "--model", toy, "--machine", "fax").exception
    assert isinstance(error, ConfigError)
    assert "which has: fan, pump" in str(error)


def test_the_table_and_the_false_alarms_are_printed(fan: Path, toy: Path) -> None:
    (fan / "streams" / "a.csv").write_text(HEADER)
    result = call(fan, "--timeline", "--model", toy, "--jobs", 1)
    assert "1 false alarm in 2.16 min of normal sound" in result.stdout
    assert "false alarm: a at 0:00:4" in result.stdout


@pytest.mark.parametrize(
    ("remove", "words"),
    [
        ("streams/a.csv", "write one with the header start_s,end_s,label alone"),
        ("streams/a.wav", "a.csv: expected a recording of that name, found none"),
        ("streams", "found no folder streams"),
    ],
)
def test_missing_files_are_named(fan: Path, toy: Path, remove: str, words: str) -> None:
    path = fan / remove
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    error = call(fan, "--timeline", "--model", toy).exception
    assert isinstance(error, DatasetError)
    assert words in str(error)


def test_without_model_and_training_recordings_there_is_nothing_to_learn(fan: Path) -> None:
    error = call(fan, "--timeline").exception
    assert isinstance(error, DatasetError)
    assert "expected recordings of normal sound in train/, found none" in str(error)


def test_options_of_datasets_are_refused(fan: Path) -> None:
    error = call(fan, "--timeline", "--year", 2020).exception
    assert isinstance(error, ConfigError)
    assert "--year: has no effect with --timeline" in str(error)


def test_the_score_of_a_long_stream_is_kept_in_few_bins_that_cover_all_windows(toy: Path) -> None:
    rule = DecisionRule.from_manifest(model_file.load(toy, "cpu").manifest, "fan")
    count = 5 * MAX_BINS + 3
    scores: list[WindowScore] = [
        make_score(n, -7.0 if n == 1234 else 0.0, rule) for n in range(count)
    ]
    trace = trace_scores(scores, rule, AlarmSettings(), count * rule.window_samples / RATE_HZ)
    assert MAX_BINS / 2 <= len(trace.bins) <= MAX_BINS
    assert min(entry.low for entry in trace.bins) == -7
    assert trace.bins[-1].end_s == pytest.approx(trace.duration_s)


def test_a_folder_of_streams_without_the_option_is_answered_with_the_option(fan: Path) -> None:
    write_levels(fan / "train" / "a.wav", [(20, -20)])
    error = call(fan).exception
    assert isinstance(error, DatasetError)
    assert "to play the streams in it, add --timeline" in str(error)
