"""Settings of the pretrained front ends: the weights, the backends, and fine-tuning."""

from pathlib import Path
from typing import Literal, Self, cast, get_args

from pydantic import Field, field_validator, model_validator
from torch import Tensor

from asd_monitor.backends.far_channel import FarChannelSubtraction, fit_far_channel
from asd_monitor.backends.fusion import Rule
from asd_monitor.errors import ConfigError
from asd_offline.datasets.audio_files import NEAR, NEAR_AND_FAR
from asd_offline.models.backend_choice import BackendSpec, check_backend_settings
from asd_offline.models.pretrained.front_end import TORCHSCRIPT, PretrainedFrontEnd
from asd_offline.models.pretrained.loading import load_front_end
from asd_offline.models.pretrained.pooling import Bands, PatchPooling, Pool
from asd_offline.models.pretrained.scripted_encoder import check_scripted_encoder
from asd_offline.recipes import Recipe

FarChannel = Literal["ignored", "subtracted", "fitted"]
DEFAULT_FAR_SHARE = 0.5
POOL_SETTINGS = {"pool_power": ("gem", "rdp_gem"), "pool_emphasis": ("rdp", "rdp_gem")}
DEFAULT_POWER = 3.0
DEFAULT_EMPHASIS = 9.0
"""Both as chosen for all encoders together in arXiv 2603.04605, table III."""


