"""Colour scales and frequency axes that all pictures of clips share."""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from asd_offline.html.svg import Ticks
from asd_offline.report.clip_picture import ClipPicture

FREQUENCIES_HZ = (500, 1000, 2000, 4000, 8000, 16_000)
SPECTROGRAM_COLOURS = "magma"


def spectrogram_scale(pictures: Sequence[ClipPicture]) -> tuple[float, float]:
    """Return the levels in dB of the first and the last colour."""
    levels = np.concatenate([picture.spectrogram.ravel() for picture in pictures])
    return float(np.quantile(levels, 0.02)), float(np.quantile(levels, 0.998))


def evidence_scale(pictures: Sequence[ClipPicture]) -> tuple[float, float]:
    """Return the evidence of the first and the last colour; symmetric if it has both signs."""
    maps = [picture.evidence for picture in pictures if picture.evidence is not None]
    values = np.concatenate([evidence.ravel() for evidence in maps]) if maps else np.zeros(0)
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    highest = float(np.quantile(np.abs(values), 0.997)) or 1.0
    return (-highest if values.min() < 0 else 0.0), highest


def evidence_colours(scale: tuple[float, float]) -> str:
    """Return the colour map of a scale: blue to red around 0, or white to red from 0."""
    return "RdBu_r" if scale[0] < 0 else "OrRd"


def mel_ticks(max_hz: float) -> Ticks:
    """Return positions in [0, 1] and labels in kHz, for an axis that is linear in mel (HTK)."""

    def to_mel(hz: float) -> float:
        return math.log10(1 + hz / 700)

    return [
        (to_mel(hz) / to_mel(max_hz), f"{hz / 1000:g}") for hz in FREQUENCIES_HZ if hz <= max_hz
    ]


def band_ticks(description: Mapping[str, object]) -> Ticks:
    """Return positions in [0, 1] and labels in kHz of frequencies among the bands of evidence.

    Parameters
    ----------
    description
        Description in the model file; ``evidence_bands_hz`` are the rising centres of the bands.
        Without them there are no ticks.
    """
    listed = description.get("evidence_bands_hz")
    if not isinstance(listed, list) or len(listed) < 2:
        return []
    centres = [float(centre) for centre in listed if isinstance(centre, (int, float))]
    if len(centres) != len(listed) or any(b <= a for a, b in itertools.pairwise(centres)):
        return []
    positions = (np.arange(len(centres)) + 0.5) / len(centres)
    return [
        (float(np.interp(hz, centres, positions)), f"{hz / 1000:g}")
        for hz in FREQUENCIES_HZ
        if centres[0] <= hz <= centres[-1] * 1.05
    ]
