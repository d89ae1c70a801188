"""The live view displays what users need, whatever has arrived so far."""

import io
import logging
import re
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from rich.console import Console

from asd_monitor.records import (
    Decision,
    EvidenceReady,
    LearningProgress,
    Limit,
    Quality,
    Record,
    SourceHealth,
    SourceState,
    State,
    Transition,
    Verdict,
)
from asd_monitor.telemetry.status import StatusTracker
from asd_monitor.terminal import logging_setup
from asd_monitor.terminal.live_view import LiveView
from asd_monitor.terminal.trend_chart import TrendChart
from tests.rig.records import MODEL, scored_window


def transition(state: State, machine: str = "pump") -> Transition:
    return Transition(machine, "1", state, State.NORMAL, "3 of 5 windows", 0.0, provisional=False)


def health(state: SourceState, reason: str = "") -> SourceHealth:
    return SourceHealth("pump", state, reason, "USB", 100, 42, 0, 0, 0.0)


class Screen:
    """A live view of a monitor, and its text."""

    def __init__(self, machines: Sequence[str] | Mapping[str, str] = ("pump",)) -> None:
        self._tracker = StatusTracker(machines, clock=lambda: 0.5)
        self.console = Console(file=io.StringIO(), force_terminal=True, width=80)
        self.view = LiveView(
            self._tracker.snapshot,
            title="plant",
            footer=lambda: "MQTT connected",
            console=self.console,
            clock=lambda: 0.5,
        )

    def emit(self, record: Record) -> None:
        self._tracker.emit(record)
        self.view.emit(record)

    def text(self, width: int = 100) -> str:
        file = io.StringIO()
        Console(file=file, width=width, force_terminal=False).print(self.view.render())
        return file.getvalue()


@pytest.fixture
def screen() -> Screen:
    return Screen()


def test_the_newest_description_of_an_event_replaces_the_earlier_one(screen: Screen) -> None:
    for headline in ("louder, for 32 s so far", "louder, for 3 min"):
        screen.emit(EvidenceReady("pump", "e1", 0.0, headline))
        screen.view.show_message("a message")
    assert "so far" not in screen.text()
    assert screen.text().count("louder, for 3 min") == 1


def test_before_anything_arrives_there_is_a_picture(screen: Screen) -> None:
    text = screen.text()
    assert "UNKNOWN" in text
    assert "waiting for sound" in text
    assert "MQTT connected" in text


def test_learning_shows_its_progress(screen: Screen) -> None:
    screen.emit(LearningProgress("pump", 30.0, 300.0))
    assert "30 of 300 s of normal sound" in screen.text()
    screen.emit(LearningProgress("pump", 300.0, 300.0, fitting=True))
    assert "fitting the model" in screen.text()
    screen.emit(scored_window())
    assert "fitting the model" not in screen.text()


LIMITS = (Limit("window", "threshold", 2.5), Limit("sequential", "normal range", 1.25))


def decision(rule: str = "", state: State = State.NORMAL) -> Decision:
    """Return a decision about a window that exceeds the limit of ``rule``."""
    word = {"": "within normal range", "window": "above threshold"}.get(rule, "above normal range")
    return Decision(state, verdict=Verdict(word, rule), limits=LIMITS)


def test_a_score_is_shown_with_its_verdict_limits_level_and_latency(screen: Screen) -> None:
    screen.emit(transition(State.ALARM))
    screen.emit(health(SourceState.RUNNING))
    screen.emit(
        scored_window(
            captured_at=0.0,
            value=7.25,
            p_value=1e-5,
            extrapolated=True,
            decision=decision("window", State.ALARM),
        )
    )
    text = screen.text()
    for part in ("ALARM", "3 of 5 windows", "2.50 threshold", "1.25 normal range"):
        assert part in text
    assert "7.25  above threshold  p < 0.001 (beyond what was learned)" in text
    for part in ("-31.5 dBFS", "1 window ", "42 lost samples", "latency 500 ms"):
        assert part in text


def test_a_provisional_threshold_is_shown_with_how_much_was_learned(screen: Screen) -> None:
    model = replace(MODEL, calibration_windows=45, provisional=True)
    screen.emit(scored_window(model=model))
    assert "45 of about 180 windows: limits are provisional" in screen.text()


def test_problems_of_the_source_are_shown(screen: Screen) -> None:
    screen.emit(health(SourceState.MISSING, "no such microphone"))
    assert all(part in screen.text() for part in ("missing", "no such microphone"))
    screen.emit(health(SourceState.SILENT, "is it muted?"))
    screen.emit(scored_window(value=None, p_value=None, level_dbfs=None, quality=Quality.SILENT))
    text = screen.text()
    for part in ("is it muted?", "not scored", "digital silence"):
        assert part in text


