"""A microphone source that is listened to, its capture process, and what always holds."""

from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from asd_monitor.sources.microphone.settings import MicrophoneSettings
from asd_monitor.sources.microphone.source import MicrophoneSource
from tests.rig.listening import Listener, Score

RATE_HZ = 16000
TOLERANCE = round(0.05 * RATE_HZ)


@contextmanager
def listening(device: str | int, **settings: object) -> Iterator[Listener]:
    chosen = MicrophoneSettings.model_validate({"device": device, "latency_s": 0.3, **settings})
    source = MicrophoneSource("pump", chosen, RATE_HZ)
    try:
        yield Listener(source)
    finally:
        source.close()


def capture_process(parent: int | None = None) -> psutil.Process:
    (child,) = (
        process
        for process in psutil.Process(parent).children(recursive=True)
        if "asd_monitor.sources.microphone.capture_main" in process.cmdline()
    )
    return child


def assert_start_tells_the_true_place(listener: Listener, sound: Score) -> None:
    assert max(abs(error) for error in sound.errors(listener.chunks)) < TOLERANCE


def assert_every_loss_is_counted_once(listener: Listener) -> None:
    health = listener.source.health()
    assert health.samples == listener.count
    assert health.lost_samples == sum(listener.jumps)