class PretrainedRecipe(Recipe):
    """Published weights, used as they are or, with epochs, fine-tuned."""

    model: Literal["pretrained"] = "pretrained"
    checkpoint: Path
    """File of published weights; never downloaded."""
    sha256: str = Field(pattern=r"^[0-9a-fA-F]{64}$")
    """Of that file."""
    architecture: Literal["auto", "beats", "ced", "dasheng", "eat", "torchscript"] = "auto"
    """Recognised from the tensors, except torchscript: your own encoder, with its code."""
    encoder_rate_hz: int = Field(16000, ge=1000, le=384_000)
    """Sample rate that a torchscript encoder expects."""
    pool: Pool | Literal["attention"] = "mean"
    """Over time; attention is learned and needs epochs."""
    pool_power: float | None = Field(None, gt=0, le=100)
    """Of gem and rdp_gem; None: 3."""
    pool_emphasis: float | None = Field(None, ge=0, le=100)
    """Of the deviation weights of rdp and rdp_gem; None: 9."""
    bands: Bands = "separate"
    """Frequency bands: a backend for each, one concatenated vector, or pooled like time."""
    far_channel: FarChannel = "ignored"
    """Second channel of stereo recordings: its vectors can be subtracted from those of the first,
    with the same share of each value or with fitted ones."""
    far_share: float | None = Field(None, ge=0, le=2)
    """Of far_channel subtracted; None: 0.5."""
    backend: BackendSpec = "density_neighbours"
    """Several are fused."""
    neighbours: int | None = Field(None, ge=1)
    """None: the backend's default."""
    fusion: Rule | None = None
    """Of several backends; None: the minimum of their scores."""
    bank_windows: int = Field(1000, ge=2)
    """Maximum of each target, evenly spaced."""

    epochs: int = Field(0, ge=0, le=100_000)
    lora_rank: int = Field(64, ge=0)
    """0: all weights are trained."""
    embedding_dims: int = Field(256, ge=2)
    sub_clusters: int = Field(16, ge=1)
    mixup_probability: float = Field(0.5, ge=0, le=1)
    pseudo_classes: bool | None = None
    """Clusters and augmentations as classes; None: if there are fewer than four classes."""
    encoder_clusters: int | None = Field(None, ge=2, le=1000)
    """Clusters of the vectors of the encoder, before training, into which each class without
    attributes is divided; None: classes are not divided."""
    supplemental_classes: bool = False
    """Supplemental clips (2025) as further classes: the machine without noise, and noise alone."""
    batch_size: int = Field(8, ge=2)
    optimizer: Literal["adam", "adamw"] = "adamw"
    learning_rate: float = Field(1e-4, gt=0)
    recompute_batch_norm: Literal[False] = False

    @field_validator("checkpoint")
    @classmethod
    def _make_absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @model_validator(mode="after")
    def _check_combination(self) -> Self:
        if (self.pool == "attention") != (self.epochs > 0):
            expected = "attention" if self.epochs else " or ".join(get_args(Pool))
            msg = f"pool: expected {expected} with epochs: {self.epochs}, got {self.pool}"
            raise ValueError(msg)
        if self.epochs and self.bands != "pooled":
            msg = f"bands: expected pooled, as attention pools over bands, got {self.bands}"
            raise ValueError(msg)
        if self.architecture == "torchscript" and self.epochs:
            msg = "epochs: an encoder of the architecture torchscript cannot be trained; expected 0"
            raise ValueError(msg)
        if self.architecture != "torchscript" and self.encoder_rate_hz != 16000:
            msg = "encoder_rate_hz: only used by architecture torchscript; leave it out"
            raise ValueError(msg)
        for name, pools in POOL_SETTINGS.items():
            if getattr(self, name) is not None and self.pool not in pools:
                msg = f"{name}: not used by pool {self.pool}, only by {' and '.join(pools)}"
                raise ValueError(msg)
        if self.encoder_clusters is not None and (not self.epochs or self.pseudo_classes):
            msg = "encoder_clusters: expected epochs, and no pseudo_classes, which they replace"
            raise ValueError(msg)
        if self.supplemental_classes and not self.epochs:
            msg = "supplemental_classes: expected epochs, because only training has classes"
            raise ValueError(msg)
        if self.far_share is not None and self.far_channel != "subtracted":
            msg = f"far_share: not used by far_channel {self.far_channel}, only by subtracted"
            raise ValueError(msg)
        check_backend_settings(self)
        return self

    @property
    def input_channels(self) -> tuple[int, ...]:
        """Channels of a recording that the exported model scores."""
        return NEAR if self.far_channel == "ignored" else NEAR_AND_FAR

    @property
    def uses_supplemental(self) -> bool:
        """Whether the model is trained with supplemental clips."""
        return self.supplemental_classes

    def fit_far_channel(self, vectors: Tensor) -> FarChannelSubtraction:
        """Fit the subtraction on near and far vectors ``(items, 2 dims)``, concatenated."""
        fixed = DEFAULT_FAR_SHARE if self.far_share is None else self.far_share
        return fit_far_channel(vectors, fixed if self.far_channel == "subtracted" else None)

    def pooling(self) -> PatchPooling:
        """Return the pooling of a recipe without training."""
        power = DEFAULT_POWER if self.pool_power is None else self.pool_power
        emphasis = DEFAULT_EMPHASIS if self.pool_emphasis is None else self.pool_emphasis
        pool = cast("Pool", self.pool)  # attention needs epochs
        mono = self.far_channel == "ignored"  # otherwise scaled after the subtraction
        return PatchPooling(pool, self.bands, power, emphasis, normalised=mono)

    def front_end(self) -> PretrainedFrontEnd:
        """Load the weights; ConfigError if they cannot be used."""
        return load_front_end(
            self.checkpoint,
            self.sha256,
            self.architecture,
            self.sample_rate_hz,
            self.encoder_rate_hz,
        )

    def check(self) -> None:
        """Check that the weights can be used, with windows of this length.

        Raises
        ------
        ConfigError
            If they cannot.
        """
        front = self.front_end()
        min_s, max_s = front.window_limits_s()
        if self.window_s is not None and not min_s <= self.window_s <= max_s:
            msg = (
                f"window_s: expected {min_s:.2f} to {max_s:.2f} s, the limits of this "
                f"{front.architecture} checkpoint, found {self.window_s:.2f} s"
            )
            raise ConfigError(f"{msg} (default: the length of the shortest clip)")
        if self.window_s is not None and front.architecture == TORCHSCRIPT:
            check_scripted_encoder(front, self.window_samples, self.checkpoint)
