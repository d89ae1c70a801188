"""The web page of a monitor with four machines, a day of history and an event with evidence."""

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry

from asd_monitor.detectability.result import Detectability, FaultLevels
from asd_monitor.detectability.store import write_result
from asd_monitor.evidence.clip import encode_flac
from asd_monitor.evidence.picture import Mark, difference_scale, draw_picture
from asd_monitor.evidence.ring import SoundRing
from asd_monitor.history.database import FILE_NAME
from asd_monitor.history.records import EventNote, NoteKind
from asd_monitor.history.settings import HistorySettings
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.judging.proposal import present_model
from asd_monitor.normal_sound.band_levels import BandFrames
from asd_monitor.records import (
    AudioChunk,
    Band,
    Decision,
    LearningProgress,
    Limit,
    Record,
    ScoredWindow,
    SourceHealth,
    SourceState,
    State,
    Transition,
    Verdict,
)
from asd_monitor.telemetry.metrics import Metrics
from asd_monitor.telemetry.status import StatusTracker
from asd_monitor.web.access_store import FILE_NAME as ACCESS_FILE
from asd_monitor.web.access_store import AccessStore, Role
from asd_monitor.web.diagnosis import Diagnosis
from asd_monitor.web.service import WebService
from asd_monitor.web.settings import WebSettings
from tests.rig.records import MODEL, SCORE

RATE_HZ = 16_000
MACHINES = {
    "pump": "Feed pump 1",
    "fan": "Exhaust fan",
    "compressor-2": "Compressor 2",
    "mixer": "Mixer in hall B",
}
EVENT = "20261130T120102-pump-3f2a"
OLD_EVENT = "20261129T080000-fan-77aa"
HEADLINE = "louder at 250 Hz and 700 Hz, by 6 and 9 dB, for 92 s"
THRESHOLD, NORMAL_RANGE = 7.88, 1.37
LIMITS = (
    Limit("window", "threshold", THRESHOLD),
    Limit("sequential", "normal range", NORMAL_RANGE),
)
NORMAL = Verdict(
    "within its normal range", limit=NORMAL_RANGE, sentence="score 0.82, normal up to 1.37"
)
ABOVE = Verdict(
    "above threshold", "window", THRESHOLD, "score above the threshold (7.88) in 4 of 5 windows"
)
ADMIN = ("anna", "correct horse battery")


@dataclass
class Site:
    """A running page."""

    service: WebService
    folder: Path
    tracker: StatusTracker
    history: HistoryWriter
    ring: SoundRing
    metrics: Metrics

    @property
    def url(self) -> str:
        """URL of the page, without a slash at its end."""
        return self.service.local_url.rstrip("/")

    @property
    def port(self) -> int:
        """Its TCP port."""
        return int(self.url.rsplit(":", 1)[1])

    def emit(self, record: Record) -> None:
        """Hand a record to everything that takes records."""
        self.tracker.emit(record)
        if isinstance(record, ScoredWindow | Transition):
            self.history.record(record)
        self.service.emit(record)

    def play(self, seconds: float = 1.0) -> None:
        """Append sound to the pump's ring."""
        self.ring.push(AudioChunk(hum(self.ring.end, seconds), self.ring.end, time.time()))


def hum(start: int, seconds: float, fault: float = 0.3) -> Any:  # noqa: ANN401 - samples
    """Return the sound of a pump with a fault at 700 Hz."""
    at = (start + np.arange(round(seconds * RATE_HZ))) / RATE_HZ
    noise = np.random.default_rng(start).normal(0, 0.01, len(at))
    sound = 0.1 * np.sin(2 * np.pi * 250 * at) + noise
    pulse = 0.5 + 0.5 * np.sin(2 * np.pi * 0.7 * at)
    return (sound + fault * pulse * np.sin(2 * np.pi * 700 * at)).astype(np.float32)


