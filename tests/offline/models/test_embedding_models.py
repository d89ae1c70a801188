"""Models with embeddings or spectra and neighbours: training, backends, and the model files."""

from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from asd_monitor.audio.files import read_recording
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.features import FEATURE_GROUP_NAMES
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_offline.datasets.loading import open_dataset
from asd_offline.features.cache import FeatureCache
from asd_offline.models import MODELS
from asd_offline.models.adacos.fine_features import FINE_GROUP_NAMES, FRAME_MEAN_GROUP_NAMES
from asd_offline.models.adacos.fused_detector import FusedDetector
from asd_offline.models.adacos.recipe import SpectralAdacosRecipe
from asd_offline.models.modulation_knn import ModulationSpectra
from asd_offline.models.protocol import DetectorModule
from asd_offline.recipes import read_recipe
from asd_offline.training.prepare import PreparedData, prepare
from asd_offline.training.run import train
from tests.offline.model_files import (
    check_scores_are_finite_and_independent_of_the_batch,
    scores_as,
    small_recipe,
    train_and_load,
    training_request,
)
from tests.offline.small_sounds import CPU, RATE_HZ, FakeProgress, hum, make_set


@pytest.fixture(scope="module", params=["multires_adacos", "modulation_knn", "spectral_adacos"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp(request.param)
    dataset = make_set(folder / "set", ("fan", "pump"))
    return train_and_load(training_request(folder, request.param, dataset))


def test_a_model_file_has_a_calibration_for_each_target(model: LoadedModel) -> None:
    names = ("fan/id_00", "pump/id_00")
    assert model.manifest.targets == names
    assert set(model.manifest.calibrations) == set(names)


def test_the_sound_of_a_target_scores_lower_for_it_than_for_another_target(
    model: LoadedModel,
) -> None:
    # hum at 500 Hz is fan id_00; pump id_00 is 600 Hz.
    windows = np.stack([hum(60 + i, 500.0) for i in range(6)])
    same, other = (scores_as(model, f"{machine}/id_00", windows) for machine in ("fan", "pump"))
    assert same.mean() < other.mean()


def test_a_fault_scores_above_normal_sound(model: LoadedModel) -> None:
    surge = 1.0 + 0.9 * np.sin(2 * np.pi * 9.0 * np.arange(RATE_HZ) / RATE_HZ)
    normal = np.stack([hum(80 + i, 500.0) for i in range(6)])
    faulty = np.stack([hum(80 + i, 500.0) + hum(90 + i, 1500.0) for i in range(6)])
    faulty = (faulty * surge).astype(np.float32)
    lowest = scores_as(model, "fan/id_00", faulty).min()
    assert lowest > scores_as(model, "fan/id_00", normal).max()


def test_scores_are_finite_and_independent_of_the_batch(model: LoadedModel) -> None:
    check_scores_are_finite_and_independent_of_the_batch(model)


def test_modulation_spectra_do_not_change_with_the_gain() -> None:
    spectra = ModulationSpectra(RATE_HZ, RATE_HZ, RATE_HZ, 12).eval()
    window = torch.from_numpy(hum(1, 500.0))[None]
    torch.testing.assert_close(spectra(0.5 * window), spectra(window), rtol=0, atol=0.01)
    assert spectra(window).shape == (1, 1, 12 * 8)


def test_stopped_and_resumed_training_gives_the_same_network(tmp_path: Path) -> None:
    dataset = make_set(tmp_path / "set", ("fan", "pump"), ("00", "02"))
    training = training_request(tmp_path, "spectral_adacos", dataset, epochs=3)
    train(training, CPU, FakeProgress())
    stopped = replace(training, out=tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        train(stopped, CPU, FakeProgress(stop_at_epoch=1))
    train(replace(stopped, resume=True), CPU, FakeProgress())
    checkpoints = [
        torch.load(next((folder / "networks" / "all").glob("epoch-*3-*.pt")), weights_only=True)
        for folder in (training.out, stopped.out)
    ]
    for name, weight in checkpoints[0]["weights"].items():
        assert torch.equal(weight, checkpoints[1]["weights"][name]), name


def untrained_detector(folder: Path, **settings: object) -> tuple[DetectorModule, PreparedData]:
    """Return a detector of untrained networks for two machines with two ids each."""
    dataset = make_set(folder / "set", ("fan", "pump"), ("00", "02"), clips=8)
    model = MODELS["spectral_adacos"]
    path = small_recipe(folder, "spectral_adacos", **settings)
    recipe = read_recipe(path, "spectral_adacos", SpectralAdacosRecipe)
    prepared = prepare(model, open_dataset(dataset), recipe)
    cache = FeatureCache(folder / "cache")
    network = prepared.new_task("all", 0, cache).network.eval()
    detector = model.detector({"all": network}, prepared.networks, prepared.recipe, cache)
    return detector, prepared


@pytest.mark.parametrize("feature_groups", [True, False])
def test_banks_never_hold_held_out_clips(tmp_path: Path, feature_groups: bool) -> None:
    detector, prepared = untrained_detector(tmp_path, ensemble=2, feature_groups=feature_groups)
    banks = [name for name, _ in detector.named_buffers() if name.endswith(".bank")]
    sizes = {len(detector.get_buffer(name)) for name in banks}
    # The feature groups and the embeddings of two networks, each with two scores.
    groups = len(FEATURE_GROUP_NAMES) + len(FINE_GROUP_NAMES) + len(FRAME_MEAN_GROUP_NAMES)
    assert len(banks) == 4 * (2 * (groups + 2) if feature_groups else 2)
    ids = 2 if feature_groups else 1  # with few clips, the machine's other id is used as well
    assert sizes == {ids * len(target.clips) for target in prepared.targets}


def test_embedding_scores_are_not_larger_than_expected_on_held_out_sound(tmp_path: Path) -> None:
    detector, prepared = untrained_detector(tmp_path)
    assert isinstance(detector, FusedDetector)
    squares: dict[str, list[torch.Tensor]] = defaultdict(list)
    for index, target in enumerate(prepared.networks["all"]):
        size = prepared.recipe.window_samples
        clips = [read_recording(clip.path, RATE_HZ) for clip in target.held_out]
        windows = torch.from_numpy(np.concatenate([clip_windows(c, size, size) for c in clips]))
        fusion = detector.fused_scores.fusions[index]
        with torch.no_grad():
            scores = detector.fused_scores.scorers[index](detector.front(windows))
        squares[target.machine].append(((scores - fusion.centre) * fusion.inverse_scale).square())
    for machine in squares.values():
        assert torch.cat(machine).mean(0)[-2:].sqrt().max() < 1.001
