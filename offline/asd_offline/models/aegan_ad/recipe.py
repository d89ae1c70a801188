"""Settings of AEGAN-AD, and the front end that follows from them."""

from typing import Literal

from pydantic import Field

from asd_offline.features.frontends import LogMel, LogMelSettings
from asd_offline.recipes import MultiScoreRecipe

SEGMENT_SIZE = 128
"""Frames and mel bands of a segment: five halvings down to 4, and a last kernel of 4."""
MIN_MEL_POWER = 1e-10
"""Floor before the logarithm, librosa's default."""

Norm = Literal["layer", "batch"]

Score = Literal[
    "g_x_l2_mean",
    "g_x_l2_min",
    "g_x_l2_max",
    "g_x_l1_mean",
    "g_x_l1_min",
    "g_x_l1_max",
    "g_z_l2_mean",
    "g_z_l2_min",
    "g_z_l2_max",
    "g_z_l1_mean",
    "g_z_l1_min",
    "g_z_l1_max",
    "g_z_cos_mean",
    "g_z_cos_min",
    "g_z_cos_max",
    "d_maha",
    "d_knn",
    "d_lof",
    "d_cos",
]
"""``g``: from the generator, the distance between segments (``x``) or codes (``z``) and their
reconstructions, aggregated over the segments of a window; ``d``: from embeddings of the
discriminator. The authors aggregate by ``sum`` where it says ``mean`` here: all windows have the
same number of segments, so the ranks are the same."""


class AeganAdRecipe(MultiScoreRecipe):
    """The published settings for fan in DCASE 2020; configs/train/aegan_ad has the others."""

    model: Literal["aegan_ad"] = "aegan_ad"
    epochs: int = Field(50, ge=0, le=100_000)
    batch_size: int = Field(512, ge=2)
    learning_rate: float = Field(2e-4, gt=0)
    adam_betas: tuple[float, float] = (0.5, 0.999)
    mixed_precision: bool = False
    """The gradient penalty needs full precision."""
    n_fft: int = Field(2048, ge=64)
    hop_length: int = Field(512, ge=16)
    top_db: float = Field(80.0, gt=0)
    """Levels further below the maximum are clipped, as by librosa's ``power_to_db``."""
    train_hop_frames: int = Field(1, ge=1)
    score_hop_frames: int = Field(1, ge=1)
    """16 and more for a monitor on a CPU."""
    channels: int = Field(32, ge=1)
    """Channels of the first convolution."""
    code: int = Field(256, ge=1)
    """Length of a code."""
    generator_norm: Norm = "layer"
    first_norm: bool = True
    """Whether the encoder's first convolution is normalised."""
    matching: Literal["mean", "mean_and_deviation"] = "mean"
    """Which batch statistics of the discriminator's embedding the generator has to match."""
    matching_weight: float = Field(1.0, ge=0)
    penalty_weight: float = Field(10.0, ge=0)
    """Weight of the gradient penalty."""
    score: Score = "g_x_l2_mean"
    reference: Literal["target", "machine"] = "target"
    """Whose normal clips the ``d`` scores compare with; published: machine."""
    evidence: Literal["input", "mean_normal"] = "input"
    """What the reconstruction is compared with for localisation; published: mean_normal."""

    @property
    def min_window_samples(self) -> int:
        """Samples of one spectrogram frame."""
        return self.n_fft

    def log_mel(self) -> LogMel:
        """Return the front end: librosa's default mel spectrogram with 128 bands."""
        settings = LogMelSettings(
            self.sample_rate_hz, self.n_fft, self.hop_length, SEGMENT_SIZE, floor=MIN_MEL_POWER
        )
        return LogMel(settings)
