"""How many microphones one daemon carries: recordings at the pace of real time."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from asd_monitor.bench.context import Setting
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.measurement import Figure

AREA = "capacity"
FIRST = 64
MOST = 1024
SETTLE_S = 8.0
LATE_AFTER_S = 1.0
"""One hop: a score that comes later than the next window's end is late."""
STEPS = 3
"""How often the gap between what was carried and what was not is halved."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of so many microphones."""

    microphones: int
    windows: int
    lost_frames: int
    late_windows: int
    """Dropped because newer audio was there, or scored later than one hop after their end."""
    dropped_messages: int
    processors: float
    """Processor time per second, the whole process tree."""
    rss_bytes: int

    @property
    def carried(self) -> bool:
        """Whether nothing was lost and nothing was late."""
        return self.windows > 0 and self.lost_frames == 0 and self.late_windows == 0


def measure(setting: Setting) -> Iterator[Figure]:
    """Try 64 microphones, then look for the most that are carried."""
    trials = list(search(lambda count: attempt(setting, count), setting.quick))
    first, best = trials[0], max((t for t in trials if t.carried), key=_count, default=None)
    yield Figure(AREA, "first_microphones", first.microphones, "microphones tried first", "")
    lost, late = first.lost_frames, first.late_windows
    yield Figure(AREA, "first_lost_frames", lost, "lost frames with them", "", at_most=0)
    yield Figure(AREA, "first_late_windows", late, "late windows with them", "", at_most=0)
    yield Figure(AREA, "first_processors", first.processors, "processors busy with them", "")
    most = best.microphones if best else 0
    told = "most microphones without loss or lateness"
    yield Figure(AREA, "microphones", most, told, "", at_least=None if setting.quick else FIRST)
    if best is not None:
        told = "processors busy with that many"
        yield Figure(AREA, "processors", best.processors, told, "")
        yield Figure(AREA, "rss_mb", best.rss_bytes / 1e6, "memory with that many", "MB")
        dropped = best.dropped_messages
        yield Figure(AREA, "dropped_messages", dropped, "MQTT messages dropped with that many", "")


def search(attempted: Callable[[int], Trial], quick: bool) -> Iterator[Trial]:
    """Double until something is lost, then halve the gap; quick: one small trial."""
    if quick:
        yield attempted(4)
        return
    count, carried, failed = FIRST, 0, MOST + 1
    while count <= MOST and failed > MOST:
        trial = attempted(count)
        yield trial
        if trial.carried:
            carried, count = count, 2 * count
        else:
            failed = count
    if failed > MOST:
        return
    for _ in range(STEPS):
        count = (carried + failed) // 2
        if count in (carried, failed):
            return
        trial = attempted(count)
        yield trial
        carried, failed = (count, failed) if trial.carried else (carried, count)


def attempt(setting: Setting, microphones: int) -> Trial:
    """Run a daemon with so many microphones for a while."""
    listened_s = setting.long(20.0, 3.0)
    setting.tell(f"{microphones} microphones, for {listened_s:.0f} s")
    with Daemon(setting.machines(microphones), setting.work.folder) as daemon:
        time.sleep(setting.long(SETTLE_S, 3.0))
        before, started = daemon.metrics(), daemon.usage()
        time.sleep(listened_s)
        after, ended = daemon.metrics(), daemon.usage()

    def grown(name: str) -> int:
        return round(after.get(name, 0.0) - before.get(name, 0.0))

    counted = grown("asd_window_latency_seconds_count")
    in_time = grown(f"asd_window_latency_seconds_bucket{{le={LATE_AFTER_S}}}")
    trial = Trial(
        microphones,
        windows=counted,
        lost_frames=grown("asd_audio_lost_samples_total"),
        late_windows=counted - in_time + grown("asd_windows_total{result=late}"),
        dropped_messages=grown("asd_mqtt_messages_total{result=dropped}"),
        processors=(ended.cpu_s - started.cpu_s) / (ended.at_s - started.at_s),
        rss_bytes=ended.rss_bytes,
    )
    verdict = "carried" if trial.carried else "not carried"
    setting.tell(
        f"{microphones} microphones {verdict}: {trial.windows} windows, {trial.lost_frames} frames "
        f"lost, {trial.late_windows} windows late, {trial.processors:.2f} processors busy"
    )
    return trial


def _count(trial: Trial) -> int:
    return trial.microphones
