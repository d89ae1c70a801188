"""Time-weighted frequency-domain representation with a Gaussian mixture: no network, no labels.

Guan et al., "Time-weighted frequency domain audio representation with GMM estimator for anomalous
sound detection", ICASSP 2023 (arXiv 2305.03328). There the decay ``r`` was chosen for each
machine type with test labels. Here normal clips choose it: see :func:`choose_decay`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from asd_monitor.backends.domain_neighbours import oversample
from asd_monitor.backends.gmm import fit_gmm
from asd_monitor.backends.mahalanobis import fit_whitening
from asd_monitor.backends.per_target import PerTarget
from asd_offline.datasets.targets import Target, group_by_machine
from asd_offline.features.cache import FeatureCache
from asd_offline.features.frontends import LogMel, LogMelSettings
from asd_offline.models.no_training import NoTrainingTask
from asd_offline.models.protocol import DetectorModule, Model
from asd_offline.recipes import Recipe

DECAYS = (0.0, 0.3, 0.46, 0.6, 0.75, 0.85, 0.9, 0.94, 0.97, 0.98, 0.99, 0.995, 1.0)
"""Candidates: 1 is the mean over time, 0 the maximum."""
FAULT_SHARES = (0.03, 0.1, 0.3, 1.0)
"""Shares of the frames that a simulated fault affects, from a click to always."""
FAULT_GAIN_DB = 3.0
MAX_WINDOWS = 200
"""Number of windows per target for the choice of the decay."""
SMOTE_NEIGHBOURS = 3


class TwfrGmmRecipe(Recipe):
    """Nothing is trained; everything is fitted when the run is exported."""

    model: Literal["twfr_gmm"] = "twfr_gmm"
    epochs: int = Field(0, ge=0, le=0)
    n_fft: int = Field(1024, ge=64)
    hop_length: int = Field(512, ge=16)
    n_mels: int = Field(128, ge=8)
    decay: float | None = Field(None, ge=0, le=1)
    """r of the paper, the same for all machines; None: chosen for each machine."""
    components: int = Field(1, ge=1, le=64)
    """Gaussians of each target's mixture."""
    smote_share: float = Field(0.2, ge=0, le=1)
    """Target-domain clips are oversampled to this share of the source domain's."""
    reg_covar: float = Field(1e-6, gt=0)
    """Added to every variance, in dB^2."""

    @property
    def min_window_samples(self) -> int:
        """Samples of one spectrogram frame."""
        return self.n_fft

    def log_mel(self) -> LogMel:
        """Return the front end."""
        settings = LogMelSettings(self.sample_rate_hz, self.n_fft, self.hop_length, self.n_mels)
        return LogMel(settings)


def time_weighted(log_mel: Tensor, decay: Tensor) -> Tensor:
    """Compute the weighted mean ``(batch, bands)`` of each band's frames, the loudest first.

    Parameters
    ----------
    log_mel
        ``(batch, frames, bands)`` in dB.
    decay
        ``(batch,)`` in [0, 1]: the i-th loudest frame has the weight ``decay ** i``, equation 4.
    """
    sorted_frames = torch.sort(log_mel, dim=1, descending=True).values
    weights = decay_weights(decay, log_mel.shape[1])
    return (sorted_frames * weights.unsqueeze(2)).sum(1)


def decay_weights(decay: Tensor, frames: int) -> Tensor:
    """Return weights ``(batch, frames)`` that sum to 1."""
    exponent = torch.arange(frames, dtype=decay.dtype, device=decay.device)
    weights = torch.pow(decay.unsqueeze(1), exponent)
    return weights / weights.sum(1, keepdim=True)


@dataclass(frozen=True, slots=True)
class DecayChoice:
    """A decay, and the expected AUC with each candidate."""

    decay: float
    auc: Mapping[float, float]
    """By decay: expected AUC of one band for faults of unknown kind."""


def choose_decay(windows: Sequence[Tensor], decays: Sequence[float] = DECAYS) -> DecayChoice:
    """Choose the decay with the highest expected AUC for faults of unknown kind.

    Eight faults are simulated in normal windows: in each band the loudest frames, a share from 3 %
    to all, become 3 dB louder (the machine's own sound changes); or a steady sound at the band's
    median level is added to as many frames at random positions (a new sound appears). The change of
    a band's weighted mean is divided by its standard deviation over normal windows given the other
    bands (from the diagonal of the inverse covariance), which gives the AUC of two normal
    distributions. It is averaged over faults, bands and targets. Only normal clips are used.

    Parameters
    ----------
    windows
        ``(windows, frames, bands)`` log-mel spectra in dB, one tensor for each target.
    decays
        The candidates.
    """
    expected = torch.stack([_expected_auc(target, decays) for target in windows]).mean(0)
    auc = dict(zip(decays, expected.tolist(), strict=True))
    return DecayChoice(max(decays, key=lambda decay: auc[decay]), auc)


