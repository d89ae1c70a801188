"""Log odds against the target's section: the detector from waveform to score."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from asd_offline.features.band_centres import group_centres_hz
from asd_offline.features.segments import clip_segments
from asd_offline.models.mobilenetv2.network import SectionClassifier, to_images
from asd_offline.models.mobilenetv2.recipe import MobileNetV2Recipe
from asd_offline.models.protocol import DetectorModule

MAX_IMAGES = 64
"""Classified at once: all images of a batch would take gigabytes."""
OCCLUDED_BANDS = 8


class MobileNetV2Detector(DetectorModule):
    """Waveform to score, with one network per machine.

    Parameters
    ----------
    recipe
        Settings of front end and images.
    classifiers
        One trained network per machine.
    machine_of_target
        Index into ``classifiers`` for each target.
    class_of_target
        Index of each target's class among those of its machine.
    """

    machine_of_target: Tensor
    class_of_target: Tensor
    mean_spectrum: Tensor

    def __init__(
        self,
        recipe: MobileNetV2Recipe,
        classifiers: Sequence[SectionClassifier],
        machine_of_target: Sequence[int],
        class_of_target: Sequence[int],
    ) -> None:
        super().__init__()
        self.log_mel = recipe.log_mel()
        self.segment_frames = recipe.segment_frames
        self.hop = recipe.score_hop_frames
        self.bands = OCCLUDED_BANDS
        self.max_images = MAX_IMAGES
        self.networks = nn.ModuleList([classifier.network for classifier in classifiers])
        mean_spectrum = torch.stack([classifier.usual for classifier in classifiers])
        self.register_buffer("mean_spectrum", mean_spectrum)  # (machines, n_mels)
        self.register_buffer("machine_of_target", torch.tensor(machine_of_target))
        self.register_buffer("class_of_target", torch.tensor(class_of_target))

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, samples)``; higher = more anomalous."""
        return self._image_scores(self.log_mel(waveform), target).mean(1)

    @torch.jit.export
    def evidence(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, bands, images)``: decrease of the score when each band is occluded.

        A band of an image is replaced by its mean over the machine's normal sound. Images are in
        the order of their time in the window.
        """
        log_mel = self.log_mel(waveform)  # (batch, frames, n_mels)
        scores = self._image_scores(log_mel, target)
        decreases: list[Tensor] = []
        mels = log_mel.shape[2]
        mean_spectrum = self.mean_spectrum[self.machine_of_target[target]]  # (batch, n_mels)
        for band in range(self.bands):
            low, high = band * mels // self.bands, (band + 1) * mels // self.bands
            occluded = log_mel.clone()
            occluded[:, :, low:high] = mean_spectrum[:, low:high].unsqueeze(1)
            decreases.append(scores - self._image_scores(occluded, target))
        return torch.stack(decreases, dim=1)

    @torch.jit.unused
    def describe(self) -> dict[str, object]:
        """Return facts for the model file's manifest."""
        settings = self.log_mel.settings
        return {
            "score": "mean over images of log(1 - p) - log p, p: probability of the section",
            "evidence": "decrease of the score without this band of the log-mel spectrogram",
            "evidence_bands": f"{self.bands} groups of mel bands",
            "evidence_bands_hz": group_centres_hz(settings, self.bands),
            "evidence_hop_s": self.hop * settings.hop_length / self.log_mel.sample_rate_hz,
        }

    def _image_scores(self, log_mel: Tensor, target: Tensor) -> Tensor:
        """Return ``(batch, images)``: log odds against the target's class."""
        segments, starts = clip_segments(log_mel, self.segment_frames, self.hop)
        scores = torch.zeros(log_mel.shape[0], starts.shape[0], device=log_mel.device)
        machine_index = self.machine_of_target[target]
        class_index = self.class_of_target[target]
        for index, network in enumerate(self.networks):
            rows = torch.nonzero(machine_index == index).flatten()
            if rows.numel() > 0:
                images = to_images(segments[rows].flatten(0, 1))
                parts: list[Tensor] = []
                for part in torch.split(images, self.max_images):
                    parts.append(network(part))
                logits = torch.cat(parts)  # (rows * images, classes)
                label = class_index[rows].repeat_interleave(starts.shape[0]).unsqueeze(1)
                label_logit = logits.gather(1, label).squeeze(1)
                others = logits.scatter(1, label, float("-inf")).logsumexp(1)
                scores[rows] = (others - label_logit).reshape(rows.numel(), -1)
        return scores
