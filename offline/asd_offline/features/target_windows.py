"""Training samples whose class is the target: which machine, and which id or section of it."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Generator, Tensor

from asd_offline.datasets.targets import Target
from asd_offline.features.cache import FeatureCache
from asd_offline.features.frontends import Waveform
from asd_offline.features.labelled_windows import LabelledWindows, tile


class WindowSet(Protocol):
    """Windows with a class each."""

    @property
    def class_names(self) -> Sequence[str]:
        """Names of the classes."""

    def __len__(self) -> int:
        """Return the number of windows in an epoch."""

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return windows ``(batch, window_samples)`` and classes ``(batch,)`` int64."""


class TargetWindows:
    """Windows of clips, from the beginning on and without overlap; short clips are repeated.

    Parameters
    ----------
    targets
        Their names are the classes.
    features
        Where samples are kept.
    sample_rate_hz, window_samples
        Of the windows.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        features: FeatureCache,
        sample_rate_hz: int,
        window_samples: int,
    ) -> None:
        self.class_names = tuple(target.name for target in targets)
        self._samples = window_samples
        clips = [clip for target in targets for clip in target.clips]
        self._sound = features.rows([clip.path for clip in clips], Waveform(sample_rate_hz))
        of_clip = torch.repeat_interleave(
            torch.arange(len(targets)), torch.tensor([len(target.clips) for target in targets])
        )
        per_clip = (self._sound.count // window_samples).clamp_min(1)
        self._clip = torch.repeat_interleave(torch.arange(len(clips)), per_clip)
        self._place = torch.cat([torch.arange(int(count)) for count in per_clip])
        self._class = of_clip[self._clip]

    def __len__(self) -> int:
        """Return the number of windows in an epoch."""
        return len(self._clip)

    @property
    def clip(self) -> Tensor:
        """``(windows,)`` int64: which clip each window is of."""
        return self._clip

    @property
    def label(self) -> Tensor:
        """``(windows,)`` int64: the class of each window."""
        return self._class

    def windows(self, indices: Tensor) -> Tensor:
        """Return windows ``(batch, window_samples)``."""
        found = []
        for i in indices.tolist():
            sound = tile(self._sound.of(int(self._clip[i])).squeeze(1), self._samples)
            start = int(self._place[i]) * self._samples
            found.append(sound[start : start + self._samples])
        return torch.stack(found)

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return windows ``(batch, window_samples)`` and classes ``(batch,)`` int64."""
        del generator  # nothing is random but the order
        return self.windows(indices), self._class[indices]


class PseudoWindows:
    """Windows of a single target, with clusters and alterations as classes.

    See :mod:`asd_offline.features.pseudo_labels`: one class alone teaches nothing.
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