def _expected_auc(windows: Tensor, decays: Sequence[float]) -> Tensor:
    """Return the expected AUC ``(decays,)``."""
    stride = -(-len(windows) // MAX_WINDOWS)
    windows = windows[::stride]
    weights = decay_weights(torch.tensor(decays, dtype=windows.dtype), windows.shape[1])
    sorted_frames = windows.sort(dim=1, descending=True).values
    normal = torch.einsum("df,wfb->dwb", weights, sorted_frames)  # (decays, windows, bands)
    # The squared length of a whitening column is the diagonal element of the inverse covariance.
    precision = torch.stack(
        [fit_whitening(vectors, min_variance=1e-2).matrix.square().sum(0) for vectors in normal]
    )
    std_db = precision.rsqrt()  # (decays, bands)
    aucs = []
    for faulty in _simulated_faults(windows, sorted_frames):
        shifted = torch.einsum("df,wfb->dwb", weights, faulty)
        shift = (shifted - normal).mean(1) / std_db
        aucs.append(torch.special.ndtr(shift / 2**0.5).mean(1))
    return torch.stack(aucs).mean(0)


def _simulated_faults(windows: Tensor, sorted_frames: Tensor) -> Iterator[Tensor]:
    """Yield faulty windows ``(windows, frames, bands)``, the frames of each band sorted."""
    frames = windows.shape[1]
    median = windows.median(dim=1, keepdim=True).values
    random = torch.Generator().manual_seed(0)
    for share in FAULT_SHARES:
        count = max(1, round(share * frames))
        louder = sorted_frames.clone()
        louder[:, :count] += FAULT_GAIN_DB
        yield louder
        affected = torch.randperm(frames, generator=random)[:count]
        added = windows.clone()
        power = 10.0 ** (windows[:, affected] / 10) + 10.0 ** (median / 10)
        added[:, affected] = 10.0 * power.log10()
        yield added.sort(dim=1, descending=True).values


class TwfrDetector(DetectorModule):
    """Waveform to weighted mean spectrum to mixture, with a decay and a mixture per target."""

    decay: Tensor

    def __init__(self, log_mel: LogMel, decay: Sequence[float], mixtures: PerTarget) -> None:
        super().__init__()
        self.log_mel = log_mel
        self.mixtures = mixtures
        self.register_buffer("decay", torch.tensor(decay))

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` in nats of ``(batch, samples)``; higher = more anomalous."""
        vectors = time_weighted(self.log_mel(waveform), self.decay[target])
        scores: Tensor = self.mixtures(vectors, target)
        return scores

    @torch.jit.unused
    def describe(self) -> dict[str, object]:
        """Return facts for the model file's manifest."""
        return {"decay_by_target": [round(float(decay), 4) for decay in self.decay]}


class TwfrGmmModel(Model[TwfrGmmRecipe, nn.Module]):
    """A mixture of weighted mean spectra for each target."""

    recipe = TwfrGmmRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """Group the targets by machine: each machine has its own decay."""
        return group_by_machine(targets)

    def task(
        self, targets: Sequence[Target], recipe: TwfrGmmRecipe, features: FeatureCache
    ) -> NoTrainingTask[nn.Module]:
        """Return an empty task: nothing is trained."""
        del targets, recipe, features
        return NoTrainingTask(nn.Module())

    def detector(
        self,
        networks: Mapping[str, nn.Module],
        targets: Mapping[str, Sequence[Target]],
        recipe: TwfrGmmRecipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Choose each machine's decay, and fit a mixture for each target."""
        del networks
        decays: list[float] = []
        mixtures: list[nn.Module] = []
        for machine_targets in targets.values():
            by_target = [_windows(target, recipe, features) for target in machine_targets]
            decay = recipe.decay
            if decay is None:
                decay = choose_decay([windows for windows, _ in by_target]).decay
            for windows, is_target_domain in by_target:
                vectors = time_weighted(windows, torch.full((len(windows),), decay))
                mixtures.append(_fit_mixture(vectors, is_target_domain, recipe))
                decays.append(decay)
        return TwfrDetector(recipe.log_mel(), decays, PerTarget(mixtures)).eval()


def _windows(
    target: Target, recipe: TwfrGmmRecipe, features: FeatureCache
) -> tuple[Tensor, Tensor]:
    """Return ``(windows, frames, bands)``, and which of them are of the target domain."""
    rows = features.rows([clip.path for clip in target.clips], recipe.log_mel())
    frames = recipe.window_samples // recipe.hop_length + 1
    windows, is_target_domain = [], []
    for index, clip in enumerate(target.clips):
        clip_windows = rows.of(index).unfold(0, frames, frames).transpose(1, 2)
        windows.append(clip_windows)
        is_target_domain += [clip.domain == "target"] * len(clip_windows)
    return torch.cat(windows), torch.tensor(is_target_domain)


def _fit_mixture(vectors: Tensor, is_target_domain: Tensor, recipe: TwfrGmmRecipe) -> nn.Module:
    source = vectors[~is_target_domain]
    if recipe.smote_share and bool(is_target_domain.any()) and len(source):
        count = round(recipe.smote_share * len(source))
        oversampled = oversample(vectors[is_target_domain], count, neighbours=SMOTE_NEIGHBOURS)
        vectors = torch.cat([source, oversampled])
    return fit_gmm(
        vectors,
        components=recipe.components,
        min_variance=recipe.reg_covar,
        best_component=True,
    )
