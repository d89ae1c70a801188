"""Loops that train the autoencoder in a straightforward way, for comparison.

Both compute the features of every clip again in each epoch, and train the same network on the same
clips with the same batch size and torch's Adam.
"""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchaudio import transforms

from asd_offline.models.autoencoder.network import ReconstructionLoss
from asd_offline.models.autoencoder.recipe import AutoencoderRecipe


@dataclass(frozen=True)
class Took:
    """What an epoch took."""

    wall_s: float
    processor_s: float
    features_processor_s: float = 0.0
    """The part that went into reading clips and computing features."""


class Clock:
    """Measures epochs."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin an epoch."""
        self._wall, self._processor, self._features = time.perf_counter(), time.process_time(), 0.0

    def features_done(self) -> None:
        """What was done since the start was computing features."""
        self._features = time.process_time() - self._processor

    def stop(self) -> Took:
        """End the epoch."""
        wall, processor = time.perf_counter(), time.process_time()
        return Took(wall - self._wall, processor - self._processor, self._features)


def torchaudio_loop(
    paths: Sequence[Path], recipe: AutoencoderRecipe, device: torch.device
) -> list[Took]:
    """Train with torchaudio's transforms and shuffled tensors.

    Returns
    -------
    list
        What each epoch took.
    """
    mel = transforms.MelSpectrogram(
        recipe.sample_rate_hz,
        recipe.n_fft,
        hop_length=recipe.hop_length,
        n_mels=recipe.n_mels,
        mel_scale="slaney",
        norm="slaney",
    ).to(device)
    decibels = transforms.AmplitudeToDB("power").to(device)

    def vectors(path: Path) -> Tensor:
        samples, _ = soundfile.read(path, dtype="float32")
        log_mel: Tensor = decibels(mel(torch.from_numpy(samples).to(device)))  # (n_mels, frames)
        return log_mel.t().unfold(0, recipe.frames, 1).transpose(1, 2).flatten(1)

    def epoch(clock: Clock) -> Iterator[Tensor]:
        everything = torch.cat([vectors(path) for path in paths])
        clock.features_done()
        order = torch.randperm(len(everything), device=device)
        for chosen in torch.split(order, recipe.batch_size):
            yield everything[chosen]

    return _train(epoch, recipe, device)


def librosa_loop(
    paths: Sequence[Path], recipe: AutoencoderRecipe, device: torch.device
) -> list[Took]:
    """Train in the manner of the baseline of 2023: librosa, and a data set of single vectors.

    That baseline computes its features once, in float64, and keeps all of them in memory; here
    they are computed in each epoch. Needs ``pip install librosa``.

    Returns
    -------
    list
        What each epoch took.
    """
    import librosa

    def vectors(path: Path) -> npt.NDArray[np.float64]:
        samples, rate_hz = librosa.load(path, sr=None, mono=True)
        mel = librosa.feature.melspectrogram(
            y=samples,
            sr=rate_hz,
            n_fft=recipe.n_fft,
            hop_length=recipe.hop_length,
            n_mels=recipe.n_mels,
        )
        log_mel = 10.0 * np.log10(np.maximum(mel, sys.float_info.epsilon)).T  # (frames, n_mels)
        count = len(log_mel) - recipe.frames + 1
        places = [log_mel[place : place + count] for place in range(recipe.frames)]
        return np.concatenate(places, axis=1, dtype=np.float64)

    def epoch(clock: Clock) -> Iterable[Tensor]:
        everything = np.concatenate([vectors(path) for path in paths])
        clock.features_done()
        loader = DataLoader(everything, recipe.batch_size, shuffle=True)  # type: ignore[arg-type, var-annotated]
        for batch in loader:
            yield batch.to(device).float()

    return _train(epoch, recipe, device)


def _train(
    epoch: Callable[[Clock], Iterable[Tensor]], recipe: AutoencoderRecipe, device: torch.device
) -> list[Took]:
    torch.manual_seed(0)
    network: nn.Module = ReconstructionLoss(recipe).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    took, clock = [], Clock()
    for _ in range(recipe.epochs):
        clock.start()
        total = 0.0
        for vectors in epoch(clock):
            optimizer.zero_grad()
            loss: Tensor = network(vectors)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(vectors)
        took.append(clock.stop())
    return took