def window(machine: str, at_s: float, value: float, **changes: Any) -> ScoredWindow:  # noqa: ANN401
    """Return a scored window of a machine."""
    is_over = value > THRESHOLD
    decision = Decision(
        State.ALARM if is_over else State.NORMAL,
        reason=ABOVE.sentence if is_over else NORMAL.sentence,
        shift_s=41.0 if is_over else 0.0,
        rule="window" if is_over else "",
        verdict=ABOVE if is_over else NORMAL,
        limits=LIMITS,
    )
    model = replace(MODEL, target=machine, provisional=True, calibration_windows=90)
    score = replace(SCORE, machine=machine, captured_at=at_s, value=value, threshold=THRESHOLD,
                    level_dbfs=-31.5 if not is_over else -24.0, model=model, **changes)  # fmt: skip
    return ScoredWindow(score, decision)


def transition(
    machine: str, state: State, at_s: float, reason: str, event_id: str = ""
) -> Transition:
    """Return a change of state."""
    score = window(machine, at_s, 9.2).score if event_id else None
    rule = "window" if event_id else ""
    return Transition(
        machine, f"{machine}-{at_s}", state, State.NORMAL, reason, at_s, True, score, rule=rule,
        limit=THRESHOLD, event_id=event_id,
    )  # fmt: skip


def write_evidence(folder: Path, event_id: str) -> None:
    """Write the files of an event."""
    target = folder / "events" / event_id
    target.mkdir(parents=True)
    sounds = {"": hum(0, 12.0), "nearest": hum(0, 12.0, fault=0.0)}
    frames = {key: BandFrames.of(sound, RATE_HZ) for key, sound in sounds.items()}
    scale = difference_scale(frames[""], frames["nearest"])
    for key, sound in sounds.items():
        marks = [] if key else [Mark(600, 800, 2.0, 11.0), Mark(220, 280, 4.0, 9.0)]
        clip, picture = ("nearest.flac", "nearest.png") if key else ("clip.flac", "picture.png")
        samples = (sound * 32767).astype(np.int16)
        (target / clip).write_bytes(encode_flac(samples, RATE_HZ))
        (target / picture).write_bytes(draw_picture(frames[key], 12.0, scale, marks))
    (target / "evidence.json").write_text(
        json.dumps({"schema": 1, "picture": {"relative_to_normal": True}})
    )


def write_history(history: HistoryWriter, now: float) -> None:
    """Write a day of scores, and two events."""
    begin, warned = now - 24 * 3600, now - 9 * 3600
    for machine in ("pump", "fan"):
        history.record(transition(machine, State.NORMAL, begin, "a model was installed"))
    # In order of time: a state that began before a stored score begins with that score.
    _write_scores(history, begin, warned)
    history.record(transition("fan", State.WARNING, warned, "its level rose", OLD_EVENT))
    history.flush()
    history.record(transition("fan", State.NORMAL, warned + 240, "cleared", OLD_EVENT))
    _write_scores(history, warned + 240, now - 1200)
    for n in range(1100):
        value = 0.9 + 0.1 * math.sin(n / 9) + (8.0 + math.sin(n / 5) if n > 1000 else 0.0)
        history.record(window("pump", now - 1100 + n, value))
    history.record(transition("pump", State.ALARM, now - 90, ABOVE.sentence, EVENT))
    history.flush()
    history.update_event(
        EVENT, headline=HEADLINE, clip="clip.flac", picture="picture.png", clip_s=12.0,
        bands=(Band(220, 280, 6.0, 4.0, 9.0), Band(600, 800, 9.0, 2.0, 11.0)), shift_s=92.0,
    )  # fmt: skip
    history.add_note(EventNote(OLD_EVENT, now - 8 * 3600, "anna", NoteKind.NORMAL, "filter change"))
    history.flush()


def _write_scores(history: HistoryWriter, from_s: float, to_s: float) -> None:
    """Write a score of the pump and of the fan per minute."""
    for n, at_s in enumerate(np.arange(from_s, to_s, 60.0)):
        value = 0.8 + 0.3 * math.sin(n / 60) + 0.2 * ((n * 7919) % 13) / 13
        for machine in ("pump", "fan"):
            history.record(window(machine, float(at_s), value))
    history.flush()


