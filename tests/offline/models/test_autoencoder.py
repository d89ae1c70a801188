"""The autoencoder equals the baselines' definition, and detects faults."""

from pathlib import Path

import numpy as np
import pytest
import torch

from asd_monitor.model_file import load
from asd_offline.export.export import export
from asd_offline.models import MODELS
from asd_offline.models.autoencoder.detector import (
    AutoencoderDetector,
    MeanSquaredError,
    Residuals,
)
from asd_offline.models.autoencoder.network import DenseAutoencoder, ReconstructionLoss
from asd_offline.models.autoencoder.recipe import AutoencoderRecipe
from asd_offline.training.run import train
from tests.offline.network_checks import weights_without_gradient
from tests.offline.small_sounds import (
    CPU,
    FakeProgress,
    hum,
    make_set,
    new_task,
    prepared_set,
    request,
    small_recipe,
)


def new_detector(residuals: Residuals) -> AutoencoderDetector:
    return AutoencoderDetector(residuals, MeanSquaredError()).eval()


def test_it_has_the_baselines_267928_trainable_parameters() -> None:
    network = DenseAutoencoder(AutoencoderRecipe())
    assert sum(weight.numel() for weight in network.parameters() if weight.requires_grad) == 267_928
    widths = [layer.out_features for layer in network.layers if isinstance(layer, torch.nn.Linear)]
    assert widths == [128, 128, 128, 128, 8, 128, 128, 128, 128, 640]


def test_the_recipe_is_the_published_one() -> None:
    recipe = AutoencoderRecipe()
    assert (recipe.epochs, recipe.batch_size, recipe.learning_rate) == (100, 512, 1e-3)
    assert (recipe.n_fft, recipe.hop_length, recipe.n_mels, recipe.frames) == (1024, 512, 128, 5)
    assert recipe.optimizer == "adam"


def test_a_ten_second_clip_gives_309_vectors_of_640(tmp_path: Path) -> None:
    detector = new_detector(Residuals(AutoencoderRecipe(), [torch.nn.Identity()], [0]))
    waveform = torch.randn(2, 160_000, generator=torch.Generator().manual_seed(0))
    error = detector.residuals(waveform, torch.tensor([0, 0]))
    assert error.shape == (2, 309, 640)
    assert torch.equal(detector(waveform, torch.tensor([0, 0])), torch.zeros(2))


def test_training_vectors_are_runs_of_frames_within_one_clip(tmp_path: Path) -> None:
    prepared, features = prepared_set(make_set(tmp_path / "set"), tmp_path / "cache")
    recipe = small_recipe()
    task = new_task(prepared, features)
    paths = [clip.path for clip in prepared.networks["fan"][0].clips]
    clips = features.rows(paths, recipe.log_mel())
    frames = 8000 // 128 + 1
    assert task.sample_count == len(paths) * (frames - 4)
    (drawn,) = task.draw(torch.arange(task.sample_count), torch.Generator())
    expected = torch.cat(
        [clips.of(i).unfold(0, 5, 1).transpose(1, 2).flatten(1) for i in range(len(paths))]
    )
    assert torch.equal(drawn, expected)
    assert frames == len(clips.of(0))


def test_folding_batch_normalisation_changes_no_score() -> None:
    torch.manual_seed(0)
    network = DenseAutoencoder(small_recipe())
    vectors = torch.randn(200, network.dims) * 10 - 40
    network.train()
    for _ in range(20):
        network(vectors)  # moves the running statistics away from their initial values
    folded = network.folded()
    assert not [layer for layer in folded if isinstance(layer, torch.nn.BatchNorm1d)]
    assert torch.allclose(folded(vectors), network.eval()(vectors), atol=1e-3)


def test_the_evidence_of_a_frame_is_the_mean_over_its_vectors() -> None:
    torch.manual_seed(1)
    recipe = small_recipe()
    residuals = Residuals(recipe, [DenseAutoencoder(recipe).folded()], [0, 0])
    detector = new_detector(residuals)
    waveform = torch.from_numpy(np.stack([hum(1, 300.0), hum(2, 700.0)]))
    target = torch.tensor([0, 1])
    evidence = detector.evidence(waveform, target)
    assert evidence.shape == (2, recipe.n_mels, 8000 // 128 + 1)
    vectors = residuals(waveform, target).square()
    middle = vectors.reshape(2, -1, 5, recipe.n_mels)
    # Frame 10 is the last of vector 6, ..., the first of vector 10.
    frame = torch.stack([middle[:, 10 - offset, offset] for offset in range(5)]).mean(0)
    assert torch.allclose(evidence[:, :, 10], frame, rtol=1e-5)


def test_every_weight_gets_a_gradient() -> None:
    torch.manual_seed(0)
    loss = ReconstructionLoss(small_recipe())
    loss(torch.randn(64, 80)).backward()
    assert weights_without_gradient(loss) == []


def test_each_machine_has_a_network_for_all_of_its_ids(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set", ("fan", "pump"), ("00", "02"), clips=4)
    prepared, _ = prepared_set(dataset, tmp_path / "cache")
    names = {
        name: [target.name for target in targets] for name, targets in prepared.networks.items()
    }
    assert names == {"fan": ["fan/id_00", "fan/id_02"], "pump": ["pump/id_00", "pump/id_02"]}
    assert MODELS["autoencoder"].recipe is AutoencoderRecipe


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported")
    dataset = make_set(folder / "set", ("fan", "pump"), ("00", "02"))
    training = request(folder, dataset, epochs=15, checkpoint_interval_s=60.0)
    train(training, CPU, FakeProgress())
    export(training.out, folder / "model.asd", training.cache)
    return folder / "model.asd"


def test_an_unknown_whistle_scores_above_normal_sound(exported: Path) -> None:
    model = load(exported)
    assert model.manifest.targets == ("fan/id_00", "fan/id_02", "pump/id_00", "pump/id_02")
    normal, faulty = hum(50, 500.0), hum(50, 500.0) + hum(51, 1500.0)
    target = np.array([model.target_index("fan/id_00")] * 2)
    # 200 + 100 * len("fan") = 500 Hz is the tone of fan id_00.
    scores = model.score(np.stack([normal, faulty]), target)
    assert scores[1] > 1.5 * scores[0]
    evidence = model.evidence(np.stack([normal, faulty]), target)
    assert evidence is not None
    assert evidence[1].mean() > evidence[0].mean()


def test_another_machines_sound_is_anomalous(exported: Path) -> None:
    model = load(exported)
    fan, pump = (model.target_index(f"{name}/id_00") for name in ("fan", "pump"))
    window = np.stack([hum(60, 500.0)] * 2)
    scores = model.score(window, np.array([fan, pump]))
    assert scores[0] < scores[1]


def test_a_batch_scores_like_its_windows_one_by_one_and_silence_is_finite(exported: Path) -> None:
    model = load(exported)
    windows = np.stack([hum(7, 500.0), hum(8, 640.0), np.zeros(8000, np.float32)])
    targets = np.array([0, 3, 1])
    batch = model.score(windows, targets)
    single = [model.score(windows[i : i + 1], targets[i : i + 1])[0] for i in range(3)]
    assert np.all(np.isfinite(batch))
    np.testing.assert_allclose(batch, single, rtol=1e-5)
