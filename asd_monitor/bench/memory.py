"""Memory of a daemon with one machine, and whether it grows."""

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np

from asd_monitor.bench.context import Setting
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.fixtures import SAMPLE_RATE_HZ, make_sound, write
from asd_monitor.bench.measurement import Figure

AREA = "memory"
SETTLE_S = 8.0
ALLOWED_MB = 700.0
WINDOWS = 100_000
QUICK_WINDOWS = 2_000
WARM_UP = 0.2
"""So much of the run comes before the first count: pools and caches fill."""
SMALL_WINDOW_S = 0.1
ALLOWED_GROWTH_MB = 5.0
POLL_S = 0.25
ENDED_S = 0.5
"""After asking the daemon: the connection and thread of the answer have ended then."""


def measure(setting: Setting) -> Iterator[Figure]:
    """Look at one daemon at real pace, then let another score very many windows."""
    setting.tell("a daemon with one machine")
    with Daemon(setting.one_machine(), setting.work.folder) as daemon:
        time.sleep(setting.long(SETTLE_S, 2.0))
        used = daemon.usage()
    told = "one machine, torch loaded"
    yield Figure(AREA, "rss_mb", used.rss_bytes / 1e6, told, "MB", at_most=ALLOWED_MB)
    yield from growth(setting, QUICK_WINDOWS if setting.quick else WINDOWS)


def growth(setting: Setting, windows: int) -> Iterator[Figure]:
    """Let a daemon score so many windows, and look whether anything of it grows."""
    sound, model = setting.work.folder / "loop.wav", small_model(setting.work.folder)
    write(sound, make_sound(20.0))
    setting.tell(f"{windows} windows of a small model, as fast as they can be scored")
    with Daemon(setting.fast(sound, model), setting.work.folder) as daemon:
        _await_windows(daemon, WARM_UP * windows)
        counts = [daemon.usage()]
        for part in range(1, 11):
            _await_windows(daemon, (WARM_UP + part / 10) * windows)
            counts.append(daemon.usage())
    first, last = counts[:5], counts[-5:]
    yield Figure(AREA, "windows", float(windows), "windows of the long run", "")
    # Medians: an answer that lingers adds a file, a recording between two rounds takes one away.
    grown_bytes = median(each.rss_bytes for each in last) - median(each.rss_bytes for each in first)
    told = "memory grown over them"
    yield Figure(AREA, "growth_mb", grown_bytes / 1e6, told, "MB", at_most=ALLOWED_GROWTH_MB)
    files = median(each.files for each in last) - median(each.files for each in first)
    threads = median(each.threads for each in last) - median(each.threads for each in first)
    yield Figure(AREA, "more_files", files, "open files more", "", at_most=0)
    yield Figure(AREA, "more_threads", threads, "threads more", "", at_most=0)


def _await_windows(daemon: Daemon, windows: float) -> None:
    while daemon.metrics().get("asd_windows_total{result=scored}", 0.0) < windows:
        time.sleep(POLL_S)
    time.sleep(ENDED_S)


def small_model(folder: Path) -> Path:
    """Write the model file of a level meter: next to no work, so that all else shows."""
    import torch

    from asd_monitor.calibration import Calibration
    from asd_monitor.model_file import save, script
    from asd_monitor.model_file.manifest import Manifest

    class Level(torch.nn.Module):
        """Score a window by its level in dB; higher = louder = more anomalous."""

        def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            """Return ``(batch,)`` for ``(batch, window_samples)``."""
            power = waveform.square().mean(1) + 1e-10
            return 10 * torch.log10(power) + 0 * target

    window_samples = round(SMALL_WINDOW_S * SAMPLE_RATE_HZ)
    manifest = Manifest(
        name="level",
        revision="1",
        targets=("pump",),
        sample_rate_hz=SAMPLE_RATE_HZ,
        window_samples=window_samples,
        hop_samples=window_samples,
        aggregation="mean",
        calibrations={"pump": Calibration.fit(np.linspace(-40.0, 0.0, 400))},
        thresholds={},
        training={},
        description={},
    )
    path = folder / "level.asd"
    save(path, script(Level()), manifest)
    return path
