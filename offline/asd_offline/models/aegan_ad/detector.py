"""AEGAN-AD's whole path from waveform to score, and its localisation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from asd_offline.features.mel import band_centres_hz
from asd_offline.features.segments import clip_segments, overlap_mean
from asd_offline.models.aegan_ad.network import SIDE
from asd_offline.models.aegan_ad.scores import (
    EMBEDDING_SCORES,
    SCORES,
    EmbeddingScores,
    code_scores,
    pixel_scores,
)

if TYPE_CHECKING:
    from asd_offline.models.aegan_ad.method import AeganAd, AeganAdRecipe


class MachineScores(nn.Module):
    """Segments of one window of one machine, to what its scores are made of."""

    low: Tensor
    high: Tensor

    def __init__(self, trained: "AeganAd") -> None:
        super().__init__()
        self.encoder = trained.generator.encoder
        self.decoder = trained.generator.decoder
        self.embedder = trained.discriminator.layers
        self.register_buffer("low", trained.low.clone())
        self.register_buffer("high", trained.high.clone())

    def forward(self, decibels: Tensor, everything: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores, embedding, and rebuilt segments.

        Parameters
        ----------
        decibels
            ``(segments, 128, 128)``.
        everything
            False: only what the first six scores need, which is half the work.

        Returns
        -------
        tuple
            The generator's scores ``(1, 15)`` or ``(1, 6)``; the mean embedding ``(1, dims)`` or
            ``(1, 0)``; and the rebuilt segments ``(segments, 128, 128)``, in [-1, 1].
        """
        real = self.scale(decibels).unsqueeze(1)
        code = self.encoder(real)
        rebuilt = self.decoder(code)
        scores = pixel_scores(real.flatten(1).unsqueeze(0), rebuilt.flatten(1).unsqueeze(0))
        embedding = torch.zeros(1, 0, device=decibels.device)
        if everything:
            recoded = self.encoder(rebuilt).flatten(1).unsqueeze(0)
            scores = torch.cat([scores, code_scores(code.flatten(1).unsqueeze(0), recoded)], dim=1)
            embedding = self.embed(decibels.unsqueeze(0))
        return scores, embedding, rebuilt.squeeze(1)

    def embed(self, decibels: Tensor) -> Tensor:
        """Return mean embeddings ``(windows, dims)`` of ``(windows, segments, 128, 128)``."""
        windows, segments = decibels.shape[0], decibels.shape[1]
        embedded: Tensor = self.embedder(self.scale(decibels).flatten(0, 1).unsqueeze(1))
        return embedded.reshape(windows, segments, -1).mean(1)

    def scale(self, decibels: Tensor) -> Tensor:
        """Return decibels between about -1 and 1."""
        return (decibels - 0.5 * (self.high + self.low)) / (0.5 * (self.high - self.low))


