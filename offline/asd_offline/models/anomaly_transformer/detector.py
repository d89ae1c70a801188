"""The Anomaly Transformer's scores: the detector from waveform to score."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asd_offline.features.band_centres import band_centres_hz
from asd_offline.features.segments import clip_segments, overlap_mean
from asd_offline.models.anomaly_transformer.attention import divergence
from asd_offline.models.anomaly_transformer.network import MinimaxLoss
from asd_offline.models.anomaly_transformer.recipe import AnomalyTransformerRecipe
from asd_offline.models.protocol import DetectorModule

TOP_SHARE = 0.1


class FrameScorer(nn.Module):
    """Segments to errors and weights of their frames, with one machine's network."""

    mean: Tensor
    spread: Tensor

    def __init__(self, trained: MinimaxLoss, temperature: float) -> None:
        super().__init__()
        self.associations = trained.associations
        self.temperature = temperature
        self.register_buffer("mean", trained.mean.clone())
        self.register_buffer("spread", trained.spread.clone())

    def forward(self, segments: Tensor) -> tuple[Tensor, Tensor]:
        """Compute squared errors and weights.

        Parameters
        ----------
        segments
            ``(segments, frames, n_mels)`` decibels.

        Returns
        -------
        tuple
            Squared errors ``(segments, frames, n_mels)`` in units of each band's variance; weights
            ``(segments, frames)`` that sum to one in each segment: the softmax of the negative
            discrepancy (equation 6), summed over layers as in the authors' program.
        """
        standardised = (segments - self.mean) / self.spread
        reconstruction, series, prior = self.associations(standardised)
        count, frames = segments.shape[0], segments.shape[1]
        discrepancy = torch.zeros(count, frames, device=segments.device)
        for layer in range(len(series)):
            discrepancy = discrepancy + divergence(series[layer], prior[layer])
            discrepancy = discrepancy + divergence(prior[layer], series[layer])
        weights = torch.softmax(-self.temperature * discrepancy, dim=1)
        return (reconstruction - standardised).square(), weights


class AnomalyTransformerDetector(DetectorModule):
    """Waveform to score, with one network per machine.

    Parameters
    ----------
    recipe
        Settings of front end, segments and score.
    machines
        One scorer per machine.
    machine_of_target
        Index into ``machines`` for each target.
    """

    machine_of_target: Tensor

    def __init__(
        self,
        recipe: AnomalyTransformerRecipe,
        machines: Sequence[FrameScorer],
        machine_of_target: Sequence[int],
    ) -> None:
        super().__init__()
        self.log_mel = recipe.log_mel()
        self.segment_frames = recipe.segment_frames
        self.hop = recipe.score_hop_frames
        self.top_share = TOP_SHARE
        self.score = recipe.score
        self.by_association = recipe.score.startswith("association")
        self.aggregation = recipe.score.rpartition("_")[2]
        self.machines = nn.ModuleList(machines)
        self.register_buffer("machine_of_target", torch.tensor(machine_of_target))

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, samples)``; higher = more anomalous."""
        errors, weights = self._frame_errors(waveform, target)
        frame_scores = errors.mean(2)  # (batch, frames)
        if self.by_association:
            frame_scores = frame_scores * weights
        if self.aggregation == "max":
            return frame_scores.amax(1)
        if self.aggregation == "top":
            count = max(1, int(frame_scores.shape[1] * self.top_share))
            return torch.topk(frame_scores, count, dim=1).values.mean(1)
        return frame_scores.mean(1)

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return errors ``(batch, n_mels, frames)``, weighted as for the score."""
        errors, weights = self._frame_errors(waveform, target)
        if self.by_association:
            errors = errors * weights.unsqueeze(2)
        return errors.transpose(1, 2)

    @torch.jit.unused
    def describe(self) -> dict[str, object]:
        """Return facts for the model file's manifest."""
        weighted = ", weighted by association" if self.by_association else ""
        return {
            "score": self.score,
            "evidence": f"squared error in units of each band's variance{weighted}",
            "evidence_bands": f"{self.log_mel.dims} mel bands",
            "evidence_bands_hz": band_centres_hz(self.log_mel.settings),
            "evidence_hop_s": self.log_mel.settings.hop_length / self.log_mel.sample_rate_hz,
        }

    def _frame_errors(self, waveform: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return squared errors ``(batch, frames, n_mels)`` and weights ``(batch, frames)``.

        Overlapping segments are averaged. The weights are scaled to a mean of 1 in each segment.
        """
        log_mel = self.log_mel(waveform)
        all_frames = log_mel.shape[1]
        errors = torch.zeros_like(log_mel)
        weights = torch.zeros(log_mel.shape[0], all_frames, device=log_mel.device)
        machine_index = self.machine_of_target[target]
        for index, machine in enumerate(self.machines):
            rows = torch.nonzero(machine_index == index).flatten()
            if rows.numel() > 0:
                segments, starts = clip_segments(log_mel[rows], self.segment_frames, self.hop)
                batch, count, frames, mels = segments.shape
                error, weight = machine(segments.flatten(0, 1))
                error = error.reshape(batch, count, frames, mels)
                weight = weight.reshape(batch, count, frames, 1) * frames
                errors[rows] = overlap_mean(error, starts, all_frames)
                weights[rows] = overlap_mean(weight, starts, all_frames).squeeze(2)
        return errors, weights
