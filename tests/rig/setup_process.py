"""A monitor without machines, started as its users do, with virtual microphones."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt

RATE_HZ = 16_000
START_TIMEOUT_S = 240.0


class SetupProcess:
    """The running program.

    Parameters
    ----------
    process
        The process; its stderr is read until its end.
    """

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._has_link = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.lines.append(line)
                if " to set one " in line or "web page:" in line:  # follows the URL
                    self._has_link.set()
        self._has_link.set()

    @property
    def url(self) -> str:
        """URL of the page, without a slash at its end."""
        assert self._has_link.wait(START_TIMEOUT_S)
        found = re.search(r"web page at (\S+)/\n", self.log)
        assert found, self.log
        return found[1]

    @property
    def log(self) -> str:
        """What it has printed."""
        return "".join(self.lines)

    def stop(self) -> int:
        """End it as Ctrl-C does; return its exit code."""
        self.process.terminate()
        code = self.process.wait(400)
        self._thread.join(60)
        return code


@contextmanager
def monitor_without_machines(state: Path, *options: str) -> Iterator[SetupProcess]:
    """Run ``asd-monitor run`` without a machine until the block ends."""
    command = [sys.executable, "-m", "asd_monitor.cli", "run", "--state-dir", str(state)]
    web = () if "--config" in options else ("--web", "0")
    process = subprocess.Popen(
        [*command, "--metrics", "off", *web, *options],
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )
    running = SetupProcess(process)
    try:
        yield running
    finally:
        if process.poll() is None:
            running.stop()


def pump_sound(seconds: float, seed: int = 1) -> npt.NDArray[np.int16]:
    """Return the sound of a healthy pump."""
    at = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng(seed).normal(0, 1500, len(at))
    swing = 1 + 0.3 * np.sin(2 * np.pi * 0.7 * at)
    sound = noise + 2500 * swing * np.sin(2 * np.pi * 250 * at)
    return sound.clip(-32_000, 32_000).astype(np.int16)


def tapped_sound(seconds: float) -> npt.NDArray[np.int16]:
    """Return the sound of a quiet microphone that is tapped every two seconds."""
    random = np.random.default_rng(2)
    sound = 100 * random.normal(0, 1, round(seconds * RATE_HZ))
    for start in range(RATE_HZ, len(sound) - RATE_HZ // 5, 2 * RATE_HZ):
        sound[start : start + RATE_HZ // 5] *= 100
    return sound.clip(-32_000, 32_000).astype(np.int16)
