"""When the monitor is ready: every machine is scored or learned as intended."""

from dataclasses import replace

import pytest

from asd_monitor.records import LearningProgress, Quality, SourceState, State
from asd_monitor.telemetry.readiness import describe_readiness, find_unready
from asd_monitor.telemetry.status import MachineStatus, MonitorStatus
from tests.rig.records import health, scored_window

WINDOW = scored_window(0)
SILENT = replace(WINDOW, score=replace(WINDOW.score, quality=Quality.SILENT, value=None))
LEARNING = LearningProgress("pump", 1.0, 300.0)


def machine(source: SourceState = SourceState.RUNNING, **values: object) -> MachineStatus:
    return MachineStatus(health=health(source), **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (machine(window=WINDOW, state=State.NORMAL), ""),
        (machine(window=WINDOW, state=State.ALARM), ""),
        (machine(SourceState.ENDED, window=WINDOW, state=State.OFF), ""),
        (machine(state=State.LEARNING, learning=LEARNING), ""),
        (
            machine(state=State.LEARNING, learning=replace(LEARNING, problem="too loud")),
            "too loud",
        ),
        (MachineStatus(), "its source is not open yet"),
        (machine(SourceState.MISSING, window=WINDOW), "its source is missing"),
        (machine(reason="its model cannot be used"), "its model cannot be used"),
        (machine(window=SILENT), "its sound is not scored: silent"),
    ],
)
def test_a_machine_is_ready_while_it_is_scored_or_learned(
    status: MachineStatus, reason: str
) -> None:
    found = find_unready(MonitorStatus({"pump": status})).get("pump", "")
    assert reason in found
    assert bool(found) == bool(reason)


def test_a_monitor_that_hangs_is_not_ready() -> None:
    assert describe_readiness(MonitorStatus()) == (True, "ok\n")
    assert describe_readiness(MonitorStatus(is_alive=False))[0] is False
