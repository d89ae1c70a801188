"""The live view shows what a person needs, whatever has or has not arrived yet."""

import io
import logging
import sys
import threading

import pytest
from rich.console import Console

from asd_monitor.records import (
    Decision,
    LearningProgress,
    Quality,
    SourceHealth,
    SourceState,
    State,
    Transition,
)
from asd_monitor.terminal import logging_setup
from asd_monitor.terminal.live_view import LiveView
from tests.rig.records import scored_window


def change(state: State, machine: str = "pump") -> Transition:
    return Transition(machine, "1", state, State.NORMAL, "3 of 5 windows", 0.0, provisional=False)


def health(state: SourceState, reason: str = "") -> SourceHealth:
    return SourceHealth("pump", state, reason, "USB", 100, 42, 0, 0, 0.0)


def shown(view: LiveView, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(view.render())
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return text


@pytest.fixture
def view() -> LiveView:
    return LiveView(["pump"], title="plant", footer=lambda: "MQTT connected", clock=lambda: 0.5)


def test_before_anything_arrives_there_is_a_picture(view: LiveView) -> None:
    text = shown(view)
    assert "UNKNOWN" in text
    assert "waiting for sound" in text
    assert "MQTT connected" in text


def test_learning_shows_how_far_it_has_come(view: LiveView) -> None:
    view.emit(LearningProgress("pump", 30.0, 300.0))
    assert "30 of 300 s of normal sound" in shown(view)
    view.emit(LearningProgress("pump", 300.0, 300.0, fitting=True))
    assert "fitting the model" in shown(view)


def test_a_score_is_shown_with_all_that_belongs_to_it(view: LiveView) -> None:
    view.emit(change(State.ALARM))
    view.emit(health(SourceState.RUNNING))
    view.emit(
        scored_window(captured_at=0.0, value=7.25, threshold=2.5, p_value=1e-5, extrapolated=True)
    )
    text = shown(view)
    for part in ("ALARM", "3 of 5 windows", "7.25", "threshold 2.50", "1e-05 (tail)"):
        assert part in text
    for part in ("-31.5 dBFS", "1 windows", "42 lost frames", "latency 500 ms"):
        assert part in text


def test_trouble_with_the_sound_is_shown(view: LiveView) -> None:
    view.emit(health(SourceState.MISSING, "no such microphone"))
    assert all(part in shown(view) for part in ("missing", "no such microphone"))
    view.emit(health(SourceState.SILENT, "is it muted?"))
    view.emit(scored_window(value=None, p_value=None, level_dbfs=None, quality=Quality.SILENT))
    text = shown(view)
    for part in ("is it muted?", "silent", "digital silence"):
        assert part in text


@pytest.mark.parametrize("state", [SourceState.MISSING, SourceState.FROZEN, SourceState.CLOSED])
def test_a_score_from_before_the_sound_went_away_is_not_shown_as_present(
    view: LiveView, state: SourceState
) -> None:
    view.emit(scored_window(captured_at=0.0, value=7.25))
    view.emit(health(state))
    text = shown(view)
    assert "none; the last was 7.25 at" in text
    assert "dBFS" not in text
    view.emit(health(SourceState.RUNNING))
    assert "dBFS" in shown(view)


def test_many_machines_take_a_line_each() -> None:
    names = [f"pump-{index}" for index in range(12)]
    view = LiveView(names)
    for name in names:
        view.emit(change(State.NORMAL, name))
    lines = shown(view).splitlines()
    assert len([line for line in lines if " NORMAL " in line and "dB" not in line]) >= len(names)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal(view: LiveView, width: int) -> None:
    view.emit(scored_window())
    view.emit(health(SourceState.FROZEN, "no audio for a long, long time " * 5))
    assert max(map(len, shown(view, width).splitlines())) <= width


def test_it_opens_and_closes_twice_without_harm(view: LiveView) -> None:
    view._console = Console(file=io.StringIO(), force_terminal=True, width=80)
    view.open()
    view.emit(scored_window())
    view.close()
    view.close()


def test_warnings_become_news_and_do_not_tear_the_picture(
    view: LiveView, capsys: pytest.CaptureFixture[str]
) -> None:
    before = logging.getLogger().handlers[:]
    try:
        logging_setup.set_up(tell=view.tell)
        logging.getLogger("asd_monitor.sources").warning("%d samples lost", 7)
        logging.getLogger("asd_monitor.sources").info("opened")
        logging.getLogger("asd_monitor.sinks.log").warning("shown anyway")
    finally:
        logging.captureWarnings(capture=False)
        logging.getLogger().handlers[:] = before
    text = shown(view)
    assert "WARNING 7 samples lost" in text
    assert "opened" not in text
    assert "shown anyway" not in text
    assert capsys.readouterr().err == ""


def test_records_that_come_while_it_is_drawn_do_not_end_the_drawing(view: LiveView) -> None:
    """It is drawn by a thread of its own, which an exception would end for good."""
    drawn = threading.Event()

    def emit() -> None:
        while not drawn.is_set():
            view.emit(LearningProgress("pump", 30.0, 300.0))
            view.emit(scored_window(value=7.25, threshold=2.5))

    emitting = threading.Thread(target=emit)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    emitting.start()
    try:
        for _ in range(300):
            view.render()
    finally:
        sys.setswitchinterval(before)
        drawn.set()
        emitting.join()


def test_the_reason_follows_the_windows_while_the_state_stays(view: LiveView) -> None:
    view.emit(change(State.WARNING))
    view.emit(scored_window(decision=Decision(State.WARNING, "for 34 s the score has been above")))
    assert "for 34 s the score has been above" in shown(view)
