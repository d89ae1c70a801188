"""The finer and the steady views: what they do not mind, and what only they hear."""

import numpy as np
import pytest
import torch
from torch import Tensor

from asd_monitor.features import FEATURE_GROUP_NAMES, MODULATION_EDGES_HZ, FeatureGroups
from asd_monitor.quickstart.network import TargetScorer, fit_fusion, fit_group
from asd_offline.datasets.loading import open_dataset
from asd_offline.evaluation.metrics import auc
from asd_offline.features.cache import FeatureCache
from asd_offline.models import MODELS
from asd_offline.models.adacos.fine_views import (
    BEAT_GROUPS,
    FINER_VIEW_NAMES,
    MOVING_VIEW_NAMES,
    Beats,
    FinerViews,
)
from asd_offline.models.adacos.fused_detector import BesideDetector
from asd_offline.models.adacos.spectral import SpectralAdacosRecipe
from asd_offline.models.adacos.stationary_views import SteadyScorer, SteadyViews, fit_steady
from asd_offline.training.prepare import prepare
from tests.offline.small_sounds import RATE_HZ, hum, make_set

OCTAVES = len(MODULATION_EDGES_HZ) - 1


def noise(seed: int, count: int, depth: float = 0.0, beat_hz: float = 7.3) -> Tensor:
    """Return ``(count, 1 s)`` of noise, beating by so much."""
    random = np.random.default_rng(seed)
    time_s = np.arange(RATE_HZ) / RATE_HZ
    phase = random.uniform(0.0, 6.3, (count, 1))
    swell = 1.0 + depth * np.sin(2 * np.pi * beat_hz * time_s + phase)
    sound = 0.05 * random.standard_normal((count, RATE_HZ)) * swell
    return torch.from_numpy(sound.astype(np.float32))


def finer_views(windows: Tensor) -> list[Tensor]:
    usual = FeatureGroups(RATE_HZ, windows.shape[1])
    views: list[Tensor] = FinerViews(usual)(*usual.frames(windows))
    return views


def test_a_view_has_a_row_for_each_window_and_one_name() -> None:
    views = finer_views(noise(0, 3))
    beats = [groups * OCTAVES for groups in BEAT_GROUPS]
    assert [view.shape for view in views] == [(3, 128), (3, 128), *((3, each) for each in beats)]
    assert len(views) == len(FINER_VIEW_NAMES)


def test_a_change_of_gain_changes_nothing() -> None:
    window = torch.from_numpy(hum(1, 500.0))[None]
    for louder, usual in zip(finer_views(4.0 * window), finer_views(window), strict=True):
        torch.testing.assert_close(louder, usual, rtol=0, atol=0.01)


def test_silence_and_an_octave_without_a_bin_of_its_own_stay_finite() -> None:
    short = RATE_HZ // 2  # bins 2 Hz apart: none between 0.7 and 1.4 Hz
    silence = torch.zeros(1, short)
    assert all(torch.isfinite(view).all() for view in finer_views(silence))


