"""The feature cache: features are computed once, never stale, and survive interruptions."""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asd_monitor.audio.files import read_recording
from asd_monitor.audio.quality import without_offset
from asd_monitor.errors import RunError, SourceError
from asd_offline.features.cache import FeatureCache
from asd_offline.features.frontends import LogMel, LogMelSettings, NearAndFar, Waveform
from tests.offline.small_sounds import RATE_HZ, FakeProgress, hum
from tests.rig.full_disk import max_file_size

SETTINGS = LogMelSettings(RATE_HZ, 256, 128, 16)


@pytest.fixture
def clips(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.wav" for number in range(3)]
    for number, path in enumerate(paths):
        soundfile.write(path, hum(number, 300.0, seconds=1.0 + number / 4), RATE_HZ)
    return paths


def rows(folder: Path, clips: list[Path], settings: LogMelSettings = SETTINGS) -> int:
    """Check the rows of clips, and return how many clips were computed."""
    progress = FakeProgress()
    cached = FeatureCache(folder, progress).rows(clips, LogMel(settings))
    for index, path in enumerate(clips):
        waveform = torch.from_numpy(read_recording(path, RATE_HZ))
        assert torch.equal(cached.of(index), LogMel(settings)(waveform[None])[0])
    return round(progress.totals.get("features", 0))


def test_rows_are_computed_once_and_returned_in_the_given_order(
    tmp_path: Path, clips: list[Path]
) -> None:
    assert rows(tmp_path / "cache", clips[:2]) == 2
    assert rows(tmp_path / "cache", [clips[2], clips[0], clips[1]]) == 1
    assert rows(tmp_path / "cache", clips[::-1]) == 0


def test_a_changed_clip_is_computed_again(tmp_path: Path, clips: list[Path]) -> None:
    rows(tmp_path / "cache", clips)
    soundfile.write(clips[1], hum(99, 500.0, seconds=1.25), RATE_HZ)
    os.utime(clips[1], ns=(1, 1))
    assert rows(tmp_path / "cache", clips) == 1


def test_other_settings_have_separate_features(tmp_path: Path, clips: list[Path]) -> None:
    rows(tmp_path / "cache", clips)
    assert rows(tmp_path / "cache", clips, LogMelSettings(RATE_HZ, 256, 128, 8)) == 3


def test_changed_code_has_separate_features(
    tmp_path: Path, clips: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows(tmp_path / "cache", clips)
    changed = tmp_path / "changed.py"
    changed.write_text("# another version of the front end")
    monkeypatch.setattr("asd_offline.features.cache.inspect.getfile", lambda _: str(changed))
    assert rows(tmp_path / "cache", clips) == 3


def test_incomplete_rows_are_computed_again(tmp_path: Path, clips: list[Path]) -> None:
    rows(tmp_path / "cache", clips)
    folder = next((tmp_path / "cache").iterdir())
    (folder / "index.jsonl").write_bytes((folder / "index.jsonl").read_bytes()[:-10])
    assert rows(tmp_path / "cache", clips) == 1
    os.truncate(folder / "rows.f32", 100)
    assert rows(tmp_path / "cache", clips) == 3


def test_rows_stay_unchanged_while_others_are_added(tmp_path: Path, clips: list[Path]) -> None:
    cache = FeatureCache(tmp_path / "cache")
    first = cache.rows(clips[:1], LogMel(SETTINGS)).of(0)
    before = first.clone()
    cache.rows(clips, LogMel(SETTINGS))
    assert torch.equal(first, before)


def test_a_clip_that_cannot_be_read_is_named(tmp_path: Path, clips: list[Path]) -> None:
    clips[1].write_bytes(b"RIFF")
    with pytest.raises(SourceError, match=r"1\.wav"):
        rows(tmp_path / "cache", clips)
    with pytest.raises(SourceError, match="missing"):
        rows(tmp_path / "cache", [tmp_path / "missing.wav"])


def test_a_full_disk_is_reported_and_loses_no_rows(tmp_path: Path, clips: list[Path]) -> None:
    rows(tmp_path / "cache", clips[:1])
    with max_file_size(5000), pytest.raises(RunError, match="cannot be kept there"):
        rows(tmp_path / "cache", clips)
    assert rows(tmp_path / "cache", clips) == 2


def test_the_fingerprint_depends_on_names_and_contents(tmp_path: Path, clips: list[Path]) -> None:
    cache, names = FeatureCache(tmp_path / "cache"), ["a", "b", "c"]
    first = cache.fingerprint(clips, names)
    os.utime(clips[0], ns=(5, 5))
    assert cache.fingerprint(clips, names) == first
    assert cache.fingerprint(clips, ["a", "b", "d"]) != first
    soundfile.write(clips[2], hum(50, 300.0), RATE_HZ)
    assert cache.fingerprint(clips, names) != first


def test_a_front_end_of_two_channels_receives_near_and_far_of_the_same_time(
    tmp_path: Path,
) -> None:
    path = tmp_path / "stereo.wav"
    near, far = hum(1, 300.0, seconds=1.0), hum(2, 500.0, seconds=1.0)
    soundfile.write(path, np.stack([near, far], axis=1), RATE_HZ)
    cached = FeatureCache(tmp_path / "cache").rows([path], NearAndFar(RATE_HZ)).of(0)
    expected = [without_offset(read_recording(path, RATE_HZ, channel)) for channel in (0, 1)]
    assert torch.equal(cached, torch.from_numpy(np.stack(expected, axis=1)))
    mono = FeatureCache(tmp_path / "cache").rows([path], Waveform(RATE_HZ)).of(0)
    assert torch.equal(mono[:, 0], cached[:, 0])


def test_a_mono_clip_is_refused_by_a_front_end_of_two_channels(
    tmp_path: Path, clips: list[Path]
) -> None:
    with pytest.raises(SourceError, match="has no channel 1: it has 1"):
        FeatureCache(tmp_path / "cache").rows(clips, NearAndFar(RATE_HZ))
