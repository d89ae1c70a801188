"""AEGAN-AD: an autoencoder whose output must also look right to a discriminator.

Jiang et al., "Unsupervised anomalous detection based on generative adversarial network", ICASSP
2023. One network for each machine type; labels are not used. The published figures are those of
the best of nineteen scores and of all epochs on the labelled test clips. Here the last epoch
counts, and one score: by default ``g_x_l2_mean``, because it is what the generator is trained to
make small. That rule needs no labels.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, cast

import torch
from pydantic import Field
from torch import Generator as RandomSource
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from asd_offline.datasets.targets import Target, by_machine
from asd_offline.features.cache import ClipRows, FeatureCache
from asd_offline.features.frontends import LogMel, LogMelSettings
from asd_offline.features.segments import (
    check_window,
    clip_segments,
    segment_starts,
    starts_within,
)
from asd_offline.models.aegan_ad.detector import AeganAdDetector, MachineScores
from asd_offline.models.aegan_ad.network import (
    SIDE,
    Discriminator,
    Generator,
    Norm,
    gradient_penalty,
)
from asd_offline.models.aegan_ad.scores import Score, fit_embedding_scores
from asd_offline.recipes import Recipe

LEAST_SPAN_DB = 1.0
FLOOR = 1e-10
CRITIC, GENERATOR = 0, 1
SEGMENTS_AT_ONCE = 64
"""When clips are embedded; of the published network, about 200 MB."""


class AeganAdRecipe(Recipe):
    """The settings for fan in DCASE 2020; see configs/train/aegan_ad for the others."""

    model: Literal["aegan_ad"] = "aegan_ad"
    epochs: int = Field(50, ge=0, le=100_000)
    batch_size: int = Field(512, ge=2)
    learning_rate: float = Field(2e-4, gt=0)
    adam_betas: tuple[float, float] = (0.5, 0.999)
    mixed_precision: bool = Field(False, description="The gradient penalty needs whole precision.")
    n_fft: int = Field(2048, ge=64)
    hop_length: int = Field(512, ge=16)
    top_db: float = Field(80.0, gt=0, description="What is further below the maximum is cut off.")
    train_hop_frames: int = Field(1, ge=1)
    score_hop_frames: int = Field(1, ge=1, description="16 and more for a monitor on a CPU.")
    channels: int = Field(32, ge=1, description="Of the first convolution.")
    code: int = Field(256, ge=1)
    generator_norm: Norm = "layer"
    first_norm: bool = True
    matching: Literal["mean", "mean_and_deviation"] = "mean"
    matching_weight: float = Field(1.0, ge=0)
    penalty_weight: float = Field(10.0, ge=0)
    score: Score = "g_x_l2_mean"
    reference: Literal["target", "machine"] = Field(
        "target", description="Whose clips the d scores compare with; published: machine."
    )
    evidence: Literal["input", "mean_normal"] = Field(
        "input", description="What the reconstruction is compared with; published: mean_normal."
    )

    def log_mel(self) -> LogMel:
        """Return the front end: librosa's default mel spectrogram with 128 bands."""
        settings = LogMelSettings(
            self.sample_rate_hz, self.n_fft, self.hop_length, SIDE, floor=FLOOR
        )
        return LogMel(settings)


class AeganAd(nn.Module):
    """Generator and discriminator with their losses; ``low`` and ``high`` in dB become -1 and 1."""

    low: Tensor
    high: Tensor

    def __init__(self, recipe: AeganAdRecipe, low: Tensor, high: Tensor) -> None:
        super().__init__()
        self.generator = Generator(
            recipe.channels, recipe.code, recipe.generator_norm, first_norm=recipe.first_norm
        )
        self.discriminator = Discriminator(recipe.channels)
        self.penalty_weight = recipe.penalty_weight
        self.matching_weight = recipe.matching_weight
        self.deviation = recipe.matching == "mean_and_deviation"
        self.register_buffer("low", low)
        self.register_buffer("high", high)

    def forward(self, decibels: Tensor, step: int = GENERATOR) -> Tensor:
        """Return the loss of a step, a scalar.

        Parameters
        ----------
        decibels
            ``(batch, 128, 128)``.
        step
            0: the discriminator's, which reaches its weights alone; 1: the generator's, likewise.
        """
        centre, half = 0.5 * (self.high + self.low), 0.5 * (self.high - self.low)
        real = ((decibels - centre) / half).unsqueeze(1)
        return self.critic_loss(real) if step == CRITIC else self.generator_loss(real)

    def critic_loss(self, real: Tensor) -> Tensor:
        """Return the Wasserstein loss with gradient penalty of ``(batch, 1, 128, 128)``."""
        with torch.no_grad():
            rebuilt = self.generator(real)
        apart = self.discriminator(rebuilt)[1].mean() - self.discriminator(real)[1].mean()
        penalty = gradient_penalty(self.discriminator, real, rebuilt)
        loss: Tensor = apart + self.penalty_weight * penalty
        return loss

    def generator_loss(self, real: Tensor) -> Tensor:
        """Return reconstruction error and feature matching of ``(batch, 1, 128, 128)``."""
        rebuilt = self.generator(real)
        fixed = {name: each.detach() for name, each in self.discriminator.named_parameters()}
        wanted = functional_call(self.discriminator, fixed, (real,))[0]
        found = functional_call(self.discriminator, fixed, (rebuilt,))[0]
        matching = F.mse_loss(found.mean(0), wanted.mean(0))
        if self.deviation:
            matching = matching + F.mse_loss(found.std(0), wanted.std(0))
        return F.mse_loss(rebuilt, real) + self.matching_weight * matching


