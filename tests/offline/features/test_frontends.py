"""Front ends: equal to plain torch and to torchaudio, and scriptable."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchaudio import transforms

from asd_monitor.model_file import script
from asd_offline.features.frontends import (
    LogMel,
    LogMelSettings,
    Masking,
    Waveform,
    band_groups,
)
from asd_offline.features.resampling import Resampling
from tests.offline.small_sounds import hum

WAVEFORM = torch.from_numpy(np.stack([hum(1, 440.0, 16000), 0.001 * hum(2, 90.0, 16000)]))


def slaney_hz(mel: np.ndarray) -> np.ndarray:
    """Convert Slaney's mel to Hz: linear to 1 kHz (15 mel), then a factor of 6.4 per 27 mel."""
    above = 1000.0 * np.exp(np.log(6.4) / 27.0 * (mel - 15.0))
    return np.where(mel < 15.0, 200.0 / 3.0 * mel, above)


def slaney_mel(hz: float) -> float:
    return 15.0 + 27.0 * math.log(hz / 1000.0) / math.log(6.4)


def plain_log_mel(waveform: Tensor, settings: LogMelSettings) -> Tensor:
    """Compute log-mel: STFT, triangles of equal area between Slaney mels, decibels."""
    top = slaney_mel(settings.sample_rate_hz / 2)
    edges = slaney_hz(np.linspace(0.0, top, settings.n_mels + 2))
    bins = np.linspace(0.0, settings.sample_rate_hz / 2, settings.n_fft // 2 + 1)
    rising = (bins[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins[:, None]) / np.diff(edges)[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling)) * 2.0 / (edges[2:] - edges[:-2])
    spectrum = torch.stft(
        waveform.double(),
        settings.n_fft,
        settings.hop_length,
        window=torch.hann_window(settings.n_fft, dtype=torch.float64),
        return_complex=True,
    )
    powers = spectrum.abs() ** settings.power
    mel = powers.transpose(1, 2) @ torch.from_numpy(triangles)
    return 20.0 / settings.power * torch.log10(mel.clamp_min(settings.floor))


@pytest.mark.parametrize(
    "settings",
    [
        LogMelSettings(),
        LogMelSettings(n_fft=2048, hop_length=256, n_mels=64),
        LogMelSettings(n_fft=2048, n_mels=3),
        LogMelSettings(n_fft=2048, n_mels=50, power=1.0),
    ],
)
def test_log_mel_equals_plain_torch(settings: LogMelSettings) -> None:
    features, expected = LogMel(settings)(WAVEFORM), plain_log_mel(WAVEFORM, settings)
    assert features.shape == (2, 16000 // settings.hop_length + 1, settings.n_mels)
    torch.testing.assert_close(features.double(), expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("bands", [1, 2, 3, 64, 128])
def test_groups_of_bands_contain_every_filter_weight_once(bands: int) -> None:
    filters = LogMel(LogMelSettings(n_fft=2048, n_mels=bands)).filters
    restored = torch.zeros_like(filters)
    for low, high, first, end in band_groups(filters):
        restored[low:high, first:end] += filters[low:high, first:end]
    assert torch.equal(restored, filters)


def test_digital_silence_is_at_the_floor() -> None:
    assert torch.allclose(LogMel()(torch.zeros(1, 4096)), torch.tensor(-156.5356), atol=1e-3)


@pytest.mark.parametrize(
    "front_end", [LogMel(), Waveform(), Masking(8, 4), Resampling(16000, 8000)]
)
def test_a_scripted_front_end_gives_equal_features(front_end: nn.Module) -> None:
    inputs: Tensor = LogMel()(WAVEFORM) if isinstance(front_end, Masking) else WAVEFORM
    assert torch.equal(script(front_end)(inputs), front_end.eval()(inputs))


def test_spectrograms_are_masked_in_training_mode_only() -> None:
    torch.manual_seed(0)
    masking, image = Masking(8, 10), torch.ones(4, 32, 64)
    assert bool((masking.train()(image) == 0).any())
    assert torch.equal(masking.eval()(image), image)


@pytest.mark.parametrize("seed", range(5))
def test_masks_are_those_of_torchaudio_for_the_same_random_numbers(seed: int) -> None:
    image = torch.ones(4, 32, 64)
    torch.manual_seed(seed)
    masked = Masking(8, 10).train()(image)
    torch.manual_seed(seed)
    band = transforms.FrequencyMasking(8, iid_masks=True)(image.transpose(1, 2)[:, None])
    expected = transforms.TimeMasking(10, iid_masks=True)(band)[:, 0].transpose(1, 2)
    assert torch.equal(masked, expected)


def test_the_description_distinguishes_front_ends() -> None:
    front_ends: list[LogMel | Waveform] = [
        LogMel(),
        LogMel(LogMelSettings(n_mels=64)),
        Waveform(),
        Waveform(8000),
    ]
    descriptions = {str(front_end.describe()) for front_end in front_ends}
    assert len(descriptions) == len(front_ends)
