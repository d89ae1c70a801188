"""Measure the memory of a daemon with one machine, and whether it grows."""

import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np

from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.fixtures import SAMPLE_RATE_HZ, make_sound, write_wav
from asd_monitor.bench.measurement import Measurement

AREA = "memory"
SETTLE_S = 8.0
MAX_RSS_MB = 700.0
WINDOWS = 100_000
QUICK_WINDOWS = 2_000
WARM_UP_FRACTION = 0.2
"""Part of the windows that are scored before the first count, while pools and caches fill."""
SMALL_WINDOW_S = 0.1
MAX_GROWTH_MB = 5.0
POLL_INTERVAL_S = 0.25
RESPONSE_SETTLE_S = 0.5
"""After a request to the daemon, until the connection and thread of its response have ended."""


def measure(context: BenchContext) -> Iterator[Measurement]:
    """Measure one daemon in real time, then let another score very many windows."""
    context.report("a daemon with one machine")
    with Daemon(context.one_machine(), context.fixtures.folder) as daemon:
        time.sleep(context.choose_duration_s(SETTLE_S, 2.0))
        rss_mb = daemon.usage().rss_bytes / 1e6
    yield Measurement(AREA, "rss_mb", rss_mb, "one machine, torch loaded", "MB", at_most=MAX_RSS_MB)
    yield from measure_growth(context, QUICK_WINDOWS if context.quick else WINDOWS)


def measure_growth(context: BenchContext, windows: int) -> Iterator[Measurement]:
    """Let a daemon score n windows, and measure the growth of memory, files and threads."""
    folder = context.fixtures.folder
    sound, model = folder / "loop.wav", save_small_model(folder)
    write_wav(sound, make_sound(20.0))
    context.report(f"{windows} windows of a small model, as fast as they can be scored")
    with Daemon(context.unpaced_machine(sound, model), folder) as daemon:
        _await_windows(daemon, WARM_UP_FRACTION * windows)
        usages = [daemon.usage()]
        for part in range(1, 11):
            _await_windows(daemon, (WARM_UP_FRACTION + part / 10) * windows)
            usages.append(daemon.usage())
    first, last = usages[:5], usages[-5:]
    yield Measurement(AREA, "windows", float(windows), "windows of the long run", "")
    # Medians, because a lingering response adds a file, and the end of a recording removes one.
    rss_bytes = median(usage.rss_bytes for usage in last) - median(u.rss_bytes for u in first)
    files = median(usage.files for usage in last) - median(usage.files for usage in first)
    threads = median(usage.threads for usage in last) - median(usage.threads for usage in first)
    text = "growth of memory"
    yield Measurement(AREA, "growth_mb", rss_bytes / 1e6, text, "MB", at_most=MAX_GROWTH_MB)
    yield Measurement(AREA, "more_files", files, "additional open files", "", at_most=0)
    yield Measurement(AREA, "more_threads", threads, "additional threads", "", at_most=0)


def _await_windows(daemon: Daemon, windows: float) -> None:
    while daemon.metrics().get("asd_windows_total{result=scored}", 0.0) < windows:
        time.sleep(POLL_INTERVAL_S)
    time.sleep(RESPONSE_SETTLE_S)


def save_small_model(folder: Path) -> Path:
    """Write the model file of a level meter, whose cost is negligible."""
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