class AeganAdDetector(nn.Module):
    """Waveform to score, with one network per machine."""

    network_of_target: Tensor
    usual: Tensor

    def __init__(
        self,
        recipe: "AeganAdRecipe",
        machines: Sequence[MachineScores],
        network_of_target: Sequence[int],
        embedding_scores: EmbeddingScores,
        usual: Tensor,
    ) -> None:
        super().__init__()
        self.log_mel = recipe.log_mel()
        self.top_db = recipe.top_db
        self.hop = recipe.score_hop_frames
        self.side = SIDE
        self.score = recipe.score
        self.place = SCORES.index(recipe.score)
        self.everything = not recipe.score.startswith("g_x")
        self.by_embedding = recipe.score in EMBEDDING_SCORES
        self.first_of_them = SCORES.index(EMBEDDING_SCORES[0])
        self.to_input = recipe.evidence == "input"
        self.machines = nn.ModuleList(machines)
        self.embedding_scores = embedding_scores
        self.register_buffer("network_of_target", torch.tensor(network_of_target))
        self.register_buffer("usual", usual)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, samples)``; higher = more anomalous."""
        if self.by_embedding:  # nothing need be rebuilt: less than a third of the work
            return self._by_embedding(waveform, target)[:, self.place - self.first_of_them]
        return self._scores(waveform, target, self.everything)[:, self.place]

    @torch.jit.export
    def scores(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return all nineteen scores ``(batch, 19)``."""
        return self._scores(waveform, target, True)

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, 128, frames)``: how far the reconstruction is off, in the scaled unit.

        From the input; or, as published, from the mean normal spectrogram of the target. That one
        suits machines whose sound does not change with time.
        """
        return self.localise(waveform, target, self.to_input)

    @torch.jit.export
    def localise(self, waveform: Tensor, target: Tensor, to_input: bool) -> Tensor:
        """Return ``(batch, 128, frames)``: absolute difference to the input, or to what is usual.

        Overlapping reconstructions are averaged frame by frame.
        """
        log_mel = self._decibels(waveform)
        network = self.network_of_target[target]
        maps: list[Tensor] = []
        for row in range(log_mel.shape[0]):
            for index, machine in enumerate(self.machines):
                if int(network[row]) == index:
                    frames = log_mel[row : row + 1]
                    segments, starts = clip_segments(frames, self.side, self.hop)
                    rebuilt = machine(segments[0], False)[2].unsqueeze(0)
                    whole = overlap_mean(rebuilt, starts, frames.shape[1])[0]
                    other = self._usual(target[row], whole)
                    if to_input:
                        other = machine.scale(frames[0])  # type: ignore[operator]
                    maps.append((whole - other).abs().t())
        return torch.stack(maps)

    @torch.jit.unused
    def describe(self) -> dict[str, object]:
        """Return what a model file should say."""
        other = "the input" if self.to_input else "the mean normal spectrogram"
        return {
            "score": self.score,
            "evidence": f"difference of the reconstruction to {other}; 2 is the whole range in dB",
            "evidence_bands": f"{self.log_mel.dims} mel bands",
            "evidence_bands_hz": band_centres_hz(self.log_mel.settings),
            "evidence_hop_s": self.log_mel.settings.hop_length / self.log_mel.sample_rate_hz,
        }

    def _usual(self, target: Tensor, like: Tensor) -> Tensor:
        """Return what is usual ``(frames, 128)``, its last frame repeated if there are more."""
        places = torch.arange(like.shape[0], device=like.device).clamp_max(self.usual.shape[1] - 1)
        return self.usual[target][places]

    def _decibels(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, frames, 128)``, cut off ``top_db`` below each window's maximum."""
        log_mel = self.log_mel(waveform)
        return torch.maximum(log_mel, log_mel.amax((1, 2), keepdim=True) - self.top_db)

    def _by_embedding(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return the last four scores ``(batch, 4)``."""
        log_mel = self._decibels(waveform)
        network = self.network_of_target[target]
        found: list[Tensor] = []
        for row in range(log_mel.shape[0]):
            for index, machine in enumerate(self.machines):
                if int(network[row]) == index:
                    segments = clip_segments(log_mel[row : row + 1], self.side, self.hop)[0]
                    found.append(machine.embed(segments))  # type: ignore[operator]
        scores: Tensor = self.embedding_scores(torch.cat(found), target)
        return scores

    def _scores(self, waveform: Tensor, target: Tensor, everything: bool) -> Tensor:
        log_mel = self._decibels(waveform)
        network = self.network_of_target[target]
        found: list[Tensor] = []
        for row in range(log_mel.shape[0]):  # a batch's segments at once would be gigabytes
            for index, machine in enumerate(self.machines):
                if int(network[row]) == index:
                    segments = clip_segments(log_mel[row : row + 1], self.side, self.hop)[0]
                    scores, embedding, _ = machine(segments[0], everything)
                    if everything:
                        others = self.embedding_scores(embedding, target[row : row + 1])
                        scores = torch.cat([scores, others], dim=1)
                    found.append(scores)
        return torch.cat(found)
