"""Where the bands of a mel spectrogram are, for axes."""

import itertools

import numpy as np
import numpy.typing as npt

from asd_offline.features.frontends import LogMelSettings

Floats = npt.NDArray[np.float64]

SLANEY_LINEAR_HZ = 200.0 / 3.0
SLANEY_BREAK_HZ = 1000.0
SLANEY_LOG_STEP = np.log(6.4) / 27.0
"""Slaney's Auditory Toolbox: 200/3 Hz a mel up to 1 kHz, then 27 mels for a factor of 6.4."""


def band_centres_hz(settings: LogMelSettings) -> list[float]:
    """Return the centre of each mel band in Hz, rising, rounded to 0.1."""
    highest = settings.f_max_hz or settings.sample_rate_hz / 2
    ends = _to_mel(np.array([settings.f_min_hz, highest]), settings.mel_scale)
    mels = np.linspace(ends[0], ends[1], settings.n_mels + 2)[1:-1]
    return [round(float(each), 1) for each in _to_hz(mels, settings.mel_scale)]


def group_centres_hz(settings: LogMelSettings, groups: int) -> list[float]:
    """Return the middles in Hz of so many groups of neighbouring bands."""
    centres = band_centres_hz(settings)
    edges = [group * settings.n_mels // groups for group in range(groups + 1)]
    pairs = itertools.pairwise(edges)
    return [round(float(np.mean(centres[low:high])), 1) for low, high in pairs]


def _to_mel(hz: Floats, scale: str) -> Floats:
    if scale == "htk":
        return np.asarray(2595.0 * np.log10(1.0 + hz / 700.0))
    above = SLANEY_BREAK_HZ / SLANEY_LINEAR_HZ
    logarithmic = above + np.log(np.maximum(hz, 1.0) / SLANEY_BREAK_HZ) / SLANEY_LOG_STEP
    return np.where(hz < SLANEY_BREAK_HZ, hz / SLANEY_LINEAR_HZ, logarithmic)


def _to_hz(mel: Floats, scale: str) -> Floats:
    if scale == "htk":
        return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))
    above = SLANEY_BREAK_HZ / SLANEY_LINEAR_HZ
    logarithmic = SLANEY_BREAK_HZ * np.exp(SLANEY_LOG_STEP * (mel - above))
    return np.where(mel < above, mel * SLANEY_LINEAR_HZ, logarithmic)
