"""Straightforward training loops of the autoencoder, for comparison.

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

from asd_offline.models.autoencoder.network import ReconstructionLoss
from asd_offline.models.autoencoder.recipe import AutoencoderRecipe


@dataclass(frozen=True)
class EpochTime:
    """Duration of an epoch."""

    wall_s: float
    cpu_s: float
    features_cpu_s: float = 0.0
    """Part spent on reading clips and computing features."""


class Stopwatch:
    """Measure epochs, one after the other."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start an epoch."""
        self._wall_s, self._cpu_s = time.perf_counter(), time.process_time()
        self._features_cpu_s = 0.0

    def features_done(self) -> None:
        """Count the time since the start as feature computation."""
        self._features_cpu_s = time.process_time() - self._cpu_s

    def stop(self) -> EpochTime:
        """Return the duration of the epoch."""
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        return EpochTime(wall_s - self._wall_s, cpu_s - self._cpu_s, self._features_cpu_s)


def torchaudio_loop(
    paths: Sequence[Path], recipe: AutoencoderRecipe, device: torch.device
) -> list[EpochTime]:
    """Train with torchaudio's transforms and shuffled tensors; return the time of each epoch.

    Needs torchaudio, which the ``test`` extra contains.
    """
    from torchaudio import transforms

    mel = transforms.MelSpectrogram(
        recipe.sample_rate_hz,
        recipe.n_fft,
        hop_length=recipe.hop_length,
        n_mels=recipe.n_mels,
        mel_scale="slaney",
        norm="slaney",
    ).to(device)
    decibels = transforms.AmplitudeToDB("power").to(device)

    def compute_vectors(path: Path) -> Tensor:
        samples, _ = soundfile.read(path, dtype="float32")
        log_mel: Tensor = decibels(mel(torch.from_numpy(samples).to(device)))  # (n_mels, frames)
        return log_mel.t().unfold(0, recipe.frames, 1).transpose(1, 2).flatten(1)

    def batches(stopwatch: Stopwatch) -> Iterator[Tensor]:
        vectors = torch.cat([compute_vectors(path) for path in paths])
        stopwatch.features_done()
        order = torch.randperm(len(vectors), device=device)
        for indices in torch.split(order, recipe.batch_size):
            yield vectors[indices]

    return _train(batches, recipe, device)


def librosa_loop(
    paths: Sequence[Path], recipe: AutoencoderRecipe, device: torch.device
) -> list[EpochTime]:
    """Train like the baseline of 2023, with librosa and a dataset of single vectors.

    That baseline computes its features once, in float64, and keeps all of them in memory; here
    they are computed in each epoch. Needs ``pip install librosa``. Returns the time of each epoch.
    """
    import librosa

    def compute_vectors(path: Path) -> npt.NDArray[np.float64]:
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
        shifted = [log_mel[offset : offset + count] for offset in range(recipe.frames)]
        return np.concatenate(shifted, axis=1, dtype=np.float64)

    def batches(stopwatch: Stopwatch) -> Iterable[Tensor]:
        vectors = np.concatenate([compute_vectors(path) for path in paths])
        stopwatch.features_done()
        loader = DataLoader(vectors, recipe.batch_size, shuffle=True)  # type: ignore[arg-type, var-annotated]
        for batch in loader:
            yield batch.to(device).float()

    return _train(batches, recipe, device)


def _train(
    batches: Callable[[Stopwatch], Iterable[Tensor]],
    recipe: AutoencoderRecipe,
    device: torch.device,
) -> list[EpochTime]:
    torch.manual_seed(0)
    network: nn.Module = ReconstructionLoss(recipe).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    times, stopwatch = [], Stopwatch()
    for _ in range(recipe.epochs):
        stopwatch.start()
        total = 0.0
        for vectors in batches(stopwatch):
            optimizer.zero_grad()
            loss: Tensor = network(vectors)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(vectors)
        times.append(stopwatch.stop())
    return times
