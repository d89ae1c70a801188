"""The fine and the projected feature groups: their invariances, and the faults they detect."""

import numpy as np
import pytest
import torch
from torch import Tensor

from asd_monitor.features import FEATURE_GROUP_NAMES, MODULATION_EDGES_HZ, FeatureGroups
from asd_monitor.quickstart.fusion import fit_fusion
from asd_monitor.quickstart.group_scores import TargetScorer, fit_group
from asd_offline.datasets.loading import open_dataset
from asd_offline.evaluation.metrics import auc
from asd_offline.features.cache import FeatureCache
from asd_offline.models import MODELS
from asd_offline.models.adacos.fine_features import (
    FINE_GROUP_NAMES,
    FRAME_MEAN_GROUP_NAMES,
    PEAK_BANDS,
    FineFeatures,
    ModulationPeaks,
)
from asd_offline.models.adacos.fused_detector import FusedDetector
from asd_offline.models.adacos.recipe import SpectralAdacosRecipe
from asd_offline.models.adacos.within_class_projection import (
    ProjectedGroups,
    ProjectedScorer,
    fit_within_class_projection,
)
from asd_offline.training.prepare import prepare
from tests.offline.small_sounds import RATE_HZ, hum, make_set

OCTAVES = len(MODULATION_EDGES_HZ) - 1


def noise(seed: int, count: int, depth: float = 0.0, modulation_hz: float = 7.3) -> Tensor:
    """Return ``(count, 1 s)`` of noise, amplitude-modulated with the given depth."""
    random = np.random.default_rng(seed)
    time_s = np.arange(RATE_HZ) / RATE_HZ
    phase = random.uniform(0.0, 6.3, (count, 1))
    envelope = 1.0 + depth * np.sin(2 * np.pi * modulation_hz * time_s + phase)
    sound = 0.05 * random.standard_normal((count, RATE_HZ)) * envelope
    return torch.from_numpy(sound.astype(np.float32))


def fine_features(windows: Tensor) -> list[Tensor]:
    groups = FeatureGroups(RATE_HZ, windows.shape[1])
    features: list[Tensor] = FineFeatures(groups)(*groups.frames(windows))
    return features


def test_each_named_group_has_a_row_for_each_window() -> None:
    features = fine_features(noise(0, 3))
    peaks = [(3, bands * OCTAVES) for bands in PEAK_BANDS]
    assert [group.shape for group in features] == [(3, 128), (3, 115), *peaks]
    assert len(features) == len(FINE_GROUP_NAMES)


def test_a_change_of_gain_changes_nothing() -> None:
    window = torch.from_numpy(hum(1, 500.0))[None]
    for louder, usual in zip(fine_features(4.0 * window), fine_features(window), strict=True):
        torch.testing.assert_close(louder, usual, rtol=0, atol=0.01)


def test_silence_and_an_octave_without_a_line_give_finite_features() -> None:
    short = RATE_HZ // 2  # lines 2 Hz apart: none between 0.7 and 1.4 Hz
    assert all(torch.isfinite(group).all() for group in fine_features(torch.zeros(1, short)))


