"""AEGAN-AD from waveform to score, and its localisation."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asd_offline.features.band_centres import band_centres_hz
from asd_offline.features.segments import clip_segments, overlap_mean
from asd_offline.models.aegan_ad.network import AeganAd, rescale
from asd_offline.models.aegan_ad.recipe import SEGMENT_SIZE, AeganAdRecipe
from asd_offline.models.aegan_ad.scores import (
    EMBEDDING_SCORES,
    SCORES,
    EmbeddingScores,
    code_scores,
    pixel_scores,
)
from asd_offline.models.protocol import DetectorModule


class MachineScorer(nn.Module):
    """The trained networks of one machine, applied to the segments of a window."""

    low: Tensor
    high: Tensor

    def __init__(self, trained: AeganAd) -> None:
        super().__init__()
        self.encoder = trained.generator.encoder
        self.decoder = trained.generator.decoder
        self.embedder = trained.discriminator.layers
        self.register_buffer("low", trained.low.clone())
        self.register_buffer("high", trained.high.clone())

    def forward(self, decibels: Tensor, all_scores: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the generator's scores, the embedding and the reconstruction.

        Parameters
        ----------
        decibels
            ``(segments, 128, 128)``.
        all_scores
            False: only the six ``g_x`` scores, which is half the work.

        Returns
        -------
        tuple
            The generator's scores ``(1, 15)`` or ``(1, 6)``; the mean embedding ``(1, dims)`` or
            ``(1, 0)``; and the reconstruction ``(segments, 128, 128)`` in [-1, 1].
        """
        segments = self.scale(decibels).unsqueeze(1)  # (segments, 1, 128, 128)
        code = self.encoder(segments)  # (segments, dims, 1, 1)
        reconstruction = self.decoder(code)
        scores = pixel_scores(
            segments.flatten(1).unsqueeze(0), reconstruction.flatten(1).unsqueeze(0)
        )
        embedding = torch.zeros(1, 0, device=decibels.device)
        if all_scores:
            code = code.flatten(1).unsqueeze(0)  # (1, segments, dims)
            reconstruction_code = self.encoder(reconstruction).flatten(1).unsqueeze(0)
            scores = torch.cat([scores, code_scores(code, reconstruction_code)], dim=1)
            embedding = self.embed(decibels.unsqueeze(0))
        return scores, embedding, reconstruction.squeeze(1)

    def embed(self, decibels: Tensor) -> Tensor:
        """Return mean embeddings ``(windows, dims)`` of ``(windows, segments, 128, 128)``."""
        windows, segments = decibels.shape[0], decibels.shape[1]
        scaled = self.scale(decibels).flatten(0, 1).unsqueeze(1)  # (windows * segments, 1, ...)
        embeddings: Tensor = self.embedder(scaled)
        return embeddings.reshape(windows, segments, -1).mean(1)

    def scale(self, decibels: Tensor) -> Tensor:
        """Scale decibels to about -1 to 1, the input of the networks."""
        return rescale(decibels, self.low, self.high)


