"""A microphone source with a listener, its capture process, and what always holds."""

from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from asd_monitor.sources.microphone.settings import MicrophoneSettings
from asd_monitor.sources.microphone.source import MicrophoneSource
from tests.rig.listening import Listener, SoundIndex

RATE_HZ = 16000
TOLERANCE = round(0.05 * RATE_HZ)
SAFE_LATENCY_S = 2.0
"""For tests in which nothing may be lost: the device keeps this much while a busy computer runs
other programs. Otherwise the latency is short, so that faults lose sound soon."""


@contextmanager
def listening(device: str | int, **options: object) -> Iterator[Listener]:
    """Open a microphone source and collect its audio."""
    settings = MicrophoneSettings.model_validate({"device": device, "latency_s": 0.3, **options})
    source = MicrophoneSource("pump", settings, RATE_HZ)
    try:
        yield Listener(source)
    finally:
        source.close()


def capture_process(parent: int | None = None) -> psutil.Process:
    """Return the one capture process below a process, by default this one."""
    (child,) = (
        process
        for process in psutil.Process(parent).children(recursive=True)
        if "asd_monitor.sources.microphone.capture_main" in process.cmdline()
    )
    return child


def assert_starts_are_true_positions(listener: Listener, sound: SoundIndex) -> None:
    """Check each chunk's start against the position of its samples in the sound."""
    assert max(abs(error) for error in sound.errors(listener.chunks)) < TOLERANCE


def assert_every_loss_is_counted_once(listener: Listener) -> None:
    """Check that delivered and lost samples add up, in the health and in the chunks."""
    health = listener.source.health()
    assert health.samples == listener.count
    assert health.lost_samples == sum(listener.gaps)
