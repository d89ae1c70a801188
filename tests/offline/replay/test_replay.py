"""Replay scores every clip as the live path does, and says of each file that it does not why."""

import csv
import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from asd_monitor import model_file
from asd_monitor.errors import ConfigError, DatasetError, ModelFileError
from asd_offline.datasets import Clip
from asd_offline.replay import ReplaySettings, replay
from asd_offline.replay.jobs import covering_hop
from asd_offline.replay.plan import SectionPlan
from asd_offline.replay.records import ClipResult
from asd_offline.replay.results import SectionReplay
from asd_offline.report import write_report
from tests.rig.hostile_recordings import READABLE, UNREADABLE, sound, write_all
from tests.rig.toy_model import RATE_HZ, save_toy

CLIP_SAMPLES = 8 * 800


def write_clip(path: Path, level_dbfs: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    samples = 10 ** (level_dbfs / 20) * random.standard_normal(CLIP_SAMPLES)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.clip(samples, -1, 1), RATE_HZ, subtype="PCM_16")


def make_2020(root: Path, clips: int = 6) -> Path:
    """Fans whose anomalies are 3 dB louder; id_02 has no training clips."""
    for number in range(clips):
        name = f"id_00_{number:08d}.wav"
        write_clip(root / "fan" / "train" / f"normal_{name}", -20, number)
        for machine_id in ("00", "02"):
            name = f"id_{machine_id}_{number:08d}.wav"
            write_clip(root / "fan" / "test" / f"normal_{name}", -20, 100 + number)
            write_clip(root / "fan" / "test" / f"anomaly_{name}", -17, 200 + number)
    return root


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("model") / "toy.asd")


@pytest.fixture(scope="module")
def fans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_2020(tmp_path_factory.mktemp("data") / "fans")


def test_a_score_at_the_threshold_is_decided_normal() -> None:
    section = SectionReplay(SectionPlan(0, "fan", "id_00", (), (), "fan"), threshold=2.0)
    clip = Clip(Path("a.wav"), None, "fan", "id_00", "", "test", None)
    decisions = [section.decision(ClipResult(clip, value=v)) for v in (1.0, 2.0, 2.0000001)]
    assert decisions == [0, 0, 1]


def settings(
    dataset: Path, model: Path | str, out: Path | None = None, **more: object
) -> ReplaySettings:
    plain = ReplaySettings(dataset, model=str(model), out=out, jobs=1)
    return replace(plain, **more)  # type: ignore[arg-type]


@dataclass
class ScoringProgress:
    """Record how many clips are scored, and interrupt once ``stop_at`` of them are."""

    stop_at: float = float("inf")
    done: list[float] = field(default_factory=list)

    def update(self, stage: str, done: float, total: float, detail: str = "") -> None:
        if stage == "scoring":
            self.done.append(done)
            if done >= self.stop_at:
                raise KeyboardInterrupt

    def message(self, text: str) -> None:
        """Do nothing."""


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def test_a_model_file_scores_every_section_that_it_has_a_target_for(
    fans: Path, toy: Path, tmp_path: Path
) -> None:
    replayed = replay(settings(fans, toy, tmp_path))
    document = replayed.to_dict()
    sections = document["machines"]["fan"]["sections"]
    assert set(sections) == {"id_00", "id_02"}
    assert all(each["auc"] == 1.0 for each in sections.values())
    assert document["official_score"] is None
    assert document["partial_score"] == 1.0
    assert document["model"]["sha256"] == model_file.read_manifest(toy)[1]


def test_sections_that_the_model_does_not_know_get_null_and_a_reason(
    tmp_path: Path, toy: Path
) -> None:
    make_2020(tmp_path / "data", 2)
    shutil.copytree(tmp_path / "data" / "fan", tmp_path / "data" / "valve")
    document = replay(settings(tmp_path / "data", toy)).to_dict()
    assert document["machines"]["fan"]["sections"]["id_00"]["auc"] is not None
    valve = document["machines"]["valve"]["sections"]["id_00"]
    assert valve["auc"] is None
    assert "no target valve/id_00" in valve["reason"]


