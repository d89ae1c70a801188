"""Measure how fast pages of a busy monitor with a long history are answered."""

import http.client
import statistics
import time
from collections.abc import Iterator

from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.daemon import Daemon
from asd_monitor.bench.history import DAY_S, YEAR_S, fill
from asd_monitor.bench.measurement import Measurement
from asd_monitor.errors import AsdMonitorError
from asd_monitor.history.database import FILE_NAME

MACHINES, QUICK_MACHINES = 64, 4
REQUESTS, QUICK_REQUESTS = 100, 3
STORED_SCORES, QUICK_STORED_SCORES = 2_000_000, 10_000
SETTLE_S, QUICK_SETTLE_S = 8.0, 2.0
TIMEOUT_S = 30.0
MAX_OVERVIEW_MS, MAX_TREND_MS = 100.0, 200.0


def measure_pages(context: BenchContext, area: str) -> Iterator[Measurement]:
    """Request the overview and a year's trend of a monitor that processes many recordings."""
    machines = QUICK_MACHINES if context.quick else MACHINES
    settings = context.many_machines(machines)
    folder = context.fixtures.folder / "pages"
    folder.mkdir(exist_ok=True)
    context.report(f"a history of {machines} machines")
    with Daemon(settings, folder, web=True) as daemon:
        time.sleep(context.choose_duration_s(SETTLE_S, QUICK_SETTLE_S))
    stored = QUICK_STORED_SCORES if context.quick else STORED_SCORES
    fill(folder / "state" / FILE_NAME, stored, year_s=30 * DAY_S if context.quick else YEAR_S)
    count = QUICK_REQUESTS if context.quick else REQUESTS
    machine = next(iter(settings["machines"]))
    with Daemon(settings, folder, web=True) as daemon:
        time.sleep(context.choose_duration_s(SETTLE_S, QUICK_SETTLE_S))
        context.report(f"{count} requests for the overview and for a year's trend")
        overview_ms = time_requests_ms(daemon.web_port, ["/"], count)
        trend_ms = time_requests_ms(daemon.web_port, _trend_paths(machine, time.time()), count)
    for name, times_ms, at_most, text in (
        ("overview", overview_ms, MAX_OVERVIEW_MS, f"overview of {machines} machines"),
        ("trend", trend_ms, MAX_TREND_MS, "a year's trend with its data"),
    ):
        median_ms, most_ms = statistics.median(times_ms), max(times_ms)
        yield Measurement(area, f"{name}_ms", median_ms, f"{text}, median", "ms", at_most=at_most)
        yield Measurement(area, f"{name}_most_ms", most_ms, f"{text}, slowest", "ms")


def _trend_paths(machine: str, now_s: float) -> list[str]:
    """Return what a browser requests for a year's trend: the page, scores and events."""
    from_s = now_s - YEAR_S
    time_range = f"from={from_s}&to={now_s}"
    return [
        f"/m/{machine}/trend?range=1y",
        f"/api/v1/machines/{machine}/history?{time_range}&points=600",
        f"/api/v1/events?machine={machine}&{time_range}&limit=200",
    ]


def time_requests_ms(port: int, paths: list[str], count: int) -> list[float]:
    """Return the time of each of n repetitions of some requests, one after the other.

    Raises
    ------
    AsdMonitorError
        If a request is not answered with status 200.
    """
    times_ms = []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    for _ in range(count):
        begin_s = time.perf_counter()
        for path in paths:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            if response.status != http.client.OK:
                msg = f"http://127.0.0.1:{port}{path}: answered with status {response.status}"
                raise AsdMonitorError(msg)
        times_ms.append(1e3 * (time.perf_counter() - begin_s))
    connection.close()
    return times_ms
