"""Pseudo-labels from clusters of a frozen encoder's vectors."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from asd_monitor.errors import ConfigError
from asd_offline.datasets.loading import open_dataset
from asd_offline.features.cache import FeatureCache
from asd_offline.features.labelled_windows import LabelledWindows
from asd_offline.models.pretrained.encoder_clusters import EncoderClusters
from asd_offline.models.pretrained.front_end import PretrainedFrontEnd
from asd_offline.models.pretrained.recipe import PretrainedRecipe
from asd_offline.recipes import read_recipe
from tests.offline.model_files import recipe_file
from tests.offline.small_checkpoints import checkpoint, load_checkpoint, sha256
from tests.offline.small_sounds import RATE_HZ, hum, make_set


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> PretrainedFrontEnd:
    return load_checkpoint(checkpoint(tmp_path_factory.mktemp("ced"), "ced"), "ced", RATE_HZ)


def windows(tones_hz: Iterable[float]) -> list[Tensor]:
    return [torch.from_numpy(hum(i, tone_hz)) for i, tone_hz in enumerate(tones_hz)]


def test_different_sounds_are_different_clusters(front: PretrainedFrontEnd) -> None:
    tones_hz = [(200.0, 900.0, 2500.0)[i % 3] for i in range(30)]
    labels = EncoderClusters(front, 3)(windows(tones_hz))
    assert len(set(labels[:3].tolist())) == 3
    assert torch.equal(labels, labels[:3].repeat(10))


def test_clusters_minimise_the_distances_of_mean_patches(front: PretrainedFrontEnd) -> None:
    from sklearn.cluster import KMeans

    sounds = windows(torch.linspace(200.0, 2500.0, 40).tolist())
    clusters = EncoderClusters(front, 5)
    with torch.no_grad():
        patches = front(torch.stack(sounds)).flatten(1, 2)
    vectors = F.normalize(patches.mean(1), dim=1)
    torch.testing.assert_close(clusters.embed(sounds), vectors, rtol=1e-4, atol=1e-5)
    labels = clusters(sounds).numpy()
    rows = vectors.double().numpy()
    cost = sum(
        ((rows[labels == i] - rows[labels == i].mean(0)) ** 2).sum() for i in np.unique(labels)
    )
    assert cost <= 1.02 * KMeans(5, n_init=10, random_state=0).fit(rows).inertia_


@pytest.mark.parametrize(("count", "expected"), [(7, 1), (8, 2), (200, 16)])
def test_there_are_at_least_four_windows_for_each_cluster(
    front: PretrainedFrontEnd, count: int, expected: int
) -> None:
    noise = torch.randn(count, 1300, generator=torch.Generator().manual_seed(0))
    labels = EncoderClusters(front, 16)(noise * torch.linspace(0.01, 1.0, count)[:, None])
    assert len(labels) == count
    assert sorted(set(labels.tolist())) == list(range(expected))


def test_only_classes_without_attributes_are_divided(
    front: PretrainedFrontEnd, tmp_path: Path
) -> None:
    dataset = make_set(tmp_path / "set", ("fan", "pump"), ("00",), 12)
    clips = [
        replace(clip, attributes=(("load", "high"),)) if clip.machine == "fan" else clip
        for clip in open_dataset(dataset).select(split="train")
    ]
    cache = FeatureCache(tmp_path / "cache")
    labelled = LabelledWindows(clips, cache, RATE_HZ, RATE_HZ, cluster=EncoderClusters(front, 3))
    assert not labelled.pseudo
    assert [name.partition("/")[0] for name in labelled.class_names] == ["fan", *["pump"] * 3]
    sounds, labels = labelled.draw(torch.arange(24), torch.Generator().manual_seed(0))
    assert sounds.shape == (24, RATE_HZ)
    assert labels.shape == (24, 4)
    assert labels[:12].argmax(1).tolist() == [0] * 12
    assert set(labels[12:].argmax(1).tolist()) == {1, 2, 3}


@pytest.mark.parametrize("changes", [{"epochs": 0}, {"pseudo_classes": True}])
def test_clusters_without_training_or_with_other_pseudo_classes_are_refused(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    path = checkpoint(tmp_path, "ced")
    settings = {"checkpoint": str(path), "sha256": sha256(path), "epochs": 2, "bands": "pooled"}
    settings |= {"pool": "mean" if "epochs" in changes else "attention", "encoder_clusters": 4}
    recipe = recipe_file(tmp_path, "pretrained", **settings | changes)
    with pytest.raises(ConfigError, match="encoder_clusters: expected epochs, and no pseudo_cla"):
        read_recipe(recipe, "pretrained", PretrainedRecipe)
