"""Compare with the organisers' baseline: both train and score the same clips, in turns, in one run.

    python -m asd_offline.benchmarks.peers --baseline CHECKOUT [--python PYTHON] [--clips 80]
                                           [--test-clips 20] [--epochs 4] [--rounds 2]

CHECKOUT is a clone of https://github.com/nttcslab/dcase2023_task2_baseline_ae, which is run in a
copy, by PYTHON with the packages that it needs. The clips are synthetic fans of 2023. Both get one
thread, the CPU, the baseline's batch size and numbers of epochs. Whole commands are measured:
processor time and the largest memory of the process and its children. An epoch is the difference
between two trainings, so that imports and features do not count.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asd_monitor.errors import AsdMonitorError, ConfigError, RunError

BATCH_SIZE = 256
MACHINE = "fan"
DATA = Path("dcase2023t2/dev_data/raw")
YEAR = DATA.parts[0].removeprefix("dcase").removesuffix("t2")
"""Where the baseline looks for clips, in its folder of data."""
OURS = [sys.executable, "-c", "from asd_monitor.cli import main; main()"]
TIMEOUT_S = 3600.0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took."""

    cpu_s: float
    wall_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Peer:
    """A program that trains and scores."""

    train: Callable[[int, str], Cost]
    """Train for a number of epochs, as a run of a name."""
    score: Callable[[str], Cost]
    """Score the test clips with the model of a run."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print the ratios and one JSON document."""
    options = _parse(arguments)
    try:
        document = measure(options)
    except AsdMonitorError as error:
        sys.exit(f"error: {error}")
    for what, ratio in document["ratios, ours / baseline"].items():
        print(f"{what}: {ratio:.2f} of the baseline", file=sys.stderr)
    print(json.dumps(document, indent=1))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Return the costs of both programs, and their ratios.

    Raises
    ------
    ConfigError
        If the checkout is not the baseline.
    RunError
        If a command fails.
    """
    if not (options.baseline / "train.py").is_file():
        msg = f"--baseline {options.baseline}: expected a clone with train.py, found none"
        raise ConfigError(f"{msg}; see python -m asd_offline.benchmarks.peers --help")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = folder / "clips"
        _make_clips(clips, options)
        link = folder / "data" / DATA
        link.parent.mkdir(parents=True)
        link.symlink_to(clips / "dev_data")
        test_clips = len([*clips.glob("dev_data/*/test/*.wav")])
        peers = {
            "baseline": _baseline(options, folder),
            "ours": _ours(options, folder, clips),
        }
        rounds: dict[str, list[dict[str, float]]] = {peer: [] for peer in peers}
        for number in range(options.rounds):
            for peer, program in peers.items():
                rounds[peer].append(_measure_round(program, number, options.epochs, test_clips))
    summary = {peer: _median(values) for peer, values in rounds.items()}
    ours, baseline = summary["ours"], summary["baseline"]
    return {
        "clips": options.clips,
        "test_clips": test_clips,
        "epochs": options.epochs,
        "rounds": options.rounds,
        "load": [round(load, 1) for load in os.getloadavg()],
        "median": summary,
        "all": rounds,
        "ratios, ours / baseline": {
            what: round(ours[what] / baseline[what], 3) for what in ours if baseline[what] > 0
        },
    }


def _measure_round(program: Peer, number: int, epochs: int, test_clips: int) -> dict[str, float]:
    short = program.train(1, f"short{number}")
    long = program.train(1 + epochs, f"long{number}")
    scored = program.score(f"long{number}")
    return {
        "epoch_cpu_s": max(0.0, long.cpu_s - short.cpu_s) / epochs,
        "training_cpu_s": long.cpu_s,
        "training_peak_mb": long.peak_mb,
        "scoring_cpu_ms_per_clip": 1000 * scored.cpu_s / test_clips,
        "scoring_peak_mb": scored.peak_mb,
    }


def _median(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {
        what: round(statistics.median(value[what] for value in values), 3) for what in values[0]
    }


def _baseline(options: argparse.Namespace, folder: Path) -> Peer:
    """Return the organisers' program, in a copy of the checkout."""
    checkout = folder / "baseline"
    ignored = shutil.ignore_patterns(".git", "data", "results", "models")
    shutil.copytree(options.baseline, checkout, ignore=ignored)
    shared = [options.python, "train.py", f"--dataset=DCASE2023T2{MACHINE}", "-d"]
    shared += ["--dataset_directory", str(folder / "data"), "--use_cuda", "false"]
    shared += ["--batch_size", str(BATCH_SIZE)]

    def train(epochs: int, run: str) -> Cost:
        command = [*shared, "--train_only", "--epochs", str(epochs), "-tag", run]
        return run_measured(command, checkout)

    def score(run: str) -> Cost:
        return run_measured([*shared, "--test_only", "-tag", run], checkout)

    return Peer(train, score)


def _ours(options: argparse.Namespace, folder: Path, clips: Path) -> Peer:
    """Return this program, with the recipe of the baseline."""
    recipe = folder / "recipe.yaml"
    recipe.write_text(
        f"model: autoencoder\nbatch_size: {BATCH_SIZE}\nauc_interval_epochs: 0\n"
        "cpu_bfloat16: false\n"
    )
    cache = ["--cache", str(folder / "cache")]

    def train(epochs: int, run: str) -> Cost:
        command = [*OURS, "train", "autoencoder", str(clips), "--config", str(recipe), *cache]
        out = ["--epochs", str(epochs), "--out", str(folder / run), "--device", "cpu"]
        return run_measured([*command, *out], folder)

    def score(run: str) -> Cost:
        model = folder / f"{run}.asd"
        run_measured([*OURS, "export", str(folder / run), "--out", str(model), *cache], folder)
        out = ["--out", str(folder / f"replay-{run}"), "--jobs", "1", "--device", "cpu"]
        return run_measured([*OURS, "replay", str(clips), "--model", str(model), *out], folder)

    return Peer(train, score)


def run_measured(command: Sequence[str], folder: Path) -> Cost:
    """Run a command with one thread and return its cost.

    Raises
    ------
    RunError
        If it fails; the message has its last line.
    """
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    started_s = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [*command], cwd=folder, env=os.environ | threads, stdout=output, stderr=output
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            lines = output.read().decode(errors="replace").strip().splitlines() or ["no output"]
            msg = f"{' '.join(command[:4])} ...: exit status {process.returncode}: {lines[-1]}"
            raise RunError(msg)
    wall_s = time.monotonic() - started_s
    return Cost(usage.ru_utime + usage.ru_stime, wall_s, usage.ru_maxrss / 1024)


def _make_clips(folder: Path, options: argparse.Namespace) -> None:
    sizes = ["--clips", str(options.clips), "--test-clips", str(options.test_clips)]
    command = [*OURS, "synth", str(folder), "--year", YEAR, "--machines", MACHINE, *sizes]
    run_measured(command, folder.parent)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--baseline", type=Path, required=True, metavar="CHECKOUT")
    parser.add_argument("--python", default=sys.executable, help="the baseline's interpreter")
    parser.add_argument("--clips", type=int, default=80)
    parser.add_argument("--test-clips", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=2)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
