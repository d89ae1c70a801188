"""Spectrograms of published transformers, compared with torchaudio's."""

import pytest
import torch
from torch.nn import functional as F
from torchaudio import transforms
from torchaudio.compliance import kaldi

from asd_offline.models.pretrained.spectrograms import (
    BeatsSpectrogram,
    CedSpectrogram,
    EatSpectrogram,
    KaldiFbank,
)
from tests.offline.small_checkpoints import RATE_HZ, sound


@pytest.mark.parametrize(("window", "name"), [("povey", "povey"), ("hann", "hanning")])
def test_energies_are_those_of_torchaudios_kaldi(window: str, name: str) -> None:
    waveforms = sound(RATE_HZ + 123)
    energies = KaldiFbank(128, window)(waveforms)  # type: ignore[arg-type]
    for row, waveform in zip(energies, waveforms, strict=True):
        expected = kaldi.fbank(
            waveform[None], num_mel_bins=128, sample_frequency=RATE_HZ, window_type=name
        )
        torch.testing.assert_close(row, expected, rtol=0, atol=1e-5)


def test_beats_and_eat_standardise_energies_by_their_constants() -> None:
    waveform = sound(batch=1)
    beats = kaldi.fbank(
        waveform * 2**15, num_mel_bins=128, sample_frequency=16000, frame_length=25, frame_shift=10
    )
    expected = (beats - 15.41663) / (2 * 6.55582)
    torch.testing.assert_close(BeatsSpectrogram()(waveform)[0], expected, rtol=0, atol=1e-5)
    centred = waveform - waveform.mean()
    eat = kaldi.fbank(
        centred, htk_compat=True, window_type="hanning", num_mel_bins=128, sample_frequency=16000
    )
    padded = F.pad(eat, (0, 0, 0, 14))  # 98 frames to 112
    expected = (padded + 4.268) / (2 * 4.569)
    torch.testing.assert_close(EatSpectrogram()(waveform)[0], expected, rtol=0, atol=1e-5)


def test_ced_gets_torchaudios_mel_spectrogram_in_decibels() -> None:
    mel = transforms.MelSpectrogram(
        16000, n_fft=512, win_length=512, hop_length=160, f_min=0, f_max=8000, n_mels=64
    )
    decibels = transforms.AmplitudeToDB(top_db=120)
    waveforms = sound()
    waveforms[1] *= 1e-5  # clipped relative to the maximum of its own window
    waveforms[0, 8000:] = 0.0
    for row, waveform in zip(CedSpectrogram()(waveforms), waveforms, strict=True):
        torch.testing.assert_close(row, decibels(mel(waveform)).t(), rtol=0, atol=1e-4)
