"""Log modulation spectra and their local density: no network, no labels.

The modulation spectrum is that of Falk, Zheng and Chan, "A non-intrusive quality and
intelligibility measure of reverberant and dereverberated speech", IEEE TASLP 2010, divided by the
mean of each envelope, so that the gain of a microphone does not matter.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from asd_monitor.backends.density_ensemble import fit_density_ensemble
from asd_monitor.backends.per_target import PerTarget
from asd_monitor.features import (
    FAST_HOP_S,
    FAST_S,
    MIN_POWER,
    MODULATION_EDGES_HZ,
    TOP_FRACTION,
    Modulation,
    Spectrogram,
    mel_filters,
)
from asd_offline.datasets.targets import Target
from asd_offline.features.cache import FeatureCache
from asd_offline.models.bank import join_clips
from asd_offline.models.no_training import NoTrainingTask
from asd_offline.models.protocol import DetectorModule, Model
from asd_offline.recipes import Recipe

MAX_BANK_WINDOWS = 2000


class ModulationKnnRecipe(Recipe):
    """Nothing is trained; everything is fitted when the run is exported."""

    model: Literal["modulation_knn"] = "modulation_knn"
    epochs: int = Field(0, ge=0, le=0)
    envelope_bands: int = Field(60, ge=4)
    """Mel bands whose envelopes are analysed."""
    lof_neighbours: int = Field(10, ge=1)
    density_neighbours: int = Field(4, ge=1)

    def front_end(self) -> "ModulationSpectra":
        """Return the features of this recipe."""
        return ModulationSpectra(
            self.sample_rate_hz, self.window_samples, self.hop_samples, self.envelope_bands
        )


class ModulationSpectra(nn.Module):
    """Waveform to one log modulation spectrum for each window; a front end for the feature cache.

    Parameters
    ----------
    sample_rate_hz
        Sample rate of the waveform.
    window_samples, hop_samples
        Length and hop of the windows.
    bands
        Mel bands whose envelopes are analysed.
    """

    filters: Tensor

    def __init__(
        self, sample_rate_hz: int, window_samples: int, hop_samples: int, bands: int
    ) -> None:
        super().__init__()
        self.sample_rate_hz = sample_rate_hz
        self.window_samples = window_samples
        self.hop_samples = hop_samples
        self.bands = bands
        self.dims = bands * (len(MODULATION_EDGES_HZ) - 1)
        self.min_power = MIN_POWER
        n_fft = 2 * round(FAST_S * sample_rate_hz / 2)
        fast_hop = round(FAST_HOP_S * sample_rate_hz)
        self.spectrogram = Spectrogram(n_fft, fast_hop)
        filters = mel_filters(
            bands, self.spectrogram.bins, sample_rate_hz / n_fft, TOP_FRACTION * sample_rate_hz
        )
        self.register_buffer("filters", filters)
        frames = (window_samples - n_fft) // fast_hop + 1
        self.modulation = Modulation(frames, sample_rate_hz / fast_hop)

    def window_spectra(self, windows: Tensor) -> Tensor:
        """Return ``(batch, dims)`` of ``(batch, window_samples)``."""
        centred = windows - windows.mean(1, keepdim=True)
        power = torch.matmul(self.spectrogram(centred) + self.min_power, self.filters)
        spectra: Tensor = self.modulation(power.sqrt())  # of envelopes (batch, frames, bands)
        return spectra

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, windows, dims)`` of ``(batch, samples)``."""
        windows = waveform.unfold(1, self.window_samples, self.hop_samples)
        spectra = [self.window_spectra(windows[:, i]) for i in range(windows.shape[1])]
        return torch.stack(spectra, dim=1)

    def describe(self) -> dict[str, object]:
        """Return everything that determines the result."""
        return {
            "front_end": "modulation",
            "sample_rate_hz": self.sample_rate_hz,
            "window_samples": self.window_samples,
            "hop_samples": self.hop_samples,
            "bands": self.bands,
            "edges_hz": list(MODULATION_EDGES_HZ),
            "revision": 2,  # in revision 1 the Fourier transform was as long as the envelope
        }


class ModulationDetector(DetectorModule):
    """Waveform to modulation spectrum to local density, with a backend per target."""

    def __init__(self, spectra: ModulationSpectra, backends: PerTarget) -> None:
        super().__init__()
        self.spectra = spectra
        self.backends = backends

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, window_samples)``; higher = more anomalous."""
        scores: Tensor = self.backends(self.spectra.window_spectra(waveform), target)
        return scores


class ModulationKnnModel(Model[ModulationKnnRecipe, nn.Module]):
    """A density ensemble of modulation spectra for each target."""

    recipe = ModulationKnnRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """Return a single group: all targets are fitted together, without a network."""
        return {"all": tuple(targets)}

    def task(
        self, targets: Sequence[Target], recipe: ModulationKnnRecipe, features: FeatureCache
    ) -> NoTrainingTask[nn.Module]:
        """Return an empty task: nothing is trained."""
        del targets, recipe, features
        return NoTrainingTask(nn.Module())

    def detector(
        self,
        networks: Mapping[str, nn.Module],
        targets: Mapping[str, Sequence[Target]],
        recipe: ModulationKnnRecipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Fit a density ensemble for each target."""
        spectra = recipe.front_end()
        backends = [
            _fit_backend(target, spectra, recipe, features)
            for name in networks
            for target in targets[name]
        ]
        return ModulationDetector(spectra, PerTarget(backends)).eval()


def _fit_backend(
    target: Target, spectra: ModulationSpectra, recipe: ModulationKnnRecipe, features: FeatureCache
) -> nn.Module:
    clips = features.rows([clip.path for clip in target.clips], spectra)
    by_clip = [clips.of(index) for index in range(len(target.clips))]
    vectors, groups = join_clips(by_clip, MAX_BANK_WINDOWS)
    return fit_density_ensemble(
        vectors,
        groups,
        lof_count=recipe.lof_neighbours,
        density_count=recipe.density_neighbours,
    )
