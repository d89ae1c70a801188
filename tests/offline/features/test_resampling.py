"""Resampling, compared with torchaudio's."""

import pytest
import torch
from torchaudio import transforms

from asd_offline.features.resampling import Resampling


@pytest.mark.parametrize("samples", [1, 7, 160, 16001])
@pytest.mark.parametrize(
    ("from_hz", "to_hz"),
    [(16000, 8000), (48000, 16000), (16000, 48000), (44100, 16000), (16000, 16000), (8000, 22050)],
)
def test_resampled_sound_equals_that_of_torchaudio(samples: int, from_hz: int, to_hz: int) -> None:
    waveform = torch.randn(2, samples, generator=torch.Generator().manual_seed(samples))
    resampled = Resampling(from_hz, to_hz)(waveform)
    expected = transforms.Resample(from_hz, to_hz)(waveform)
    assert resampled.shape == expected.shape
    torch.testing.assert_close(resampled, expected, rtol=0, atol=1e-6)
