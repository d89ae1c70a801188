"""Log modulation spectra and how densely normal ones lie about them: no network, no labels.

The modulation spectrum is that of Falk et al., "A non-intrusive quality and intelligibility
measure of reverberant and dereverberated speech", 2010, with the envelopes' own means divided
out, so that the gain of a microphone does not matter.
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
    LEAST_POWER,
    MODULATION_EDGES_HZ,
    Modulation,
    Spectrogram,
    mel_filters,
)
from asd_offline.datasets.targets import Target
from asd_offline.features.cache import ClipRows, FeatureCache
from asd_offline.models.no_training import NoTrainingTask
from asd_offline.models.protocol import DetectorModule, Model
from asd_offline.recipes import Recipe

BANK_AT_MOST = 2000


class ModulationNeighboursRecipe(Recipe):
    """Nothing is trained; everything is fitted when the run is exported."""

    model: Literal["modulation_neighbours"] = "modulation_neighbours"
    epochs: int = Field(0, ge=0, le=0)
    envelope_bands: int = Field(60, ge=4, description="Mel bands whose envelopes are analysed.")
    lof_neighbours: int = Field(10, ge=1)
    density_neighbours: int = Field(4, ge=1)

    def front_end(self) -> "ModulationSpectra":
        """Return the features of this recipe."""
        return ModulationSpectra(
            self.sample_rate_hz, self.window_samples, self.hop_samples, self.envelope_bands
        )


class ModulationSpectra(nn.Module):
    """One log modulation spectrum for each window: ``(batch, samples)`` to rows."""

    envelope: Tensor

    def __init__(
        self, sample_rate_hz: int, window_samples: int, hop_samples: int, bands: int
    ) -> None:
        super().__init__()
        self.sample_rate_hz = sample_rate_hz
        self.window_samples = window_samples
        self.hop_samples = hop_samples
        self.bands = bands
        self.dims = bands * (len(MODULATION_EDGES_HZ) - 1)
        self.least_power = LEAST_POWER
        n_fft = 2 * round(FAST_S * sample_rate_hz / 2)
        fast_hop = round(FAST_HOP_S * sample_rate_hz)
        self.fast = Spectrogram(n_fft, fast_hop)
        self.register_buffer("envelope", mel_filters(bands, n_fft // 2 + 1, sample_rate_hz))
        frames = (window_samples - n_fft) // fast_hop + 1
        self.modulation = Modulation(frames, sample_rate_hz / fast_hop)

    def of_windows(self, windows: Tensor) -> Tensor:
        """Return ``(batch, dims)`` of ``(batch, window_samples)``."""
        centred = windows - windows.mean(1, keepdim=True)
        power = torch.matmul(self.fast(centred) + self.least_power, self.envelope)
        spectra: Tensor = self.modulation(power.sqrt())
        return spectra

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, rows, dims)`` of ``(batch, samples)``, a row for each window."""
        windows = waveform.unfold(1, self.window_samples, self.hop_samples)
        rows = [self.of_windows(windows[:, i]) for i in range(windows.shape[1])]
        return torch.stack(rows, dim=1)

    def describe(self) -> dict[str, object]:
        """Return everything that shapes the result."""
        return {
            "front_end": "modulation",
            "sample_rate_hz": self.sample_rate_hz,
            "window_samples": self.window_samples,
            "hop_samples": self.hop_samples,
            "bands": self.bands,
            "edges_hz": list(MODULATION_EDGES_HZ),
            "revision": 2,  # 1: the transform was as long as the envelope
        }


class ModulationDetector(DetectorModule):
    """Waveform to modulation spectrum to local density, with a bank per target."""

    def __init__(self, spectra: ModulationSpectra, banks: PerTarget) -> None:
        super().__init__()
        self.spectra = spectra
        self.banks = banks

    def forward(self, waveform: Tensor, target: Tensor) -> Tensor:
        """Return scores ``(batch,)`` of ``(batch, window_samples)``; higher = more anomalous."""
        scores: Tensor = self.banks(self.spectra.of_windows(waveform), target)
        return scores


class ModulationNeighbours(Model[ModulationNeighboursRecipe, nn.Module]):
    """A bank of modulation spectra for each target."""

    recipe = ModulationNeighboursRecipe

    def networks(self, targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
        """All targets are fitted together; there is no network."""
        return {"all": tuple(targets)}

    def task(
        self, targets: Sequence[Target], recipe: ModulationNeighboursRecipe, features: FeatureCache
    ) -> NoTrainingTask[nn.Module]:
        """Nothing to train."""
        del targets, recipe, features
        return NoTrainingTask(nn.Module())

    def detector(
        self,
        networks: Mapping[str, nn.Module],
        targets: Mapping[str, Sequence[Target]],
        recipe: ModulationNeighboursRecipe,
        features: FeatureCache,
    ) -> DetectorModule:
        """Fit a bank for each target."""
        spectra = recipe.front_end()
        banks = [
            _fit(each, spectra, recipe, features) for name in networks for each in targets[name]
        ]
        return ModulationDetector(spectra, PerTarget(banks)).eval()


def _fit(
    target: Target,
    spectra: ModulationSpectra,
    recipe: ModulationNeighboursRecipe,
    features: FeatureCache,
) -> nn.Module:
    vectors, groups = rows_by_clip(
        features.rows([clip.path for clip in target.clips], spectra), BANK_AT_MOST
    )
    return fit_density_ensemble(
        vectors,
        groups,
        lof_count=recipe.lof_neighbours,
        density_count=recipe.density_neighbours,
    )


def rows_by_clip(clips: ClipRows, at_most: int) -> tuple[Tensor, Tensor]:
    """Return rows ``(items, dims)``, evenly thinned to ``at_most``, and the clip of each."""
    rows = torch.cat([clips.of(i) for i in range(len(clips.count))])
    groups = torch.repeat_interleave(torch.arange(len(clips.count)), clips.count)
    kept = torch.linspace(0, len(rows) - 1, min(len(rows), at_most)).round().long()
    return rows[kept], groups[kept]
