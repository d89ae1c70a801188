"""Training samples whose class is the target: the machine with its id or section."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Generator, Tensor

from asd_offline.datasets.targets import Target
from asd_offline.features.cache import FeatureCache
from asd_offline.features.frontends import Waveform
from asd_offline.features.labelled_windows import (
    LabelledWindows,
    clip_classes,
    supplemental_clips,
    tile,
)


class WindowSet(Protocol):
    """Windows, each with a class."""

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes."""

    def __len__(self) -> int:
        """Return the number of windows in an epoch."""

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return windows ``(batch, window_samples)`` and classes ``(batch,)`` int64."""


class TargetWindows:
    """Consecutive windows of clips, without overlap; short clips are repeated.

    Parameters
    ----------
    targets
        Their names are the classes.
    features
        Cache of their samples.
    sample_rate_hz, window_samples
        Sample rate and length of the windows.
    supplemental
        Add the supplemental clips of the targets, as further classes after those of the targets.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        features: FeatureCache,
        sample_rate_hz: int,
        window_samples: int,
        *,
        supplemental: bool = False,
    ) -> None:
        self._window_samples = window_samples
        clips = [clip for target in targets for clip in target.clips]
        class_of_clip = torch.repeat_interleave(
            torch.arange(len(targets)), torch.tensor([len(target.clips) for target in targets])
        )
        extra = supplemental_clips(targets) if supplemental else []
        names, class_of_extra = clip_classes(extra)
        clips += extra
        self.class_names = (*(target.name for target in targets), *names)
        class_of_clip = torch.cat([class_of_clip, len(targets) + class_of_extra.long()])
        self._sound = features.rows([clip.path for clip in clips], Waveform(sample_rate_hz))
        per_clip = (self._sound.count // window_samples).clamp_min(1)
        self._clip = torch.repeat_interleave(torch.arange(len(clips)), per_clip)
        self._position = torch.cat([torch.arange(int(count)) for count in per_clip])
        self.label = class_of_clip[self._clip]
        """``(windows,)`` int64: the class of each window."""

    def __len__(self) -> int:
        """Return the number of windows in an epoch."""
        return len(self._clip)

    def windows(self, indices: Tensor) -> Tensor:
        """Return windows ``(batch, window_samples)``."""
        size, windows = self._window_samples, []
        for index in indices.tolist():
            sound = tile(self._sound.of(int(self._clip[index])).squeeze(1), size)
            start = int(self._position[index]) * size
            windows.append(sound[start : start + size])
        return torch.stack(windows)

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return windows ``(batch, window_samples)`` and classes ``(batch,)`` int64."""
        del generator  # only the order is random
        return self.windows(indices), self.label[indices]


class PseudoWindows:
    """Windows of a single target, with clusters and augmentations as classes.

    A single class would teach a classifier nothing; see :mod:`asd_offline.features.pseudo_labels`.
    """

    def __init__(
        self, target: Target, features: FeatureCache, sample_rate_hz: int, window_samples: int
    ) -> None:
        self._windows = LabelledWindows(
            target.clips, features, sample_rate_hz, window_samples, pseudo=True
        )
        self.class_names = tuple(f"{target.name}/{i}" for i in range(self._windows.classes))

    def __len__(self) -> int:
        """Return the number of windows in an epoch."""
        return len(self._windows)

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return windows ``(batch, window_samples)`` and classes ``(batch,)`` int64."""
        windows, labels = self._windows.draw(indices, generator)
        return windows, labels.argmax(1)