class AeganAdDetector(DetectorModule):
    """Waveform to score, with one network per machine.

    Parameters
    ----------
    recipe
        Settings of front end, segments, score and evidence.
    machines
        One scorer per machine.
    machine_of_target
        Index into ``machines`` for each target.
    embedding_scores
        The fitted ``d`` scores.
    mean_normal
        ``(targets, frames, 128)``: mean scaled spectrogram of each target's normal windows.
    """

    machine_of_target: Tensor
    mean_normal: Tensor

    def __init__(
        self,
        recipe: AeganAdRecipe,
        machines: Sequence[MachineScorer],
        machine_of_target: Sequence[int],
        embedding_scores: EmbeddingScores,
        mean_normal: Tensor,
    ) -> None:
        super().__init__()
        self.log_mel = recipe.log_mel()
        self.top_db = recipe.top_db
        self.segment_frames = SEGMENT_SIZE
        self.hop = recipe.score_hop_frames
        self.score = recipe.score
        self.score_index = SCORES.index(recipe.score)
        self.needs_all_scores = not recipe.score.startswith("g_x")
        self.by_embedding = recipe.score in EMBEDDING_SCORES
        self.first_embedding_score = SCORES.index(EMBEDDING_SCORES[0])
        self.compare_with_input = recipe.evidence == "input"
        self.machines = nn.ModuleList(machines)
        self.embedding_scores = embedding_scores
        self.register_buffer("machine_of_target", torch.tensor(machine_of_target))
        self.register_buffer("mean_normal", mean_normal)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, samples)``; higher = more anomalous."""
        if self.by_embedding:  # needs no reconstruction: less than a third of the work
            index = self.score_index - self.first_embedding_score
            return self._embedding_scores(waveform, target)[:, index]
        return self._scores(waveform, target, self.needs_all_scores)[:, self.score_index]

    @torch.jit.export
    def scores(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return all nineteen scores ``(batch, 19)``."""
        return self._scores(waveform, target, True)

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, 128, frames)``: absolute error of the reconstruction, scaled.

        Compared with the input or, as published, with the mean normal spectrogram of the target;
        the latter suits machines whose sound does not change over time.
        """
        return self.localise(waveform, target, self.compare_with_input)

    @torch.jit.export
    def localise(self, waveform: Tensor, target: Tensor, compare_with_input: bool) -> Tensor:
        """Return ``(batch, 128, frames)``: difference to the input, or to the mean normal one.

        Overlapping reconstructions are averaged frame by frame.
        """
        log_mel = self._decibels(waveform)
        machine_index = self.machine_of_target[target]
        maps: list[Tensor] = []
        for row in range(log_mel.shape[0]):
            for index, machine in enumerate(self.machines):
                if int(machine_index[row]) == index:
                    frames = log_mel[row : row + 1]
                    segments, starts = clip_segments(frames, self.segment_frames, self.hop)
                    overlapping = machine(segments[0], False)[2].unsqueeze(0)
                    reconstruction = overlap_mean(overlapping, starts, frames.shape[1])[0]
                    expected = self._mean_normal(target[row], reconstruction)
                    if compare_with_input:
                        expected = machine.scale(frames[0])  # type: ignore[operator]
                    maps.append((reconstruction - expected).abs().t())
        return torch.stack(maps)

    @torch.jit.unused
    def describe(self) -> dict[str, object]:
        """Return facts for the model file's manifest."""
        expected = "the input" if self.compare_with_input else "the mean normal spectrogram"
        return {
            "score": self.score,
            "evidence": f"difference of the reconstruction to {expected}; 2 is the full range",
            "evidence_bands": f"{self.log_mel.dims} mel bands",
            "evidence_bands_hz": band_centres_hz(self.log_mel.settings),
            "evidence_hop_s": self.log_mel.settings.hop_length / self.log_mel.sample_rate_hz,
        }

    def _mean_normal(self, target: Tensor, like: Tensor) -> Tensor:
        """Return the mean normal spectrogram ``(frames, 128)``, its last frame repeated."""
        frames = torch.arange(like.shape[0], device=like.device)
        return self.mean_normal[target][frames.clamp_max(self.mean_normal.shape[1] - 1)]

    def _decibels(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, frames, 128)``, clipped ``top_db`` below each window's maximum."""
        log_mel = self.log_mel(waveform)
        return torch.maximum(log_mel, log_mel.amax((1, 2), keepdim=True) - self.top_db)

    def _embedding_scores(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return the four ``d`` scores ``(batch, 4)``."""
        log_mel = self._decibels(waveform)
        machine_index = self.machine_of_target[target]
        embeddings: list[Tensor] = []
        for row in range(log_mel.shape[0]):
            for index, machine in enumerate(self.machines):
                if int(machine_index[row]) == index:
                    frames = log_mel[row : row + 1]
                    segments, _ = clip_segments(frames, self.segment_frames, self.hop)
                    embeddings.append(machine.embed(segments))  # type: ignore[operator]
        scores: Tensor = self.embedding_scores(torch.cat(embeddings), target)
        return scores

    def _scores(self, waveform: Tensor, target: Tensor, all_scores: bool) -> Tensor:
        """Return all scores ``(batch, 19)``, or the six ``g_x`` scores ``(batch, 6)``."""
        log_mel = self._decibels(waveform)
        machine_index = self.machine_of_target[target]
        rows: list[Tensor] = []
        # Row by row: the segments of a whole batch would take gigabytes.
        for row in range(log_mel.shape[0]):
            for index, machine in enumerate(self.machines):
                if int(machine_index[row]) == index:
                    frames = log_mel[row : row + 1]
                    segments, _ = clip_segments(frames, self.segment_frames, self.hop)
                    scores, embedding, _ = machine(segments[0], all_scores)
                    if all_scores:
                        by_embedding = self.embedding_scores(embedding, target[row : row + 1])
                        scores = torch.cat([scores, by_embedding], dim=1)
                    rows.append(scores)
        return torch.cat(rows)
