"""Settings of the AdaCos models, and the branches that follow from them."""

from abc import abstractmethod
from typing import Literal, Self

from pydantic import Field, model_validator

from asd_monitor.backends.fusion import Rule
from asd_offline.models.adacos.branches import Branches, SpectrogramBranch, SpectrumBranch
from asd_offline.models.backend_choice import BackendSpec, check_backend_settings
from asd_offline.recipes import Recipe


class AdacosRecipe(Recipe):
    """Settings that the AdaCos models share: one network for all machines."""

    epochs: int = Field(16, ge=0, le=100_000)
    batch_size: int = Field(64, ge=2)
    optimizer: Literal["adam", "adamw"] = "adamw"
    weight_decay: float = Field(1e-5, ge=0)
    embedding_dims: int = Field(128, ge=2)
    """Length of each branch's embedding."""
    sub_clusters: int = Field(16, ge=1)
    trainable_centres: bool = True
    dynamic_scale: bool = False
    mixup_probability: float = Field(0.5, ge=0, le=1)
    feature_exchange: bool = True
    exchange_probability: float = Field(0.5, ge=0, le=1)
    subspace: bool = False
    """Whether each branch has a separate loss."""
    pseudo_classes: bool | None = None
    """Clusters and augmentations as classes; None: if there are fewer than four classes."""
    supplemental_classes: bool = False
    """Supplemental clips (2025) as further classes: the machine without noise, and noise alone."""
    feature_groups: bool = True
    """Score the quick start's feature groups alongside the embedding; False: as published."""
    fine_features: bool = True
    """Additional feature groups of higher resolution, and projected ones."""
    ensemble: int = Field(1, ge=1, le=16)
    """Number of independently initialised networks in one model file."""
    backend: BackendSpec = "density_neighbours"
    """Back end of the embedding, without feature groups; several are fused."""
    neighbours: int | None = Field(None, ge=1)
    """None: the backend's default."""
    fusion: Rule | None = None
    """Of several backends; None: the minimum of their scores."""

    @model_validator(mode="after")
    def _check_backend(self) -> Self:
        check_backend_settings(self)
        is_set = self.backend != "density_neighbours" or self.neighbours or self.fusion
        if self.feature_groups and is_set:
            msg = (
                "backend, neighbours and fusion: expected feature_groups: false, because every "
                "feature group has LOF and density-normalised neighbours; set it, or leave them out"
            )
            raise ValueError(msg)
        return self

    @property
    def uses_supplemental(self) -> bool:
        """Whether the model is trained with supplemental clips."""
        return self.supplemental_classes

    @abstractmethod
    def branches(self) -> Branches:
        """Return a newly initialised network."""


class SpectralAdacosRecipe(AdacosRecipe):
    """Two branches, 2.56 million weights with windows of 10 s at 16 kHz.

    Wilkinghoff, "Design choices for learning embeddings from auxiliary tasks for domain
    generalization in anomalous sound detection", ICASSP 2023; with trainable centres, mixup and
    feature exchange ("Self-supervised learning for anomalous sound detection", ICASSP 2024).
    """

    model: Literal["spectral_adacos"] = "spectral_adacos"
    n_fft: int = Field(1024, ge=64)
    hop_length: int = Field(512, ge=16)

    @property
    def min_window_samples(self) -> int:
        """Samples of one spectrogram frame."""
        return self.n_fft

    def branches(self) -> Branches:
        """Return a spectrum branch and a spectrogram branch."""
        dims = self.embedding_dims
        spectrogram = SpectrogramBranch(self.n_fft, self.hop_length, dims=dims)
        return Branches([SpectrumBranch(self.window_samples, dims), spectrogram])


class MultiresAdacosRecipe(AdacosRecipe):
    """Four branches, 5.07 million weights with windows of 10 s at 16 kHz.

    Spectrograms of short, middle and long frames (Wilkinghoff, DCASE 2024 Task 2; re-evaluated by
    Fujimura et al., "ASDKit", arXiv 2507.10264), and a loss for each branch in addition to the
    loss of all (subspace loss).
    """

    model: Literal["multires_adacos"] = "multires_adacos"
    resolutions: tuple[tuple[int, int], ...] = Field(
        ((256, 128), (1024, 512), (4096, 2048)), min_length=1
    )
    """n_fft and hop_length of each spectrogram."""
    feature_exchange: bool = False
    subspace: bool = True

    @property
    def min_window_samples(self) -> int:
        """Samples of five frames, which convolution and pooling reduce to one."""
        return max(n_fft + 4 * hop for n_fft, hop in self.resolutions)

    def branches(self) -> Branches:
        """Return a spectrum branch and a spectrogram branch for each resolution."""
        dims = self.embedding_dims
        spectrograms = [
            SpectrogramBranch(n_fft, hop, subtract_mean=False, dims=dims, pool_padding=0)
            for n_fft, hop in self.resolutions
        ]
        return Branches([SpectrumBranch(self.window_samples, dims), *spectrograms])
