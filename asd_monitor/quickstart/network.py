"""The module inside a quick-start model file: waveform to feature groups to backends to a score.

Every feature group is scored by two backends. How much their scores vary for normal sound
depends on the group and the machine, so each is standardised by its scores of held-out normal
windows. A fault usually changes only some groups, and which ones is not known beforehand. The
fused score is therefore the log-mean-exp of the standardised scores: close to their mean while
they agree, and close to the largest once one exceeds the others by several standard deviations.

The floor of the spectrum is scored alike. Matched filters search it, and with enough sound each
group except the level, for small changes of a few neighbouring bands. Further voices are responses
of single bands of the floor and of the spread, in both directions: their means over minutes keep
what is constant. All these are voices for the alarm and not part of the fused score.

No voice depends on the gain. A change of level counts only as far as it remains when the change
that all bands have in common is subtracted from it; that change is measured separately, for the
rule ``level`` of the alarm.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asd_monitor.backends.per_target import PerTarget
from asd_monitor.features import FeatureGroups
from asd_monitor.quickstart.fusion import FusedScores, Fusion
from asd_monitor.quickstart.gain_free import GainFreeScorer
from asd_monitor.quickstart.group_scores import append_floor_and_bands

BATCH = 4
"""Windows scored at a time on the CPU: their spectrograms then stay in the processor's cache."""


class Evidence(nn.Module):
    """Deviation from normal by band and frame, in standard deviations."""

    mean: Tensor
    inverse_std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("inverse_std", std.reciprocal())

    def forward(self, log_mel: Tensor) -> Tensor:
        """Return ``(batch, bands, frames)`` of ``(batch, frames, bands)``."""
        return ((log_mel - self.mean) * self.inverse_std).transpose(1, 2)


class QuickstartDetector(nn.Module):
    """Waveform to score, with reference windows of each target.

    Parameters
    ----------
    groups
        The features, which all targets share.
    scorers, fusions, evidences
        One of each for every target.
    """

    def __init__(
        self,
        groups: FeatureGroups,
        scorers: Sequence[GainFreeScorer],
        fusions: Sequence[Fusion],
        evidences: Sequence[Evidence],
    ) -> None:
        super().__init__()
        self.batch = BATCH
        self.groups = groups
        self.scores = FusedScores(scorers, fusions)
        self.evidences = PerTarget(evidences)

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)``, higher = more anomalous.

        Parameters
        ----------
        waveform
            ``(batch, window_samples)`` float32 in [-1, 1].
        target
            ``(batch,)`` int64, indexes the manifest's targets.
        """
        return self.measure(waveform, target)[:, 0]

    @torch.jit.export
    def voices(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, 1 + voices)``: the score, and the log scores of all voices."""
        return self.measure(waveform, target)[:, :-1]

    @torch.jit.export
    def measure(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, 1 + voices + 1)``: score, voices, and the common change in dB."""
        if waveform.is_cuda:
            return self._measure(waveform, target)
        batches: list[Tensor] = []
        for start in range(0, waveform.shape[0], self.batch):
            stop = start + self.batch
            batches.append(self._measure(waveform[start:stop], target[start:stop]))
        return torch.cat(batches) if len(batches) > 0 else waveform.new_zeros(0, 2)

    def _measure(self, waveform: Tensor, target: Tensor) -> Tensor:
        power, log_mel, fast_power = self.groups.frames(waveform)
        groups: list[Tensor] = self.groups.from_frames(power, log_mel, fast_power)
        features = append_floor_and_bands(groups, log_mel, self.groups.mel)
        scores: Tensor = self.scores(features, target)
        return scores

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, bands, frames)``: signed deviation in standard deviations."""
        deviation: Tensor = self.evidences(self.groups.log_mel(waveform), target)
        return deviation