def test_official_files_agree_with_the_clips_and_can_be_evaluated(
    fans: Path, toy: Path, tmp_path: Path
) -> None:
    replayed = replay(settings(fans, toy, tmp_path))
    lines = (tmp_path / "anomaly_score_fan_id_00.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == sorted(
        path.name for path in (fans / "fan" / "test").glob("*id_00*")
    )
    written = dict(line.split(",") for line in lines)
    for each in replayed.sections[0].clips:
        assert float(written[each.clip.name]) == each.value
    decisions = (tmp_path / "decision_result_fan_id_00.csv").read_text().split()
    assert {line.split(",")[1] for line in decisions} <= {"0", "1"}
    assert json.loads((tmp_path / "result.json").read_text())["year"] == 2020


def test_every_window_is_listed_with_its_score(fans: Path, toy: Path, tmp_path: Path) -> None:
    replayed = replay(settings(fans, toy, tmp_path))
    windows = rows(tmp_path / "window_scores.csv")
    per_clip = (CLIP_SAMPLES - 800) // 400 + 1
    assert len(windows) == 24 * per_clip
    for each in replayed.sections[0].clips:
        own = [
            float(row["score"])
            for row in windows
            if row["file"] == each.clip.name and row["section"] == "id_00"
        ]
        assert np.mean(own) == pytest.approx(each.value, rel=1e-12)


@pytest.mark.parametrize("kinds", [READABLE, UNREADABLE])
def test_hostile_recordings_are_read_right_or_rejected_with_a_reason(
    tmp_path: Path, toy: Path, kinds: dict[str, Any]
) -> None:
    test = make_2020(tmp_path / "data", 2) / "fan" / "test"
    names = write_all(test, kinds, "normal_id_00_9")
    for path in list(test.glob("normal_id_00_9*")):
        path.rename(test / path.name.replace("_9", "_", 1))
    names = {name.replace("_9", "_", 1): kind for name, kind in names.items()}
    replayed = replay(settings(tmp_path / "data", toy, tmp_path / "out"), write_report=write_report)
    scored = {each.clip.name for each in replayed.sections[0].clips}
    reasons = {each.path.name: each.reason for each in replayed.challenge.rejected}
    for name, kind in names.items():
        if kinds is READABLE:
            assert name in scored, (kind, reasons.get(name))
        else:
            assert name not in scored, kind
            assert reasons[name], kind
    if kinds is UNREADABLE:
        assert any("test clips not scored" in each for each in replayed.challenge.missing)
        assert "files rejected" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize("kind", ["truncated sound", "digital silence", "text"])
def test_strict_makes_a_rejected_file_an_error(tmp_path: Path, toy: Path, kind: str) -> None:
    test = make_2020(tmp_path / "data", 2) / "fan" / "test"
    (test / "normal_id_00_00000099.wav").write_bytes(UNREADABLE[kind]())
    with pytest.raises(DatasetError, match="normal_id_00_00000099"):
        replay(settings(tmp_path / "data", toy, tmp_path / "out", strict=True))
    assert not (tmp_path / "out" / "result.json").exists()
    assert not (tmp_path / "out" / "window_scores.csv").exists()


