"""What a window contains in excess of the machine's usual sound, measured in short frames.

The measurements need no model: the usual sound is that of the latest windows that were normal.
"""

from collections import deque
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

DoubleArray = npt.NDArray[np.float64]

FRAME_S, HOP_S = 0.04, 0.02
LOWEST_HZ = 89.1
"""Lower edge of the third octave at 100 Hz."""
TOP_FRACTION = 0.45
"""Highest frequency, as a fraction of the sample rate."""
USUAL_WINDOWS = 10
"""The usual sound is that of this many windows ..."""
USUAL_QUANTILE = 0.95
"""... and a frame exceeds it in a band where its power is above this quantile."""
SPEECH_BAND_HZ = (150.0, 4500.0)
LOW_VOICE_HZ = 1000.0
"""Voiced speech has most of its power below."""
LOW_HZ = 500.0
"""Most power of a passing vehicle is below."""
SYLLABLES_HZ = (2.0, 8.0)
"""Rate of syllables."""
SLOWEST_MODULATION_HZ = 0.7
APART_FRAMES = 6
"""Frames that are this far from each other belong to different sounds of speech."""
IMPACT_SHARE = 0.8


@dataclass(frozen=True, slots=True)
class Excess:
    """Properties of the power in excess of the usual sound."""

    level_db: float
    """Its power, relative to that of the usual sound."""
    peak_db: float
    """The same of its loudest frame."""
    low_share: float
    """Fraction of its power below 500 Hz."""
    speech_share: float
    """Fraction of its power between 150 Hz and 4.5 kHz."""
    low_voice_share: float
    """Fraction of its power between 150 Hz and 1 kHz."""
    duty: float
    """Fraction of the frames that contain 80 % of its power."""
    syllable_share: float
    """Fraction of the modulation of its amplitude that is at 2 to 8 Hz."""
    near_similarity: float
    """Similarity of the spectra of consecutive frames, from 0 to 1: low for noise."""
    far_similarity: float
    """The same of frames that are 120 ms and more from each other: high where one sound is
    repeated or continues, and low where the sound changes, as in speech."""


class UsualSound:
    """Power of the latest normal windows of a machine, in frames and third octaves.

    Parameters
    ----------
    sample_rate_hz
        Sample rate.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate_hz = sample_rate_hz
        self._windows: deque[DoubleArray] = deque(maxlen=USUAL_WINDOWS)
        self._limits: tuple[DoubleArray, DoubleArray] | None = None

    def add(self, samples: npt.NDArray[np.float32]) -> None:
        """Add a normal window."""
        self._windows.append(band_powers(samples, self._rate_hz))
        self._limits = None

    def measure(self, samples: npt.NDArray[np.float32]) -> Excess | None:
        """Return what a window contains in excess; None without any or without usual sound."""
        if not self._windows:
            return None
        if self._limits is None:
            usual = np.concatenate(self._windows)
            self._limits = usual.mean(0), np.quantile(usual, USUAL_QUANTILE, axis=0)
        mean, limit = self._limits
        powers = band_powers(samples, self._rate_hz)
        excess = np.where(powers > limit, np.maximum(powers - mean, 0.0), 0.0)
        if not excess.any() or not mean.sum() > 0.0:
            return None
        return _describe(excess / mean.sum(), _bands(self._rate_hz)[1])


def band_powers(samples: npt.NDArray[np.float32], sample_rate_hz: int) -> DoubleArray:
    """Return the power ``(frames, bands)`` of a window in frames of 40 ms and third octaves."""
    size, hop = round(FRAME_S * sample_rate_hz), round(HOP_S * sample_rate_hz)
    if len(samples) < size:
        samples = np.pad(samples, (0, size - len(samples)))
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    spectrum = np.fft.rfft(frames * _taper(size))
    power = spectrum.real**2 + spectrum.imag**2
    first_bins, _ = _bands(sample_rate_hz)
    return np.add.reduceat(power[:, : first_bins[-1]], first_bins[:-1], axis=1)


@cache
def _taper(size: int) -> npt.NDArray[np.float32]:
    return np.hanning(size).astype(np.float32)


@cache
def _bands(sample_rate_hz: int) -> tuple[npt.NDArray[np.int64], DoubleArray]:
    """Return the first bin of each band, with the end of the last, and the centres in Hz."""
    size = round(FRAME_S * sample_rate_hz)
    thirds = int(3 * np.log2(TOP_FRACTION * sample_rate_hz / LOWEST_HZ))
    edges_hz = LOWEST_HZ * 2.0 ** (np.arange(thirds + 1) / 3)
    bins = np.unique(np.round(edges_hz * size / sample_rate_hz).astype(np.int64))
    centres_hz = np.sqrt(bins[:-1] * bins[1:]) * sample_rate_hz / size
    return bins, np.asarray(centres_hz, np.float64)


def _describe(excess: DoubleArray, centres_hz: DoubleArray) -> Excess:
    """Return the properties of an excess ``(frames, bands)``, relative to the usual power."""
    total = float(excess.sum())
    shares = excess.sum(0) / total
    in_speech = (centres_hz > SPEECH_BAND_HZ[0]) & (centres_hz < SPEECH_BAND_HZ[1])
    in_low_voice = in_speech & (centres_hz < LOW_VOICE_HZ)
    frames = np.sort(excess.sum(1))[::-1]
    needed = int(np.searchsorted(np.cumsum(frames), IMPACT_SHARE * total)) + 1
    near, far = _similarities(excess[:, in_speech])
    return Excess(
        level_db=_to_db(total / len(frames)),
        peak_db=_to_db(float(frames[0])),
        low_share=float(shares[centres_hz < LOW_HZ].sum()),
        speech_share=float(shares[in_speech].sum()),
        low_voice_share=float(shares[in_low_voice].sum()),
        duty=needed / len(frames),
        syllable_share=_syllable_share(np.sqrt(excess[:, in_speech].sum(1))),
        near_similarity=near,
        far_similarity=far,
    )


def _to_db(power: float) -> float:
    return 10.0 * float(np.log10(max(power, 1e-12)))


def _syllable_share(amplitude: DoubleArray) -> float:
    """Return the fraction of the modulation of an amplitude ``(frames,)`` at 2 to 8 Hz."""
    varying = (amplitude - amplitude.mean()) * np.hanning(len(amplitude))
    power = np.abs(np.fft.rfft(varying, 256)) ** 2
    rates_hz = np.fft.rfftfreq(256, HOP_S)
    total = float(power[rates_hz > SLOWEST_MODULATION_HZ].sum())
    inside = (rates_hz >= SYLLABLES_HZ[0]) & (rates_hz <= SYLLABLES_HZ[1])
    return float(power[inside].sum()) / total if total > 0.0 else 0.0


def _similarities(excess: DoubleArray) -> tuple[float, float]:
    """Return how similar the spectra of consecutive frames and of distant frames are."""
    powers = excess.sum(1)
    active = np.flatnonzero(powers > powers.mean())
    if len(active) < 2:
        return 0.0, 1.0
    shapes = np.sqrt(excess[active])
    shapes /= np.linalg.norm(shapes, axis=1, keepdims=True)
    cosines = shapes @ shapes.T
    apart = np.abs(active[:, None] - active[None, :])
    near, far = cosines[apart == 1], cosines[apart >= APART_FRAMES]
    return float(near.mean()) if near.size else 0.0, float(far.mean()) if far.size else 1.0
