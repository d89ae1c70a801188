"""Latency with a real microphone, from the callback that brought a window's last sample."""

import time
from dataclasses import dataclass, field
from typing import Any

from asd_monitor import config
from asd_monitor.bench.context import Setting
from asd_monitor.bench.subscriber import Arrival, Subscriber
from asd_monitor.errors import AsdMonitorError
from asd_monitor.records import Record, ScoredWindow
from asd_monitor.runtime import builder
from asd_monitor.sources.microphone.messages import CapturedAudio
from asd_monitor.sources.microphone.source import MicrophoneSettings, MicrophoneSource

MACHINE = "pump"


class TimedMicrophone(MicrophoneSource):
    """A microphone that notes when the driver handed over which samples."""

    def __init__(self, machine: str, settings: MicrophoneSettings, sample_rate_hz: int) -> None:
        super().__init__(machine, settings, sample_rate_hz)
        self.handed_over: list[tuple[int, float]] = []
        """Index after the last sample, and seconds since the epoch."""

    def _queue(self, audio: CapturedAudio) -> None:
        at = time.time() - (time.monotonic() - audio.delivered_s)
        self.handed_over.append((audio.start + len(audio.samples), at))
        super()._queue(audio)

    def handed_over_at(self, sample: int) -> float | None:
        """Return when the driver handed over this sample; None if it has not."""
        return next((at for end, at in self.handed_over if end > sample), None)


@dataclass
class Noted:
    """A sink that keeps which window each score is of."""

    last_sample: dict[int, int] = field(default_factory=dict)

    def open(self) -> None:
        """Nothing to open."""

    def emit(self, record: Record) -> None:
        """Note a score's last sample."""
        if isinstance(record, ScoredWindow) and record.score.model is not None:
            end = record.score.window_start + record.score.model.window_samples
            self.last_sample[record.score.seq] = end - 1

    def close(self) -> None:
        """Nothing to close."""


def listen(
    setting: Setting, settings: dict[str, Any], settle_s: float, listened_s: float
) -> list[Arrival]:
    """Run a monitor in this process, and time its scores from the driver's callback."""
    settings = {**settings, "state_dir": str(setting.work.folder / "state"), "prometheus": None}
    made = config.from_options(settings)
    microphone = made.machines[MACHINE].source
    if not isinstance(microphone, MicrophoneSettings):
        raise AsdMonitorError("expected a machine with a microphone")
    source, noted = TimedMicrophone(MACHINE, microphone, 16_000), Noted()
    with Subscriber(setting.broker.host, setting.broker.port, setting.base_topic) as subscriber:
        running = builder.build_monitor(made, extra_sinks=[noted], sources={MACHINE: source})
        try:
            running.monitor.start()
            time.sleep(settle_s)
            subscriber.clear()
            time.sleep(listened_s)
            arrivals = subscriber.arrivals()
        finally:
            running.close()
    return _from_callback(arrivals, source, noted)


def _from_callback(arrivals: list[Arrival], source: TimedMicrophone, noted: Noted) -> list[Arrival]:
    timed = []
    for arrival in arrivals:
        at = source.handed_over_at(noted.last_sample[arrival.seq])
        if at is not None:
            latency_s = arrival.at - at
            timed.append(
                Arrival(arrival.machine, arrival.seq, arrival.at, latency_s, arrival.inference_s)
            )
    return timed
