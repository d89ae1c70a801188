"""Settings of MobileNetV2, and the front end that follows from them."""

from typing import Literal

from pydantic import Field

from asd_offline.features.frontends import LogMel, LogMelSettings
from asd_offline.recipes import Recipe


class MobileNetV2Recipe(Recipe):
    """One network for each machine type; its classes are the machine's ids or sections."""

    model: Literal["mobilenetv2"] = "mobilenetv2"
    epochs: int = Field(20, ge=0, le=100_000)
    batch_size: int = Field(32, ge=2)
    learning_rate: float = Field(1e-5, gt=0)
    n_fft: int = Field(1024, ge=64)
    hop_length: int = Field(512, ge=16)
    n_mels: int = Field(128, ge=32)
    segment_frames: int = Field(64, ge=32)
    """Frames of an image."""
    train_hop_frames: int = Field(8, ge=1)
    score_hop_frames: int = Field(1, ge=1)
    alpha: float = Field(0.5, gt=0)
    """Factor of the network's widths."""
    masked_share: float = Field(0.0, ge=0, lt=1)
    """Maximum share of bands, and of frames, that SpecAugment masks."""
    batch_norm_momentum: float = Field(0.001, gt=0, le=1)
    """As torch defines it; Keras' 0.999 for this network is 0.001 here."""
    supplemental_classes: bool = False
    """Supplemental clips (2025) as further classes: the machine without noise, and noise alone."""

    @property
    def uses_supplemental(self) -> bool:
        """Whether the model is trained with supplemental clips."""
        return self.supplemental_classes

    @property
    def min_window_samples(self) -> int:
        """Samples of one spectrogram frame."""
        return self.n_fft

    def log_mel(self) -> LogMel:
        """Return the front end."""
        settings = LogMelSettings(self.sample_rate_hz, self.n_fft, self.hop_length, self.n_mels)
        return LogMel(settings)
