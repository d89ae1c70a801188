"""Records that a monitor of two machines emits, for tests of the metrics."""

import time
from dataclasses import replace

from asd_monitor.records import (
    NORMAL_RANGE,
    Decision,
    LearningProgress,
    Limit,
    Quality,
    SourceState,
    State,
)
from asd_monitor.sinks import Sink
from tests.rig.records import event, health, scored_window

MACHINES = ("pump", "fan/id_00")
LIMITS = (Limit("sequential", NORMAL_RANGE, 0.8),)


def emit_round(sink: Sink, round_number: int = 0) -> None:
    """Emit one round: audio arrives, windows of every kind, an alarm is raised and cleared.

    The totals in the health records grow with ``round_number``.
    """
    samples = 16000 * (round_number + 1)
    for machine in MACHINES:
        sink.emit(LearningProgress(machine, learned_s=30.0 * round_number, required_s=300.0))
        sink.emit(
            replace(
                health(samples=samples, machine=machine),
                lost_samples=40 * round_number,
                overflows=round_number,
                measured_rate_hz=47990.0,
            )
        )
        for seq in range(6):
            captured_at = time.time() - 0.03
            decision = Decision(State.NORMAL, limits=LIMITS)
            value = 1.0 + 0.5 * seq
            sink.emit(scored_window(seq, machine, decision, value=value, captured_at=captured_at))
        for quality in (Quality.SILENT, Quality.STUCK, Quality.CLIPPED):
            unscored = quality is not Quality.CLIPPED
            sink.emit(
                scored_window(
                    7,
                    machine,
                    quality=quality,
                    value=None if unscored else 1.5,
                    p_value=None if unscored else 0.2,
                )
            )
        sink.emit(event(f"{machine}-{round_number}-up", machine=machine))
        sink.emit(scored_window(8, machine, Decision(State.ALARM), value=3.0, p_value=0.0002))
    sink.emit(replace(event(f"clear-{round_number}", State.NORMAL), previous=State.ALARM))


def emit_unplugged(sink: Sink, machine: str) -> None:
    """Emit that the machine's microphone was unplugged."""
    sink.emit(health(SourceState.MISSING, machine=machine))
    sink.emit(replace(event("unplugged", State.UNKNOWN, machine), previous=State.ALARM))