def test_results_do_not_depend_on_the_number_of_jobs(
    tmp_path: Path, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_offline.replay.plan.BLOCK_CLIPS", 4)
    make_2020(tmp_path / "data", 5)
    texts = []
    for jobs in (1, 2):
        out = tmp_path / f"out{jobs}"
        replay(settings(tmp_path / "data", toy, out, jobs=jobs))
        texts.append((out / "window_scores.csv").read_bytes())
    assert texts[0] == texts[1]


def test_a_replay_goes_on_where_it_was_stopped(
    fans: Path, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_offline.replay.plan.BLOCK_CLIPS", 2)

    with pytest.raises(KeyboardInterrupt):
        replay(settings(fans, toy, tmp_path), ScoringProgress(stop_at=9))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("work/*/scores-*")}
    assert len(before) == 4  # four blocks of two clips; the ninth clip's block was not finished
    progress = ScoringProgress()
    stopped = replay(settings(fans, toy, tmp_path), progress)
    assert max(progress.done) == 24 - 8
    assert all(path.stat().st_mtime_ns == at for path, at in before.items())
    whole = replay(settings(fans, toy, tmp_path / "whole"))
    assert stopped.to_dict() == whole.to_dict()


def test_a_changed_clip_is_scored_again(tmp_path: Path, toy: Path) -> None:
    make_2020(tmp_path / "data", 2)
    first = replay(settings(tmp_path / "data", toy, tmp_path / "out"))
    write_clip(tmp_path / "data" / "fan" / "test" / "normal_id_00_00000000.wav", -12, 5)
    second = replay(settings(tmp_path / "data", toy, tmp_path / "out"))
    scores = [{c.clip.name: c.value for c in each.sections[0].clips} for each in (first, second)]
    changed = {name for name in scores[0] if scores[0][name] != scores[1][name]}
    assert changed == {"normal_id_00_00000000.wav"}
    assert len(list((tmp_path / "out" / "work").iterdir())) == 1


def test_without_a_folder_nothing_is_left_behind(
    fans: Path, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    replay(settings(fans, toy))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_files_of_an_earlier_replay_with_other_machines_are_removed(
    tmp_path: Path, toy: Path
) -> None:
    make_2020(tmp_path / "data", 2)
    shutil.copytree(tmp_path / "data" / "fan", tmp_path / "data" / "pump")
    out = tmp_path / "out"
    replay(settings(tmp_path / "data", toy, out))
    (out / "anomaly_score_mine_id_00.csv").write_text("not ours\n")
    assert (out / "anomaly_score_pump_id_00.csv").exists()
    replay(settings(tmp_path / "data", toy, out, machines=("fan",)))
    assert not (out / "anomaly_score_pump_id_00.csv").exists()
    assert (out / "anomaly_score_mine_id_00.csv").exists()


def test_unlabelled_clips_get_scores_and_no_auc(tmp_path: Path, toy: Path) -> None:
    for number in range(3):
        write_clip(tmp_path / "data" / "fan" / "test" / f"id_01_{number:08d}.wav", -20, number)
    document = replay(settings(tmp_path / "data", toy, tmp_path / "out", year=2020)).to_dict()
    section = document["machines"]["fan"]["sections"]["id_01"]
    assert section["auc"] is None
    assert "no label" in section["reason"]
    assert len((tmp_path / "out" / "anomaly_score_fan_id_01.csv").read_text().split()) == 3


def test_own_recordings_with_names_meant_to_harm_are_scored_and_escaped(
    tmp_path: Path, toy: Path
) -> None:
    evil = ["<script>alert(1)", "a,b\"c'.d", "=1+1", "x\ny"]
    root = tmp_path / "fan"
    for number, name in enumerate(evil):
        write_clip(root / "fan" / evil[0] / "normal" / f"{name}.wav", -20, number)
        write_clip(root / "fan" / evil[0] / "anomaly" / f"{name}.wav", -14, 10 + number)
    result = replay(settings(root, toy, tmp_path / "out"), write_report=write_report)
    document = result.to_dict()
    assert document["year"] is None
    assert document["machines"]["fan"]["sections"][evil[0]]["auc"] == 1.0
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    (path,) = (tmp_path / "out").glob("anomaly_score_*")
    names = [row[0] for row in csv.reader(path.read_text().splitlines(keepends=True))]
    assert all(name.startswith(f"fan/{evil[0]}/") for name in names)
    assert len(names) == 4 + 2  # two of four normal ones were for training


def test_the_report_needs_nothing_from_outside(fans: Path, toy: Path, tmp_path: Path) -> None:
    replay(settings(fans, toy, tmp_path), write_report=write_report)
    page = (tmp_path / "report.html").read_text()
    assert "http://" not in page
    assert "https://" not in page
    for word in (
        "fan id_00",
        "ROC",
        "Decisions at the threshold",
        "data:image/png",
        "Alarm (3 of 5 windows)",
        "Key clips",
        "Provenance",
    ):
        assert word in page


def test_a_stereo_channel_is_chosen(tmp_path: Path, toy: Path) -> None:
    root = tmp_path / "fan"
    for number, (label, gain) in enumerate([("normal", 1.0), ("anomaly", 3.0)] * 3):
        samples = sound(8000, 2, number)
        samples[:, 1] *= gain
        (root / label).mkdir(parents=True, exist_ok=True)
        soundfile.write(root / label / f"{number}.wav", samples, RATE_HZ)
    by_channel = [
        replay(settings(root, toy, channel=channel)).to_dict()["partial_score"]
        for channel in (0, 1)
    ]
    assert by_channel[1] == 1.0
    assert by_channel[0] < 1.0


def test_the_gamma_rule_decides_at_the_90th_percentile(fans: Path, toy: Path) -> None:
    document = replay(settings(fans, toy, decide="gamma")).to_dict()
    section = document["machines"]["fan"]["sections"]["id_00"]
    calibration = model_file.read_manifest(toy)[0].calibrations["fan"]
    assert section["threshold"] == pytest.approx(calibration.threshold(0.1), rel=0.1)
    assert "gamma" in section["threshold_rule"]


def test_a_missing_or_wrong_model_is_told(fans: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="nowhere"):
        replay(settings(fans, tmp_path / "nowhere.asd"))
    with pytest.raises(ConfigError, match="found a folder"):
        replay(settings(fans, tmp_path))


def test_a_folder_that_cannot_be_written_is_a_dataset_error(
    fans: Path, toy: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DatasetError, match="file"):
        replay(settings(fans, toy, tmp_path / "file"))


def test_a_set_is_chosen_where_both_are_there(tmp_path: Path, toy: Path) -> None:
    root = make_2020(tmp_path / "data", 2)
    for number in range(2):
        write_clip(root / "fan" / "test" / f"id_01_{number:08d}.wav", -20, number)
    document = replay(settings(root, toy, subset="dev")).to_dict()
    assert set(document["machines"]["fan"]["sections"]) == {"id_00", "id_02"}
    assert document["set"] == "dev"
    with pytest.raises(DatasetError, match="no clips of the eval set"):
        replay(settings(make_2020(tmp_path / "dev", 2), toy, subset="eval"))


@pytest.mark.parametrize(
    ("clip", "window", "hop"),
    [(160_000, 160_000, 160_000), (160_000, 32_000, 32_000), (176_000, 32_000, 28_800), (5, 8, 8)],
)
def test_the_fewest_windows_cover_a_clip(clip: int, window: int, hop: int) -> None:
    assert covering_hop(clip, window) == hop


def test_which_channel_is_scored_is_told_where_there_are_several(
    fans: Path, toy: Path, tmp_path: Path
) -> None:
    own = tmp_path / "fans"
    shutil.copytree(fans, own)
    clip = own / "fan/test/normal_id_00_00000001.wav"
    mono, _ = soundfile.read(clip)
    soundfile.write(clip, np.stack([mono, mono], axis=1), RATE_HZ)
    first = replay(settings(own, toy, tmp_path / "out"), write_report=write_report)
    assert first.to_dict()["notes"] == [
        "1 of 24 test clips have several channels; only channel 0 (counted from 0) is used"
    ]
    assert "only channel 0" in (tmp_path / "out/report.html").read_text()
    assert replay(settings(fans, toy)).to_dict()["notes"] == []
