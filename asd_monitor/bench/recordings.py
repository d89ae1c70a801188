"""Measure the memory of commands that read recordings of hours: `score`, `learn`, `calibrate`."""

import os
import subprocess
import sys
import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.measurement import Measurement
from asd_monitor.errors import ConfigError

AREA = "recordings"
MINUTES = (10, 60, 180, 600)
QUICK_MINUTES = (1,)
MIN_CALIBRATION_MINUTES = 60
"""A calibration must be worth more than the ten minutes that the model was learned from."""
RATE_HZ = 16_000
NOISE_PART = 0.3
"""Level of the noise that distinguishes the minutes of a recording, as a part of the sound's."""


def measure(context: BenchContext) -> Iterator[Measurement]:
    """Run the commands on recordings of growing length, each in a process of its own."""
    folder = context.fixtures.folder / AREA
    folder.mkdir()
    minutes_of_all = QUICK_MINUTES if context.quick else MINUTES
    model = context.fixtures.model
    for minutes in minutes_of_all:
        context.report(f"recordings of {minutes} min")
        sound, state = folder / f"{minutes}.wav", folder / f"state-{minutes}"
        _write_long(sound, minutes)
        place: list[object] = ["--state-dir", state]
        commands: dict[str, list[object]] = {"score": ["score", sound, "--model", model]}
        if not context.quick:
            learn: list[object] = [
                "learn",
                "--machine",
                "pump",
                "--wav",
                sound,
                "--minutes",
                minutes,
            ]
            commands["learn"] = [*learn, *place]
        if minutes >= MIN_CALIBRATION_MINUTES:
            first: list[object] = ["--state-dir", folder / f"state-{minutes_of_all[0]}"]
            commands["calibrate"] = ["calibrate", sound, "--machine", "pump", *first, "--dry-run"]
        for name, arguments in commands.items():
            text = f"peak memory of {name}, {minutes} min"
            yield Measurement(AREA, f"{name}_{minutes}_min_mb", _peak_mb(arguments), text, "MB")
        sound.unlink()


def _write_long(path: Path, minutes: int) -> None:
    """Write a minute of the demo's pump again and again, each time with other noise."""
    import numpy as np

    from asd_monitor.demo.pump_sound import PumpSound

    pump, noise = PumpSound(1, RATE_HZ), np.random.default_rng(1)
    seconds = [pump.block(second * RATE_HZ, RATE_HZ) for second in range(60)]
    minute = np.concatenate(seconds).astype(np.float32)
    level = NOISE_PART * float(minute.std())
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        for _ in range(minutes):
            samples = minute + level * noise.standard_normal(len(minute), dtype=np.float32)
            file.writeframes((32767 * samples.clip(-1, 1)).astype("<i2").tobytes())


def _peak_mb(arguments: Sequence[object]) -> float:
    """Run a command to its end, and return the largest memory of its process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "asd_monitor.cli", *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None  # noqa: S101 - by PIPE
    with process.stderr as errors:
        lines = errors.read().decode(errors="replace").strip().splitlines()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        reason = lines[-1] if lines else f"exit code {process.returncode}"
        raise ConfigError(f"asd-monitor {arguments[0]}: {reason}")
    return usage.ru_maxrss * 1024 / 1e6
