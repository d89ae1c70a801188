"""From the last sample of a window to its MQTT message at a subscriber.

Recordings: from the moment at which the sample is due. Microphone: from the driver's callback
that brought it; what the driver holds back before is its setting, not the monitor's work.
"""

import time
from collections.abc import Iterator

import numpy as np

from asd_monitor.bench import microphone_latency
from asd_monitor.bench.context import Setting
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.fixtures import fit, make_sound
from asd_monitor.bench.measurement import Figure
from asd_monitor.bench.subscriber import Arrival, Subscriber
from asd_monitor.errors import AsdMonitorError

AREA = "latency"
SETTLE_S = 8.0
HOP_S = 0.25
"""Four windows a second, so that a 99th percentile means something after two minutes."""
ALLOWED_MS = 50.0


def measure(setting: Setting) -> Iterator[Figure]:
    """Run one machine, and time every score at a real subscriber."""
    model = setting.work.folder / "hop-0.25s.asd"
    if not model.exists():
        fit(model, make_sound(30.0 if setting.quick else 60.0), HOP_S)
    arrivals = _listen(setting, setting.one_machine(model))
    if not arrivals:
        raise AsdMonitorError("no score arrived at the subscriber; see the broker's log")
    total_ms = 1e3 * np.array([each.latency_s for each in arrivals])
    model_ms = 1e3 * np.array([each.inference_s for each in arrivals])
    model_p99, p99 = float(np.quantile(model_ms, 0.99)), float(np.quantile(total_ms, 0.99))
    yield Figure(AREA, "scores", float(len(arrivals)), "scores at the subscriber", "")
    yield Figure(AREA, "p50_ms", float(np.median(total_ms)), "last sample to message, p50", "ms")
    told = "last sample to message, p99"
    yield Figure(AREA, "p99_ms", p99, told, "ms", at_most=model_p99 + ALLOWED_MS)
    yield Figure(AREA, "model_p50_ms", float(np.median(model_ms)), "the model's part, p50", "ms")
    yield Figure(AREA, "model_p99_ms", model_p99, "the model's part, p99", "ms")


def _listen(setting: Setting, settings: dict[str, object]) -> list[Arrival]:
    settle_s, listened_s = setting.long(SETTLE_S, 4.0), setting.long(120.0, 3.0)
    broker = setting.broker
    if setting.microphone is not None:
        setting.tell(f"scores of a microphone at a subscriber, for {listened_s:.0f} s")
        return microphone_latency.listen(setting, settings, settle_s, listened_s)
    with (
        Subscriber(broker.host, broker.port, setting.base_topic) as subscriber,
        Daemon(settings, setting.work.folder),
    ):
        setting.tell("the daemon settles")
        time.sleep(settle_s)
        subscriber.clear()
        setting.tell(f"scores at a subscriber, for {listened_s:.0f} s")
        time.sleep(listened_s)
        return subscriber.arrivals()
