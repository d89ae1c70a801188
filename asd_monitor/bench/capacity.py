"""Measure how many microphones one daemon can monitor, with recordings in real time."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.measurement import Measurement

AREA = "capacity"
FIRST_MICROPHONES = 64
MAX_MICROPHONES = 1024
QUICK_MICROPHONES = 4
SETTLE_S = 8.0
MAX_LATENCY_S = 1.0
"""One hop: a score that comes later than the end of the next window is late."""
BISECTIONS = 3


@dataclass(frozen=True, slots=True)
class Trial:
    """Result of monitoring a number of microphones."""

    microphones: int
    windows: int
    lost_samples: int
    late_windows: int
    """Dropped because newer audio was available, or scored later than one hop after their end."""
    dropped_messages: int
    processors: float
    """Processor time per second of the whole process tree."""
    rss_bytes: int

    @property
    def sustained(self) -> bool:
        """Whether nothing was lost and nothing was late."""
        return self.windows > 0 and self.lost_samples == 0 and self.late_windows == 0


def measure(context: BenchContext) -> Iterator[Measurement]:
    """Try 64 microphones, then search for the largest number that is sustained."""
    trials = list(search(lambda count: run_trial(context, count), context.quick))
    first = trials[0]
    best = max(
        (trial for trial in trials if trial.sustained),
        key=lambda trial: trial.microphones,
        default=None,
    )
    count, lost, late = first.microphones, first.lost_samples, first.late_windows
    yield Measurement(AREA, "first_microphones", count, "microphones tried first", "")
    yield Measurement(AREA, "first_lost_samples", lost, "lost samples with them", "", at_most=0)
    yield Measurement(AREA, "first_late_windows", late, "late windows with them", "", at_most=0)
    yield Measurement(AREA, "first_processors", first.processors, "busy processors with them", "")
    most, target = best.microphones if best else 0, None if context.quick else FIRST_MICROPHONES
    text = "most microphones without loss or delay"
    yield Measurement(AREA, "microphones", most, text, "", at_least=target)
    if best is not None:
        rss_mb, dropped = best.rss_bytes / 1e6, best.dropped_messages
        text = "busy processors with that many"
        yield Measurement(AREA, "processors", best.processors, text, "")
        yield Measurement(AREA, "rss_mb", rss_mb, "memory with that many", "MB")
        text = "dropped MQTT messages with that many"
        yield Measurement(AREA, "dropped_messages", dropped, text, "")


def search(try_count: Callable[[int], Trial], quick: bool) -> Iterator[Trial]:
    """Double the number until a trial fails, then bisect; quick: one small trial."""
    if quick:
        yield try_count(QUICK_MICROPHONES)
        return
    count, sustained, failed = FIRST_MICROPHONES, 0, MAX_MICROPHONES + 1
    while count <= MAX_MICROPHONES and failed > MAX_MICROPHONES:
        trial = try_count(count)
        yield trial
        if trial.sustained:
            sustained, count = count, 2 * count
        else:
            failed = count
    if failed > MAX_MICROPHONES:
        return
    for _ in range(BISECTIONS):
        count = (sustained + failed) // 2
        if count in (sustained, failed):
            return
        trial = try_count(count)
        yield trial
        sustained, failed = (count, failed) if trial.sustained else (sustained, count)


def run_trial(context: BenchContext, microphones: int) -> Trial:
    """Run a daemon with a number of microphones for a while."""
    measured_s = context.choose_duration_s(20.0, 3.0)
    context.report(f"{microphones} microphones, for {measured_s:.0f} s")
    with Daemon(context.many_machines(microphones), context.fixtures.folder) as daemon:
        time.sleep(context.choose_duration_s(SETTLE_S, 3.0))
        metrics_before, usage_before = daemon.metrics(), daemon.usage()
        time.sleep(measured_s)
        metrics_after, usage_after = daemon.metrics(), daemon.usage()

    def increase(name: str) -> int:
        return round(metrics_after.get(name, 0.0) - metrics_before.get(name, 0.0))

    windows = increase("asd_window_latency_seconds_count")
    in_time = increase(f"asd_window_latency_seconds_bucket{{le={MAX_LATENCY_S}}}")
    cpu_s = usage_after.cpu_s - usage_before.cpu_s
    trial = Trial(
        microphones,
        windows=windows,
        lost_samples=increase("asd_audio_lost_samples_total"),
        late_windows=windows - in_time + increase("asd_windows_total{result=late}"),
        dropped_messages=increase("asd_mqtt_messages_total{result=dropped}"),
        processors=cpu_s / (usage_after.at_s - usage_before.at_s),
        rss_bytes=usage_after.rss_bytes,
    )
    verdict = "sustained" if trial.sustained else "too many"
    context.report(
        f"{microphones} microphones {verdict}: {trial.windows} windows, "
        f"{trial.lost_samples} samples lost, {trial.late_windows} windows late, "
        f"{trial.processors:.2f} processors busy"
    )
    return trial