def test_a_beat_is_strongest_in_its_own_octave_and_its_own_bands() -> None:
    frames, rate_hz = 640, 320.0
    envelope = 0.01 * torch.randn(1, frames, 40, generator=torch.Generator().manual_seed(0))
    time_s = torch.arange(frames) / rate_hz
    envelope[0, :, 10:15] += 0.2 * torch.sin(2 * torch.pi * 7.3 * time_s)[:, None]
    beats = Beats(frames, rate_hz)(envelope, 8).reshape(OCTAVES, 8)
    octave = sum(edge <= 7.3 for edge in MODULATION_EDGES_HZ) - 1
    assert divmod(int(beats.argmax()), 8) == (octave, 10 * 8 // 40)


def test_movement_is_the_covariance_of_the_frames_that_a_view_is_the_mean_of() -> None:
    windows, usual = noise(0, 2), FeatureGroups(RATE_HZ, RATE_HZ)
    views = dict(zip(FEATURE_GROUP_NAMES, usual(windows), strict=True))
    views |= dict(zip(FINER_VIEW_NAMES, finer_views(windows), strict=True))
    movement = FinerViews(usual).movement(*usual.frames(windows))
    for name, covariance in zip(MOVING_VIEW_NAMES, movement, strict=True):
        dims = views[name].shape[1]
        assert covariance.shape == (2, dims, dims)
        torch.testing.assert_close(covariance, covariance.transpose(1, 2))
        # Frames are relative to their mean over bands, so nothing moves along that direction.
        assert covariance.sum(2).abs().max() < 1e-3 * covariance.diagonal(dim1=1, dim2=2).sum()


def test_a_steady_view_leaves_out_what_comes_and_goes_and_keeps_the_rest() -> None:
    random = torch.Generator().manual_seed(0)
    comes_and_goes = torch.linalg.qr(torch.randn(8, 2, generator=random)).Q
    frames = torch.randn(200, 2, generator=random) @ comes_and_goes.t()
    steady = fit_steady(1, frames.t().cov())
    assert steady([torch.zeros(1, 3), 5.0 * comes_and_goes.t()]).abs().max() < 1e-5
    other = torch.randn(4, 8, generator=random)
    other = other - other @ comes_and_goes @ comes_and_goes.t()
    torch.testing.assert_close(steady([torch.zeros(4, 3), other]), other, rtol=0, atol=1e-5)


def test_frames_that_never_differ_leave_a_view_as_it_is() -> None:
    view = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(fit_steady(0, torch.zeros(8, 8))([view]), view)


def test_steady_views_stand_before_the_embeddings() -> None:
    views = [torch.full((1, 4), float(place)) for place in range(4)]
    steady = SteadyViews(3, [fit_steady(2, torch.zeros(4, 4))])
    assert [float(view[0, 0]) for view in steady(views)] == [0.0, 1.0, 2.0, 2.0, 3.0]


def heard(views: bool, finer: bool, depth: float) -> float:
    """Return the AUC of a beat by views fitted to 24 windows of noise."""
    usual = FeatureGroups(RATE_HZ, RATE_HZ)
    names = FEATURE_GROUP_NAMES * views + FINER_VIEW_NAMES * finer

    def seen(windows: Tensor) -> list[Tensor]:
        return [*(usual(windows) if views else []), *(finer_views(windows) if finer else [])]

    alone = torch.eye(24, dtype=torch.bool)
    pairs = zip(names, seen(noise(1, 24)), strict=True)
    scorer = TargetScorer([fit_group(name, view, alone) for name, view in pairs])
    fusion = fit_fusion(scorer(seen(noise(2, 24))))
    scores = torch.cat(
        [fusion(scorer(seen(noise(3, 40)))), fusion(scorer(seen(noise(4, 40, depth))))]
    )
    return auc([0] * 40 + [1] * 40, scores.tolist())


def test_a_weak_beat_is_heard_by_the_finer_views_and_hardly_by_the_others() -> None:
    without, together = heard(True, False, 0.14), heard(True, True, 0.14)
    assert together > 0.8
    assert without < together - 0.1


@pytest.mark.parametrize("finer", [True, False])
def test_a_recipe_decides_whether_a_detector_has_them(
    tmp_path_factory: pytest.TempPathFactory, finer: bool
) -> None:
    folder = tmp_path_factory.mktemp("finer")
    values: dict[str, object] = {"sample_rate_hz": RATE_HZ, "n_fft": 256, "hop_length": 128}
    values |= {"embedding_dims": 16, "sub_clusters": 2, "pseudo_classes": False}
    if not finer:
        values["finer_views"] = False  # on where a recipe says nothing, as in runs from before
    model, recipe = MODELS["spectral_adacos"], SpectralAdacosRecipe(**values)
    made = make_set(folder / "set", ("fan", "pump"), ("00",))
    prepared = prepare(model, open_dataset(made), recipe)
    features = FeatureCache(folder / "cache")
    network = prepared.new_task("all", 0, features).network.eval()
    detector = model.detector({"all": network}, prepared.networks, prepared.recipe, features)
    assert isinstance(detector, BesideDetector)
    windows = torch.from_numpy(np.stack([hum(60 + i, 600.0) for i in range(2)]))
    views = detector.front(windows)
    assert len(views) == len(FEATURE_GROUP_NAMES) + finer * len(FINER_VIEW_NAMES) + 1
    scorer = detector.scorers[0]
    assert isinstance(scorer, SteadyScorer)
    assert len(scorer.steady(views)) == len(views) + finer * len(MOVING_VIEW_NAMES)
    assert torch.isfinite(detector(windows, torch.zeros(2, dtype=torch.long))).all()
