"""Files that a replay writes, keeps, replaces and removes."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor.errors import DatasetError
from asd_offline.replay import replay
from asd_offline.report import write_report
from asd_offline.report.sound import OPUS_RATES_HZ
from tests.offline.fan_recordings import (
    CLIP_SAMPLES,
    HOP_SAMPLES,
    WINDOW_SAMPLES,
    ScoringProgress,
    replay_settings,
    write_clip,
    write_fans,
)
from tests.rig.toy_model import RATE_HZ


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_official_files_agree_with_the_clips_and_can_be_evaluated(
    fans: Path, toy: Path, tmp_path: Path
) -> None:
    replayed = replay(replay_settings(fans, toy, tmp_path))
    lines = (tmp_path / "anomaly_score_fan_id_00.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == sorted(
        path.name for path in (fans / "fan" / "test").glob("*id_00*")
    )
    written = dict(line.split(",") for line in lines)
    for result in replayed.sections[0].clips:
        assert float(written[result.clip.name]) == result.value
    decisions = (tmp_path / "decision_result_fan_id_00.csv").read_text().split()
    assert {line.split(",")[1] for line in decisions} <= {"0", "1"}
    assert json.loads((tmp_path / "result.json").read_text())["year"] == 2020


def test_every_window_is_listed_with_its_score(fans: Path, toy: Path, tmp_path: Path) -> None:
    replayed = replay(replay_settings(fans, toy, tmp_path))
    windows = rows(tmp_path / "window_scores.csv")
    per_clip = (CLIP_SAMPLES - WINDOW_SAMPLES) // HOP_SAMPLES + 1
    assert len(windows) == 24 * per_clip
    for result in replayed.sections[0].clips:
        scores = [
            float(row["score"])
            for row in windows
            if row["file"] == result.clip.name and row["section"] == "id_00"
        ]
        assert np.mean(scores) == pytest.approx(result.value, rel=1e-12)


def test_a_stopped_replay_is_resumed(
    fans: Path, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_offline.replay.plan.BLOCK_CLIPS", 2)
    with pytest.raises(KeyboardInterrupt):
        replay(replay_settings(fans, toy, tmp_path), ScoringProgress(stop_at=9))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("work/*/scores-*")}
    assert len(before) == 4  # four blocks of two clips; the ninth clip's block was not finished
    progress = ScoringProgress()
    resumed = replay(replay_settings(fans, toy, tmp_path), progress)
    assert max(progress.done) == 24 - 8
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())
    uninterrupted = replay(replay_settings(fans, toy, tmp_path / "uninterrupted"))
    assert resumed.to_dict() == uninterrupted.to_dict()


def test_a_changed_clip_is_scored_again(tmp_path: Path, toy: Path) -> None:
    write_fans(tmp_path / "data", 2)
    first = replay(replay_settings(tmp_path / "data", toy, tmp_path / "out"))
    write_clip(tmp_path / "data" / "fan" / "test" / "normal_id_00_00000000.wav", -12, 5)
    second = replay(replay_settings(tmp_path / "data", toy, tmp_path / "out"))
    before, after = (
        {result.clip.name: result.value for result in replayed.sections[0].clips}
        for replayed in (first, second)
    )
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"normal_id_00_00000000.wav"}
    assert len(list((tmp_path / "out" / "work").iterdir())) == 1


def test_without_an_output_folder_no_file_remains(
    fans: Path, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    replay(replay_settings(fans, toy))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_files_of_an_earlier_replay_with_other_machines_are_removed(
    tmp_path: Path, toy: Path
) -> None:
    write_fans(tmp_path / "data", 2)
    shutil.copytree(tmp_path / "data" / "fan", tmp_path / "data" / "pump")
    out = tmp_path / "out"
    replay(replay_settings(tmp_path / "data", toy, out))
    (out / "anomaly_score_mine_id_00.csv").write_text("foreign\n")
    assert (out / "anomaly_score_pump_id_00.csv").exists()
    replay(replay_settings(tmp_path / "data", toy, out, machines=("fan",)))
    assert not (out / "anomaly_score_pump_id_00.csv").exists()
    assert (out / "anomaly_score_mine_id_00.csv").exists()


def test_recordings_with_malicious_names_are_scored_and_escaped(tmp_path: Path, toy: Path) -> None:
    names = ["<script>alert(1)", "a,b\"c'.d", "=1+1", "x\ny"]
    root = tmp_path / "fan"
    for number, name in enumerate(names):
        write_clip(root / "fan" / names[0] / "normal" / f"{name}.wav", -20, number)
        write_clip(root / "fan" / names[0] / "anomaly" / f"{name}.wav", -14, 10 + number)
    result = replay(replay_settings(root, toy, tmp_path / "out"), write_report=write_report)
    document = result.to_dict()
    assert document["year"] is None
    assert document["machines"]["fan"]["sections"][names[0]]["auc"] == 1.0
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("<script") == 1  # that of the report, which the policy allows by its hash
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    (path,) = (tmp_path / "out").glob("anomaly_score_*")
    written = [row[0] for row in csv.reader(path.read_text().splitlines(keepends=True))]
    assert all(name.startswith(f"fan/{names[0]}/") for name in written)
    assert len(written) == 4 + 2  # two of four normal ones were for training


def test_the_report_has_no_external_resources(fans: Path, toy: Path, tmp_path: Path) -> None:
    replay(replay_settings(fans, toy, tmp_path), write_report=write_report)
    page = (tmp_path / "report.html").read_text()
    assert "http://" not in page
    assert "https://" not in page
    for word in (
        "fan id_00",
        "ROC",
        "Decisions at the threshold",
        "data:image/png",
        "periods of 10 s within 60 s",
        "Key clips",
        "data:audio/flac" if RATE_HZ not in OPUS_RATES_HZ else "data:audio/ogg",
        'href="window_scores.csv"',
        "Provenance",
    ):
        assert word in page


def test_a_folder_that_cannot_be_written_is_a_dataset_error(
    fans: Path, toy: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="file"):
        replay(replay_settings(fans, toy, tmp_path / "file"))


def test_the_scored_channel_is_reported_if_there_are_several(
    fans: Path, toy: Path, tmp_path: Path
) -> None:
    dataset = tmp_path / "fans"
    shutil.copytree(fans, dataset)
    clip = dataset / "fan/test/normal_id_00_00000001.wav"
    mono, _ = soundfile.read(clip)
    soundfile.write(clip, np.stack([mono, mono], axis=1), RATE_HZ)
    first = replay(replay_settings(dataset, toy, tmp_path / "out"), write_report=write_report)
    assert first.to_dict()["notes"] == [
        "1 of 24 test clips have several channels; only channel 0 (counted from 0) is used"
    ]
    assert "only channel 0" in (tmp_path / "out/report.html").read_text()
    assert replay(replay_settings(fans, toy)).to_dict()["notes"] == []
