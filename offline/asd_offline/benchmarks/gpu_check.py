"""Check a GPU: scores equal those of the CPU, speed, number of machines, training, memory.

    python -m asd_offline.benchmarks.gpu_check [--device cuda|cpu] [--models A,B] [--limit S]
                                               [--stages A,B] [--out FILE]

Each stage is a process of its own with a limit of time, so that one that hangs or crashes leaves
the others. The result is one JSON document. Without a GPU, or with ``--device cpu``, the same
stages run on the CPU, which tests this program.
"""

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from asd_monitor.detection.detector import MAX_BATCH
from asd_monitor.model_file import load, save
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.progress import NoProgress
from asd_monitor.quickstart import Recording, fit
from asd_offline.benchmarks.training import make_clips
from asd_offline.export.export import export
from asd_offline.training.distributed import join_process_group
from asd_offline.training.run import TrainRequest, train

STAGES = {
    "device": 60.0,
    "parity": 120.0,
    "first_calls": 150.0,
    "throughput": 150.0,
    "training": 110.0,
}
"""Each with its limit in seconds: less than ten minutes in all."""
MODELS = "quickstart,autoencoder"
SMALL_RECIPES = Path("configs/train/small")
RATE_HZ = 16_000
CLIPS = 8
HOP_S = 1.0
REPEATS = {"cuda": 20, "cpu": 5}
BATCHES = {"cuda": (1, 2, 4, 8, 16, 64, 256), "cpu": (1, 4, 16)}
MAX_MACHINES = 4096


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the stages, and print one JSON document."""
    options = _parse(arguments)
    if options.stage:
        print(json.dumps(_run_stage(options.stage, options)))
        return
    document: dict[str, Any] = {"device": options.device, "stages": {}}
    for stage in options.stages.split(","):
        document["stages"][stage] = _in_a_process(stage, options)
        print(f"{stage}: {document['stages'][stage]['result']}", file=sys.stderr)
    text = json.dumps(document, indent=1)
    if options.out:
        options.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    if any(stage["result"] != "finished" for stage in document["stages"].values()):
        sys.exit(1)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser = argparse.ArgumentParser(description="Check a GPU with the models of asd-monitor.")
    parser.add_argument("--device", choices=("cuda", "cpu"), default=default)
    parser.add_argument("--models", default=MODELS, help="quickstart, or models with a recipe")
    parser.add_argument("--recipes", type=Path, default=SMALL_RECIPES)
    parser.add_argument("--limit", type=float, help="seconds of each stage; by default 60 to 150")
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    return parser.parse_args(arguments)


def _in_a_process(stage: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return what a stage measured, with its seconds, or why it did not finish."""
    command = [sys.executable, "-m", "asd_offline.benchmarks.gpu_check", "--stage", stage]
    command += ["--device", options.device, "--models", options.models]
    command += ["--recipes", str(options.recipes)]
    started_s, limit_s = time.monotonic(), options.limit or STAGES[stage]
    facts: dict[str, Any] = {}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            result = f"failed: {lines[-1]}"
        else:
            result, facts = "finished", json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        result = f"not finished within {limit_s:g} s"
    return {"result": result, "seconds": round(time.monotonic() - started_s, 1)} | facts


