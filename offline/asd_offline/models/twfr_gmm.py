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
from asd_offline.datasets.targets import Target, by_machine
from asd_offline.features.cache import FeatureCache
from asd_offline.features.frontends import LogMel, LogMelSettings
from asd_offline.models.no_training import NoTrainingTask
from asd_offline.models.protocol import DetectorModule, Model
from asd_offline.recipes import Recipe

DECAYS = (0.0, 0.3, 0.46, 0.6, 0.75, 0.85, 0.9, 0.94, 0.97, 0.98, 0.99, 0.995, 1.0)
"""What may be chosen: 1 is the mean over time, 0 the maximum."""
SHARES = (0.03, 0.1, 0.3, 1.0)
"""Parts of the frames that a fault may touch, from a click to always."""
LOUDER_DB = 3.0
WINDOWS_AT_MOST = 200


class TwfrGmmRecipe(Recipe):
    """Nothing is trained; everything is fitted when the run is exported."""

    model: Literal["twfr_gmm"] = "twfr_gmm"
    epochs: int = Field(0, ge=0, le=0)
    n_fft: int = Field(1024, ge=64)
    hop_length: int = Field(512, ge=16)
    n_mels: int = Field(128, ge=8)
    decay: float | None = Field(
        None, ge=0, le=1, description="r of the paper, the same for all; None: chosen by machine."
    )
    components: int = Field(1, ge=1, le=64, description="Gaussians for each target.")
    smote_share: float = Field(
        0.2, ge=0, le=1, description="Target-domain clips are oversampled to this share."
    )
    least_variance: float = Field(1e-6, gt=0, description="In dB^2.")

    @property
    def min_window_samples(self) -> int:
        """Samples of one spectrogram frame."""
        return self.n_fft

    def log_mel(self) -> LogMel:
        """Return the front end."""
        settings = LogMelSettings(self.sample_rate_hz, self.n_fft, self.hop_length, self.n_mels)
        return LogMel(settings)


def time_weighted(log_mel: Tensor, decay: Tensor) -> Tensor:
    """Return the weighted mean ``(batch, bands)`` of each band's frames, the loudest first.

    Parameters
    ----------
    log_mel
        ``(batch, frames, bands)`` in dB.
    decay
        ``(batch,)`` in [0, 1]: the i-th loudest frame has the weight ``decay ** i``, equation 4.
    """
    ordered = torch.sort(log_mel, dim=1, descending=True).values
    weights = decay_weights(decay, log_mel.shape[1])
    return (ordered * weights.unsqueeze(2)).sum(1)


def decay_weights(decay: Tensor, frames: int) -> Tensor:
    """Return ``(batch, frames)`` weights that add up to 1."""
    place = torch.arange(frames, dtype=decay.dtype, device=decay.device)
    weights = torch.pow(decay.unsqueeze(1), place)
    return weights / weights.sum(1, keepdim=True)


@dataclass(frozen=True, slots=True)
class DecayChoice:
    """A decay, and how well faults are told from normal sound with each that was tried."""

    decay: float
    visibility: Mapping[float, float]
    """Expected AUC of one band against faults of unknown kind."""


def choose_decay(windows: Sequence[Tensor], decays: Sequence[float] = DECAYS) -> DecayChoice:
    """Choose the decay under which faults of unknown kind stand out most from normal sound.

    Normal windows are made faulty in eight ways: in each band the loudest frames, a share from 3 %
    to all, become 3 dB louder (what the machine does has changed); or a steady sound as loud as
    the band's median is added to so many frames, wherever they are (something new is heard). How
    far a band's weighted mean moves, over how much it differs among normal windows, other bands
    given (from the diagonal of the inverse covariance), gives the AUC of two normal laws. It is
    averaged over faults, bands and targets. Only normal clips are used.

    Parameters
    ----------
    windows
        ``(windows, frames, bands)`` log-mel spectra in dB, one tensor for each target.
    """
    found = torch.stack([_visibility(each, decays) for each in windows]).mean(0)
    visibility = dict(zip(decays, found.tolist(), strict=True))
    return DecayChoice(max(decays, key=lambda decay: visibility[decay]), visibility)


