"""Compare the latency of scores over MQTT with and without an outbox, in turns."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from prometheus_client import CollectorRegistry

from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.measurement import Measurement
from asd_monitor.bench.subscriber import Subscriber
from asd_monitor.errors import SinkError
from asd_monitor.records import ScoredWindow
from asd_monitor.sinks.mqtt.settings import MqttSettings
from asd_monitor.sinks.mqtt.sink import MqttSink
from asd_monitor.telemetry.metrics import Metrics

TURN_S = 1.0
CONNECT_TIMEOUT_S = 20.0
MAX_P50_MS, MAX_P99_MS = 0.5, 2.0


def measure_latency(
    context: BenchContext,
    area: str,
    path: Path,
    rate_hz: int,
    make_window: Callable[[int], ScoredWindow],
) -> Iterator[Measurement]:
    """Yield the latencies from a score to a subscriber; the situations change every second.

    Parameters
    ----------
    context
        With the broker.
    area
        Of the measurements.
    path
        Database of the outbox.
    rate_hz
        Scores per second.
    make_window
        Returns a window that was captured now, by number.
    """
    turns = max(2, round(context.choose_duration_s(60.0, 2.0) / TURN_S))
    paths = {"with": path, "without": None}
    latencies_ms: dict[str, list[float]] = {name: [] for name in paths}
    with ExitStack() as stack:
        sinks = {}
        for name, sink_path in paths.items():
            sinks[name] = _connect(context, name, sink_path)
            stack.callback(sinks[name].close)
        subscriber = stack.enter_context(
            Subscriber(context.broker.host, context.broker.port, context.base_topic)
        )
        for turn in range(turns):
            name = list(paths)[turn % 2]
            subscriber.clear()
            _send(sinks[name], rate_hz, turn, make_window)
            latencies_ms[name] += [1e3 * each.latency_s for each in subscriber.arrivals()]
    for quantile, limit_ms in ((50, MAX_P50_MS), (99, MAX_P99_MS)):
        found = {name: float(np.percentile(each, quantile)) for name, each in latencies_ms.items()}
        for name, value in found.items():
            text = f"from a score to a subscriber {name} an outbox, p{quantile}"
            yield Measurement(area, f"{name}_p{quantile}_ms", value, text, "ms")
        more_ms = found["with"] - found["without"]
        text = f"more latency with an outbox, p{quantile}"
        yield Measurement(area, f"more_p{quantile}_ms", more_ms, text, "ms", at_most=limit_ms)


def _connect(context: BenchContext, name: str, path: Path | None) -> MqttSink:
    settings = MqttSettings.model_validate(
        {
            "host": context.broker.host,
            "port": context.broker.port,
            "base_topic": f"{context.base_topic}/{name}",
            "outbox": "on" if path is not None else "off",
        }
    )
    sink = MqttSink(settings, Metrics(CollectorRegistry()), node="bench", outbox_path=path)
    sink.open()
    deadline_s = time.monotonic() + CONNECT_TIMEOUT_S
    while not sink.connected:
        if time.monotonic() > deadline_s:
            sink.close()
            raise SinkError(f"the broker {settings.host}:{settings.port} is not available")
        time.sleep(0.01)
    return sink


def _send(
    sink: MqttSink, rate_hz: int, turn: int, make_window: Callable[[int], ScoredWindow]
) -> None:
    """Send evenly spaced scores for one turn, and wait a moment for the last."""
    started_s = time.perf_counter()
    for number in range(round(TURN_S * rate_hz)):
        sink.emit(make_window(turn * round(TURN_S * rate_hz) + number))
        time.sleep(max(0.0, started_s + (number + 1) / rate_hz - time.perf_counter()))
    time.sleep(0.2)
