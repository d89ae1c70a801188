"""Settings of the Anomaly Transformer, and the front end that follows from them."""

from typing import Literal

from pydantic import Field

from asd_offline.features.frontends import LogMel, LogMelSettings
from asd_offline.recipes import MultiScoreRecipe

Score = Literal[
    "association_mean",
    "association_max",
    "association_top",
    "error_mean",
    "error_max",
    "error_top",
]
"""``association``: errors of frames weighted by association discrepancy (equation 6), ``error``:
unweighted. ``mean``, ``max``, ``top``: the mean over all frames, the largest, or the mean of the
largest tenth."""


class AnomalyTransformerRecipe(MultiScoreRecipe):
    """One network for each machine type, trained on all of its ids or sections."""

    model: Literal["anomaly_transformer"] = "anomaly_transformer"
    epochs: int = Field(10, ge=0, le=100_000)
    batch_size: int = Field(256, ge=2)
    learning_rate: float = Field(1e-4, gt=0)
    schedule: Literal["constant", "cosine", "halving"] = "halving"
    constant_epochs: int = Field(1, ge=0)
    """As published: the factor is 1, 1, 1/2, 1/4, ..."""
    n_fft: int = Field(1024, ge=64)
    hop_length: int = Field(512, ge=16)
    n_mels: int = Field(128, ge=8)
    segment_frames: int = Field(100, ge=8)
    """Frames of a segment, the input of the network."""
    train_hop_frames: int = Field(50, ge=1)
    score_hop_frames: int = Field(50, ge=1)
    dims: int = Field(512, ge=8, multiple_of=2)
    heads: int = Field(8, ge=1)
    layers: int = Field(3, ge=1)
    hidden: int = Field(512, ge=1)
    association_weight: float = Field(3.0, ge=0)
    """lambda of the paper, equation 4."""
    temperature: float = Field(50.0, gt=0)
    """Temperature of the softmax over the frames' association discrepancies."""
    # Not the paper's association score: the weights of a segment sum to one, so that the level of
    # its errors is lost when whole clips are compared.
    score: Score = "error_mean"

    @property
    def min_window_samples(self) -> int:
        """Samples of one spectrogram frame."""
        return self.n_fft

    def log_mel(self) -> LogMel:
        """Return the front end."""
        settings = LogMelSettings(self.sample_rate_hz, self.n_fft, self.hop_length, self.n_mels)
        return LogMel(settings)
