"""Fault injection: requested levels, equal loudness, no recording in both parts."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.progress import NoProgress
from asd_monitor.synthesis.faults import FAULTS
from asd_offline.datasets.loading import open_dataset
from asd_offline.synth.fault_injection import InjectionResult, InjectionSettings, make_injected_set

ORIGINS = 9
LEVELS_DB = (-6.0, -12.0)


def record(folder: Path, count: int = ORIGINS, gain: float = 0.05) -> Path:
    folder.mkdir(parents=True)
    rng = np.random.default_rng(8)
    for number in range(count):
        sound = gain * np.clip(rng.standard_normal(20000), -3, 3)
        if number % 2:
            soundfile.write(folder / f"take_{number}.wav", sound, 16000)
        else:
            soundfile.write(folder / f"take_{number}.flac", sound, 16000)
    return folder


@pytest.fixture(scope="module")
def normals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("real") / "press 7" / "train")


@pytest.fixture(scope="module")
def injected_set(
    normals: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, InjectionResult]:
    out = tmp_path_factory.mktemp("out") / "set"
    settings = InjectionSettings(normals, levels_db=LEVELS_DB, train_clips=6)
    return out, make_injected_set(out, settings, NoProgress())


def rows(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "faults.csv").read_text(encoding="utf-8").splitlines()))


def read(path: Path) -> np.ndarray:
    return np.asarray(soundfile.read(path, dtype="float64")[0])


def test_set_opens_with_every_kind_and_level(injected_set: tuple[Path, InjectionResult]) -> None:
    out, injected = injected_set
    dataset = open_dataset(out)
    assert dataset.year == 2020
    assert dataset.machines() == ("press-7",)
    assert dataset.rejected == ()
    assert len(dataset.select(split="train")) == injected.train_clips == 6
    labels = [clip.label for clip in dataset.select(split="test")]
    assert labels.count(0) == injected.test_normals == 3
    assert labels.count(1) == injected.test_anomalies == 3 * len(FAULTS) * len(LEVELS_DB)
    cases = {(row["kind"], float(row["level_db"])) for row in rows(out) if row["kind"]}
    assert cases == {(kind, level_db) for kind in FAULTS for level_db in LEVELS_DB}


def test_no_origin_is_both_in_training_and_in_the_test(
    injected_set: tuple[Path, InjectionResult],
) -> None:
    table = rows(injected_set[0])
    train = {row["origin"] for row in table if "/train/" in row["path"]}
    test = {row["origin"] for row in table if "/test/" in row["path"]}
    assert len(train) == 6
    assert len(test) == 3
    assert not train & test


def test_normal_clips_are_the_unchanged_recordings(
    injected_set: tuple[Path, InjectionResult], normals: Path
) -> None:
    for row in rows(injected_set[0]):
        if not row["kind"]:
            written, _ = soundfile.read(injected_set[0] / row["path"], dtype="int16")
            original, _ = soundfile.read(normals / row["origin"], dtype="int16")
            assert np.array_equal(written, original)


def test_written_faults_have_their_level_and_the_loudness_of_their_origin(
    injected_set: tuple[Path, InjectionResult], normals: Path
) -> None:
    for row in rows(injected_set[0]):
        if row["kind"]:
            faulty, origin = read(injected_set[0] / row["path"]), read(normals / row["origin"])
            assert 20 * np.log10(np.std(faulty) / np.std(origin)) == pytest.approx(0.0, abs=0.05)
            component = faulty / 10 ** (float(row["gain_db"]) / 20) - origin
            level_db = 20 * np.log10(np.std(component) / np.std(origin))
            assert level_db == pytest.approx(float(row["level_db"]), abs=0.5)


def test_same_seed_same_bytes_and_another_division_with_another_seed(
    injected_set: tuple[Path, InjectionResult], normals: Path, tmp_path: Path
) -> None:
    settings = InjectionSettings(normals, levels_db=LEVELS_DB, train_clips=6)
    make_injected_set(tmp_path / "again", settings, NoProgress(), workers=2)
    assert (tmp_path / "again/faults.csv").read_bytes() == (
        injected_set[0] / "faults.csv"
    ).read_bytes()
    for row in rows(injected_set[0]):
        again = (tmp_path / "again" / row["path"]).read_bytes()
        assert again == (injected_set[0] / row["path"]).read_bytes()
    other = InjectionSettings(normals, ("hiss",), (-6.0,), train_clips=6, seed=2)
    make_injected_set(tmp_path / "other", other, NoProgress())
    first, second = (
        {row["origin"] for row in rows(out) if "/train/" in row["path"]}
        for out in (injected_set[0], tmp_path / "other")
    )
    assert first != second


def test_one_gain_for_all_clips_keeps_loud_recordings_from_clipping(tmp_path: Path) -> None:
    folder = record(tmp_path / "loud", gain=0.3)
    settings = InjectionSettings(folder, ("impacts",), (6.0,))
    injected = make_injected_set(tmp_path / "out", settings, NoProgress())
    assert injected.gain_db < 0.0
    gain = 10 ** (injected.gain_db / 20)
    for row in rows(tmp_path / "out"):
        sound, origin = read(tmp_path / "out" / row["path"]), read(folder / row["origin"])
        assert np.abs(sound).max() < 0.995
        assert np.std(sound) == pytest.approx(gain * np.std(origin), rel=1e-3)


def test_files_that_cannot_be_used_are_left_out_with_their_reason(tmp_path: Path) -> None:
    folder = record(tmp_path / "machine")
    (folder / "cut.wav").write_bytes(b"RIFF not a wav")
    soundfile.write(folder / "empty.wav", np.zeros(0), 16000)
    soundfile.write(folder / "silent.wav", np.zeros(32000), 16000)
    soundfile.write(folder / "anomaly_1.wav", np.sin(np.arange(32000)), 16000)
    rng = np.random.default_rng(1)
    soundfile.write(folder / "slow.wav", 0.1 * rng.uniform(-1, 1, 32000), 8000)
    injected = make_injected_set(
        tmp_path / "out", InjectionSettings(folder, ("hiss",), (-6.0,)), NoProgress()
    )
    reasons = {Path(path).name: reason for path, reason in injected.rejected}
    assert "cannot be read" in reasons["cut.wav"]
    assert "expected at least 1 s" in reasons["empty.wav"]
    assert reasons["silent.wav"] == "is silent"
    assert "marks it as anomalous" in reasons["anomaly_1.wav"]
    assert reasons["slow.wav"] == "8000 Hz, but most have 16000 Hz"
    assert len(reasons) == 5
    manifest = json.loads((tmp_path / "out/synth.json").read_text(encoding="utf-8"))
    assert len(manifest["parameters"]["rejected"]) == 5


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"kinds": ("hsis",)}, "expected one of impacts, .*got 'hsis'; did you mean hiss"),
        ({"kinds": ()}, "expected at least one of each"),
        ({"levels_db": (-6.0, -6.0)}, "--levels: expected different values"),
        ({"levels_db": (float("nan"),)}, "--levels: expected dB between -60 and 20"),
        ({"shaft_hz": 0.0}, "--shaft-hz: expected 0.2 to 500"),
        ({"seed": -1}, "--seed: expected 0 or more"),
        ({"train_clips": 1}, "--train-clips: expected at least 2, got 1"),
    ],
)
def test_impossible_setting_is_refused(
    normals: Path, tmp_path: Path, settings: dict[str, object], complaint: str
) -> None:
    injection = InjectionSettings(normals, **settings)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=complaint):
        make_injected_set(tmp_path / "out", injection, NoProgress())
    assert not (tmp_path / "out").exists()


def test_too_few_or_no_recordings_are_refused(normals: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="none is left for testing"):
        make_injected_set(
            tmp_path / "out", InjectionSettings(normals, train_clips=ORIGINS), NoProgress()
        )
    with pytest.raises(ConfigError, match="expected a folder of normal recordings"):
        make_injected_set(tmp_path / "out", InjectionSettings(tmp_path / "no"), NoProgress())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match="found 0 files and none usable"):
        make_injected_set(tmp_path / "out", InjectionSettings(tmp_path / "empty"), NoProgress())