def _visibility(windows: Tensor, decays: Sequence[float]) -> Tensor:
    """Return the expected AUC ``(decays,)``."""
    every = -(-len(windows) // WINDOWS_AT_MOST)
    windows = windows[::every]
    weights = decay_weights(torch.tensor(decays, dtype=windows.dtype), windows.shape[1])
    ordered = windows.sort(dim=1, descending=True).values
    normal = torch.einsum("df,wfb->dwb", weights, ordered)
    # The squared length of a whitening column is the inverse covariance's diagonal.
    spread = [fit_whitening(each, least_variance=1e-2).matrix.square().sum(0) for each in normal]
    spread_db = torch.stack(spread).rsqrt()
    found = []
    for faulty in _faults(windows, ordered):
        vectors = torch.einsum("df,wfb->dwb", weights, faulty)
        away = (vectors - normal).mean(1) / spread_db
        found.append(torch.special.ndtr(away / 2**0.5).mean(1))
    return torch.stack(found).mean(0)


def _faults(windows: Tensor, ordered: Tensor) -> Iterator[Tensor]:
    """Yield faulty windows ``(windows, frames, bands)``, the frames of each band in order."""
    frames = windows.shape[1]
    median = windows.median(dim=1, keepdim=True).values
    random = torch.Generator().manual_seed(0)
    for share in SHARES:
        count = max(1, round(share * frames))
        louder = ordered.clone()
        louder[:, :count] += LOUDER_DB
        yield louder
        touched = torch.randperm(frames, generator=random)[:count]
        added = windows.clone()
        power = 10.0 ** (windows[:, touched] / 10) + 10.0 ** (median / 10)
        added[:, touched] = 10.0 * power.log10()
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
        """Return which decays were chosen."""
        return {"decay_by_target": [round(float(each), 4) for each in self.decay]}


class TwfrGmm(Model[TwfrGmmRecipe, nn.Module]):
    """A mixture of weighted mean spectra for each target."""

    recipe = TwfrGmmRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """Machines are fitted one by one: each has its own decay."""
        return by_machine(targets)

    def task(
        self, targets: Sequence[Target], recipe: TwfrGmmRecipe, features: FeatureCache
    ) -> NoTrainingTask[nn.Module]:
        """Nothing to train."""
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
        for own in targets.values():
            cut = [_windows(target, recipe, features) for target in own]
            decay = recipe.decay
            if decay is None:
                decay = choose_decay([windows for windows, _ in cut]).decay
            for windows, is_target in cut:
                vectors = time_weighted(windows, torch.full((len(windows),), decay))
                mixtures.append(_mixture(vectors, is_target, recipe))
                decays.append(decay)
        return TwfrDetector(recipe.log_mel(), decays, PerTarget(mixtures)).eval()


def _windows(
    target: Target, recipe: TwfrGmmRecipe, features: FeatureCache
) -> tuple[Tensor, Tensor]:
    """Return ``(windows, frames, bands)``, and which of them are of the target domain."""
    rows = features.rows([clip.path for clip in target.clips], recipe.log_mel())
    frames = recipe.window_samples // recipe.hop_length + 1
    windows, domains = [], []
    for place, clip in enumerate(target.clips):
        cut = rows.of(place).unfold(0, frames, frames).transpose(1, 2)
        windows.append(cut)
        domains += [clip.domain == "target"] * len(cut)
    return torch.cat(windows), torch.tensor(domains)


def _mixture(vectors: Tensor, is_target: Tensor, recipe: TwfrGmmRecipe) -> nn.Module:
    source = vectors[~is_target]
    if recipe.smote_share and bool(is_target.any()) and len(source):
        wanted = round(recipe.smote_share * len(source))
        extra = oversample(vectors[is_target], wanted, neighbours=3)
        vectors = torch.cat([source, extra])
    return fit_gmm(
        vectors,
        components=recipe.components,
        least_variance=recipe.least_variance,
        best_component=True,
    )
