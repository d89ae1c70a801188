"""Speed of a replay, compared with its unavoidable parts, and its memory.

    python -m asd_offline.benchmarks.replay [--clips 1440] [--hours 0] [--jobs N]

Run it on an idle machine. A few clips of noise and tones are generated and linked as often as
needed; the quick-start detector is fitted to them once for each window length. Decoding and the
model's forward pass are then timed alone, and so is the whole replay: reading, windows, scores,
CSVs, table and report.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile

from asd_monitor.audio.files import read_recording
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.model_file import load, save
from asd_monitor.model_file.loaded_model import LoadedModel
from asd_monitor.processes.workers import available_cores
from asd_monitor.quickstart import Recording, fit
from asd_monitor.records import FloatArray
from asd_offline.jobs.pool import one_torch_thread
from asd_offline.replay import ReplaySettings, replay
from asd_offline.report import write_report

RATE_HZ = 16_000
CLIP_S = 10.0
DISTINCT_CLIPS = 24
"""Other clips are links to these, which cost as much to read and score."""
WINDOWS = ((10.0, 10.0), (5.0, 5.0), (2.0, 2.0), (2.0, 1.0))
"""Length and hop in s: 1, 2, 5 and 9 windows per clip."""
MAX_TIMED_CLIPS = 400
POLL_INTERVAL_S = 0.2


@dataclass(frozen=True, slots=True)
class ReplaySpeed:
    """One row of the table."""

    window_s: float
    hop_s: float
    decode_ms: float
    """CPU time of decoding a clip."""
    forward_ms: float
    """CPU time of the model for a clip."""
    replay_ms: float
    """CPU time of a replay per clip in one process, without imports."""
    times_real_time: float
    """Duration of the clips over the wall time of a replay on all cores."""

    @property
    def overhead(self) -> float:
        """Replay over the sum of decoding and forward pass."""
        return self.replay_ms / (self.decode_ms + self.forward_ms)

    def to_markdown(self) -> str:
        """Return the row."""
        count = int((CLIP_S - self.window_s) / self.hop_s) + 1
        return (
            f"| {count} per clip: {self.window_s:g} s every {self.hop_s:g} s | "
            f"{self.decode_ms:.2f} ms | {self.forward_ms:.2f} ms | {self.replay_ms:.2f} ms | "
            f"{self.overhead:.2f} | {self.times_real_time:.0f} |"
        )


def make_clips(folder: Path) -> list[Path]:
    """Write clips of a humming machine in noise: 10 s, 16 kHz, 16 bits."""
    folder.mkdir(parents=True)
    time_s = np.arange(round(CLIP_S * RATE_HZ)) / RATE_HZ
    paths = []
    for number in range(DISTINCT_CLIPS):
        random = np.random.default_rng(number)
        tones = sum(0.05 / k * np.sin(2 * np.pi * 97 * k * time_s) for k in range(1, 9))
        samples = tones + 0.03 * random.standard_normal(len(time_s))
        paths.append(folder / f"{number}.wav")
        soundfile.write(paths[-1], samples, RATE_HZ, subtype="PCM_16")
    return paths


def link_dataset(
    root: Path, clips: Sequence[Path], test: int, train: int = 0, ids: int = 1
) -> Path:
    """Create a dataset of one machine in the layout of 2020 from links to clips.

    Parameters
    ----------
    root
        Folder of the dataset.
    clips
        Files to link to, in turn.
    test, train
        Numbers of test and training clips.
    ids
        Number of machine ids.
    """
    for split, count, labels in (
        ("train", train, ("normal",)),
        ("test", test, ("normal", "anomaly")),
    ):
        folder = root / "fan" / split
        folder.mkdir(parents=True)
        for number in range(count):
            label, machine_id = labels[number % len(labels)], 2 * (number // 2 % ids)
            name = f"{label}_id_{machine_id:02d}_{number:08d}.wav"
            os.link(clips[number % len(clips)], folder / name)
    return root


def fit_quickstart(clips: Sequence[Path], window_s: float, hop_s: float, path: Path) -> None:
    """Fit the quick-start detector and save it to ``path``."""
    recordings = [Recording(clip.name, read_recording(clip, RATE_HZ)) for clip in clips]
    fitted = fit(recordings, target="fan", window_s=window_s, hop_s=hop_s)
    save(path, fitted.module, fitted.manifest)


def measure_cpu_s(call: Callable[[], object]) -> float:
    """Return the CPU time of a call, which other processes affect less than its wall time."""
    started_s = time.process_time()
    call()
    return time.process_time() - started_s


def measure_speed(
    dataset: Path, clips: Sequence[Path], window_s: float, hop_s: float, jobs: int
) -> ReplaySpeed:
    """Measure a replay of a dataset and its parts.

    Parameters
    ----------
    dataset
        Dataset of links to the clips.
    clips
        The distinct clips.
    window_s, hop_s
        Window length and hop of the detector.
    jobs
        Processes of the replay whose wall time is measured.
    """
    folder = Path(tempfile.mkdtemp(dir=dataset.parent))
    file = folder / "model.asd"
    fit_quickstart(clips, window_s, hop_s, file)
    model = load(file, "cpu")
    paths = sorted((dataset / "fan" / "test").iterdir())
    timed = paths[:MAX_TIMED_CLIPS]
    settings = ReplaySettings(dataset, model=str(file), device="cpu", jobs=1)
    one_process = replace(settings, out=folder / "one")
    all_cores = replace(settings, out=folder / "all", jobs=jobs)
    with one_torch_thread():
        decode_s = measure_cpu_s(lambda: [read_recording(path, RATE_HZ) for path in timed])
        forward_s = _measure_forward_s(model, clips, len(timed))
        replay_s = measure_cpu_s(lambda: replay(one_process, write_report=write_report))
    started_s = time.perf_counter()
    replay(all_cores, write_report=write_report)
    wall_s = time.perf_counter() - started_s
    return ReplaySpeed(
        window_s,
        hop_s,
        decode_ms=1000 * decode_s / len(timed),
        forward_ms=1000 * forward_s / len(timed),
        replay_ms=1000 * replay_s / len(paths),
        times_real_time=len(paths) * CLIP_S / wall_s,
    )


def _measure_forward_s(model: LoadedModel, clips: Sequence[Path], count: int) -> float:
    """Return the CPU time to score all windows of ``count`` clips, without decoding them."""
    window_samples, hop_samples = model.manifest.window_samples, model.manifest.hop_samples
    samples: list[FloatArray] = [read_recording(clip, RATE_HZ) for clip in clips]
    batches = [
        np.ascontiguousarray(clip_windows(clip, window_samples, hop_samples)) for clip in samples
    ]
    targets = np.zeros(len(batches[0]), np.int64)
    model.score(batches[0], targets)
    return measure_cpu_s(
        lambda: [model.score(batches[i % len(batches)], targets) for i in range(count)]
    )


def peak_memory(command: Sequence[str]) -> int:
    """Run a command and return the peak memory of its processes, in bytes.

    It is the proportional set size: pages that processes share are counted once.
    """
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            peak = max(peak, sum(map(_memory_of, _with_descendants(process.pid))))
            time.sleep(POLL_INTERVAL_S)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    return peak


def _with_descendants(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:  # it has ended
        return
    for child in children:
        yield from _with_descendants(int(child))


def _memory_of(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:  # it has ended
        return 0
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if "Pss:" in line)


def measure_memory(folder: Path, clips: Sequence[Path], hours: float, jobs: int) -> str:
    """Replay clips of two ids, a third for training, and return time and memory in words."""
    count = round(hours * 3600 / CLIP_S)
    train = count // 3
    dataset = link_dataset(folder / "long", clips, count - train, train, ids=2)
    command = [sys.executable, "-m", "asd_monitor.cli", "replay", str(dataset), "--jobs", str(jobs)]
    started_s = time.perf_counter()
    peak = peak_memory([*command, "--out", str(folder / "long_out")])
    wall_s = time.perf_counter() - started_s
    return (
        f"{hours:g} h, {train} clips to fit and {count - train} to score: {wall_s:.0f} s, "
        f"at most {peak / 1e6:.0f} MB in all processes"
    )


def main() -> None:
    """Measure, and print the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--clips", type=int, default=1440, help="clips to score (4 h)")
    parser.add_argument(
        "--hours", type=float, default=0.0, help="also measure memory with this much audio"
    )
    parser.add_argument("--jobs", type=int, default=available_cores())
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cpu = platform.processor() or platform.machine()
        print(f"{cpu}, {available_cores()} cores, load {os.getloadavg()[0]:.1f}")
        clips = make_clips(folder / "clips")
        if options.clips:
            dataset = link_dataset(folder / "set", clips, options.clips)
            print("| windows | decode | forward | replay, 1 process | of the sum | x real time |")
            print("|---|---|---|---|---|---|")
            for window_s, hop_s in WINDOWS:
                speed = measure_speed(dataset, clips, window_s, hop_s, options.jobs)
                print(speed.to_markdown(), flush=True)
        if options.hours:
            print(measure_memory(folder, clips, options.hours, options.jobs))
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
