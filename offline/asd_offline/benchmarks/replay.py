"""How fast a replay is, against its unavoidable parts, and how much memory it takes.

Run ``python -m asd_offline.benchmarks.replay`` (``--help`` tells the options) on a quiet machine.
A few clips of noise and tones are made and linked as often as it takes; the quick-start detector
is fitted to them once for each length of window. Decoding and the model's forward pass are then
timed alone, and so is the whole replay: reading, windows, scores, CSVs, table and report.
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

from asd_monitor.audio.files import read_recording
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.model_file import load, save
from asd_monitor.quickstart import Recording, fit
from asd_monitor.records import FloatArray
from asd_offline.jobs.pool import available_cores, one_torch_thread
from asd_offline.replay import ReplaySettings, replay
from asd_offline.report import write_report

RATE_HZ = 16_000
CLIP_S = 10.0
DISTINCT = 24
"""A link to one of so many clips costs as much to read and score as a clip of its own."""
WINDOWS = ((10.0, 10.0), (5.0, 5.0), (2.0, 2.0), (2.0, 1.0))
"""Length and hop in s: 1, 2, 5 and 9 windows a clip."""


@dataclass(frozen=True, slots=True)
class Speed:
    """One row of the table."""

    window_s: float
    hop_s: float
    decode_ms: float
    """Of a clip, CPU time."""
    forward_ms: float
    replay_ms: float
    """Of a clip in one process, CPU time, all but imports included."""
    times_real_time: float
    """Of the whole replay on all cores, wall time."""

    @property
    def overhead(self) -> float:
        """Replay against the sum of decoding and forward pass."""
        return self.replay_ms / (self.decode_ms + self.forward_ms)


def make_clips(folder: Path) -> list[Path]:
    """Write clips of a humming machine in noise: 10 s, 16 kHz, 16 bits."""
    import soundfile

    folder.mkdir(parents=True)
    place = np.arange(round(CLIP_S * RATE_HZ)) / RATE_HZ
    paths = []
    for number in range(DISTINCT):
        random = np.random.default_rng(number)
        tones = sum(0.05 / k * np.sin(2 * np.pi * 97 * k * place) for k in range(1, 9))
        samples = tones + 0.03 * random.standard_normal(len(place))
        paths.append(folder / f"{number}.wav")
        soundfile.write(paths[-1], samples, RATE_HZ, subtype="PCM_16")
    return paths


def link_set(root: Path, clips: Sequence[Path], test: int, train: int = 0, ids: int = 1) -> Path:
    """Make a set of one machine in the layout of 2020 out of links."""
    for split, count, labels in (("train", train, ("normal",)), ("test", test, LABELS)):
        folder = root / "fan" / split
        folder.mkdir(parents=True)
        for number in range(count):
            label, machine_id = labels[number % len(labels)], 2 * (number // 2 % ids)
            name = f"{label}_id_{machine_id:02d}_{number:08d}.wav"
            os.link(clips[number % len(clips)], folder / name)
    return root


LABELS = ("normal", "anomaly")


def fitted(clips: Sequence[Path], window_s: float, hop_s: float, path: Path) -> Path:
    """Fit the quick-start detector and save it."""
    recordings = [Recording(each.name, read_recording(each, RATE_HZ)) for each in clips]
    model = fit(recordings, target="fan", window_s=window_s, hop_s=hop_s)
    save(path, model.module, model.manifest)
    return path


def cpu_s(work: Callable[[], object]) -> float:
    """Return the CPU time of a call, which other processes disturb less than wall time."""
    began = time.process_time()
    work()
    return time.process_time() - began


def measure(root: Path, clips: Sequence[Path], window_s: float, hop_s: float, jobs: int) -> Speed:
    """Time a replay of the set at ``root`` and its parts."""
    folder = Path(tempfile.mkdtemp(dir=root.parent))
    model = fitted(clips, window_s, hop_s, folder / "model.asd")
    scorer = load(model, "cpu")
    size, hop = scorer.manifest.window_samples, scorer.manifest.hop_samples
    paths = sorted((root / "fan" / "test").iterdir())
    read: list[FloatArray] = [read_recording(each, RATE_HZ) for each in clips]
    batches = [np.ascontiguousarray(clip_windows(each, size, hop)) for each in read]
    targets = np.zeros(len(batches[0]), np.int64)
    part = paths[: min(len(paths), 400)]
    settings = ReplaySettings(root, model=str(model), device="cpu", jobs=1)
    with one_torch_thread():
        scorer.score(batches[0], targets)
        decode = cpu_s(lambda: [read_recording(each, RATE_HZ) for each in part])
        forward = cpu_s(
            lambda: [scorer.score(batches[i % DISTINCT], targets) for i in range(len(part))]
        )
        alone = cpu_s(lambda: replay(replace(settings, out=folder / "one"), None, write_report))
    began = time.perf_counter()
    replay(replace(settings, out=folder / "all", jobs=jobs), None, write_report)
    wall_s = time.perf_counter() - began
    per_clip = 1000 / len(part)
    return Speed(
        window_s,
        hop_s,
        decode * per_clip,
        forward * per_clip,
        1000 * alone / len(paths),
        len(paths) * CLIP_S / wall_s,
    )


def peak_memory(command: Sequence[str]) -> int:
    """Run a command and return the peak of the memory of its processes, in bytes.

    Proportional set size: pages that processes share are counted once.
    """
    peak = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        while running.poll() is None:
            peak = max(peak, sum(_pss(pid) for pid in _family(running.pid)))
            time.sleep(0.2)
    if running.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {running.returncode}")
    return peak


def _family(pid: int) -> Iterator[int]:
    """Yield a process and all below it."""
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except OSError:  # it has ended
        return
    for child in children:
        yield from _family(int(child))


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:  # it has ended
        return 0
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if "Pss:" in line)


def measure_memory(folder: Path, clips: Sequence[Path], hours: float, jobs: int) -> str:
    """Replay ``hours`` of clips of two ids, a third for training, and say what it took."""
    count = round(hours * 3600 / CLIP_S)
    root = link_set(folder / "long", clips, count - count // 3, count // 3, ids=2)
    began = time.perf_counter()
    command = [sys.executable, "-m", "asd_monitor.cli", "replay", str(root), "--jobs", str(jobs)]
    taken = peak_memory([*command, "--out", str(folder / "long_out")])
    wall_s = time.perf_counter() - began
    return (
        f"{hours:g} h, {count // 3} clips to fit and {count - count // 3} to score: "
        f"{wall_s:.0f} s, at most {taken / 1e6:.0f} MB in all processes"
    )


def main() -> None:
    """Measure and print the table, in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=1440, help="clips to score (4 h)")
    parser.add_argument("--hours", type=float, default=0.0, help="measure memory with so much")
    parser.add_argument("--jobs", type=int, default=available_cores())
    options = parser.parse_args()
    load_before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        clips = make_clips(folder / "clips")
        machine = platform.processor() or platform.machine()
        print(f"{machine}, {available_cores()} cores, load {load_before:.1f}")
        if options.clips:
            root = link_set(folder / "set", clips, options.clips)
            print("| windows | decode | forward | replay, 1 process | of the sum | x real time |")
            print("|---|---|---|---|---|---|")
            for window_s, hop_s in WINDOWS:
                print(_row(measure(root, clips, window_s, hop_s, options.jobs)), flush=True)
        if options.hours:
            print(measure_memory(folder, clips, options.hours, options.jobs))
    print(f"load at the end {os.getloadavg()[0]:.1f}")


def _row(found: Speed) -> str:
    count = int((CLIP_S - found.window_s) / found.hop_s) + 1
    return (
        f"| {count} a clip: {found.window_s:g} s every {found.hop_s:g} s | "
        f"{found.decode_ms:.2f} ms | {found.forward_ms:.2f} ms | {found.replay_ms:.2f} ms | "
        f"{found.overhead:.2f} | {found.times_real_time:.0f} |"
    )


if __name__ == "__main__":
    main()
