"""Replay scores every clip, or reports why it has no score."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile

from asd_monitor import model_file
from asd_monitor.errors import ConfigError, DatasetError, ModelFileError
from asd_offline.datasets import Clip
from asd_offline.replay import replay
from asd_offline.replay.jobs import covering_hop
from asd_offline.replay.plan import SectionPlan
from asd_offline.replay.records import ClipResult
from asd_offline.replay.results import SectionReplay
from asd_offline.report import write_report
from tests.offline.fan_recordings import replay_settings, write_clip, write_fans
from tests.rig.hostile_recordings import READABLE, UNREADABLE, sound, write_all
from tests.rig.toy_model import RATE_HZ


def test_a_score_at_the_threshold_is_decided_normal() -> None:
    section = SectionReplay(SectionPlan(0, "fan", "id_00", (), (), "fan"), threshold=2.0)
    clip = Clip(Path("a.wav"), None, "fan", "id_00", "", "test", None)
    decisions = [section.decision(ClipResult(clip, value=v)) for v in (1.0, 2.0, 2.0000001)]
    assert decisions == [0, 0, 1]


def test_a_model_file_scores_every_section_that_it_has_a_target_for(
    fans: Path, toy: Path, tmp_path: Path
) -> None:
    replayed = replay(replay_settings(fans, toy, tmp_path))
    document = replayed.to_dict()
    sections = document["machines"]["fan"]["sections"]
    assert set(sections) == {"id_00", "id_02"}
    assert all(section["auc"] == 1.0 for section in sections.values())
    assert document["official_score"] is None
    assert document["partial_score"] == 1.0
    assert document["model"]["sha256"] == model_file.read_manifest(toy)[1]


def test_sections_that_the_model_does_not_know_get_null_and_a_reason(
    tmp_path: Path, toy: Path
) -> None:
    write_fans(tmp_path / "data", 2)
    shutil.copytree(tmp_path / "data" / "fan", tmp_path / "data" / "valve")
    document = replay(replay_settings(tmp_path / "data", toy)).to_dict()
    assert document["machines"]["fan"]["sections"]["id_00"]["auc"] is not None
    valve = document["machines"]["valve"]["sections"]["id_00"]
    assert valve["auc"] is None
    assert "no target valve/id_00" in valve["reason"]


@pytest.mark.parametrize("kinds", [READABLE, UNREADABLE])
def test_hostile_recordings_are_read_correctly_or_rejected_with_a_reason(
    tmp_path: Path, toy: Path, kinds: dict[str, Any]
) -> None:
    test = write_fans(tmp_path / "data", 2) / "fan" / "test"
    names = write_all(test, kinds, "normal_id_00_9")
    for path in list(test.glob("normal_id_00_9*")):
        path.rename(test / path.name.replace("_9", "_", 1))
    names = {name.replace("_9", "_", 1): kind for name, kind in names.items()}
    replayed = replay(
        replay_settings(tmp_path / "data", toy, tmp_path / "out"), write_report=write_report
    )
    scored = {result.clip.name for result in replayed.sections[0].clips}
    reasons = {file.path.name: file.reason for file in replayed.challenge.rejected}
    for name, kind in names.items():
        if kinds is READABLE:
            assert name in scored, (kind, reasons.get(name))
        else:
            assert name not in scored, kind
            assert reasons[name], kind
    if kinds is UNREADABLE:
        assert any("test clips not scored" in text for text in replayed.challenge.missing)
        assert "files rejected" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("kind", ["truncated sound", "digital silence", "text"])
def test_strict_makes_a_rejected_file_an_error(tmp_path: Path, toy: Path, kind: str) -> None:
    test = write_fans(tmp_path / "data", 2) / "fan" / "test"
    (test / "normal_id_00_00000099.wav").write_bytes(UNREADABLE[kind]())
    with pytest.raises(DatasetError, match="normal_id_00_00000099"):
        replay(replay_settings(tmp_path / "data", toy, tmp_path / "out", strict=True))
    assert not (tmp_path / "out" / "result.json").exists()
    assert not (tmp_path / "out" / "window_scores.csv").exists()


def test_results_do_not_depend_on_the_number_of_jobs(
    tmp_path: Path, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_offline.replay.plan.BLOCK_CLIPS", 4)
    write_fans(tmp_path / "data", 5)
    texts = []
    for jobs in (1, 2):
        out = tmp_path / f"out{jobs}"
        replay(replay_settings(tmp_path / "data", toy, out, jobs=jobs))
        texts.append((out / "window_scores.csv").read_bytes())
    assert texts[0] == texts[1]


def test_unlabelled_clips_get_scores_and_no_auc(tmp_path: Path, toy: Path) -> None:
    for number in range(3):
        write_clip(tmp_path / "data" / "fan" / "test" / f"id_01_{number:08d}.wav", -20, number)
    document = replay(
        replay_settings(tmp_path / "data", toy, tmp_path / "out", year=2020)
    ).to_dict()
    section = document["machines"]["fan"]["sections"]["id_01"]
    assert section["auc"] is None
    assert "no label" in section["reason"]
    assert len((tmp_path / "out" / "anomaly_score_fan_id_01.csv").read_text().split()) == 3


def test_the_chosen_channel_is_scored(tmp_path: Path, toy: Path) -> None:
    root = tmp_path / "fan"
    for number, (label, gain) in enumerate([("normal", 1.0), ("anomaly", 3.0)] * 3):
        samples = sound(8000, 2, number)
        samples[:, 1] *= gain
        (root / label).mkdir(parents=True, exist_ok=True)
        soundfile.write(root / label / f"{number}.wav", samples, RATE_HZ)
    by_channel = [
        replay(replay_settings(root, toy, channel=channel)).to_dict()["partial_score"]
        for channel in (0, 1)
    ]
    assert by_channel[1] == 1.0
    assert by_channel[0] < 1.0


def test_the_gamma_rule_decides_at_the_90th_percentile(fans: Path, toy: Path) -> None:
    document = replay(replay_settings(fans, toy, decide="gamma")).to_dict()
    section = document["machines"]["fan"]["sections"]["id_00"]
    calibration = model_file.read_manifest(toy)[0].calibrations["fan"]
    assert section["threshold"] == pytest.approx(calibration.threshold(0.1), rel=0.1)
    assert "gamma" in section["threshold_rule"]
    by_model = replay(replay_settings(fans, toy)).to_dict()["machines"]["fan"]["sections"]["id_00"]
    assert by_model["decisions"] == section["decisions"]
    for chosen, source in ((section, "gamma"), (by_model, "model")):
        decided = section["decisions"][source]
        assert decided["threshold"] == chosen["threshold"]
        assert decided["rule"] == chosen["threshold_rule"]
        assert (decided["normals"], decided["anomalies"]) == (
            section["alarm"]["normal_clips"],
            section["alarm"]["anomalies"],
        )
    assert section["decisions"]["gamma"]["threshold"] < by_model["threshold"]
    counts = [section["decisions"][source]["true_positives"] for source in ("model", "gamma")]
    assert 0 <= counts[0] <= counts[1] <= section["alarm"]["anomalies"]


def test_a_missing_model_file_or_a_folder_is_an_error(fans: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="nowhere"):
        replay(replay_settings(fans, tmp_path / "nowhere.asd"))
    with pytest.raises(ConfigError, match="found a folder"):
        replay(replay_settings(fans, tmp_path))


def test_one_set_is_replayed_if_it_is_chosen(tmp_path: Path, toy: Path) -> None:
    root = write_fans(tmp_path / "data", 2)
    for number in range(2):
        write_clip(root / "fan" / "test" / f"id_01_{number:08d}.wav", -20, number)
    document = replay(replay_settings(root, toy, subset="dev")).to_dict()
    assert set(document["machines"]["fan"]["sections"]) == {"id_00", "id_02"}
    assert document["set"] == "dev"
    with pytest.raises(DatasetError, match="no clips of the eval set"):
        replay(replay_settings(write_fans(tmp_path / "dev", 2), toy, subset="eval"))


@pytest.mark.parametrize(
    ("clip", "window", "hop"),
    [(160_000, 160_000, 160_000), (160_000, 32_000, 32_000), (176_000, 32_000, 28_800), (5, 8, 8)],
)
def test_the_fewest_windows_cover_a_clip(clip: int, window: int, hop: int) -> None:
    assert covering_hop(clip, window) == hop
