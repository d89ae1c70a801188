"""Settings of STgram-MFN, and the front end that follows from them."""

from typing import Literal

from pydantic import Field

from asd_offline.features.frontends import LogMel, LogMelSettings
from asd_offline.models.stgram_mfn.mobilefacenet import Depth
from asd_offline.recipes import MultiScoreRecipe

MIN_MEL_POWER = 1e-10
"""Floor before the logarithm, torchaudio's default."""

Score = Literal["log_probability_with_margin", "log_probability", "gmm", "neighbours"]


class StgramMfnRecipe(MultiScoreRecipe):
    """One network for all machines; a class is a machine with its id or section."""

    model: Literal["stgram_mfn"] = "stgram_mfn"
    epochs: int = Field(301, ge=0, le=100_000)
    batch_size: int = Field(128, ge=2)
    learning_rate: float = Field(1e-4, gt=0)
    schedule: Literal["constant", "cosine", "halving"] = "cosine"
    constant_epochs: int = Field(20, ge=0)
    cosine_epochs: int | None = Field(300, ge=1, le=100_000)
    """As published: the training ends 20 epochs before the cosine."""
    final_learning_rate: float = Field(1e-5, ge=0)
    n_fft: int = Field(1024, ge=64)
    hop_length: int = Field(512, ge=16)
    n_mels: int = Field(128, ge=16)
    embedding_dims: int = Field(128, ge=2)
    depth: Depth = "shallow"
    """deep: 15 blocks, the authors' first version."""
    loss: Literal["arcface", "noisy_arcmix", "cross_entropy"] = "arcface"
    margin: float = Field(0.7, ge=0, lt=1.5)
    """In radians."""
    scale: float = Field(30.0, gt=0)
    sub_centres: int = Field(1, ge=1)
    mixing_alpha: float = Field(0.5, gt=0)
    """Parameter of the beta distribution of mixing weights; noisy_arcmix only."""
    score: Score = "log_probability_with_margin"
    gmm_components: int = Field(1, ge=1)
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
        """Return the front end: torchaudio's mel scale, filters not normalised."""
        settings = LogMelSettings(
            self.sample_rate_hz,
            self.n_fft,
            self.hop_length,
            self.n_mels,
            mel_scale="htk",
            norm=None,
            floor=MIN_MEL_POWER,
        )
        return LogMel(settings)
