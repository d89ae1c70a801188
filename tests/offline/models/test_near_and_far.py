"""Models that subtract the far channel of synthetic stereo recordings, from clips to scores."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from asd_monitor.errors import ConfigError, DatasetError
from asd_monitor.model_file import load
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.runtime.score_files import ScoreJob, score_files
from asd_offline.models.pretrained.near_and_far import NearAndFarFrontEnd, NearAndFarHead
from asd_offline.models.pretrained.pooling import PatchPooling
from asd_offline.models.pretrained.recipe import PretrainedRecipe
from asd_offline.recipes import read_recipe
from asd_offline.training.run import train
from tests.offline.model_files import recipe_file, train_and_load
from tests.offline.small_checkpoints import checkpoint, load_checkpoint, sha256, sound
from tests.offline.small_sounds import CPU, RATE_HZ, FakeProgress, hum, make_set, request

Train = Callable[[str], Path]


def stereo_clip(seed: int, *, whistle: str = "none") -> np.ndarray:
    """Return ``(2, samples)``: a machine near, passing sound in both channels, perhaps a whistle.

    The passing sound differs in level and frequency from clip to clip. The whistle is near (a
    fault), or in both channels (another machine).
    """
    random = np.random.default_rng(seed)
    t = np.arange(RATE_HZ) / RATE_HZ
    passing = random.uniform(0.0, 0.2) * np.sin(2 * np.pi * random.uniform(600, 3000) * t)
    passing = passing + 0.02 * random.standard_normal(RATE_HZ)
    machine = hum(seed, 300.0)
    tone = 0.15 * np.sin(2 * np.pi * 1500.0 * t)
    near = machine + passing + (tone if whistle != "none" else 0.0)
    far = 0.1 * machine + passing + (tone if whistle == "both" else 0.0)
    return np.stack([near, far]).astype(np.float32)


def stereo_set(root: Path, clips: int = 24) -> Path:
    for number in range(clips):
        path = root / "fan" / "train" / f"normal_id_00_{number:08d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, stereo_clip(number).T, RATE_HZ, "FLOAT")
    return root


def recipe(folder: Path, **changes: object) -> Path:
    path = checkpoint(folder, "ced")
    settings = {"checkpoint": str(path), "sha256": sha256(path), "bands": "joined"}
    return recipe_file(folder, "pretrained", **settings | changes)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Train a model with the far channel as named, once; return its file."""
    dataset = stereo_set(tmp_path_factory.mktemp("stereo"))

    @cache
    def train_model(far_channel: str) -> Path:
        folder = tmp_path_factory.mktemp(far_channel)
        path = recipe(folder, far_channel=far_channel, backend="neighbours")
        train_and_load(request(folder, dataset, model="pretrained", recipe=path))
        return folder / "model.asd"

    return train_model


def mean_scores(model: LoadedModel, whistle: str) -> np.ndarray:
    clips = np.stack([stereo_clip(500 + i, whistle=whistle) for i in range(12)])
    if model.manifest.channels == 1:
        clips = clips[:, 0]
    return model.score(clips, np.zeros(len(clips), np.int64))


@pytest.mark.parametrize("far_channel", ["subtracted", "fitted"])
def test_sound_in_both_channels_is_less_anomalous_than_the_same_sound_near(
    trained: Train, far_channel: str
) -> None:
    model = load(trained(far_channel))
    assert model.manifest.channels == 2
    assert model.manifest.description["far_channel"] == far_channel
    both, near = (mean_scores(model, whistle) for whistle in ("both", "near"))
    assert float((near > both).mean()) >= 0.9


def test_without_the_far_channel_both_are_equally_anomalous(trained: Train) -> None:
    model = load(trained("ignored"))
    assert model.manifest.channels == 1
    np.testing.assert_allclose(mean_scores(model, "both"), mean_scores(model, "near"), atol=1e-5)


def test_score_accepts_stereo_recordings_and_refuses_others(trained: Train, tmp_path: Path) -> None:
    path = trained("subtracted")
    model = load(path)
    stereo, mono = tmp_path / "stereo.wav", tmp_path / "mono.wav"
    soundfile.write(stereo, stereo_clip(900).T, RATE_HZ, "FLOAT")
    soundfile.write(mono, stereo_clip(900)[0], RATE_HZ, "FLOAT")
    scored, refused = score_files([stereo, mono], ScoreJob(path, b"", "cpu", "fan/id_00"), model)
    expected = model.score(stereo_clip(900)[None], np.zeros(1, np.int64))[0]
    assert scored.clip is not None
    assert scored.clip.value == pytest.approx(expected, abs=1e-3)
    assert "has no channel 1" in refused.problem


def test_recordings_of_one_channel_are_refused_before_training(tmp_path: Path) -> None:
    path = recipe(tmp_path, far_channel="subtracted")
    dataset = make_set(tmp_path / "set", ("fan",), ("00",), 6)
    training = request(tmp_path, dataset, model="pretrained", recipe=path)
    with pytest.raises(DatasetError, match=r"expected 2 channels, .* found 1"):
        train(training, CPU, FakeProgress())
    assert not training.out.exists()


def test_both_channels_have_the_vectors_of_the_same_network(tmp_path: Path) -> None:
    front = load_checkpoint(checkpoint(tmp_path, "ced"))
    pooling = PatchPooling("rdp_gem", "separate", normalised=False)
    both = torch.stack([sound(), sound().flip(0)], dim=1)  # (2, 2, samples)
    with torch.no_grad():
        vectors = NearAndFarHead(pooling)(NearAndFarFrontEnd(front)(both))
        near, far = pooling(front(both[:, 0])), pooling(front(both[:, 1]))
    torch.testing.assert_close(vectors, torch.cat([near, far], dim=2))


def test_a_share_that_is_not_used_is_refused(tmp_path: Path) -> None:
    path = recipe(tmp_path, far_channel="fitted", far_share=0.5)
    with pytest.raises(ConfigError, match="far_share: not used by far_channel fitted"):
        read_recipe(path, "pretrained", PretrainedRecipe)
