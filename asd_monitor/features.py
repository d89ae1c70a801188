"""Feature groups of a window: statistics of its spectrogram, the input of the quick start."""

import math

import torch
from torch import Tensor, nn

FINE_S = 0.064  # resolves tones with a distance of 16 Hz
FAST_S = 0.016
FAST_HOP_S = 1.0 / 320.0  # envelopes are resolved up to 160 Hz
MEL_BANDS = 128
ENVELOPE_BANDS = 40
MODULATION_EDGES_HZ = (0.7, 1.4, 2.8, 5.7, 11.3, 22.6, 45.3, 90.5, 160.0)
TOP_FRACTION = 0.45
"""Features end at this fraction of the sample rate. Above it, sound that was resampled is
attenuated, so the same machine would differ between a 16 kHz recording and a 48 kHz microphone."""
MIN_POWER = 1e-12  # in each bin: 120 dB below a full-scale sine, about the noise of 16 bits

FEATURE_GROUP_NAMES = (
    "level",
    "spectrum",
    "typical",
    "spread",
    "peaks",
    "change",
    "fast change",
    "modulation",
)


def mel_filters(bands: int, bins: int, bin_hz: float, top_hz: float) -> Tensor:
    """Return triangular filters ``(bins, bands)``, evenly spaced in mel, each summing to one.

    A band narrower than a bin takes the bin nearest to its centre.

    Parameters
    ----------
    bands
        Number of bands.
    bins
        Number of bins, from 0 Hz on.
    bin_hz
        Width of a bin.
    top_hz
        Upper end of the highest band.
    """
    edges = mel_edges_hz(bands, top_hz) / bin_hz  # in bins
    bin_index = torch.arange(bins).double()[:, None]
    rising = (bin_index - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bin_index) / (edges[2:] - edges[1:-1])
    filters = torch.minimum(rising, falling).clamp_min(0.0)
    nearest = nn.functional.one_hot(edges[1:-1].round().long(), bins).t().double()
    filters = torch.where(filters.sum(0) > 0.0, filters, nearest)
    return (filters / filters.sum(0)).float()


def mel_edges_hz(bands: int, top_hz: float) -> Tensor:
    """Return ``(bands + 2,)`` float64: band ``i`` extends from edge ``i`` to ``i + 2``, in Hz."""
    top_mel = 2595.0 * math.log10(1.0 + top_hz / 700.0)
    mels = torch.linspace(0.0, top_mel, bands + 2).double()
    return 700.0 * (10.0 ** (mels / 2595.0) - 1.0)


def mel_centres_hz(bands: int, top_hz: float) -> Tensor:
    """Return ``(bands,)`` float64: the frequencies at which the bands have their maximum."""
    return mel_edges_hz(bands, top_hz)[1:-1]


