"""Measure what the history costs, and how fast a long one is read."""

import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from asd_monitor.bench.context import BenchContext
from asd_monitor.bench.measurement import Measurement
from asd_monitor.history.database import open_to_write
from asd_monitor.history.reader import HistoryReader
from asd_monitor.history.settings import HistorySettings
from asd_monitor.history.store import Store
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.records import Decision, ModelInfo, Quality, ScoredWindow, State, WindowScore

AREA = "history"
MACHINES = 64
STORED_SCORES, QUICK_STORED_SCORES = 5_000_000, 50_000
DAY_S, YEAR_S = 86_400, 365 * 86_400
REPEATS = 7
BATCHES = 60

_MODEL = ModelInfo("bench", "1", "0" * 64, "pump", 16_000, 32_000, 16_000, 300, False)
_SCORE = WindowScore(
    machine="", seq=0, window_start=0, captured_at=0.0, quality=Quality.OK, value=1.0,
    p_value=0.5, extrapolated=False, threshold=5.0, level_dbfs=-30.0, lost_samples=0,
    inference_s=0.001, model=_MODEL,
)  # fmt: skip
_KEPT = HistorySettings(scores_days=36_500, minutes_days=36_500, max_mb=1e6)


def measure(context: BenchContext) -> Iterator[Measurement]:
    """Yield the processor time of writing, and the times of writing to and reading a long one."""
    stored = QUICK_STORED_SCORES if context.quick else STORED_SCORES
    with tempfile.TemporaryDirectory(prefix="asd-monitor-bench-history-") as folder:
        path = Path(folder) / "history.db"
        context.report(f"{MACHINES} machines, a score per second each, written to the history")
        yield _measure_cpu(path, context.choose_duration_s(60.0, 2.0))
        yield _measure_batch(path, "empty", "a history that has just begun")
        context.report(f"filling a history with {stored:,} scores and a year of minutes")
        fill(path, stored, year_s=30 * DAY_S if context.quick else YEAR_S)
        yield _measure_batch(path, "long", f"one of {stored:,} scores")
        yield from _measure_reading(path)


def _machine(number: int) -> str:
    return f"pump-{number:02}"


def example_window(machine: str, at_s: float) -> ScoredWindow:
    """Return a normal window of a machine."""
    decision = Decision(State.NORMAL, "0 of the last 5 windows are over the threshold")
    return ScoredWindow(replace(_SCORE, machine=machine, captured_at=at_s), decision)


def _windows(at_s: float) -> list[ScoredWindow]:
    """Return a score of each machine."""
    windows = [example_window(_machine(n), at_s + n / 1000) for n in range(MACHINES)]
    return [
        replace(window, score=replace(window.score, value=n / 7))
        for n, window in enumerate(windows)
    ]


def _measure_cpu(path: Path, duration_s: float) -> Measurement:
    """Return the processor time of recording in real time, all threads together."""
    writer = HistoryWriter(path, _KEPT)
    writer.open()
    started_s, seconds, spent_s = time.time(), 0, 0.0
    while seconds < duration_s:
        windows = _windows(started_s + seconds)
        seconds += 1
        before_s = time.process_time()
        for window in windows:
            writer.record(window)
        time.sleep(max(0.0, started_s + seconds - time.time()))
        spent_s += time.process_time() - before_s
    writer.close()
    return Measurement(
        area=AREA,
        name="cpu_percent",
        value=100 * spent_s / seconds,
        unit="%",
        description=f"processor time of writing scores of {MACHINES} machines, of one core",
        at_most=2.0,
    )


def _measure_batch(path: Path, name: str, description: str) -> Measurement:
    """Return the median time of writing one second of all machines."""
    connection = open_to_write(path)
    at_s = connection.execute("SELECT max(at_ms) FROM score").fetchone()[0] / 1000
    store = Store(connection, {}, lambda: at_s)
    times_s = []
    for second in range(BATCHES):
        windows = _windows(at_s + 1 + second)
        before_s = time.perf_counter()
        store.write(windows)
        times_s.append(time.perf_counter() - before_s)
    connection.close()
    return Measurement(
        area=AREA,
        name=f"write_{name}_ms",
        value=1000 * statistics.median(times_s),
        unit="ms",
        description=f"writing a second of {MACHINES} machines to {description}",
        at_most=20.0,
    )


