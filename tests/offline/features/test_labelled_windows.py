"""Training windows with classes: from the dataset, or from clusters and augmentations."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from asd_offline.datasets.clip import Clip
from asd_offline.datasets.loading import open_dataset
from asd_offline.features import pseudo_labels
from asd_offline.features.cache import FeatureCache
from asd_offline.features.labelled_windows import LabelledWindows, clip_classes
from tests.offline.small_sounds import RATE_HZ, make_set


def training_clips(
    folder: Path, machines: Sequence[str], ids: Sequence[str], clips: int
) -> list[Clip]:
    dataset = make_set(folder / "set", tuple(machines), tuple(ids), clips)
    return list(open_dataset(dataset).select(split="train"))


def test_a_class_is_a_machine_with_section_domain_and_attributes(tmp_path: Path) -> None:
    clip = Clip(tmp_path, 2023, "fan", "section_00", "source", "train", 0, (("load", "high"),))
    others = [
        replace(clip, machine="pump"),
        replace(clip, section="section_01"),
        replace(clip, domain="target"),
        replace(clip, attributes=(("load", "low"),)),
        replace(clip, name="another recording"),
    ]
    names, classes = clip_classes([clip, *others])
    assert len(names) == 5
    assert classes[0] == classes[5]
    assert len(set(classes.tolist())) == 5


def test_labels_of_many_classes_come_from_the_dataset(tmp_path: Path) -> None:
    clips = training_clips(tmp_path, ("fan", "pump"), ("00", "02"), 4)
    windows = LabelledWindows(clips, FeatureCache(tmp_path / "cache"), RATE_HZ, RATE_HZ)
    assert (len(windows), windows.classes) == (16, 4)
    drawn, labels = windows.draw(torch.arange(16), torch.Generator().manual_seed(0))
    assert drawn.shape == (16, RATE_HZ)
    assert torch.equal(labels.argmax(1), torch.arange(4).repeat_interleave(4))


def test_clips_shorter_than_a_window_are_repeated(tmp_path: Path) -> None:
    clips = training_clips(tmp_path, ("fan", "pump"), ("00", "02"), 4)
    cache = FeatureCache(tmp_path / "cache")
    windows = LabelledWindows(clips, cache, RATE_HZ, 2 * RATE_HZ + 100)
    drawn, _ = windows.draw(torch.tensor([0]), torch.Generator().manual_seed(0))
    assert drawn.shape == (1, 2 * RATE_HZ + 100)
    assert torch.equal(drawn[0, :RATE_HZ], drawn[0, RATE_HZ : 2 * RATE_HZ])


def test_one_machine_without_labels_gets_clusters_and_augmentations(tmp_path: Path) -> None:
    clips = training_clips(tmp_path, ("fan",), ("00",), 12)
    windows = LabelledWindows(clips, FeatureCache(tmp_path / "cache"), RATE_HZ, RATE_HZ)
    assert windows.pseudo
    assert windows.classes == 2 * 5
    _, labels = windows.draw(torch.arange(12).repeat(20), torch.Generator().manual_seed(0))
    assert (labels.sum(0) > 0).all()
    augmented = labels[:, 2:].sum() / labels.sum()
    assert 0.35 < float(augmented) < 0.65


def test_equal_windows_are_one_cluster_without_a_warning() -> None:
    clusters = pseudo_labels.cluster(torch.ones(30, 6) * 0.1)
    assert clusters.tolist() == [0] * 30