class DecibelSegments:
    """Training samples: segments of all clips, and two steps of the optimiser for each batch."""

    steps = 2

    def __init__(self, clips: ClipRows, recipe: AeganAdRecipe) -> None:
        quietest, loudest = extremes(clips)
        floors = loudest - recipe.top_db
        low = torch.maximum(quietest, floors).min()
        high = torch.maximum(loudest.max(), low + LEAST_SPAN_DB)
        self.network: nn.Module = AeganAd(recipe, low, high)
        self._rows = clips.rows
        hop = recipe.train_hop_frames
        self._starts = segment_starts(clips, SIDE, hop)
        each = [len(starts_within(n, SIDE, hop)) if n >= SIDE else 0 for n in clips.count.tolist()]
        self._floors = floors.repeat_interleave(torch.tensor(each))[:, None, None]

    @property
    def samples(self) -> int:
        """How many segments there are."""
        return len(self._starts)

    def draw(self, chosen: Tensor, generator: RandomSource) -> tuple[Tensor, ...]:
        """Return decibels ``(batch, 128, 128)``."""
        del generator  # nothing is random but the order
        rows = self._rows[self._starts[chosen, None] + torch.arange(SIDE)]
        return (torch.maximum(rows, self._floors[chosen]),)


def extremes(clips: ClipRows) -> tuple[Tensor, Tensor]:
    """Return the least and the greatest value of each clip, both ``(clips,)``."""
    pairs = [clips.of(i).aminmax() for i in range(len(clips.first))]
    return torch.stack([each.min for each in pairs]), torch.stack([each.max for each in pairs])


class AeganAdModel:
    """One network for each machine."""

    recipe = AeganAdRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """One network for each machine, for all of its ids or sections."""
        return by_machine(targets)

    def task(
        self, targets: Sequence[Target], recipe: Recipe, features: FeatureCache
    ) -> DecibelSegments:
        """Train on segments of all clips, scaled to the range of their decibels."""
        own = cast("AeganAdRecipe", recipe)
        check_window(SIDE, own.hop_length, own)
        return DecibelSegments(_rows(targets, own, features), own)

    def detector(
        self,
        networks: Mapping[str, nn.Module],
        targets: Mapping[str, Sequence[Target]],
        recipe: Recipe,
        features: FeatureCache,
    ) -> nn.Module:
        """Embed the clips of each target, and average their spectrograms."""
        own = cast("AeganAdRecipe", recipe)
        machines, places, usual = [], [], []
        references: list[Tensor] = []
        for place, (name, network) in enumerate(networks.items()):
            machine = MachineScores(cast("AeganAd", network)).eval()
            machines.append(machine)
            places += [place] * len(targets[name])
            parts = [_references(machine, each, own, features) for each in targets[name]]
            usual += [each[1] for each in parts]
            embeddings = [each[0] for each in parts]
            if own.reference == "machine":
                embeddings = [torch.cat(embeddings)] * len(embeddings)
            references += embeddings
        embedding_scores = fit_embedding_scores(references)
        return AeganAdDetector(own, machines, places, embedding_scores, torch.stack(usual)).eval()


def _rows(targets: Sequence[Target], recipe: AeganAdRecipe, features: FeatureCache) -> ClipRows:
    return features.rows([c.path for target in targets for c in target.clips], recipe.log_mel())


def _references(
    machine: MachineScores, target: Target, recipe: AeganAdRecipe, features: FeatureCache
) -> tuple[Tensor, Tensor]:
    """Return embeddings ``(windows, dims)`` and the mean scaled spectrogram ``(frames, 128)``."""
    clips = _rows([target], recipe, features)
    frames = recipe.window_samples // recipe.hop_length + 1
    device = machine.low.device
    pairs = zip(clips.first.tolist(), clips.count.tolist(), strict=True)
    spans = [torch.arange(first, first + n - frames + 1, frames) for first, n in pairs]
    starts = torch.cat(spans)
    segments_each = len(starts_within(frames, SIDE, recipe.score_hop_frames))
    embeddings, total = [], torch.zeros(frames, SIDE)
    for chosen in torch.split(starts, max(1, SEGMENTS_AT_ONCE // segments_each)):
        windows = clips.rows[chosen[:, None] + torch.arange(frames)]  # (windows, frames, 128)
        windows = torch.maximum(windows, windows.amax((1, 2), keepdim=True) - recipe.top_db)
        windows = windows.to(device)
        with torch.no_grad():
            segments, _ = clip_segments(windows, SIDE, recipe.score_hop_frames)
            embeddings.append(machine.embed(segments).cpu())
            total += machine.scale(windows).sum(0).cpu()
    return torch.cat(embeddings), total / len(starts)
