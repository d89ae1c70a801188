"""MobileNetV2: the section classifier among the baselines of DCASE Task 2, 2021 and 2022.

Kawaguchi et al., "Description and discussion on DCASE 2021 challenge task 2", and Dohi et al.
for 2022. What is not recognised as the section that it is from is anomalous. The score is the one
intended, ``mean_t [log(1 - p) - log p]`` of the own section's probability. The program of 2021
has a bracket in the wrong place and computes ``log(1 - p - log p)``; that of 2022 still fits its
decision threshold with it.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from asd_monitor.errors import ConfigError
from asd_offline.datasets.targets import Target, group_by_machine
from asd_offline.features.cache import ClipRows, FeatureCache
from asd_offline.features.frontends import LogMel, LogMelSettings, Masking
from asd_offline.features.mel import group_centres_hz
from asd_offline.features.segments import check_window, clip_segments, segment_starts
from asd_offline.models.mobilenetv2.network import MobileNetV2
from asd_offline.models.protocol import DetectorModule, Model
from asd_offline.recipes import Recipe

CHUNK = 64
OCCLUDED_BANDS = 8


class MobileNetV2Recipe(Recipe):
    """One network for each machine type; its classes are the machine's ids or sections."""

    model: Literal["mobilenetv2"] = "mobilenetv2"
    epochs: int = Field(20, ge=0, le=100_000)
    batch_size: int = Field(32, ge=2)
    learning_rate: float = Field(1e-5, gt=0)
    n_fft: int = Field(1024, ge=64)
    hop_length: int = Field(512, ge=16)
    n_mels: int = Field(128, ge=32)
    segment_frames: int = Field(64, ge=32, description="Frames of an image.")
    train_hop_frames: int = Field(8, ge=1)
    score_hop_frames: int = Field(1, ge=1)
    alpha: float = Field(0.5, gt=0, description="Factor of the network's widths.")
    masked_share: float = Field(
        0.0, ge=0, lt=1, description="Of bands, and of frames, that SpecAugment masks at most."
    )
    # Keras' BatchNormalization of this network: momentum 0.999 there is 0.001 here.
    batch_norm_momentum: float = Field(0.001, gt=0, le=1)

    @property
    def min_window_samples(self) -> int:
        """Samples of one spectrogram frame."""
        return self.n_fft

    def log_mel(self) -> LogMel:
        """Return the front end."""
        settings = LogMelSettings(self.sample_rate_hz, self.n_fft, self.hop_length, self.n_mels)
        return LogMel(settings)


def as_images(segments: Tensor) -> Tensor:
    """Return ``(batch, 3, frames, bands)`` of ``(batch, frames, bands)``: the same three times."""
    return segments.unsqueeze(1).expand(-1, 3, -1, -1)


class SectionClassifier(nn.Module):
    """The network with its loss, the cross-entropy."""

    usual: Tensor

    def __init__(
        self, recipe: MobileNetV2Recipe, class_names: Sequence[str], usual: Tensor
    ) -> None:
        super().__init__()
        self.class_names = tuple(class_names)
        self.network = MobileNetV2(len(self.class_names), recipe.alpha, recipe.batch_norm_momentum)
        share = recipe.masked_share
        bands, frames = int(share * recipe.n_mels), int(share * recipe.segment_frames)
        self.masking = Masking(bands, frames) if share else None
        self.register_buffer("usual", usual)

    def forward(self, segments: Tensor, label: Tensor) -> Tensor:
        """Return the loss, a scalar.

        Parameters
        ----------
        segments
            ``(batch, frames, bands)`` decibels.
        label
            ``(batch,)`` int64.
        """
        if self.masking is not None:
            segments = self.masking(segments - self.usual) + self.usual
        return F.cross_entropy(self.network(as_images(segments)), label)


