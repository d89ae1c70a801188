"""Latency with a real microphone, from the callback that delivers a window's last sample."""

import time
from dataclasses import dataclass, field, replace
from typing import Any

from asd_monitor import config
from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.subscriber import Arrival, Subscriber
from asd_monitor.errors import AsdMonitorError
from asd_monitor.records import Record, ScoredWindow
from asd_monitor.runtime import builder
from asd_monitor.sources.microphone.messages import CapturedAudio
from asd_monitor.sources.microphone.settings import MicrophoneSettings
from asd_monitor.sources.microphone.source import MicrophoneSource

MACHINE = "pump"
SAMPLE_RATE_HZ = 16_000


class DeliveryTimes:
    """When the driver delivered which samples."""

    def __init__(self) -> None:
        self._deliveries: list[tuple[int, float]] = []
        """Index after the last sample, and seconds since the epoch."""

    def add(self, audio: CapturedAudio) -> None:
        """Record when audio was delivered."""
        delivered_at = time.time() - (time.monotonic() - audio.delivered_s)
        self._deliveries.append((audio.start + len(audio.samples), delivered_at))

    def of_sample(self, sample: int) -> float | None:
        """Return when the driver delivered a sample; None if it has not yet."""
        return next((at for end, at in self._deliveries if end > sample), None)


@dataclass
class WindowEnds:
    """A sink that records the last sample of each scored window."""

    last_sample: dict[int, int] = field(default_factory=dict)
    """Index of the last sample by sequence number of the score."""

    def open(self) -> None:
        """Do nothing."""

    def emit(self, record: Record) -> None:
        """Record the last sample of a score's window."""
        if isinstance(record, ScoredWindow) and record.score.model is not None:
            end = record.score.window_start + record.score.model.window_samples
            self.last_sample[record.score.seq] = end - 1

    def close(self) -> None:
        """Do nothing."""


def collect_arrivals(
    context: BenchContext, settings: dict[str, Any], settle_s: float, measured_s: float
) -> list[Arrival]:
    """Run a monitor in this process, and time its scores from the driver's callback."""
    folder = context.fixtures.folder
    settings = {**settings, "state_dir": str(folder / "state"), "prometheus": None, "web": None}
    monitor_config = config.from_options(settings)
    microphone = monitor_config.machines[MACHINE].source
    if not isinstance(microphone, MicrophoneSettings):
        raise AsdMonitorError("expected a machine with a microphone")
    deliveries, window_ends = DeliveryTimes(), WindowEnds()
    source = MicrophoneSource(MACHINE, microphone, SAMPLE_RATE_HZ, on_audio=deliveries.add)
    with Subscriber(context.broker.host, context.broker.port, context.base_topic) as subscriber:
        running = builder.build_monitor(
            monitor_config, extra_sinks=[window_ends], sources={MACHINE: source}
        )
        try:
            running.monitor.start()
            time.sleep(settle_s)
            subscriber.clear()
            time.sleep(measured_s)
            subscriber.await_score()
            arrivals = subscriber.arrivals()
        finally:
            running.close()
    return _measure_from_callback(arrivals, deliveries, window_ends)


def _measure_from_callback(
    arrivals: list[Arrival], deliveries: DeliveryTimes, window_ends: WindowEnds
) -> list[Arrival]:
    timed = []
    for arrival in arrivals:
        delivered_at = deliveries.of_sample(window_ends.last_sample[arrival.seq])
        if delivered_at is not None:
            latency_s = arrival.at - delivered_at
            timed.append(replace(arrival, latency_s=latency_s))
    return timed