def announce(site: Site, now: float) -> None:
    """Emit the present state of the four machines."""
    for machine in MACHINES:
        state, reason = SourceState.RUNNING, ""
        if machine == "mixer":
            state, reason = (
                SourceState.MISSING,
                "no microphone with the name 'USB audio' is connected",
            )
        device = "USB audio: Focusrite Scarlett Solo"
        site.emit(SourceHealth(machine, state, reason, device, 16_000, 0, 0, 0, now))
    site.service.emit(transition("pump", State.ALARM, now - 90, ABOVE.sentence, EVENT))
    site.tracker.emit(transition("pump", State.ALARM, now - 90, ABOVE.sentence, EVENT))
    site.emit(window("pump", now, 9.2))
    site.service.emit(transition("fan", State.NORMAL, now - 3600, NORMAL.sentence))
    site.tracker.emit(transition("fan", State.NORMAL, now - 3600, NORMAL.sentence))
    site.emit(window("fan", now, 0.82))
    learning = transition("compressor-2", State.LEARNING, now - 200, "collecting normal sound")
    site.emit(learning)
    site.emit(LearningProgress("compressor-2", 190.0, 300.0))
    reason = "no microphone with the name 'USB audio' is connected"
    site.emit(transition("mixer", State.UNKNOWN, now - 600, reason))
    site.history.flush()


def write_detectability(folder: Path, sha256: str = MODEL.sha256) -> Detectability:
    """Write what the pump's model can detect."""
    levels = tuple(float(level) for level in range(0, -37, -3))
    lowest = {
        "impacts": (-21.0, -21.0, -24.0, -18.0, -24.0),
        "whine": (-15.0, -24.0, -27.0, -18.0, -21.0),
        "missing_band": (None, -12.0, -3.0, None, -9.0),
        "high_whine": (-33.0, -36.0, -36.0, -30.0, -36.0),
    }
    result = Detectability(
        sha256, "2026-11-30T12:00:00+00:00", 1.0, 30.0, 300.0, 5, 0, 24.0,
        tuple(
            FaultLevels(kind, levels, {60: (*trials[:4], None), 300: trials})
            for kind, trials in lowest.items()
        ),
    )  # fmt: skip
    path = present_model(folder, "pump")
    path.parent.mkdir(exist_ok=True)
    write_result(path, result)
    return result


@contextmanager
def web_site(
    folder: Path,
    *,
    password: bool = False,
    diagnosis: Diagnosis | None = None,
    **settings: Any,  # noqa: ANN401
) -> Iterator[Site]:
    """Serve the page on a free port until the block ends.

    Parameters
    ----------
    folder
        State folder.
    password
        Whether there is an account, that of ADMIN.
    diagnosis
        Checks the installation.
    settings
        Settings of the page.
    """
    if password:
        access = AccessStore(folder / ACCESS_FILE)
        access.set_account(*ADMIN, Role.ADMIN)
        access.close()
    now = time.time()
    metrics = Metrics(CollectorRegistry())
    metrics.add_machines(MACHINES)
    tracker = StatusTracker(list(MACHINES))
    history = HistoryWriter(folder / FILE_NAME, HistorySettings())
    history.open()
    ring = SoundRing(RATE_HZ)
    service = WebService(
        WebSettings(**({"port": 0} | settings)), node="plant-1", machines=MACHINES,
        status=tracker.snapshot, state_root=folder, metrics=metrics, rings={"pump": ring},
        diagnosis=diagnosis,
    )  # fmt: skip
    site = Site(service, folder, tracker, history, ring, metrics)
    try:
        service.open()
        write_history(history, now)
        write_evidence(folder, EVENT)
        write_detectability(folder)
        announce(site, now)
        site.play(60.0)
        yield site
    finally:
        service.close()
        history.close()
