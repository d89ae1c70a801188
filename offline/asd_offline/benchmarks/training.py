"""How long an epoch of the autoencoder takes, against straightforward loops.

    python -m asd_offline.benchmarks.training [--clips 40] [--epochs 4] [--rounds 4] [--librosa]

The reference loop is what one writes first: in every epoch each clip is read, its log-mel
spectrogram computed with the same torchaudio transforms, and the epoch's vectors are shuffled and
trained on with torch's Adam. ``--librosa`` (``pip install librosa``) adds a second one, in the
manner of the baseline of 2023. Ours is ``Trainer`` as ``asd-monitor train`` uses it, with
its feature cache filled, in float32 and, where the processor has it, in bfloat16; the reference
loops are in float32. All have the same clips, network, batch size, device and threads, and
take turns. Processor time is given beside wall time, since it suffers less from what else is
running. The exported file's time per window is measured afterwards, on one core.
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
from asd_offline.benchmarks.reference_loops import Clock, Took, librosa_loop, torchaudio_loop
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


def main() -> None:
    """Measure, and print one JSON document."""
    chosen = _arguments()
    torch.set_num_threads(chosen.threads)
    device = torch.device(chosen.device)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = make_clips(folder / "set", chosen.clips)
        recipe = AutoencoderRecipe(epochs=chosen.epochs, auc_interval_epochs=0)
        prepared = prepare(MODELS["autoencoder"], open_dataset(made), recipe)
        features = FeatureCache(folder / "cache")
        began = time.perf_counter()
        prepared.new_task("fan", 0, features)
        filled_s = time.perf_counter() - began
        paths = [clip.path for target in prepared.targets for clip in target.clips]
        took: dict[str, list[Took]] = defaultdict(list)
        for number in range(chosen.rounds):
            took["torchaudio"] += torchaudio_loop(paths, recipe, device)
            if chosen.librosa:
                took["librosa"] += librosa_loop(paths, recipe, device)
            for rounded in (False, True):
                run = folder / f"run{number}{rounded}"
                precision, each = ours(prepared, rounded, features, run, device)
                took[f"ours, {precision}"] += each
        result = {
            "clips": len(paths),
            "device": device.type,
            "threads": torch.get_num_threads(),
            "cpu": platform.processor() or platform.machine(),
            "torch": torch.__version__,
            "load": [round(each, 1) for each in os.getloadavg()],
            "filling the cache, once, s": round(filled_s, 3),
            "seconds per epoch": {kind: _told(each) for kind, each in took.items()},
            "ours as a share, of least wall and processor time": {
                f"{kind} of {other}": _shares(took[kind], took[other])
                for kind in took
                for other in took
                if kind.startswith("ours") and not other.startswith("ours")
            },
            "exported, ms per window of 10 s": exported_ms(folder, made),
        }
    print(json.dumps(result, indent=1))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clips", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--librosa", action="store_true", help="needs `pip install librosa`")
    chosen = parser.parse_args()
    if chosen.librosa and find_spec("librosa") is None:
        parser.error("--librosa: librosa is not there; install it with `pip install librosa`")
    return chosen


def make_clips(root: Path, clips: int) -> Path:
    """Write normal clips of hum and noise in the layout of 2020."""
    random = np.random.default_rng(0)
    t = np.arange(round(CLIP_S * RATE_HZ)) / RATE_HZ
    (root / "fan" / "train").mkdir(parents=True)
    for number in range(clips):
        hum = 0.1 * np.sin(2 * np.pi * 120 * t) + 0.02 * random.standard_normal(len(t))
        soundfile.write(root / f"fan/train/normal_id_00_{number:08d}.wav", hum, RATE_HZ, "PCM_16")
    return root


def ours(
    prepared: PreparedData,
    rounded: bool,
    features: FeatureCache,
    folder: Path,
    device: torch.device,
) -> tuple[str, list[Took]]:
    """Return the precision that was found, and what each epoch of the project's loop took."""
    stopwatch = _Stopwatch()
    prepared = replace(
        prepared, recipe=prepared.recipe.model_copy(update={"cpu_bfloat16": rounded})
    )
    trainer = Trainer(
        prepared.new_task("fan", 0, features),
        prepared.recipe,
        name="fan",
        seed=0,
        folder=folder,
        process=Process(device),
    )
    trainer.train(stopwatch, NoProgress())
    return stopwatch.precision, stopwatch.took


class _Stopwatch:
    """Counts whole epochs, checkpoints included."""

    def __init__(self) -> None:
        self.took: list[Took] = []
        self.precision = ""
        self._clock = Clock()

    def resume(self, epochs_done: int) -> bool:
        """Start."""
        del epochs_done
        self._clock.start()
        return False

    def record(self, result: EpochResult, network: nn.Module) -> None:
        """Stop and start again."""
        del network
        self.precision = result.precision
        self.took.append(self._clock.stop())
        self._clock.start()


def exported_ms(folder: Path, made: Path) -> dict[str, float]:
    """Return the processor milliseconds of a window through the exported file, on one core."""
    request = TrainRequest("autoencoder", made, folder / "run", folder / "cache", epochs=1)
    train(request, Process(torch.device("cpu")), NoProgress())
    done = export(folder / "run", folder / "model.asd", folder / "cache")
    scorer = load(done.path, "cpu")
    random = np.random.default_rng(0)
    window = random.normal(0, 0.1, (1, done.manifest.window_samples)).astype(np.float32)
    took = []
    for _ in range(60):
        began = time.thread_time()
        scorer.score(window, np.zeros(1, np.int64))
        took.append(1e3 * (time.thread_time() - began))
    return {"least": round(min(took), 2), "median": round(statistics.median(took[10:]), 2)}


def _told(took: Sequence[Took]) -> dict[str, list[float]]:
    """Return least and median of each part."""
    return {
        part: [round(min(values), 4), round(statistics.median(values), 4)]
        for part in ("wall_s", "processor_s", "features_processor_s")
        if any(values := [getattr(each, part) for each in took])
    }


def _shares(ours_took: Sequence[Took], other: Sequence[Took]) -> list[float]:
    return [
        round(min(getattr(e, part) for e in ours_took) / min(getattr(e, part) for e in other), 3)
        for part in ("wall_s", "processor_s")
    ]


if __name__ == "__main__":
    main()