def _run_stage(stage: str, options: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(1 if options.device == "cpu" else torch.get_num_threads())
    if stage == "device":
        return describe_device(options.device)
    with tempfile.TemporaryDirectory() as folder:
        if stage == "training":
            return measure_training(options, Path(folder))
        measure = {
            "parity": measure_parity,
            "first_calls": measure_first_calls,
            "throughput": measure_throughput,
        }[stage]
        results = {}
        for name in options.models.split(","):
            path = make_model(name, options.recipes, Path(folder))
            results[name] = measure(path, options.device) | _memory(options.device)
        return {"models": results}


def describe_device(device: str) -> dict[str, Any]:
    """Return the versions and the hardware."""
    facts: dict[str, Any] = {
        "torch": str(torch.__version__),
        "cuda": torch.version.cuda,
        "cpu": platform.processor() or platform.machine(),
    }
    if device == "cuda":
        properties = torch.cuda.get_device_properties(0)
        facts |= {
            "name": properties.name,
            "memory_mb": properties.total_memory // 2**20,
            "capability": f"{properties.major}.{properties.minor}",
        }
    return facts


def make_model(name: str, recipes: Path, folder: Path) -> Path:
    """Learn, or train for one epoch, a model of synthetic sound; return its model file."""
    path = folder / f"{name}.asd"
    dataset = folder / "set"
    if not dataset.exists():
        make_clips(dataset, CLIPS)
    if name == "quickstart":
        import soundfile

        clips = sorted(dataset.rglob("train/*.wav"))
        recordings = [
            Recording(clip.name, soundfile.read(clip, dtype="float32")[0]) for clip in clips
        ]
        fitted = fit(recordings, target="fan")
        save(path, fitted.module, fitted.manifest)
        return path
    run = folder / f"run-{name}"
    recipe = recipes / f"{name}.yaml"
    request = TrainRequest(name, dataset, run, folder / "cache", recipe=recipe, epochs=1)
    with join_process_group("cpu") as process:
        train(request, process, NoProgress())
    export(run, path, folder / "cache")
    return path


def make_windows(model: LoadedModel, count: int) -> npt.NDArray[np.float32]:
    """Return windows of noise of different levels."""
    random = np.random.default_rng(0)
    levels = np.geomspace(0.003, 0.3, count).reshape(-1, *[1] * len(model.manifest.window_shape))
    noise = random.standard_normal((count, *model.manifest.window_shape))
    return np.asarray(levels * noise, np.float32).clip(-1, 1)


def measure_parity(path: Path, device: str) -> dict[str, Any]:
    """Return the largest difference from the scores of the CPU, relative to the largest score."""
    reference, model = load(path, "cpu"), load(path, device)
    windows = make_windows(model, MAX_BATCH)
    targets = np.zeros(len(windows), np.int64)
    expected, found = reference.score(windows, targets), model.score(windows, targets)
    difference = float(np.abs(found - expected).max() / np.abs(expected).max())
    return {"device": model.device, "largest_relative_difference": difference}


def measure_first_calls(path: Path, device: str) -> dict[str, Any]:
    """Return the milliseconds of the first and the fourth call at each batch size, after load."""
    started_s = time.perf_counter()
    model = load(path, device)
    load_s = time.perf_counter() - started_s
    first, fourth = {}, {}
    for batch in range(1, MAX_BATCH + 1):
        times = [_time_calls(model, batch, 1) for _ in range(4)]
        first[batch], fourth[batch] = round(times[0], 3), round(times[3], 3)
    return {"load_s": round(load_s, 2), "first_ms": first, "fourth_ms": fourth}


def measure_throughput(path: Path, device: str) -> dict[str, Any]:
    """Return windows a second at each batch size, and how many machines a hop of 1 s admits."""
    model = load(path, device)
    per_second = {}
    for batch in BATCHES[device]:
        _time_calls(model, batch, 3 if device == "cuda" else 1)
        median_ms = statistics.median(_time_calls(model, batch, 1) for _ in range(REPEATS[device]))
        per_second[batch] = round(1000 * batch / median_ms, 1)
    batch_ms = 1000 * MAX_BATCH / per_second[MAX_BATCH]
    return {
        "windows_per_s": per_second,
        "machines_at_1_s_hop": find_largest(lambda machines: _round_s(model, machines) < HOP_S),
        "milliseconds_of_a_full_batch": round(batch_ms, 3),
    }


def find_largest(fits: Callable[[int], bool], limit: int = MAX_MACHINES) -> int:
    """Return the largest number that fits, to about an eighth; 0 if none, at most ``limit``."""
    if not fits(1):
        return 0
    fitting = 1
    while fitting < limit and fits(min(2 * fitting, limit)):
        fitting = min(2 * fitting, limit)
    step = fitting // 2
    while fitting < limit and step >= max(1, fitting // 8):
        if fits(fitting + step):
            fitting += step
        step //= 2
    return fitting


def measure_training(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return the seconds of an epoch on the CPU and on the device, without the first one."""
    dataset = make_clips(folder / "set", CLIPS)
    results: dict[str, Any] = {}
    for name in options.models.split(","):
        if name == "quickstart":
            continue
        seconds = {}
        for device in dict.fromkeys(("cpu", options.device)):
            request = TrainRequest(
                name,
                dataset,
                folder / f"{name}-{device}",
                folder / "cache",
                recipe=options.recipes / f"{name}.yaml",
                epochs=4,
            )
            with join_process_group(device) as process:
                run = train(request, process, NoProgress())
            epochs = [line["seconds"] for line in run.metrics()]
            seconds[device] = round(statistics.median(epochs[1:]), 4) if epochs[1:] else None
        results[name] = {"epoch_s": seconds} | _memory(options.device)
    return {"models": results}


def _round_s(model: LoadedModel, machines: int) -> float:
    """Return the seconds that one window of each machine takes, in the batches of the monitor."""
    whole, rest = divmod(machines, MAX_BATCH)
    batches = [MAX_BATCH] * whole + ([rest] if rest else [])
    return sum(_time_calls(model, batch, 1) for batch in batches) / 1000


def _time_calls(model: LoadedModel, batch: int, calls: int) -> float:
    """Return the milliseconds of a call, with copies and wait."""
    windows, targets = make_windows(model, batch), np.zeros(batch, np.int64)
    started_s = time.perf_counter()
    for _ in range(calls):
        model.score(windows, targets)
    return 1000 * (time.perf_counter() - started_s) / calls


def _memory(device: str) -> dict[str, Any]:
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    if device != "cuda":
        return {"peak_rss_mb": peak_mb}
    return {
        "peak_rss_mb": peak_mb,
        "peak_device_mb": torch.cuda.max_memory_allocated() // 2**20,
    }


if __name__ == "__main__":
    main()
