"""Measure the time from the last sample of a window to its MQTT message at a subscriber.

With recordings, it starts when the sample is due. With a microphone, it starts when the driver's
callback delivers the sample; the driver's own buffering is a setting, not the monitor's work.
"""

import time
from collections.abc import Iterator

import numpy as np

from asd_monitor.bench import microphone_latency
from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.measurement import Measurement
from asd_monitor.bench.subscriber import Arrival, Subscriber
from asd_monitor.errors import AsdMonitorError

AREA = "latency"
SETTLE_S = 8.0
HOP_S = 0.25
"""Four windows per second, enough for a 99th percentile after two minutes."""
MAX_OVERHEAD_MS = 50.0


def measure(context: BenchContext) -> Iterator[Measurement]:
    """Run one machine, and time every score at a real subscriber."""
    model = context.fixtures.folder / "hop-0.25s.asd"
    if not model.exists():
        context.fixtures.fit(model.name, 30.0 if context.quick else 60.0, HOP_S)
    arrivals = _collect_arrivals(context, context.one_machine(model))
    if not arrivals:  # of a microphone: none that its driver's callback has timed
        raise AsdMonitorError("no score could be timed; see the broker's log")
    total_ms = 1e3 * np.array([arrival.latency_s for arrival in arrivals])
    model_ms = 1e3 * np.array([arrival.inference_s for arrival in arrivals])
    p50, p99 = float(np.median(total_ms)), float(np.quantile(total_ms, 0.99))
    model_p50, model_p99 = float(np.median(model_ms)), float(np.quantile(model_ms, 0.99))
    yield Measurement(AREA, "scores", float(len(arrivals)), "scores at the subscriber", "")
    yield Measurement(AREA, "p50_ms", p50, "last sample to message, p50", "ms")
    text, max_p99_ms = "last sample to message, p99", model_p99 + MAX_OVERHEAD_MS
    yield Measurement(AREA, "p99_ms", p99, text, "ms", at_most=max_p99_ms)
    yield Measurement(AREA, "model_p50_ms", model_p50, "of which the model, p50", "ms")
    yield Measurement(AREA, "model_p99_ms", model_p99, "of which the model, p99", "ms")


def _collect_arrivals(context: BenchContext, settings: dict[str, object]) -> list[Arrival]:
    settle_s = context.choose_duration_s(SETTLE_S, 4.0)
    measured_s = context.choose_duration_s(120.0, 3.0)
    broker = context.broker
    if context.microphone is not None:
        context.report(f"scores of a microphone at a subscriber, for {measured_s:.0f} s")
        return microphone_latency.collect_arrivals(context, settings, settle_s, measured_s)
    with (
        Subscriber(broker.host, broker.port, context.base_topic) as subscriber,
        Daemon(settings, context.fixtures.folder),
    ):
        context.report("the daemon settles")
        time.sleep(settle_s)
        subscriber.clear()
        context.report(f"scores at a subscriber, for {measured_s:.0f} s")
        time.sleep(measured_s)
        subscriber.await_score()
        return subscriber.arrivals()
