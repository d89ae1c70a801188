"""Four feature groups in addition to the quick start's: finer spectra, and modulation peaks."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.features import MODULATION_EDGES_HZ, FeatureGroups, squared_magnitude

FINE_GROUP_NAMES = (
    "typical bands",
    "typical lines",
    "modulation peaks",
    "broad modulation peaks",
)
FRAME_MEAN_GROUP_NAMES = ("typical", "typical bands", "typical lines")
"""The groups that are means over the frames of a window; ``typical`` is the quick start's."""
PEAK_BANDS = (8, 4)
"""Numbers of bands of the modulation peaks: envelope bands are averaged to these."""
BINS_PER_LINE = 2


class ModulationPeaks(nn.Module):
    """The strongest modulation line in each octave of modulation frequency, by band.

    A fault that strikes or surges once per turn makes a line in the spectrum of the envelope
    (envelope analysis of bearings: McFadden and Smith, "Vibration monitoring of rolling element
    bearings by the high-frequency resonance technique", Tribology International 17, 1984). In the
    mean over an octave the line is masked by hundreds of lines of noise. The average of the log
    envelopes of neighbouring bands fluctuates less at random than each of them.

    Parameters
    ----------
    frames
        Of an envelope.
    frame_rate_hz
        Frame rate of the envelopes.
    """

    taper: Tensor
    octaves: Tensor

    def __init__(self, frames: int, frame_rate_hz: float) -> None:
        super().__init__()
        self.min_energy = 1e-6  # far below the fluctuation of the steadiest noise
        taper = torch.hann_window(frames, periodic=False)
        self.register_buffer("taper", (taper / frames**0.5)[:, None])
        frequency_hz = torch.fft.rfftfreq(frames, 1.0 / frame_rate_hz)
        edges_hz = torch.tensor(MODULATION_EDGES_HZ)
        inside = (frequency_hz >= edges_hz[:-1, None]) & (frequency_hz < edges_hz[1:, None])
        self.register_buffer("octaves", inside.float()[:, :, None])  # (octaves, lines, 1)

    def forward(self, log_envelope: Tensor, bands: int) -> Tensor:
        """Return log energies ``(batch, octaves * bands)``.

        Parameters
        ----------
        log_envelope
            ``(batch, frames, envelope bands)``.
        bands
            Number of bands to average the envelope bands to.
        """
        batch, frames, envelope_bands = log_envelope.shape
        grouped = log_envelope.reshape(batch, frames, bands, envelope_bands // bands)
        averaged = grouped.mean(3)  # (batch, frames, bands)
        fluctuation = (averaged - averaged.mean(1, keepdim=True)) * self.taper
        energy = squared_magnitude(torch.fft.rfft(fluctuation, dim=1))  # (batch, lines, bands)
        peak = (energy[:, None] * self.octaves).amax(2)  # (batch, octaves, bands)
        return (peak + self.min_energy).log().flatten(1)


class FineFeatures(nn.Module):
    """Frames of a window to four more feature groups; :data:`FINE_GROUP_NAMES` in order.

    typical bands
        ``(batch, mel bands)``: mean of the logarithm over 64 ms frames, relative to its mean over
        bands. The same as ``typical`` of :class:`~asd_monitor.features.FeatureGroups`, which has
        40 bands, with narrower bands.
    typical lines
        ``(batch, bins / 2)``: the same for pairs of 16 Hz bins, evenly spaced up to the highest
        frequency.
    modulation peaks, broad modulation peaks
        ``(batch, octaves * bands)``: see :class:`ModulationPeaks`; with 8 and with 4 bands.

    Parameters
    ----------
    groups
        The quick start's feature groups, which compute the frames.
    """

    def __init__(self, groups: FeatureGroups) -> None:
        super().__init__()
        self.peak_bands = PEAK_BANDS
        self.bins_per_line = BINS_PER_LINE
        self.peaks = ModulationPeaks(groups.fast_frames, groups.fast_rate_hz)

    def forward(self, power: Tensor, log_mel: Tensor, fast_power: Tensor) -> list[Tensor]:
        """Return the groups; arguments from :meth:`asd_monitor.features.FeatureGroups.frames`."""
        log_envelope = 0.5 * fast_power.log()
        groups = [
            _relative_to_bands(log_mel.mean(1)),
            _relative_to_bands(self._log_lines(power).mean(1)),
        ]
        for bands in self.peak_bands:
            groups.append(self.peaks(log_envelope, bands))
        return groups

    @torch.jit.unused
    def frame_covariances(self, power: Tensor, log_mel: Tensor, fast_power: Tensor) -> list[Tensor]:
        """Compute the covariance of the frames within each window.

        Returns
        -------
        list of torch.Tensor
            ``(batch, dims, dims)`` about the window's mean, one for each of
            :data:`FRAME_MEAN_GROUP_NAMES`.
        """
        covariances = []
        for frames in (0.5 * fast_power.log(), log_mel, self._log_lines(power)):
            relative = frames - frames.mean(2, keepdim=True)
            centred = relative - relative.mean(1, keepdim=True)
            covariances.append(centred.transpose(1, 2) @ centred / centred.shape[1])
        return covariances

    def _log_lines(self, power: Tensor) -> Tensor:
        """Return logarithms ``(batch, frames, pairs of bins)``."""
        return F.avg_pool1d(power[:, :, 1:].log(), self.bins_per_line)


def _relative_to_bands(logarithms: Tensor) -> Tensor:
    """Subtract the mean over bands from each row, so that gain does not matter."""
    return logarithms - logarithms.mean(1, keepdim=True)
