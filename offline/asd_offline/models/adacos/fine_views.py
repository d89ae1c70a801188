"""Four views beside the quick start's eight: what is typical, more finely, and what beats."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from asd_monitor.features import MODULATION_EDGES_HZ, FeatureGroups, squared_magnitude

FINER_VIEW_NAMES = ("typical bands", "typical lines", "beats", "broad beats")
MOVING_VIEW_NAMES = ("typical", "typical bands", "typical lines")
"""The views, the quick start's ``typical`` among them, that are means over a window's frames."""
BEAT_GROUPS = (8, 4)
"""Of neighbouring envelope bands, heard as one."""
BINS_TOGETHER = 2


class Beats(nn.Module):
    """The strongest line in each octave of the envelopes' fluctuation, by group of bands.

    A fault that strikes or surges with every turn makes a line in the spectrum of the envelope
    (envelope analysis of bearings: McFadden and Smith, "Vibration monitoring of rolling element
    bearings by the high-frequency resonance technique", Tribology International 17, 1984). In the
    mean over an octave it drowns among the hundreds of lines of noise that fill the rest; and the
    logarithms of neighbouring bands, averaged, fluctuate less at random than each by itself.
    """

    taper: Tensor
    octaves: Tensor

    def __init__(self, frames: int, frame_rate_hz: float) -> None:
        super().__init__()
        self.least_energy = 1e-6  # far below the fluctuation of the stillest noise
        taper = torch.hann_window(frames, periodic=False)
        self.register_buffer("taper", (taper / frames**0.5)[:, None])
        frequency_hz = torch.fft.rfftfreq(frames, 1.0 / frame_rate_hz)
        edges_hz = torch.tensor(MODULATION_EDGES_HZ)
        inside = (frequency_hz >= edges_hz[:-1, None]) & (frequency_hz < edges_hz[1:, None])
        self.register_buffer("octaves", inside.float()[:, :, None])

    def forward(self, log_envelope: Tensor, groups: int) -> Tensor:
        """Return ``(batch, octaves * groups)`` of ``(batch, frames, bands)``."""
        batch, frames, bands = log_envelope.shape
        broad = log_envelope.reshape(batch, frames, groups, bands // groups).mean(3)
        fluctuation = (broad - broad.mean(1, keepdim=True)) * self.taper
        energy = squared_magnitude(torch.fft.rfft(fluctuation, dim=1))
        strongest = (energy[:, None] * self.octaves).amax(2)
        return (strongest + self.least_energy).log().flatten(1)


class FinerViews(nn.Module):
    """Frames of a window to four more views of it; :data:`FINER_VIEW_NAMES` in order.

    typical bands
        ``(batch, mel bands)``: mean of the logarithm over 64 ms frames, relative to its mean over
        bands. As :class:`~asd_monitor.features.FeatureGroups` has 40 bands, for narrower ones.
    typical lines
        ``(batch, bins / 2)``: the same of pairs of 16 Hz bins, evenly spaced up to the top.
    beats, broad beats
        ``(batch, octaves * groups)``: see :class:`Beats`; of 8 and of 4 groups of bands.

    Parameters
    ----------
    views
        The quick start's, whose frames these are made of, too.
    """

    def __init__(self, views: FeatureGroups) -> None:
        super().__init__()
        self.groups = BEAT_GROUPS
        self.bins_together = BINS_TOGETHER
        self.beats = Beats(views.fast_frames, views.fast_rate_hz)

    def forward(self, power: Tensor, log_mel: Tensor, fast_power: Tensor) -> list[Tensor]:
        """Return the views of what :meth:`asd_monitor.features.FeatureGroups.frames` gives."""
        log_envelope = 0.5 * fast_power.log()
        views = [_relative(log_mel.mean(1)), _relative(self._lines(power).mean(1))]
        for groups in self.groups:
            views.append(self.beats(log_envelope, groups))
        return views

    @torch.jit.unused
    def movement(self, power: Tensor, log_mel: Tensor, fast_power: Tensor) -> list[Tensor]:
        """Return how frames differ within each window, for :data:`MOVING_VIEW_NAMES` in order.

        Covariances ``(batch, dims, dims)`` about the window's mean.
        """
        covariances = []
        for frames in (0.5 * fast_power.log(), log_mel, self._lines(power)):
            relative = frames - frames.mean(2, keepdim=True)
            centred = relative - relative.mean(1, keepdim=True)
            covariances.append(centred.transpose(1, 2) @ centred / centred.shape[1])
        return covariances

    def _lines(self, power: Tensor) -> Tensor:
        """Return logarithms ``(batch, frames, pairs of bins)``."""
        return F.avg_pool1d(power[:, :, 1:].log(), self.bins_together)


def _relative(logarithms: Tensor) -> Tensor:
    """Take the mean over bands off each row: a change of gain then changes nothing."""
    return logarithms - logarithms.mean(1, keepdim=True)
