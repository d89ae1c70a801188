"""Training samples of the discriminative networks: windows of clips, and the class of each."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from asd_offline.datasets.clip import Clip
from asd_offline.features import pseudo_labels
from asd_offline.features.cache import FeatureCache
from asd_offline.features.frontends import Waveform

FEWEST_CLASSES = 4
"""With fewer, telling them apart is too easy to teach anything, and pseudo-classes help out."""


def clip_classes(clips: Sequence[Clip]) -> tuple[tuple[str, ...], Tensor]:
    """Return the names of the classes, and the class ``(clips,)`` int64 of each clip.

    A class is what the data set can tell apart: machine, section, domain and attributes.
    """
    names = [
        "/".join((c.machine, c.section, c.domain, *(f"{n}={v}" for n, v in c.attributes)))
        for c in clips
    ]
    distinct = tuple(sorted(set(names)))
    return distinct, torch.tensor([distinct.index(name) for name in names])


def tile(sound: Tensor, samples: int) -> Tensor:
    """Repeat ``(n,)`` until it has at least so many samples."""
    return sound if len(sound) >= samples else sound.repeat(-(-samples // len(sound)))


class LabelledWindows:
    """Windows of clips, each with its class; short clips are repeated.

    A clip gives as many windows an epoch as fit into it, each from about its own place. Where the
    data set tells fewer than four classes apart, windows are clustered within each class, and
    altered: the alteration multiplies the classes (:mod:`asd_offline.features.pseudo_labels`).

    Parameters
    ----------
    clips
        Normal clips.
    features
        Where their samples are kept.
    sample_rate_hz, window_samples
        Of the windows.
    pseudo
        Whether there are pseudo-classes; None: where the data set tells too little apart.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        features: FeatureCache,
        sample_rate_hz: int,
        window_samples: int,
        pseudo: bool | None = None,
    ) -> None:
        self.window_samples = window_samples
        self._sound = features.rows([clip.path for clip in clips], Waveform(sample_rate_hz))
        per_clip = (self._sound.count // window_samples).clamp_min(1)
        self._clip = torch.repeat_interleave(torch.arange(len(clips)), per_clip)
        self._place = torch.cat([torch.arange(int(count)) for count in per_clip])
        self.class_names, of_clip = clip_classes(clips)
        self._class = of_clip[self._clip]
        self.pseudo = len(self.class_names) < FEWEST_CLASSES if pseudo is None else pseudo
        if self.pseudo:
            self._cluster(sample_rate_hz)

    def __len__(self) -> int:
        """Return the number of windows in an epoch."""
        return len(self._clip)

    @property
    def classes(self) -> int:
        """Columns of a label."""
        return len(self.class_names) * (len(pseudo_labels.ALTERATIONS) if self.pseudo else 1)

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return windows ``(batch, window_samples)`` and labels ``(batch, classes)``."""
        classes = self._class[indices]
        if not self.pseudo:
            windows = [self._window(i, self.window_samples, generator) for i in indices.tolist()]
            return torch.stack(windows), F.one_hot(classes, self.classes).float()
        kinds = pseudo_labels.draw_alterations(len(indices), generator)
        needed = int(pseudo_labels.LONGEST_STRETCH * self.window_samples) + 1
        windows = [
            pseudo_labels.alter(
                self._window(i, needed, generator), kind, self.window_samples, generator
            )
            for i, kind in zip(indices.tolist(), kinds.tolist(), strict=True)
        ]
        labels = kinds * len(self.class_names) + classes
        return torch.stack(windows), F.one_hot(labels, self.classes).float()

    def _window(self, index: int, samples: int, generator: Generator | None) -> Tensor:
        """Return ``(samples,)`` from about a window's own place, or from the place itself."""
        sound = tile(self._sound.of(int(self._clip[index])).squeeze(1), samples)
        start = int(self._place[index]) * self.window_samples
        if generator is not None:
            shift = torch.rand((), generator=generator) - 0.5
            start += int(float(shift) * self.window_samples)
        start = min(max(start, 0), len(sound) - samples)
        return sound[start : start + samples]

    def _cluster(self, sample_rate_hz: int) -> None:
        names: list[str] = []
        found = torch.zeros_like(self._class)
        for number, name in enumerate(self.class_names):
            rows = torch.nonzero(self._class == number).flatten()
            windows = (self._window(i, self.window_samples, None) for i in rows.tolist())
            statistics = pseudo_labels.window_statistics(windows, sample_rate_hz)
            clusters = pseudo_labels.cluster(statistics)
            found[rows] = clusters + len(names)
            names += [f"{name}/cluster {i}" for i in range(int(clusters.max()) + 1)]
        self.class_names, self._class = tuple(names), found
