"""Mel band centre frequencies."""

import pytest
import torchaudio.functional as audio

from asd_offline.features.frontends import LogMelSettings
from asd_offline.features.mel import band_centres_hz, group_centres_hz


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_band_centres_are_the_peaks_of_the_filters(scale: str) -> None:
    settings = LogMelSettings(n_fft=16384, n_mels=64, mel_scale=scale)  # type: ignore[arg-type]
    filters = audio.melscale_fbanks(8193, 0.0, 8000.0, 64, 16000, norm=None, mel_scale=scale)
    peaks = (filters.argmax(0) * 8000 / 8192).tolist()
    centres = band_centres_hz(settings)
    assert centres == pytest.approx(peaks, abs=0.6)
    assert len(group_centres_hz(settings, 8)) == 8
    assert group_centres_hz(settings, 8)[0] == pytest.approx(sum(centres[:8]) / 8, abs=0.1)
