"""Measure how many microphones one daemon can monitor, with recordings in real time."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.measurement import Measurement
from asd_monitor.bench.own_models import make_own_models, make_state
from asd_monitor.bench.process_usage import Usage

AREA = "capacity"
FIRST_MICROPHONES = 64
OWN_MICROPHONES = 256
"""Number of machines with models of their own that is aimed for."""
MAX_MICROPHONES = 1024
QUICK_MICROPHONES = 4
SETTLE_S = 8.0
MAX_LATENCY_S = 1.0
"""One hop: a score that comes later than the end of the next window is late."""
BISECTIONS = 3
KINDS = {"shared": "one model for all", "own": "a model each"}


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
    latency_ms: float = 0.0
    """Mean time from the last sample of a window to its score."""
    ready_s: float = 0.0
    """From the start of the process to READY."""
    ready_cpu_s: float = 0.0
    """Processor time until then."""

    @property
    def sustained(self) -> bool:
        """Whether nothing was lost and nothing was late."""
        return self.windows > 0 and self.lost_samples == 0 and self.late_windows == 0


def measure(context: BenchContext) -> Iterator[Measurement]:
    """Try 64 microphones, then search for the most; with one model, then with a model each."""
    for kind in KINDS:
        yield from _measure_kind(context, kind)


def _measure_kind(context: BenchContext, kind: str) -> Iterator[Measurement]:
    trials = list(search(lambda count: run_trial(context, count, kind), context.quick))
    first, text = trials[0], f"{KINDS[kind]}: {trials[0].microphones} microphones, "
    best = max(
        (trial for trial in trials if trial.sustained),
        key=lambda trial: trial.microphones,
        default=None,
    )

    def make(name: str, value: float, description: str, unit: str = "") -> Measurement:
        return Measurement(AREA, f"{kind}_{name}", value, description, unit)

    lost, late = first.lost_samples, first.late_windows
    yield make("ready_s", first.ready_s, f"{text}until READY", "s")
    yield make("ready_cpu_s", first.ready_cpu_s, f"{text}processor time until READY", "s")
    yield make("first_rss_mb", first.rss_bytes / 1e6, f"{text}memory", "MB")
    yield make("first_processors", first.processors, f"{text}busy processors")
    yield Measurement(AREA, f"{kind}_lost_samples", lost, f"{text}lost samples", "", at_most=0)
    yield Measurement(AREA, f"{kind}_late_windows", late, f"{text}late windows", "", at_most=0)
    wanted = FIRST_MICROPHONES if kind == "shared" else OWN_MICROPHONES
    most, target = best.microphones if best else 0, None if context.quick else wanted
    text = f"{KINDS[kind]}: most microphones without loss or delay"
    yield Measurement(AREA, f"{kind}_microphones", most, text, "", at_least=target)
    if best is not None:
        text = f"{KINDS[kind]}: with that many, "
        yield make("processors", best.processors, f"{text}busy processors")
        yield make("rss_mb", best.rss_bytes / 1e6, f"{text}memory", "MB")
        yield make("dropped_messages", best.dropped_messages, f"{text}dropped MQTT messages")


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


def run_trial(
    context: BenchContext,
    microphones: int,
    kind: str = "shared",
    checkout: Path | None = None,
    workers: int | None = None,
) -> Trial:
    """Run a daemon with a number of microphones for a while, with page, history and outbox.

    Parameters
    ----------
    kind
        ``shared``: all machines have one model file; ``own``: each has its own.
    checkout
        A folder with another version of the program, which is run instead of this one.
    workers
        Number of threads that score; None: the default.
    """
    measured_s = context.choose_duration_s(20.0, 3.0)
    version = "" if checkout is None else f" with {checkout}"
    version += "" if workers is None else f", scored by {workers} thread(s)"
    context.report(f"{microphones} microphones, {KINDS[kind]}, for {measured_s:.0f} s{version}")
    folder, keys = context.fixtures.folder, context.fixtures.folder / "own"
    models = make_own_models(context.fixtures.model, keys, microphones if kind == "own" else 1)
    settings = context.many_machines(microphones, models if kind == "own" else models * microphones)
    if workers is not None:
        settings["inference"] = {"workers": workers}
    make_state(folder / "state", keys)
    with Daemon(settings, folder, web=True, checkout=checkout) as daemon:
        started = daemon.usage()
        time.sleep(context.choose_duration_s(SETTLE_S, 3.0))
        metrics_before, usage_before = daemon.metrics(), daemon.usage()
        time.sleep(measured_s)
        metrics_after, usage_after = daemon.metrics(), daemon.usage()
    increases = {
        name: value - metrics_before.get(name, 0.0) for name, value in metrics_after.items()
    }
    trial = _summarise(microphones, increases, usage_before, usage_after, daemon.ready_s, started)
    verdict = "sustained" if trial.sustained else "too many"
    context.report(
        f"{microphones} microphones {verdict}: READY after {trial.ready_s:.1f} s, "
        f"{trial.windows} windows, {trial.lost_samples} samples lost, "
        f"{trial.late_windows} windows late, {trial.latency_ms:.0f} ms to a score, "
        f"{trial.processors:.2f} processors busy, "
        f"{trial.rss_bytes / 1e6:.0f} MB"
    )
    return trial


def _summarise(
    microphones: int,
    increases: dict[str, float],
    before: Usage,
    after: Usage,
    ready_s: float,
    started: Usage,
) -> Trial:
    def count(name: str) -> int:
        return round(increases.get(name, 0.0))

    windows = count("asd_window_latency_seconds_count")
    in_time = count(f"asd_window_latency_seconds_bucket{{le={MAX_LATENCY_S}}}")
    return Trial(
        microphones,
        windows=windows,
        lost_samples=count("asd_audio_lost_samples_total"),
        late_windows=windows - in_time + count("asd_windows_total{result=late}"),
        dropped_messages=count("asd_mqtt_messages_total{result=dropped}"),
        processors=(after.cpu_s - before.cpu_s) / (after.at_s - before.at_s),
        rss_bytes=after.rss_bytes,
        latency_ms=1e3 * increases.get("asd_window_latency_seconds_sum", 0.0) / max(windows, 1),
        ready_s=ready_s,
        ready_cpu_s=started.cpu_s,
    )
