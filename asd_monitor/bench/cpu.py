"""Compare the processor time of the whole daemon with that of the model alone."""

import time
from collections.abc import Iterator

from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.measurement import Measurement
from asd_monitor.bench.model_only import ModelOnly

AREA = "cpu"
SETTLE_S = 8.0
MAX_RATIO, MAX_OVERHEAD_MS = 1.25, 4.0


def measure(context: BenchContext) -> Iterator[Measurement]:
    """Run one machine, and compare its process tree with the same windows in a loop."""
    before = _measure_model(context)
    measured_s = context.choose_duration_s(60.0, 3.0)
    context.report(f"a daemon with one machine, for {measured_s:.0f} s")
    with Daemon(context.one_machine(), context.fixtures.folder) as daemon:
        time.sleep(context.choose_duration_s(SETTLE_S, 2.0))
        first = daemon.usage()
        time.sleep(measured_s)
        last = daemon.usage()
    after = _measure_model(context)
    daemon_ms = 1e3 * (last.cpu_s - first.cpu_s) / (last.at_s - first.at_s)
    model_ms = 1e3 * min(before.looped_s, after.looped_s) / before.hop_s
    paced_ms = 1e3 * min(before.paced_s, after.paced_s) / before.hop_s
    max_daemon_ms = MAX_RATIO * model_ms + MAX_OVERHEAD_MS
    overhead_ms, paced_overhead_ms = daemon_ms - model_ms, daemon_ms - paced_ms
    text = "model alone in a loop, per s of audio"
    yield Measurement(AREA, "model_ms_per_s", model_ms, text, "ms")
    yield Measurement(AREA, "model_paced_ms_per_s", paced_ms, "model alone, with pauses", "ms")
    text = f"daemon, {last.processes} process(es), per s of audio"
    yield Measurement(AREA, "daemon_ms_per_s", daemon_ms, text, "ms", at_most=max_daemon_ms)
    text = "daemon minus model in a loop"
    yield Measurement(AREA, "overhead_ms_per_s", overhead_ms, text, "ms")
    text = "daemon minus model with pauses"
    yield Measurement(AREA, "paced_overhead_ms_per_s", paced_overhead_ms, text, "ms")
    yield Measurement(AREA, "ratio", daemon_ms / model_ms, "daemon / model in a loop", "")


def _measure_model(context: BenchContext) -> ModelOnly:
    rounds, paced = (2, 4) if context.quick else (5, 40)
    context.report("the model alone")
    fixtures = context.fixtures
    return ModelOnly.measure(fixtures.model, fixtures.sound, rounds=rounds, paced=paced)