class Spectrogram(nn.Module):
    """Power spectrogram with a Hann window; a full-scale sine has power 1 in its bin.

    Parameters
    ----------
    n_fft
        Length of a frame.
    hop_samples
        Distance between the starts of frames.

    Attributes
    ----------
    bins
        Number of bins that are kept, those up to ``TOP_FRACTION`` of the sample rate.
    """

    taper: Tensor

    def __init__(self, n_fft: int, hop_samples: int) -> None:
        super().__init__()
        self.n_fft = n_fft
        self.hop_samples = hop_samples
        self.bins = math.floor(TOP_FRACTION * n_fft + 1e-9) + 1
        taper = torch.hann_window(n_fft)
        self.register_buffer("taper", taper * (2.0 / taper.sum()))

    def forward(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, frames, bins)`` of ``(batch, samples)``; frames are not padded."""
        frames = waveform.unfold(1, self.n_fft, self.hop_samples) * self.taper
        return squared_magnitude(torch.fft.rfft(frames)[..., : self.bins])


def squared_magnitude(spectrum: Tensor) -> Tensor:
    """Return the squared magnitude of a complex tensor; several times faster than ``abs``."""
    squares = torch.view_as_real(spectrum).square()  # contiguous: twice as fast as real and imag
    return squares[..., 0] + squares[..., 1]


class Modulation(nn.Module):
    """Log energy of the envelopes' fluctuation, by band and modulation frequency.

    The envelope is divided by its mean, so a change of gain changes nothing. Octave bands of
    modulation: the SRMR representation (Falk et al., 2010), from a spectrogram's envelopes.
    """

    taper: Tensor
    bands: Tensor

    def __init__(self, frames: int, frame_rate_hz: float) -> None:
        super().__init__()
        self.min_energy = 1e-7  # far below the fluctuation of stationary noise
        self.n_fft = _fast_fft_length(frames)
        taper = torch.hann_window(frames)
        scale = 1.0 / (taper.square().sum() * self.n_fft).sqrt()
        self.register_buffer("taper", (taper * scale)[:, None])
        frequency_hz = torch.fft.rfftfreq(self.n_fft, 1.0 / frame_rate_hz)
        edges_hz = torch.tensor(MODULATION_EDGES_HZ)
        inside = (frequency_hz >= edges_hz[:-1, None]) & (frequency_hz < edges_hz[1:, None])
        self.register_buffer("bands", inside.float())

    def forward(self, envelopes: Tensor) -> Tensor:
        """Return ``(batch, modulation bands * bands)`` of ``(batch, frames, bands)``."""
        mean = envelopes.mean(1, keepdim=True)
        fluctuation = (envelopes / mean - 1.0) * self.taper
        energy = self.bands @ squared_magnitude(torch.fft.rfft(fluctuation, self.n_fft, dim=1))
        return (energy + self.min_energy).log().flatten(1)


class FeatureGroups(nn.Module):
    """Waveform to eight groups of features, all logarithmic; :data:`FEATURE_GROUP_NAMES` in order.

    level
        ``(batch, 1)``: power of the window. The only group that a change of gain changes.
    spectrum
        ``(batch, bins)``: mean power in each 16 Hz bin, relative to the level.
    typical
        ``(batch, envelope bands)``: mean of the logarithm over 16 ms frames, relative to its mean
        over bands. A short loud noise may dominate a window's power; it changes this little.
    spread
        ``(batch, mel bands)``: standard deviation over time.
    peaks
        ``(batch, envelope bands)``: maximum over the 16 ms frames, relative to their mean.
    change
        ``(batch, mel bands)``: root mean square of the change from one 32 ms frame to the next.
    fast change
        ``(batch, envelope bands)``: the same over 12.5 ms.
    modulation
        ``(batch, modulation bands * envelope bands)``, see :class:`Modulation`.

    Parameters
    ----------
    sample_rate_hz
        Sample rate of the waveform.
    window_samples
        Length of the waveform.
    """

    mel: Tensor
    envelope: Tensor

    def __init__(self, sample_rate_hz: int, window_samples: int) -> None:
        super().__init__()
        self.min_power = MIN_POWER
        top_hz = TOP_FRACTION * sample_rate_hz
        n_fft = _even(FINE_S * sample_rate_hz)
        self.fine = Spectrogram(n_fft, n_fft // 2)
        filters = mel_filters(MEL_BANDS, self.fine.bins, sample_rate_hz / n_fft, top_hz)
        self.register_buffer("mel", filters)
        n_fast, fast_hop = _even(FAST_S * sample_rate_hz), round(FAST_HOP_S * sample_rate_hz)
        self.fast = Spectrogram(n_fast, fast_hop)
        bin_hz = sample_rate_hz / n_fast
        filters = mel_filters(ENVELOPE_BANDS, self.fast.bins, bin_hz, top_hz)
        self.register_buffer("envelope", filters)
        self.fast_frames = (window_samples - n_fast) // fast_hop + 1
        self.fast_rate_hz = sample_rate_hz / fast_hop
        self.modulation = Modulation(self.fast_frames, self.fast_rate_hz)

    def forward(self, waveform: Tensor) -> list[Tensor]:
        """Return the groups of ``(batch, window_samples)``."""
        power, log_mel, fast_power = self.frames(waveform)
        return self.from_frames(power, log_mel, fast_power)

    def frames(self, waveform: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Compute the spectrograms that all groups are made from.

        Returns
        -------
        power, log_mel, fast_power
            ``(batch, frames, dims)`` each: power in bins and its logarithm in mel bands, in frames
            of 64 ms; power in envelope bands, in frames of 16 ms.
        """
        waveform = waveform - waveform.mean(1, keepdim=True)
        power = self.fine(waveform).add_(self.min_power)
        fast_power = self.fast(waveform).add_(self.min_power)
        return power, (power @ self.mel).log(), fast_power @ self.envelope

    def from_frames(self, power: Tensor, log_mel: Tensor, fast_power: Tensor) -> list[Tensor]:
        """Compute the groups from the results of :meth:`frames`."""
        level = power.mean(dim=(1, 2))[:, None].log()
        spectrum = power.mean(1).log() - level
        log_envelope = 0.5 * fast_power.log()
        typical = log_envelope.mean(1)
        return [
            level,
            spectrum,
            typical - typical.mean(1, keepdim=True),
            _spread(log_mel),
            log_envelope.amax(1) - typical,
            _change(log_mel, 1),
            _change(log_envelope, 4),
            self.modulation(fast_power.sqrt()),
        ]

    @torch.jit.export
    def log_mel(self, waveform: Tensor) -> Tensor:
        """Return ``(batch, frames, mel bands)``: log power of ``(batch, window_samples)``."""
        waveform = waveform - waveform.mean(1, keepdim=True)
        return torch.matmul(self.fine(waveform) + self.min_power, self.mel).log()


def _spread(series: Tensor) -> Tensor:
    """Return the standard deviation over time of ``(batch, frames, bands)``; faster than std."""
    return (series - series.mean(1, keepdim=True)).square().mean(1).sqrt()


def _change(series: Tensor, frames: int) -> Tensor:
    """Return the RMS change over ``frames`` of ``(batch, frames, bands)``."""
    return (series[:, frames:] - series[:, :-frames]).square().mean(1).sqrt()


def _fast_fft_length(length: int) -> int:
    """Return the next length with no prime factor above 5, for which the FFT is much faster."""
    while True:
        rest = length
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return length
        length += 1


def _even(samples: float) -> int:
    return 2 * round(samples / 2)
