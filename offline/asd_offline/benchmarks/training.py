"""How long an epoch of the autoencoder takes, against a straightforward loop.

    python -m asd_offline.benchmarks.training [--clips 60] [--epochs 4] [--rounds 3]

The reference loop is what one writes first: in every epoch each clip is read, its log-mel
spectrogram computed with the same torchaudio transforms, and the epoch's vectors are shuffled and
trained on with torch's Adam. The other is ``train_network`` as ``asd-monitor train`` calls it, with
its feature cache filled. Both have the same clips, network, batch size, device and threads, and
take turns. Processor time is given beside wall time, since it suffers less from what else is
running. The exported file's time per window is measured afterwards, on one core.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torchaudio import transforms

from asd_monitor.model_file import load
from asd_offline.datasets.opening import open_dataset
from asd_offline.export import export
from asd_offline.feature_cache import FeatureCache
from asd_offline.models import MODELS
from asd_offline.models.autoencoder import AutoencoderRecipe, ReconstructionLoss
from asd_offline.processes import Process
from asd_offline.training import Epoch, train_network
from asd_offline.training_run import Prepared, Request, new_network, prepare, train

RATE_HZ = 16000
CLIP_S = 10.0

Took = tuple[float, float]
"""Wall and processor seconds."""


def main() -> None:
    """Measure, and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    device = torch.device(chosen.device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = make_clips(folder / "set", chosen.clips)
        recipe = AutoencoderRecipe(epochs=chosen.epochs, auc_every=0)
        prepared = prepare(MODELS["autoencoder"], open_dataset(made), recipe)
        features = FeatureCache(folder / "cache")
        began = time.perf_counter()
        new_network(MODELS["autoencoder"], prepared, "fan", 0, features)
        filled_s = time.perf_counter() - began
        reference_s: list[Took] = []
        ours_s: list[Took] = []
        for number in range(chosen.rounds):
            reference_s += reference(prepared, recipe, device)
            ours_s += ours(prepared, features, folder / f"run{number}", device)
        result = {
            "clips": sum(len(target.clips) for target in prepared.targets),
            "device": device.type,
            "threads": torch.get_num_threads(),
            "cpu": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "filling the cache, once, s": round(filled_s, 3),
            "seconds per epoch, least and median": {
                kind: {
                    "reference": _told([each[place] for each in reference_s]),
                    "ours": _told([each[place] for each in ours_s]),
                }
                for place, kind in enumerate(("wall", "processor"))
            },
            "exported, ms per window of 10 s": exported_ms(folder, made),
        }
    print(json.dumps(result, indent=1))


def make_clips(root: Path, clips: int) -> Path:
    """Write normal clips of hum and noise in the layout of 2020."""
    random = np.random.default_rng(0)
    t = np.arange(round(CLIP_S * RATE_HZ)) / RATE_HZ
    (root / "fan" / "train").mkdir(parents=True)
    for number in range(clips):
        hum = 0.1 * np.sin(2 * np.pi * 120 * t) + 0.02 * random.standard_normal(len(t))
        soundfile.write(root / f"fan/train/normal_id_00_{number:08d}.wav", hum, RATE_HZ, "PCM_16")
    return root


def reference(prepared: Prepared, recipe: AutoencoderRecipe, device: torch.device) -> list[Took]:
    """Return what each epoch of the straightforward loop took."""
    torch.manual_seed(0)
    mel = transforms.MelSpectrogram(
        RATE_HZ, 1024, hop_length=512, n_mels=128, mel_scale="slaney", norm="slaney"
    ).to(device)
    decibels = transforms.AmplitudeToDB("power").to(device)
    network: nn.Module = ReconstructionLoss(recipe).to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate)
    paths = [clip.path for target in prepared.targets for clip in target.clips]
    took = []
    for _ in range(recipe.epochs):
        began = _now()
        vectors = torch.cat([_vectors(path, mel, decibels, device) for path in paths])
        order = torch.randperm(len(vectors), device=device)
        total = 0.0
        for chosen in torch.split(order, recipe.batch_size):
            optimizer.zero_grad()
            loss: Tensor = network(vectors[chosen])
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(chosen)
        took.append(_since(began))
    return took


def _vectors(path: Path, mel: nn.Module, decibels: nn.Module, device: torch.device) -> Tensor:
    samples, _ = soundfile.read(path, dtype="float32")
    log_mel: Tensor = decibels(mel(torch.from_numpy(samples).to(device)))  # (n_mels, frames)
    return log_mel.t().unfold(0, 5, 1).transpose(1, 2).flatten(1)


def ours(
    prepared: Prepared, features: FeatureCache, folder: Path, device: torch.device
) -> list[Took]:
    """Return what each epoch of the project's loop took."""
    took: list[Took] = []
    task = new_network(MODELS["autoencoder"], prepared, "fan", 0, features)
    train_network(
        task,
        prepared.recipe,
        name="fan",
        seed=0,
        folder=folder,
        process=Process(device),
        watcher=_Stopwatch(took.append),
    )
    return took


class _Stopwatch:
    """Counts whole epochs, checkpoints included."""

    def __init__(self, add: Callable[[Took], None]) -> None:
        self._add, self._began = add, _now()

    def resumed(self, epochs_done: int) -> None:
        """Start."""
        del epochs_done
        self._began = _now()

    def batch(self, done: int, total: int) -> None:
        """Nothing to count."""

    def epoch(self, epoch: Epoch, network: nn.Module) -> None:
        """Stop and start again."""
        del epoch, network
        self._add(_since(self._began))
        self._began = _now()


def exported_ms(folder: Path, made: Path) -> dict[str, float]:
    """Return the processor milliseconds of a window through the exported file, on one core."""

    class Silent:
        def features(self, done: int, total: int) -> None: ...
        def network(self, name: str, epochs: int) -> None: ...
        def batch(self, done: int, total: int) -> None: ...
        def epoch(self, epoch: Epoch, auc: object) -> None: ...
        def note(self, text: str) -> None: ...

    request = Request("autoencoder", made, folder / "run", folder / "cache", epochs=1)
    train(request, Process(torch.device("cpu")), Silent())
    done = export(folder / "run", folder / "model.pt", folder / "cache")
    scorer = load(done.path, "cpu")
    random = np.random.default_rng(0)
    window = random.normal(0, 0.1, (1, done.manifest.window_samples)).astype(np.float32)
    took = []
    for _ in range(60):
        began = time.thread_time()
        scorer.score(window, np.zeros(1, np.int64))
        took.append(1e3 * (time.thread_time() - began))
    return {"least": round(min(took), 2), "median": round(statistics.median(took[10:]), 2)}


def _now() -> Took:
    return time.perf_counter(), time.process_time()


def _since(began: Took) -> Took:
    now = _now()
    return now[0] - began[0], now[1] - began[1]


def _told(seconds: list[float]) -> list[float]:
    return [round(min(seconds), 4), round(statistics.median(seconds), 4)]


if __name__ == "__main__":
    main()
