"""MobileNetV2: the section classifier among the baselines of DCASE Task 2, 2021 and 2022.

Kawaguchi et al., "Description and discussion on DCASE 2021 challenge task 2", and Dohi et al.
for 2022. Sound that is not recognised as its own section is anomalous. The score is the intended
one, ``mean_t [log(1 - p) - log p]`` with the probability ``p`` of the section. The organisers'
program of 2021 has a misplaced bracket and computes ``log(1 - p - log p)``; that of 2022 still
fits its decision threshold with it.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor

from asd_monitor.errors import ConfigError
from asd_offline.datasets.clip import Clip
from asd_offline.datasets.targets import Target, group_by_machine
from asd_offline.features.cache import ClipRows, FeatureCache
from asd_offline.features.labelled_windows import clip_classes, supplemental_clips
from asd_offline.features.segments import check_window, segment_starts
from asd_offline.models.mobilenetv2.detector import MobileNetV2Detector
from asd_offline.models.mobilenetv2.network import SectionClassifier
from asd_offline.models.mobilenetv2.recipe import MobileNetV2Recipe
from asd_offline.models.protocol import DetectorModule, Model


class LabelledSegments:
    """Training samples: images of all clips of a machine, with their class.

    Parameters
    ----------
    classes
        Clips of each class by its name, those of the sections first.
    clips
        Rows of all clips, in that order.
    mean_spectrum
        Mean of the training clips.
    recipe
        Settings.
    """

    def __init__(
        self,
        classes: Mapping[str, Sequence[Clip]],
        clips: ClipRows,
        mean_spectrum: Tensor,
        recipe: MobileNetV2Recipe,
    ) -> None:
        self.network = SectionClassifier(recipe, list(classes), mean_spectrum)
        self._rows = clips.rows
        starts, labels, first_clip = [], [], 0
        for label, members in enumerate(classes.values()):
            chosen = slice(first_clip, first_clip + len(members))
            class_clips = ClipRows(clips.rows, clips.first[chosen], clips.count[chosen])
            class_starts = segment_starts(
                class_clips, recipe.segment_frames, recipe.train_hop_frames
            )
            starts.append(class_starts)
            labels.append(torch.full_like(class_starts, label))
            first_clip = chosen.stop
        self._starts, self._labels = torch.cat(starts), torch.cat(labels)
        self._offsets = torch.arange(recipe.segment_frames)

    @property
    def sample_count(self) -> int:
        """Number of images."""
        return len(self._starts)

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return decibels ``(batch, segment_frames, n_mels)`` and sections ``(batch,)``."""
        del generator  # only the order is random
        return self._rows[self._starts[indices, None] + self._offsets], self._labels[indices]


class MobileNetV2Model(Model[MobileNetV2Recipe, SectionClassifier]):
    """One classifier for each machine."""

    recipe = MobileNetV2Recipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """Assign one network to each machine, which classifies its ids or sections."""
        return group_by_machine(targets)

    def task(
        self, targets: Sequence[Target], recipe: MobileNetV2Recipe, features: FeatureCache
    ) -> LabelledSegments:
        """Prepare training on images of all clips.

        Raises
        ------
        ConfigError
            If there is a single class, or windows are shorter than an image.
        """
        classes: dict[str, list[Clip]] = {target.name: list(target.clips) for target in targets}
        if recipe.supplemental_classes:
            extra = supplemental_clips(targets)
            names, class_of_extra = clip_classes(extra)
            for clip, index in zip(extra, class_of_extra.tolist(), strict=True):
                classes.setdefault(names[index], []).append(clip)
        if len(classes) < 2:
            msg = (
                f"mobilenetv2 classifies the ids or sections of a machine, but "
                f"{targets[0].machine} has only {targets[0].name}; leave it out with --machine, "
                "or train another model"
            )
            raise ConfigError(msg)
        check_window(recipe.segment_frames, recipe.hop_length, recipe)
        paths = [clip.path for members in classes.values() for clip in members]
        clips = features.rows(paths, recipe.log_mel())
        trained = sum(len(target.clips) for target in targets)
        means = [clips.of(index).double().mean(0) for index in range(trained)]
        mean_spectrum = torch.stack(means).mean(0).float()
        return LabelledSegments(classes, clips, mean_spectrum, recipe)

    def detector(
        self,
        networks: Mapping[str, SectionClassifier],
        targets: Mapping[str, Sequence[Target]],
        recipe: MobileNetV2Recipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Return the detector; nothing is fitted besides the weights."""
        del features
        machine_of_target, class_of_target = [], []
        for index, (name, classifier) in enumerate(networks.items()):
            for target in targets[name]:
                machine_of_target.append(index)
                class_of_target.append(classifier.class_names.index(target.name))
        return MobileNetV2Detector(
            recipe, list(networks.values()), machine_of_target, class_of_target
        ).eval()
