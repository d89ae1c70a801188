"""Windows that the monitor does not score stay out of training, banks and calibration."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from asd_monitor import model_file
from asd_monitor.audio.files import read_recording
from asd_monitor.audio.lazy_clips import ClipCache
from asd_monitor.audio.quality import assess
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.records import SCORED_QUALITIES, FloatArray
from asd_offline.datasets import open_dataset
from asd_offline.export.export import export
from asd_offline.models import MODELS
from asd_offline.models.twfr_gmm import TwfrGmmRecipe
from asd_offline.replay.training_audio import open_training_clips
from asd_offline.training.prepare import PreparedData, prepare
from asd_offline.training.run import train
from asd_offline.training.usable_sound import WindowQuality, usable_stretches
from tests.offline.small_sounds import (
    CPU,
    RATE_HZ,
    FakeProgress,
    hum,
    make_set,
    request,
    small_recipe,
)

BAD = {
    "silent": np.zeros(RATE_HZ, np.float32),
    "stuck": np.full(RATE_HZ, 0.25, np.float32),
    "not finite": np.full(RATE_HZ, 1e6, np.float32) * hum(0, 200.0),
}


def prepared(root: Path, window_s: float) -> PreparedData:
    recipe = small_recipe(window_s=window_s)
    cache = root.parent / "cache"
    return prepare(MODELS["autoencoder"], open_dataset(root), recipe, cache)


def train_clip(root: Path, number: int) -> Path:
    return root / "fan" / "train" / f"normal_id_00_{number:08d}.wav"


@pytest.mark.parametrize("kind", BAD)
def test_a_clip_without_sound_is_left_out(tmp_path: Path, kind: str) -> None:
    root = make_set(tmp_path / "set")
    soundfile.write(train_clip(root, 3), BAD[kind], RATE_HZ, "FLOAT")
    data = prepared(root, 1.0)
    assert {clip.name for clip in data.clips} == {
        train_clip(root, number).name for number in range(8) if number != 3
    }
    assert data.notes[0].endswith(f"1 of 8 training clips ({train_clip(root, 3).name})")


@pytest.mark.parametrize("kind", BAD)
def test_of_a_clip_with_a_bad_part_the_rest_is_used(tmp_path: Path, kind: str) -> None:
    root = make_set(tmp_path / "set")
    sound = np.concatenate([hum(1, 240.0), BAD[kind], hum(2, 240.0, seconds=0.1)])
    soundfile.write(train_clip(root, 3), sound, RATE_HZ, "FLOAT")
    data = prepared(root, 0.5)
    (part,) = [clip for clip in data.clips if clip.name.startswith(train_clip(root, 3).name)]
    samples = read_recording(part.path, RATE_HZ)
    assert np.abs(len(samples) - RATE_HZ) <= 1
    assert assess(samples).quality in SCORED_QUALITIES
    assert data.notes[0].startswith("used without the parts that are silent")


def test_clips_with_sound_are_used_as_they_are(tmp_path: Path) -> None:
    root = make_set(tmp_path / "set")
    data = prepared(root, 0.5)
    assert {clip.path.parent for clip in data.clips} == {root / "fan" / "train"}
    assert not [note for note in data.notes if "silent" in note]


def test_silent_clips_do_not_change_a_memory_bank(tmp_path: Path) -> None:
    """The detector is the same as without them, although it is fitted from the cached features."""
    recipe = TwfrGmmRecipe(sample_rate_hz=RATE_HZ, n_fft=256, hop_length=128, n_mels=16)
    state = []
    for name, silent in (("with", True), ("without", False)):
        root = make_set(tmp_path / name, clips=16)
        for number in (2, 7, 11):
            train_clip(root, number).unlink()
            if silent:
                soundfile.write(train_clip(root, number), np.zeros(RATE_HZ), RATE_HZ)
        text = recipe.model_dump_json(exclude_none=True)
        (tmp_path / f"{name}.yaml").write_text(text)
        ordered = request(
            tmp_path,
            root,
            out=tmp_path / f"run {name}",
            model="twfr_gmm",
            recipe=tmp_path / f"{name}.yaml",
        )
        run = train(ordered, CPU, FakeProgress())
        export(run.folder, tmp_path / f"{name}.asd", ordered.cache)
        loaded = model_file.load(tmp_path / f"{name}.asd", "cpu")
        windows = np.stack([hum(seed, 540.0) for seed in range(5)])
        state.append(loaded.score(windows, np.zeros(5, np.int64)))
    assert np.array_equal(state[0], state[1])


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(
        st.tuples(st.sampled_from(["sound", "zero", "stuck", "huge"]), st.integers(1, 3000)),
        min_size=1,
        max_size=6,
    ),
    window=st.integers(400, 3000),
)
def test_every_window_of_a_stretch_can_be_scored(
    pieces: list[tuple[str, int]], window: int
) -> None:
    noise = np.random.default_rng(0).standard_normal(3000).astype(np.float32) * 0.1
    sounds: dict[str, FloatArray] = {
        "sound": noise,
        "zero": 0 * noise,
        "stuck": 0 * noise + np.float32(0.3),
        "huge": noise * 0 + np.float32(100.0),
    }
    samples = np.concatenate([sounds[kind][:count] for kind, count in pieces])
    for start, end in usable_stretches(samples, window):
        for cut in clip_windows(samples[start:end], window, 97):
            assert assess(cut).quality in SCORED_QUALITIES


def test_the_quality_of_the_end_of_a_clip_counts() -> None:
    samples = torch.from_numpy(hum(0, 200.0)).clone()
    samples[-1700:] = 0
    quality = WindowQuality(RATE_HZ, 3000, 3000)(samples[None])
    assert quality.flatten().tolist() == [1, 1, 0]


@pytest.mark.parametrize("kind", ["silent", "stuck"])
def test_a_quick_start_lists_clips_without_sound(tmp_path: Path, kind: str) -> None:
    root = make_set(tmp_path / "set")
    soundfile.write(train_clip(root, 3), BAD[kind], RATE_HZ, "FLOAT")
    paths = [train_clip(root, number) for number in range(8)]
    recordings, rejected = open_training_clips(paths, ClipCache(RATE_HZ, 0))
    assert len(recordings) == 7
    assert [(file.path, kind in file.reason) for file in rejected] == [(paths[3], True)]
