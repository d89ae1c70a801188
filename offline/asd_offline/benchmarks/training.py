"""Time of a training epoch of the autoencoder, compared with straightforward loops.

    python -m asd_offline.benchmarks.training [--clips 40] [--epochs 4] [--rounds 4] [--librosa]

The reference loop is the obvious one: in every epoch each clip is read, its log-mel spectrogram is
computed with torchaudio's transforms, and the vectors are shuffled and trained on with
torch's Adam. ``--librosa`` (``pip install librosa``) adds a loop like that of the baseline of 2023.
They are compared with ``Trainer`` as ``asd-monitor train`` uses it, with a filled feature cache, in
float32 and, where the processor supports it, in bfloat16; the reference loops use float32. All have
the same clips, network, batch size, device and threads, and take turns. CPU time is reported along
with wall time because other processes affect it less. The exported file's time per window is
measured afterwards, on one core.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import nn

from asd_monitor.model_file import load
from asd_monitor.progress import NoProgress
from asd_offline.benchmarks.reference_loops import (
    EpochTime,
    Stopwatch,
    librosa_loop,
    torchaudio_loop,
)
from asd_offline.datasets.loading import open_dataset
from asd_offline.export.export import export
from asd_offline.features.cache import FeatureCache
from asd_offline.models import MODELS
from asd_offline.models.autoencoder.recipe import AutoencoderRecipe
from asd_offline.training.distributed import Process
from asd_offline.training.loop import EpochResult, Trainer
from asd_offline.training.prepare import PreparedData, prepare
from asd_offline.training.run import TrainRequest, train

RATE_HZ = 16000
CLIP_S = 10.0
WINDOWS = 60
WARM_UP_WINDOWS = 10


def main() -> None:
    """Measure, and print one JSON document."""
    options = _parse_arguments()
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        dataset = make_clips(folder / "set", options.clips)
        recipe = AutoencoderRecipe(epochs=options.epochs, auc_interval_epochs=0)
        prepared = prepare(MODELS["autoencoder"], open_dataset(dataset), recipe)
        features = FeatureCache(folder / "cache")
        started_s = time.perf_counter()
        prepared.new_task("fan", 0, features)
        filling_s = time.perf_counter() - started_s
        paths = [clip.path for target in prepared.targets for clip in target.clips]
        times: dict[str, list[EpochTime]] = defaultdict(list)
        for number in range(options.rounds):
            times["torchaudio"] += torchaudio_loop(paths, recipe, device)
            if options.librosa:
                times["librosa"] += librosa_loop(paths, recipe, device)
            for bfloat16 in (False, True):
                run = folder / f"run{number}{bfloat16}"
                precision, epochs = time_trainer(prepared, bfloat16, features, run, device)
                times[f"Trainer, {precision}"] += epochs
        result = {
            "clips": len(paths),
            "device": device.type,
            "threads": torch.get_num_threads(),
            "cpu": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "load": [round(load, 1) for load in os.getloadavg()],
            "filling the cache, once, s": round(filling_s, 3),
            "seconds per epoch, least and median": {
                loop: _summarize(epochs) for loop, epochs in times.items()
            },
            "ratio of the least wall and CPU time": {
                f"{loop} / {other}": _ratios(times[loop], times[other])
                for loop in times
                for other in times
                if loop.startswith("Trainer") and not other.startswith("Trainer")
            },
            "exported, ms per window of 10 s": time_exported(folder, dataset),
        }
    print(json.dumps(result, indent=1))


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--librosa", action="store_true", help="needs `pip install librosa`")
    options = parser.parse_args()
    if options.librosa and find_spec("librosa") is None:
        parser.error("--librosa: librosa is not installed; run `pip install librosa`")
    return options


def make_clips(root: Path, count: int) -> Path:
    """Write normal clips of hum and noise in the layout of 2020; return the dataset's folder."""
    random = np.random.default_rng(0)
    time_s = np.arange(round(CLIP_S * RATE_HZ)) / RATE_HZ
    (root / "fan" / "train").mkdir(parents=True)
    for number in range(count):
        noise = 0.02 * random.standard_normal(len(time_s))
        samples = 0.1 * np.sin(2 * np.pi * 120 * time_s) + noise
        path = root / f"fan/train/normal_id_00_{number:08d}.wav"
        soundfile.write(path, samples, RATE_HZ, "PCM_16")
    return root


def time_trainer(
    prepared: PreparedData,
    bfloat16: bool,
    features: FeatureCache,
    folder: Path,
    device: torch.device,
) -> tuple[str, list[EpochTime]]:
    """Return the precision that was used and the time of each epoch of ``Trainer``."""
    recorder = _EpochRecorder()
    recipe = prepared.recipe.model_copy(update={"cpu_bfloat16": bfloat16})
    prepared = replace(prepared, recipe=recipe)
    trainer = Trainer(
        prepared.new_task("fan", 0, features),
        recipe,
        name="fan",
        seed=0,
        folder=folder,
        process=Process(device),
    )
    trainer.train(recorder, NoProgress())
    return recorder.precision, recorder.times


class _EpochRecorder:
    """Measure whole epochs, checkpoints included."""

    def __init__(self) -> None:
        self.times: list[EpochTime] = []
        self.precision = ""
        self._stopwatch = Stopwatch()

    def resume(self, epochs_done: int) -> bool:
        """Start the first epoch."""
        del epochs_done
        self._stopwatch.start()
        return False

    def record(self, result: EpochResult, network: nn.Module) -> None:
        """Stop an epoch and start the next."""
        del network
        self.precision = result.precision
        self.times.append(self._stopwatch.stop())
        self._stopwatch.start()


def time_exported(folder: Path, dataset: Path) -> dict[str, float]:
    """Return the CPU time in ms of a window through an exported file, on one core."""
    request = TrainRequest("autoencoder", dataset, folder / "run", folder / "cache", epochs=1)
    train(request, Process(torch.device("cpu")), NoProgress())
    exported = export(folder / "run", folder / "model.asd", folder / "cache")
    model = load(exported.path, "cpu")
    random = np.random.default_rng(0)
    window = random.normal(0, 0.1, (1, *exported.manifest.window_shape)).astype(np.float32)
    times_ms = []
    for _ in range(WINDOWS):
        started_s = time.thread_time()
        model.score(window, np.zeros(1, np.int64))
        times_ms.append(1e3 * (time.thread_time() - started_s))
    median_ms = statistics.median(times_ms[WARM_UP_WINDOWS:])
    return {"least": round(min(times_ms), 2), "median": round(median_ms, 2)}


def _summarize(epochs: Sequence[EpochTime]) -> dict[str, list[float]]:
    """Return least and median of each part."""
    columns = {
        "wall_s": [epoch.wall_s for epoch in epochs],
        "cpu_s": [epoch.cpu_s for epoch in epochs],
        "features_cpu_s": [epoch.features_cpu_s for epoch in epochs],
    }
    return {
        name: [round(min(values), 4), round(statistics.median(values), 4)]
        for name, values in columns.items()
        if any(values)
    }


def _ratios(epochs: Sequence[EpochTime], others: Sequence[EpochTime]) -> list[float]:
    """Return the ratios of the least wall and CPU times."""
    return [
        round(min(e.wall_s for e in epochs) / min(e.wall_s for e in others), 3),
        round(min(e.cpu_s for e in epochs) / min(e.cpu_s for e in others), 3),
    ]


if __name__ == "__main__":
    main()
