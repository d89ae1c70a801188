"""A machine with idle and two loads: learned, named, followed, and a third load confirmed."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from asd_monitor import model_file, quickstart
from asd_monitor.audio.windowing import SlidingWindow
from asd_monitor.detection.alarm import Alarm
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.detector import Detector
from asd_monitor.quickstart import Recording
from asd_monitor.records import AudioChunk, Decision, FloatArray, State

RATE_HZ = 16_000
WINDOW_S = 2.0
# Level and slope of the noise, and the tone of the drive.
LOADS = {
    "idle": (0.004, 2.0, 150.0),
    "running": (0.02, 1.0, 300.0),
    "running, louder": (0.05, 0.5, 420.0),
    "third": (0.16, -0.7, 600.0),
}


def sound(load: str, seconds: float, seed: int, fault: float = 0.0) -> FloatArray:
    """Return the sound of a load; a fault adds a whine."""
    level, slope, tone_hz = LOADS[load]
    rng = np.random.default_rng([seed, list(LOADS).index(load)])
    n = round(seconds * RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency_hz = np.maximum(np.fft.rfftfreq(n, 1 / RATE_HZ), 40.0)
    noise = np.fft.irfft(spectrum * (frequency_hz / 500.0) ** -slope, n)
    time_s = np.arange(n) / RATE_HZ
    tone = np.sin(2 * np.pi * tone_hz * time_s)
    whine = fault * np.sin(2 * np.pi * 3100 * time_s)
    return np.asarray(level * (noise / noise.std() + tone + whine), np.float32)


def recordings(loads: Iterable[str], session: str = "one") -> list[Recording]:
    """Return ten-second recordings, each load for forty seconds at a time."""
    made: list[Recording] = []
    for bout, load in enumerate(loads):
        for part in range(4):
            at_s = 10.0 * len(made)
            samples = sound(load, 10.0, 100 * bout + part)
            made.append(Recording(f"{session}-{len(made)}", samples, session, at_s))
    return made


def detector_of(known: list[Recording], folder: Path) -> Detector:
    fitted = quickstart.fit(known, target="pump", window_s=WINDOW_S, hop_s=WINDOW_S)
    path = folder / "model.asd"
    model_file.save(path, fitted.module, fitted.manifest)
    model = model_file.load(path, "cpu")
    return Detector(model, {"pump": DecisionRule.from_manifest(model.manifest, "pump")})


LEARNED = recordings(["idle", "running", "running, louder"] * 2)


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    return detector_of(LEARNED, tmp_path_factory.mktemp("model"))


def play(detector: Detector, parts: Iterable[FloatArray], **settings: object) -> list[Decision]:
    """Return the decisions of the live path."""
    detector.forget_mode("pump")
    alarm = Alarm("pump", AlarmSettings(**settings), "run")
    alarm.configure(detector.rule("pump"), 0.0)
    size = detector.manifest.window_samples
    windows = SlidingWindow("pump", size, size, RATE_HZ).push(
        AudioChunk(np.concatenate([*parts]), 0, 0.0)
    )
    return [alarm.update(score)[0] for score in detector.score(windows)]


def test_all_modes_are_learned_and_named(detector: Detector) -> None:
    modes = detector.manifest.modes["pump"]
    assert modes.names == ("idle", "running", "running, louder")


def test_a_change_between_modes_raises_no_alarm_and_is_followed(detector: Detector) -> None:
    loads = ("idle", "running", "idle", "running, louder", "running")
    got = play(detector, [sound(load, 40.0, 900 + i) for i, load in enumerate(loads)])
    assert State.ALARM not in {decision.state for decision in got}
    assert got[-1].state is State.NORMAL
    last = [got[20 * (index + 1) - 1].mode for index in range(len(loads))]
    assert last == list(loads)


def test_a_fault_in_one_mode_raises_the_alarm(detector: Detector) -> None:
    got = play(detector, [sound("running", 20.0, 910), sound("running", 60.0, 911, fault=0.5)])
    assert got[9].state is State.NORMAL
    assert got[-1].state is State.ALARM
    assert got[-1].mode == "running"


def test_a_third_load_is_a_state_that_was_not_learned(detector: Detector) -> None:
    got = play(detector, [sound("running", 20.0, 920), sound("third", 60.0, 921)])
    assert State.ALARM not in {decision.state for decision in got}
    last = got[-1]
    assert (last.state, last.rule, last.mode) == (State.UNKNOWN, "unlearned", "not learned")
    assert last.reason.startswith("a state that was not learned: steady sound")
    assert not last.verdict.is_judged


def test_a_third_load_raises_the_alarm_where_that_is_asked_for(detector: Detector) -> None:
    parts = [sound("running", 20.0, 920), sound("third", 60.0, 921)]
    assert play(detector, parts, when_unlearned="alarm")[-1].state is State.ALARM


def test_an_alarm_is_not_withdrawn_by_a_state_that_was_not_learned(detector: Detector) -> None:
    parts = [sound("running", 40.0, 930, fault=0.5), sound("third", 60.0, 931)]
    got = play(detector, parts)
    assert got[19].state is got[-1].state is State.ALARM


def test_a_confirmed_state_is_learned_as_a_mode(tmp_path: Path) -> None:
    confirmed = [
        Recording(f"event-{part}", sound("third", 10.0, 940 + part), "event", 10.0 * part, True)
        for part in range(8)
    ]
    detector = detector_of([*LEARNED, *confirmed], tmp_path)
    assert len(detector.manifest.modes["pump"]) == 4
    got = play(detector, [sound("running", 20.0, 950), sound("third", 60.0, 951)])
    assert {decision.state for decision in got[20:]} <= {State.NORMAL, State.WARNING}
    assert got[-1].mode == detector.manifest.modes["pump"].names[-1]