class LabelledSegments:
    """Training samples: images of all clips of a machine, with their section."""

    def __init__(
        self,
        targets: Sequence[Target],
        clips: ClipRows,
        usual: Tensor,
        recipe: MobileNetV2Recipe,
    ) -> None:
        self.network = SectionClassifier(recipe, [each.name for each in targets], usual)
        self._rows = clips.rows
        starts, labels, done = [], [], 0
        for place, target in enumerate(targets):
            own = slice(done, done + len(target.clips))
            found = segment_starts(
                ClipRows(clips.rows, clips.first[own], clips.count[own]),
                recipe.segment_frames,
                recipe.train_hop_frames,
            )
            starts.append(found)
            labels.append(torch.full_like(found, place))
            done = own.stop
        self._starts, self._labels = torch.cat(starts), torch.cat(labels)
        self._offsets = torch.arange(recipe.segment_frames)

    @property
    def sample_count(self) -> int:
        """How many images there are."""
        return len(self._starts)

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return decibels ``(batch, segment_frames, n_mels)`` and sections ``(batch,)``."""
        del generator  # nothing is random but the order
        return self._rows[self._starts[indices, None] + self._offsets], self._labels[indices]


class MobileNetV2Detector(DetectorModule):
    """Waveform to score, with one network per machine."""

    network_of_target: Tensor
    class_of_target: Tensor
    usual: Tensor

    def __init__(
        self,
        recipe: MobileNetV2Recipe,
        trained: Sequence[SectionClassifier],
        network_of_target: Sequence[int],
        class_of_target: Sequence[int],
    ) -> None:
        super().__init__()
        self.log_mel = recipe.log_mel()
        self.frames = recipe.segment_frames
        self.hop = recipe.score_hop_frames
        self.bands = OCCLUDED_BANDS
        self.chunk = CHUNK
        self.networks = nn.ModuleList([each.network for each in trained])
        self.register_buffer("usual", torch.stack([each.usual for each in trained]))
        self.register_buffer("network_of_target", torch.tensor(network_of_target))
        self.register_buffer("class_of_target", torch.tensor(class_of_target))

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, samples)``; higher = more anomalous."""
        return self._by_image(self.log_mel(waveform), target).mean(1)

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, bands, images)``: by how much the score falls without each band.

        A band of an image is replaced by what is usual in it. Images lie one after the other, as
        their middles do in the window.
        """
        log_mel = self.log_mel(waveform)  # (batch, frames, n_mels)
        whole = self._by_image(log_mel, target)
        falls: list[Tensor] = []
        mels = log_mel.shape[2]
        usual = self.usual[self.network_of_target[target]]  # (batch, n_mels)
        for band in range(self.bands):
            low, high = band * mels // self.bands, (band + 1) * mels // self.bands
            hidden = log_mel.clone()
            hidden[:, :, low:high] = usual[:, low:high].unsqueeze(1)
            falls.append(whole - self._by_image(hidden, target))
        return torch.stack(falls, dim=1)

    @torch.jit.unused
    def describe(self) -> dict[str, object]:
        """Return what a model file should say."""
        settings = self.log_mel.settings
        return {
            "score": "mean of log(1 - p) - log p of the own section, over images",
            "evidence": "fall of the score without this band of the log-mel spectrogram",
            "evidence_bands": f"{self.bands} groups of mel bands",
            "evidence_bands_hz": group_centres_hz(settings, self.bands),
            "evidence_hop_s": self.hop * settings.hop_length / self.log_mel.sample_rate_hz,
        }

    def _by_image(self, log_mel: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, images)``: log odds against the own section."""
        segments, starts = clip_segments(log_mel, self.frames, self.hop)
        result = torch.zeros(log_mel.shape[0], starts.shape[0], device=log_mel.device)
        network = self.network_of_target[target]
        own = self.class_of_target[target]
        for index, each in enumerate(self.networks):
            rows = torch.nonzero(network == index).flatten()
            if rows.numel() > 0:
                flat = segments[rows].flatten(0, 1).unsqueeze(1).expand(-1, 3, -1, -1)
                parts: list[Tensor] = []
                for part in torch.split(flat, self.chunk):  # all at once would be gigabytes
                    parts.append(each(part))
                logits = torch.cat(parts)
                label = own[rows].repeat_interleave(starts.shape[0]).unsqueeze(1)
                right = logits.gather(1, label).squeeze(1)
                wrong = logits.scatter(1, label, float("-inf")).logsumexp(1)
                result[rows] = (wrong - right).reshape(rows.numel(), -1)
        return result


class MobileNetV2Model(Model[MobileNetV2Recipe, SectionClassifier]):
    """One classifier for each machine."""

    recipe = MobileNetV2Recipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """One network for each machine, that tells its ids or sections apart."""
        return group_by_machine(targets)

    def task(
        self, targets: Sequence[Target], recipe: MobileNetV2Recipe, features: FeatureCache
    ) -> LabelledSegments:
        """Train on images of all clips.

        Raises
        ------
        ConfigError
            If the machine has a single id or section, or windows are shorter than an image.
        """
        if len(targets) < 2:
            msg = (
                f"mobilenetv2 tells a machine's ids or sections apart, but {targets[0].machine} "
                f"has only {targets[0].name}; leave it out with --machine, or train another model"
            )
            raise ConfigError(msg)
        check_window(recipe.segment_frames, recipe.hop_length, recipe)
        paths = [clip.path for target in targets for clip in target.clips]
        clips = features.rows(paths, recipe.log_mel())
        means = [clips.of(index).double().mean(0) for index in range(len(paths))]
        usual = torch.stack(means).mean(0).float()
        return LabelledSegments(targets, clips, usual, recipe)

    def detector(
        self,
        networks: Mapping[str, SectionClassifier],
        targets: Mapping[str, Sequence[Target]],
        recipe: MobileNetV2Recipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Nothing is fitted but the weights."""
        del features
        trained = list(networks.values())
        networks_of, classes_of = [], []
        for place, (name, each) in enumerate(zip(networks, trained, strict=True)):
            for target in targets[name]:
                networks_of.append(place)
                classes_of.append(each.class_names.index(target.name))
        return MobileNetV2Detector(recipe, trained, networks_of, classes_of).eval()