def _measure_reading(path: Path) -> Iterator[Measurement]:
    reader = HistoryReader(path)
    end_s = (reader.last_score_s(_machine(0)) or 0.0) + 1
    machine = _machine(0)
    cases: list[tuple[str, str, float, Callable[[], object]]] = [
        ("day_ms", "a day of one machine, by 5 minutes", 100.0,
         lambda: reader.minutes(machine, end_s - DAY_S, end_s, 288)),
        ("month_ms", "a month of one machine, by 40 minutes", 200.0,
         lambda: reader.minutes(machine, end_s - 30 * DAY_S, end_s, 1080)),
        ("year_ms", "a year of one machine, by 9 hours", 200.0,
         lambda: reader.minutes(machine, end_s - YEAR_S, end_s, 1000)),
        ("overview_ms", f"a day of {MACHINES} machines, by the hour", 100.0,
         lambda: reader.overview(end_s - DAY_S, end_s)),
    ]  # fmt: skip
    for name, description, at_most, read in cases:
        times_s = []
        for _ in range(REPEATS):
            before_s = time.perf_counter()
            read()
            times_s.append(time.perf_counter() - before_s)
        yield Measurement(
            area=AREA,
            name=f"read_{name}",
            value=1000 * statistics.median(times_s),
            unit="ms",
            description=f"reading {description}",
            at_most=at_most,
        )
    reader.close()


def fill(path: Path, scores: int, year_s: int) -> None:
    """Add older scores to a history, and summaries of every minute and hour of a year.

    Parameters
    ----------
    path
        A history that knows all machines.
    scores
        Number of scores, of all machines together.
    year_s
        Time that the summaries cover, of one machine; of the others the last two days.
    """
    connection = open_to_write(path)
    first_ms = connection.execute("SELECT min(at_ms) FROM score").fetchone()[0]
    if first_ms is None:  # a busy computer has not scored a window yet
        first_ms = round(time.time() * 1000)
    ids = [row[0] for row in connection.execute("SELECT id FROM machine ORDER BY name")]
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -200000")
    for machine_id in ids:
        _fill_scores(connection, machine_id, first_ms, scores // len(ids))
        covered_s = year_s if machine_id == ids[0] else 2 * DAY_S
        _fill_summaries(connection, machine_id, first_ms, covered_s)
        _fill_states(connection, machine_id, first_ms)
    connection.close()


def _fill_scores(connection: sqlite3.Connection, machine_id: int, end_ms: int, count: int) -> None:
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO score VALUES (?, ?, ?, -30.5, 0, 0, 0, 0, 1)",
        ((machine_id, end_ms - 1000 * n, (n % 997) / 200) for n in range(count, 0, -1)),
    )
    connection.execute("COMMIT")


def _fill_summaries(
    connection: sqlite3.Connection, machine_id: int, end_ms: int, seconds: int
) -> None:
    row = "60, 60, 0.5, 1.2, 3.4, 0, -30.5, 0, 0, 1"
    connection.execute("BEGIN")
    for table, length_s in (("score_minute", 60), ("score_hour", 3600)):
        last = end_ms // 1000 // length_s
        connection.executemany(
            f"INSERT OR IGNORE INTO {table} VALUES (?, ?, {row})",  # noqa: S608 - own names
            ((machine_id, 1000 * length_s * (last - n)) for n in range(seconds // length_s, 0, -1)),
        )
    connection.execute("COMMIT")


def _fill_states(connection: sqlite3.Connection, machine_id: int, end_ms: int) -> None:
    """Add a change of state every quarter of an hour of the last two days."""
    connection.execute("BEGIN")
    for n in range(2 * 96, 0, -1):
        begin_ms = end_ms - n * 900_000
        state = State.WARNING if n % 8 == 0 else State.NORMAL
        connection.execute(
            "INSERT INTO state_span (machine_id, from_ms, to_ms, state, reason) "
            "VALUES (?, ?, ?, ?, 'a reason in a sentence')",
            (machine_id, begin_ms, begin_ms + 900_000, str(state)),
        )
    connection.execute("COMMIT")
