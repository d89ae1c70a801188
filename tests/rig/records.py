"""Example records, for tests of what consumes them."""

import time
from dataclasses import replace
from typing import Any

from asd_monitor.records import (
    Decision,
    ModelInfo,
    Quality,
    ScoredWindow,
    SourceHealth,
    SourceState,
    State,
    Transition,
    WindowScore,
)

MODEL = ModelInfo(
    name="quickstart",
    revision="1",
    sha256="0f" * 32,
    target="pump",
    sample_rate_hz=16000,
    window_samples=32000,
    hop_samples=16000,
    calibration_windows=240,
    provisional=False,
)

SCORE = WindowScore(
    machine="pump",
    seq=0,
    window_start=0,
    captured_at=0.0,
    quality=Quality.OK,
    value=1.25,
    p_value=0.5,
    extrapolated=False,
    threshold=2.0,
    level_dbfs=-31.5,
    lost_samples=0,
    inference_s=0.004,
    model=MODEL,
)


NORMAL = Decision(State.NORMAL)


def window_score(seq: int, machine: str = "pump") -> WindowScore:
    """Return a score captured now."""
    return replace(
        SCORE, seq=seq, machine=machine, window_start=seq * 16000, captured_at=time.time()
    )


def scored_window(
    seq: int = 0,
    machine: str = "pump",
    decision: Decision = NORMAL,
    **changes: Any,  # noqa: ANN401 - any field of WindowScore
) -> ScoredWindow:
    """Return a window captured now; ``changes`` replace values of its score."""
    return ScoredWindow(replace(window_score(seq, machine), **changes), decision)


def event(transition_id: str, state: State = State.ALARM, machine: str = "pump") -> Transition:
    """Return a transition caused by audio captured now; its event has the same id."""
    return Transition(
        machine=machine,
        transition_id=transition_id,
        state=state,
        previous=State.NORMAL,
        reason="4 of 5 windows above the threshold",
        captured_at=time.time(),
        provisional=False,
        score=window_score(7, machine),
        event_id=transition_id,
    )


def health(
    state: SourceState = SourceState.RUNNING, samples: int = 16000, machine: str = "pump"
) -> SourceHealth:
    """Return a source's health with 40 lost samples."""
    reason = "" if state is SourceState.RUNNING else "no audio for 2 s"
    return SourceHealth(machine, state, reason, "test mic", samples, 40, 1, 0, time.time())