@pytest.mark.parametrize("state", [SourceState.MISSING, SourceState.FROZEN, SourceState.CLOSED])
def test_a_score_from_before_the_audio_was_lost_is_not_shown_as_current(
    screen: Screen, state: SourceState
) -> None:
    screen.emit(scored_window(captured_at=0.0, value=7.25))
    screen.emit(health(state))
    text = screen.text()
    assert "none; the last was 7.25 at" in text
    assert "dBFS" not in text
    screen.emit(health(SourceState.RUNNING))
    assert "dBFS" in screen.text()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_a_narrow_terminal_cuts_the_oldest_scores_of_the_trend(screen: Screen, width: int) -> None:
    for seq in range(200):
        screen.emit(scored_window(seq, value=0.1, decision=decision()))
    for seq in range(3):
        screen.emit(scored_window(200 + seq, value=9.0, decision=decision("window")))
    screen.emit(scored_window(203, value=0.1, decision=decision()))
    [top] = [line for line in screen.text(width).splitlines() if "2.50 threshold" in line]
    assert "┄███┄ 2.50 threshold" in top
    assert "…" not in screen.text(width)


def test_a_terminal_too_narrow_for_the_labels_still_shows_the_newest_scores(
    screen: Screen,
) -> None:
    for seq in range(50):
        screen.emit(scored_window(seq, value=9.0 * (seq == 49), decision=decision()))
    text = screen.text(40)
    assert "threshold" not in text
    assert "█ │" in text


def test_the_colour_of_a_bar_follows_the_limit_that_is_exceeded() -> None:
    rules = ["", "sequential", "window"]
    windows = [scored_window(value=2.0, decision=decision(rule)) for rule in rules]
    file = io.StringIO()
    console = Console(file=file, width=60, force_terminal=True, color_system="standard")
    console.print(TrendChart(windows, rows=1))
    assert re.findall(r"\x1b\[(3\d)m[▁-█]", file.getvalue()) == ["32", "33", "31"]


def test_windows_without_a_score_are_gaps_in_the_trend(screen: Screen) -> None:
    for value in (9.0, None, 9.0):
        screen.emit(scored_window(value=value, decision=decision()))
    assert "█┄█ 2.50 threshold" in screen.text()


def test_normal_shows_a_running_shift(screen: Screen) -> None:
    reason = "score above its normal range (1.37) for 41 of 62 s"
    screen.emit(scored_window(decision=replace(decision("sequential"), reason=reason)))
    assert reason in screen.text()
    assert "above normal range" in screen.text()


def test_machines_are_shown_by_their_names_for_people() -> None:
    screen = Screen({"pump-1": "Pump [1/2]", "fan": "Lüfter"})
    screen.emit(transition(State.NORMAL, "pump-1"))
    text = screen.text()
    assert "╭─ Pump [1/2] ─" in text
    assert "Pump [1/2]:  NORMAL" in text
    assert "Lüfter" in text


def test_many_machines_take_a_line_each() -> None:
    names = [f"pump-{index}" for index in range(12)]
    screen = Screen(names)
    for name in names:
        screen.emit(transition(State.NORMAL, name))
    lines = screen.text().splitlines()
    assert len([line for line in lines if " NORMAL " in line and "dB" not in line]) >= len(names)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(screen: Screen, width: int) -> None:
    screen.emit(scored_window())
    screen.emit(health(SourceState.FROZEN, "no audio for a long, long time " * 5))
    assert max(map(len, screen.text(width).splitlines())) <= width


def test_it_draws_while_open_and_may_be_closed_twice(screen: Screen) -> None:
    screen.view.open()
    screen.emit(scored_window(value=7.25))
    screen.view.close()
    screen.view.close()
    assert "7.25" in screen.console.file.getvalue()  # type: ignore[attr-defined]


def test_warnings_become_messages_and_do_not_disturb_the_picture(
    screen: Screen, capsys: pytest.CaptureFixture[str]
) -> None:
    handlers = logging.getLogger().handlers[:]
    try:
        logging_setup.set_up(show_message=screen.view.show_message)
        logging.getLogger("asd_monitor.sources").warning("%d samples lost", 7)
        logging.getLogger("asd_monitor.sources").info("opened")
        logging.getLogger("asd_monitor.sinks.log").warning("displayed already")
    finally:
        logging.captureWarnings(capture=False)
        logging.getLogger().handlers[:] = handlers
    text = screen.text()
    assert "WARNING 7 samples lost" in text
    assert "opened" not in text
    assert "displayed already" not in text
    assert capsys.readouterr().err == ""


def test_records_that_arrive_during_a_redraw_do_not_end_the_drawing(screen: Screen) -> None:
    """An exception would end the thread that redraws."""
    finished = threading.Event()

    def emit() -> None:
        while not finished.is_set():
            screen.emit(LearningProgress("pump", 30.0, 300.0))
            screen.emit(scored_window(value=7.25, threshold=2.5))

    emitting = threading.Thread(target=emit)
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    emitting.start()
    try:
        for _ in range(300):
            screen.view.render()
    finally:
        sys.setswitchinterval(interval_s)
        finished.set()
        emitting.join()


def test_the_reason_follows_the_windows_while_the_state_stays(screen: Screen) -> None:
    screen.emit(transition(State.WARNING))
    reason = "score above its normal range (1.37) for 34 s"
    screen.emit(scored_window(decision=Decision(State.WARNING, reason)))
    assert reason in screen.text()
