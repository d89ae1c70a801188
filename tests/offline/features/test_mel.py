"""Mel filters and band centre frequencies, compared with torchaudio's filters."""

import pytest
import torch
import torchaudio.functional as audio

from asd_offline.features.band_centres import band_centres_hz, group_centres_hz
from asd_offline.features.frontends import LogMelSettings
from asd_offline.features.mel import MelScaleName, mel_filters


@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize("norm", ["slaney", None])
@pytest.mark.parametrize(
    ("n_fft", "bands", "rate_hz", "low_hz", "high_hz"),
    [(1024, 128, 16000, 0.0, None), (2048, 64, 48000, 50.0, 20000.0), (512, 3, 16000, 0.0, 7000.0)],
)
def test_filters_equal_those_of_torchaudio(
    scale: MelScaleName,
    norm: str | None,
    n_fft: int,
    bands: int,
    rate_hz: int,
    low_hz: float,
    high_hz: float | None,
) -> None:
    bins = n_fft // 2 + 1
    filters = mel_filters(
        bins,
        bands,
        rate_hz,
        f_min_hz=low_hz,
        f_max_hz=high_hz,
        scale=scale,
        norm=norm,  # type: ignore[arg-type]
    )
    expected = audio.melscale_fbanks(
        bins, low_hz, high_hz or rate_hz / 2, bands, rate_hz, norm=norm, mel_scale=scale
    )
    torch.testing.assert_close(filters, expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("scale", ["htk", "slaney"])
def test_band_centres_are_the_peaks_of_the_filters(scale: str) -> None:
    settings = LogMelSettings(n_fft=16384, n_mels=64, mel_scale=scale)  # type: ignore[arg-type]
    filters = audio.melscale_fbanks(8193, 0.0, 8000.0, 64, 16000, norm=None, mel_scale=scale)
    peaks = (filters.argmax(0) * 8000 / 8192).tolist()
    centres = band_centres_hz(settings)
    assert centres == pytest.approx(peaks, abs=0.6)
    assert len(group_centres_hz(settings, 8)) == 8
    assert group_centres_hz(settings, 8)[0] == pytest.approx(sum(centres[:8]) / 8, abs=0.1)