def test_a_modulation_peaks_in_its_own_octave_and_band() -> None:
    frames, rate_hz = 640, 320.0
    envelope = 0.01 * torch.randn(1, frames, 40, generator=torch.Generator().manual_seed(0))
    time_s = torch.arange(frames) / rate_hz
    envelope[0, :, 10:15] += 0.2 * torch.sin(2 * torch.pi * 7.3 * time_s)[:, None]
    peaks = ModulationPeaks(frames, rate_hz)(envelope, 8).reshape(OCTAVES, 8)
    octave = sum(edge <= 7.3 for edge in MODULATION_EDGES_HZ) - 1
    assert divmod(int(peaks.argmax()), 8) == (octave, 10 * 8 // 40)


def test_frame_covariances_are_those_of_the_groups_that_are_means_over_frames() -> None:
    windows, groups = noise(0, 2), FeatureGroups(RATE_HZ, RATE_HZ)
    features = dict(zip(FEATURE_GROUP_NAMES, groups(windows), strict=True))
    features |= dict(zip(FINE_GROUP_NAMES, fine_features(windows), strict=True))
    covariances = FineFeatures(groups).frame_covariances(*groups.frames(windows))
    for name, covariance in zip(FRAME_MEAN_GROUP_NAMES, covariances, strict=True):
        dims = features[name].shape[1]
        assert covariance.shape == (2, dims, dims)
        torch.testing.assert_close(covariance, covariance.transpose(1, 2))
        # Frames are relative to their mean over bands, so the sum over bands has no variance.
        assert covariance.sum(2).abs().max() < 1e-3 * covariance.diagonal(dim1=1, dim2=2).sum()


def test_a_projection_removes_within_window_variance_and_nothing_else() -> None:
    random = torch.Generator().manual_seed(0)
    nuisance = torch.linalg.qr(torch.randn(8, 2, generator=random)).Q
    frames = torch.randn(200, 2, generator=random) @ nuisance.t()
    projection = fit_within_class_projection(1, frames.t().cov())
    assert projection([torch.zeros(1, 3), 5.0 * nuisance.t()]).abs().max() < 1e-5
    other = torch.randn(4, 8, generator=random)
    other = other - other @ nuisance @ nuisance.t()
    projected = projection([torch.zeros(4, 3), other])
    torch.testing.assert_close(projected, other, rtol=0, atol=1e-5)


def test_without_within_window_variance_a_projection_changes_nothing() -> None:
    group = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    projection = fit_within_class_projection(0, torch.zeros(8, 8))
    torch.testing.assert_close(projection([group]), group)


def test_projected_groups_precede_the_embeddings() -> None:
    features = [torch.full((1, 4), float(index)) for index in range(4)]
    projected = ProjectedGroups(3, [fit_within_class_projection(2, torch.zeros(4, 4))])
    assert [float(row[0, 0]) for row in projected(features)] == [0.0, 1.0, 2.0, 2.0, 3.0]


def modulation_auc(quickstart: bool, fine: bool, depth: float) -> float:
    """Return the AUC of modulated noise with feature groups fitted to 24 windows of noise."""
    groups = FeatureGroups(RATE_HZ, RATE_HZ)
    names = FEATURE_GROUP_NAMES * quickstart + FINE_GROUP_NAMES * fine

    def features(windows: Tensor) -> list[Tensor]:
        return [
            *(groups(windows) if quickstart else []),
            *(fine_features(windows) if fine else []),
        ]

    only_itself = torch.eye(24, dtype=torch.bool)
    pairs = zip(names, features(noise(1, 24)), strict=True)
    scorer = TargetScorer([fit_group(name, group, only_itself) for name, group in pairs])
    fusion = fit_fusion(scorer(features(noise(2, 24))))
    normal = fusion(scorer(features(noise(3, 40))))
    modulated = fusion(scorer(features(noise(4, 40, depth))))
    return auc([0] * 40 + [1] * 40, torch.cat([normal, modulated]).tolist())


def test_fine_features_detect_a_weak_modulation_that_the_others_hardly_detect() -> None:
    without, fused = modulation_auc(True, False, 0.14), modulation_auc(True, True, 0.14)
    assert fused > 0.8
    assert without < fused - 0.1


@pytest.mark.parametrize("fine", [True, False])
def test_the_recipe_decides_whether_a_detector_has_fine_features(
    tmp_path_factory: pytest.TempPathFactory, fine: bool
) -> None:
    folder = tmp_path_factory.mktemp("fine")
    settings: dict[str, object] = {"sample_rate_hz": RATE_HZ, "n_fft": 256, "hop_length": 128}
    settings |= {"embedding_dims": 16, "sub_clusters": 2, "pseudo_classes": False}
    if not fine:
        settings["fine_features"] = False  # the default is True
    model, recipe = MODELS["spectral_adacos"], SpectralAdacosRecipe(**settings)
    dataset = make_set(folder / "set", ("fan", "pump"), ("00",))
    prepared = prepare(model, open_dataset(dataset), recipe)
    cache = FeatureCache(folder / "cache")
    network = prepared.new_task("all", 0, cache).network.eval()
    detector = model.detector({"all": network}, prepared.networks, prepared.recipe, cache)
    assert isinstance(detector, FusedDetector)
    windows = torch.from_numpy(np.stack([hum(60 + i, 600.0) for i in range(2)]))
    features = detector.front(windows)
    assert len(features) == len(FEATURE_GROUP_NAMES) + fine * len(FINE_GROUP_NAMES) + 1
    scorer = detector.fused_scores.scorers[0]
    assert isinstance(scorer, ProjectedScorer)
    projected = scorer.projected_groups(features)
    assert len(projected) == len(features) + fine * len(FRAME_MEAN_GROUP_NAMES)
    assert torch.isfinite(detector(windows, torch.zeros(2, dtype=torch.long))).all()
