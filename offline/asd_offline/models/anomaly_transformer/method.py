"""Anomaly Transformer on log-mel frames: rebuilt badly, and by attention to neighbours alone.

Xu et al., "Anomaly Transformer: Time series anomaly detection with association discrepancy",
ICLR 2022. No figure for machine sound was ever published; the autoencoder is its yardstick.

The published evaluation marks a whole labelled anomaly as found once a single frame of it is
("point adjustment"). That uses the labels to correct the answers, and lifts even random scores to
an F1 near 0.9, so it is not done here, nor is it an option.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from asd_offline.datasets.targets import Target, group_by_machine
from asd_offline.features.cache import ClipRows, FeatureCache
from asd_offline.features.frontends import LogMel, LogMelSettings
from asd_offline.features.mel import band_centres_hz
from asd_offline.features.segments import (
    check_window,
    clip_segments,
    overlap_mean,
    segment_starts,
)
from asd_offline.models.anomaly_transformer.attention import Associations, divergence
from asd_offline.models.protocol import DetectorModule, Model
from asd_offline.recipes import MultiScoreRecipe

TOP_SHARE = 0.1
LEAST_SPREAD_DB = 1e-3

Score = Literal[
    "association_mean",
    "association_max",
    "association_top",
    "error_mean",
    "error_max",
    "error_top",
]


class AnomalyTransformerRecipe(MultiScoreRecipe):
    """One network for each machine type, trained on all of its ids or sections."""

    model: Literal["anomaly_transformer"] = "anomaly_transformer"
    epochs: int = Field(10, ge=0, le=100_000)
    batch_size: int = Field(256, ge=2)
    learning_rate: float = Field(1e-4, gt=0)
    schedule: Literal["constant", "cosine", "halving"] = "halving"
    n_fft: int = Field(1024, ge=64)
    hop_length: int = Field(512, ge=16)
    n_mels: int = Field(128, ge=8)
    segment_frames: int = Field(100, ge=8, description="Frames that the network sees at once.")
    train_hop_frames: int = Field(50, ge=1)
    score_hop_frames: int = Field(50, ge=1)
    dims: int = Field(512, ge=8, multiple_of=2)
    heads: int = Field(8, ge=1)
    layers: int = Field(3, ge=1)
    hidden: int = Field(512, ge=1)
    association_weight: float = Field(3.0, ge=0, description="k of the paper, equation 5.")
    temperature: float = Field(50.0, gt=0, description="Of the weights of the frames' errors.")
    # The weights of a segment sum to one, so that its level is lost: no match for whole clips.
    score: Score = "error_mean"

    @property
    def min_window_samples(self) -> int:
        """Samples of one spectrogram frame."""
        return self.n_fft

    def log_mel(self) -> LogMel:
        """Return the front end."""
        settings = LogMelSettings(self.sample_rate_hz, self.n_fft, self.hop_length, self.n_mels)
        return LogMel(settings)

    def network(self) -> Associations:
        """Return the network."""
        return Associations(self.n_mels, self.dims, self.heads, self.layers, self.hidden)


def discrepancy(series: Tensor, prior: Tensor) -> Tensor:
    """Return the symmetric divergence ``(batch, frames)`` between two associations."""
    return divergence(series, prior) + divergence(prior, series)


class MinimaxLoss(nn.Module):
    """The network with its training loss.

    Two losses are published, each with a backward pass and both for one step: one draws the prior
    to the series, which is held fixed, the other pushes the series away from the prior, which is
    held fixed (equations 4 and 5). Their gradients add up, so one backward pass through the sum of
    both, as here, does the same.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, recipe: AnomalyTransformerRecipe, mean: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.associations = recipe.network()
        self.weight = recipe.association_weight
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)

    def forward(self, frames: Tensor) -> Tensor:
        """Return the loss, a scalar, of decibels ``(batch, frames, n_mels)``."""
        first, second = self.losses(frames)
        return first + second

    def losses(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss that moves the series, and that which moves the prior."""
        standard = (frames - self.mean) / self.spread
        rebuilt, series, prior = self.associations(standard)
        with torch.autocast(frames.device.type, enabled=False):
            error = F.mse_loss(rebuilt.float(), standard)
            apart = torch.zeros_like(error)
            near = torch.zeros_like(error)
            for own_series, own_prior in zip(series, prior, strict=True):
                one, other = own_series.float(), own_prior.float()
                apart = apart + discrepancy(one, other.detach()).mean()
                near = near + discrepancy(one.detach(), other).mean()
            weight = self.weight / len(series)
            return error - weight * apart, error + weight * near


class FrameSegments:
    """Training samples: segments of consecutive frames of every clip."""

    def __init__(
        self, network: MinimaxLoss, clips: ClipRows, recipe: AnomalyTransformerRecipe
    ) -> None:
        self.network = network
        self._rows = clips.rows
        self._starts = segment_starts(clips, recipe.segment_frames, recipe.train_hop_frames)
        self._offsets = torch.arange(recipe.segment_frames)

    @property
    def sample_count(self) -> int:
        """How many segments there are."""
        return len(self._starts)

    def draw(self, indices: Tensor, generator: Generator) -> tuple[Tensor, ...]:
        """Return decibels ``(batch, segment_frames, n_mels)``."""
        del generator  # nothing is random but the order
        return (self._rows[self._starts[indices, None] + self._offsets],)


class FrameScores(nn.Module):
    """Segments to errors and weights of their frames, by one machine's network."""

    mean: Tensor
    spread: Tensor

    def __init__(self, trained: MinimaxLoss, temperature: float) -> None:
        super().__init__()
        self.associations = trained.associations
        self.temperature = temperature
        self.register_buffer("mean", trained.mean.clone())
        self.register_buffer("spread", trained.spread.clone())

    def forward(self, segments: Tensor) -> tuple[Tensor, Tensor]:
        """Return squared errors and weights.

        Parameters
        ----------
        segments
            ``(segments, frames, n_mels)`` decibels.

        Returns
        -------
        tuple
            Squared errors ``(segments, frames, n_mels)`` in units of each band's variance; weights
            ``(segments, frames)`` that sum to one in each segment: the softmax of the negative
            discrepancy, summed over layers as the authors' program does (equation 6).
        """
        standard = (segments - self.mean) / self.spread
        rebuilt, series, prior = self.associations(standard)
        apart = torch.zeros(segments.shape[0], segments.shape[1], device=segments.device)
        for layer in range(len(series)):
            apart = apart + divergence(series[layer], prior[layer])
            apart = apart + divergence(prior[layer], series[layer])
        weights = torch.softmax(-self.temperature * apart, dim=1)
        return (rebuilt - standard).square(), weights


class AnomalyTransformerDetector(DetectorModule):
    """Waveform to score, with one network per machine."""

    network_of_target: Tensor

    def __init__(
        self,
        recipe: AnomalyTransformerRecipe,
        networks: Sequence[nn.Module],
        network_of_target: Sequence[int],
    ) -> None:
        super().__init__()
        self.log_mel = recipe.log_mel()
        self.frames = recipe.segment_frames
        self.hop = recipe.score_hop_frames
        self.top_share = TOP_SHARE
        self.score = recipe.score
        self.by_association = recipe.score.startswith("association")
        self.rule = recipe.score.rpartition("_")[2]
        self.networks = nn.ModuleList(networks)
        self.register_buffer("network_of_target", torch.tensor(network_of_target))

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, samples)``; higher = more anomalous."""
        error, weight = self._frames(waveform, target)
        each = error.mean(2)  # (batch, frames)
        if self.by_association:
            each = each * weight
        if self.rule == "max":
            return each.amax(1)
        if self.rule == "top":
            count = max(1, int(each.shape[1] * self.top_share))
            return torch.topk(each, count, dim=1).values.mean(1)
        return each.mean(1)

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, n_mels, frames)``: the error, weighted as the score weights it."""
        error, weight = self._frames(waveform, target)
        if self.by_association:
            error = error * weight.unsqueeze(2)
        return error.transpose(1, 2)

    @torch.jit.unused
    def describe(self) -> dict[str, object]:
        """Return what a model file should say."""
        weighted = ", weighted by association" if self.by_association else ""
        return {
            "score": self.score,
            "evidence": f"squared error in units of each band's variance{weighted}",
            "evidence_bands": f"{self.log_mel.dims} mel bands",
            "evidence_bands_hz": band_centres_hz(self.log_mel.settings),
            "evidence_hop_s": self.log_mel.settings.hop_length / self.log_mel.sample_rate_hz,
        }

    def _frames(self, waveform: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return errors ``(batch, frames, n_mels)`` and weights ``(batch, frames)`` about 1."""
        log_mel = self.log_mel(waveform)
        frames = log_mel.shape[1]
        error = torch.zeros_like(log_mel)
        weight = torch.zeros(log_mel.shape[0], frames, device=log_mel.device)
        network = self.network_of_target[target]
        for index, each in enumerate(self.networks):
            rows = torch.nonzero(network == index).flatten()
            if rows.numel() > 0:
                segments, starts = clip_segments(log_mel[rows], self.frames, self.hop)
                batch, count, length, mels = segments.shape
                errors, weights = each(segments.flatten(0, 1))
                errors = errors.reshape(batch, count, length, mels)
                weights = weights.reshape(batch, count, length, 1) * length
                error[rows] = overlap_mean(errors, starts, frames)
                weight[rows] = overlap_mean(weights, starts, frames).squeeze(2)
        return error, weight


class AnomalyTransformer(Model[AnomalyTransformerRecipe, MinimaxLoss]):
    """One network for each machine."""

    recipe = AnomalyTransformerRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """One network for each machine, for all of its ids or sections."""
        return group_by_machine(targets)

    def task(
        self, targets: Sequence[Target], recipe: AnomalyTransformerRecipe, features: FeatureCache
    ) -> FrameSegments:
        """Train on segments of all clips, each band standardised over them."""
        check_window(recipe.segment_frames, recipe.hop_length, recipe)
        paths = [clip.path for target in targets for clip in target.clips]
        clips = features.rows(paths, recipe.log_mel())
        rows = torch.cat([clips.of(index) for index in range(len(paths))]).double()
        mean, spread = rows.mean(0).float(), rows.std(0).float().clamp_min(LEAST_SPREAD_DB)
        return FrameSegments(MinimaxLoss(recipe, mean, spread), clips, recipe)

    def detector(
        self,
        networks: Mapping[str, MinimaxLoss],
        targets: Mapping[str, Sequence[Target]],
        recipe: AnomalyTransformerRecipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Nothing is fitted but the weights."""
        del features
        scores = [FrameScores(network, recipe.temperature) for network in networks.values()]
        places = [i for i, name in enumerate(networks) for _ in targets[name]]
        return AnomalyTransformerDetector(recipe, scores, places).eval()
