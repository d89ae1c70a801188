"""Training samples of classifiers: windows of clips with the classes that the dataset labels."""

from collections.abc import Callable, Collection, Iterable, Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from asd_offline.datasets.clip import Clip, SupplementalClip
from asd_offline.datasets.targets import Target
from asd_offline.features import pseudo_labels
from asd_offline.features.cache import FeatureCache
from asd_offline.features.frontends import Waveform

ClusterWindows = Callable[[Iterable[Tensor]], Tensor]
"""Windows ``(samples,)`` of one class to the cluster ``(windows,)`` int64 of each, from 0."""
MIN_CLASSES = 4
"""With fewer, classification is too easy to learn from, and pseudo-classes are added."""


def clip_classes(clips: Sequence[Clip]) -> tuple[tuple[str, ...], Tensor]:
    """Return the names of the classes, and the class ``(clips,)`` int64 of each clip.

    A class is a combination of machine, section, domain and attributes.
    """
    labels = [
        "/".join(
            (clip.machine, clip.section, clip.domain, *(f"{n}={v}" for n, v in clip.attributes))
        )
        for clip in clips
    ]
    names = tuple(sorted(set(labels)))
    return names, torch.tensor([names.index(label) for label in labels])


def classifier_clips(targets: Sequence[Target], *, supplemental: bool = False) -> list[Clip]:
    """Return the clips that a classifier is trained with.

    Parameters
    ----------
    targets
        Their training clips are returned; held-out ones are not.
    supplemental
        Also return the supplemental clips of the targets. Sound of a machine without noise and
        noise alone are then one more class each (of each machine, and for sound of the machine of
        each combination of attributes), which no training clip belongs to.
    """
    clips = [clip for target in targets for clip in target.clips]
    return clips + supplemental_clips(targets) if supplemental else clips


def supplemental_clips(targets: Sequence[Target]) -> list[Clip]:
    """Return the supplemental clips of targets as clips of classes of their own content."""
    found = dict.fromkeys(extra for target in targets for extra in target.supplemental)
    return [_as_class(extra) for extra in found]


def _as_class(extra: SupplementalClip) -> Clip:
    return Clip(
        path=extra.path,
        year=None,
        machine=extra.machine,
        section=extra.section,
        domain="",
        split="train",
        label=None,
        attributes=(("supplemental", extra.content), *extra.attributes),
        name=extra.name,
        subset=extra.subset,
    )


def tile(sound: Tensor, samples: int) -> Tensor:
    """Repeat ``(n,)`` until it has at least ``samples`` samples."""
    return sound if len(sound) >= samples else sound.repeat(-(-samples // len(sound)))


class LabelledWindows:
    """Random windows of clips, each with its class; short clips are repeated.

    A clip has as many windows per epoch as fit into it, each near its own position. If the dataset
    has fewer than four classes, the windows of each class are clustered, and augmented; each
    augmentation makes another class (:mod:`asd_offline.features.pseudo_labels`).

    Parameters
    ----------
    clips
        Normal clips, or those of :func:`classifier_clips`.
    features
        Cache of their samples.
    sample_rate_hz, window_samples
        Sample rate and length of the windows.
    pseudo
        Whether to use pseudo-classes; None: if there are fewer than four classes.
    cluster
        Divides the windows of each class without attributes into clusters, instead of these
        pseudo-classes.
    """

    def __init__(
        self,
        clips: Sequence[Clip],
        features: FeatureCache,
        sample_rate_hz: int,
        window_samples: int,
        pseudo: bool | None = None,
        cluster: ClusterWindows | None = None,
    ) -> None:
        self.window_samples = window_samples
        self._sound = features.rows([clip.path for clip in clips], Waveform(sample_rate_hz))
        per_clip = (self._sound.count // window_samples).clamp_min(1)
        self._clip = torch.repeat_interleave(torch.arange(len(clips)), per_clip)
        self._position = torch.cat([torch.arange(int(count)) for count in per_clip])
        self.class_names, class_of_clip = clip_classes(clips)
        self._class = class_of_clip[self._clip]
        self.pseudo = len(self.class_names) < MIN_CLASSES if pseudo is None else pseudo
        if cluster is not None:
            self.pseudo = False
            plain = {int(class_of_clip[i]) for i, clip in enumerate(clips) if not clip.attributes}
            self._split_into_clusters(cluster, plain)
        elif self.pseudo:
            self._split_into_clusters(
                lambda windows: pseudo_labels.cluster(
                    pseudo_labels.window_statistics(windows, sample_rate_hz)
                ),
                set(range(len(self.class_names))),
            )

    def __len__(self) -> int:
        """Return the number of windows in an epoch."""
        return len(self._clip)

    @property
    def classes(self) -> int:
        """Columns of a label."""
        kinds = len(pseudo_labels.AUGMENTATIONS) if self.pseudo else 1
        return len(self.class_names) * kinds

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Return windows ``(batch, window_samples)`` and labels ``(batch, classes)``."""
        classes = self._class[indices]
        if not self.pseudo:
            windows = [self._window(i, self.window_samples, generator) for i in indices.tolist()]
            return torch.stack(windows), F.one_hot(classes, self.classes).float()
        kinds = pseudo_labels.draw_augmentations(len(indices), generator)
        needed = int(pseudo_labels.MAX_SPEED * self.window_samples) + 1
        windows = [
            pseudo_labels.augment(
                self._window(index, needed, generator), kind, self.window_samples, generator
            )
            for index, kind in zip(indices.tolist(), kinds.tolist(), strict=True)
        ]
        labels = kinds * len(self.class_names) + classes
        return torch.stack(windows), F.one_hot(labels, self.classes).float()

    def _window(self, index: int, samples: int, generator: Generator | None) -> Tensor:
        """Return ``(samples,)`` from a random start within half a window of its position.

        Without a generator it starts exactly there.
        """
        sound = tile(self._sound.of(int(self._clip[index])).squeeze(1), samples)
        start = int(self._position[index]) * self.window_samples
        if generator is not None:
            shift = torch.rand((), generator=generator) - 0.5
            start += int(float(shift) * self.window_samples)
        start = min(max(start, 0), len(sound) - samples)
        return sound[start : start + samples]

    def _split_into_clusters(self, cluster: ClusterWindows, chosen: Collection[int]) -> None:
        """Replace each chosen class by the clusters of its windows."""
        names: list[str] = []
        clustered = torch.zeros_like(self._class)
        for label, name in enumerate(self.class_names):
            rows = torch.nonzero(self._class == label).flatten()
            if label not in chosen:
                clustered[rows] = len(names)
                names.append(name)
                continue
            windows = (self._window(row, self.window_samples, None) for row in rows.tolist())
            clusters = cluster(windows)
            clustered[rows] = clusters + len(names)
            names += [f"{name}/cluster {i}" for i in range(int(clusters.max()) + 1)]
        self.class_names, self._class = tuple(names), clustered
