"""Evidence is made for every kind of model file, and its failures never reach the monitor."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from prometheus_client import CollectorRegistry

from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.detector import Detector
from asd_monitor.evidence.event_history import StoredEvents
from asd_monitor.evidence.headline import NO_COMPARISON
from asd_monitor.evidence.maker import EvidenceMaker, MachineSound
from asd_monitor.evidence.ring import SoundRing
from asd_monitor.evidence.settings import EvidenceSettings, Keep
from asd_monitor.evidence.store import EvidenceStore
from asd_monitor.evidence.worker import EvidenceWorker
from asd_monitor.history.reader import HistoryReader
from asd_monitor.history.records import Event
from asd_monitor.history.writer import HistoryWriter
from asd_monitor.model_file import load, save, script
from asd_monitor.model_file.manifest import Manifest
from asd_monitor.normal_sound.statistics import NormalSound
from asd_monitor.records import (
    AudioChunk,
    Decision,
    EvidenceReady,
    Quality,
    Record,
    ScoredWindow,
    State,
    Transition,
    Verdict,
    WindowScore,
)
from asd_monitor.telemetry.metrics import Metrics
from tests.rig.records import MODEL

RATE_HZ = 16_000
WINDOW = RATE_HZ
EVENT = "20261130T120000-pump-0001"
EXCEEDS = Verdict("above threshold", "window", 2.0, "score above the threshold")


class Level(torch.nn.Module):
    """A model without evidence."""

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return waveform.abs().amax(1)


class Localising(torch.nn.Module):
    """A model whose evidence is the energy of four quarters of the spectrum."""

    def forward(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return waveform.abs().amax(1)

    @torch.jit.export
    def evidence(self, waveform: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        power: torch.Tensor = torch.fft.rfft(waveform).abs().square()[:, 1:]
        return power.reshape(waveform.shape[0], 4, -1).mean(2, True)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    sound = 0.003 * np.random.default_rng(seed).standard_normal(round(seconds * RATE_HZ))
    return sound.astype(np.float32)


def tone(seconds: float, frequency_hz: float = 1500.0) -> np.ndarray:
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return (0.01 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def make_detector(path: Path, module: torch.nn.Module, *, statistics: bool) -> Detector:
    manifest = Manifest(
        name="toy",
        revision="1",
        targets=("pump",),
        sample_rate_hz=RATE_HZ,
        window_samples=WINDOW,
        hop_samples=WINDOW,
        description={"evidence_bands_hz": [1000, 3000, 5000, 7000]},
    )
    normal = NormalSound.fit([noise(1, seed) for seed in range(50)], RATE_HZ, 1.0)
    save(path, script(module), manifest, normal_sound={"pump": normal} if statistics else None)
    rule = DecisionRule("pump", 2.0, 1.0, None, False, WINDOW, RATE_HZ)
    return Detector(load(path, "cpu"), {"pump": rule})


class Rig:
    """A worker with a machine, a real history and a list of what it hands to the sinks."""

    def __init__(self, folder: Path, settings: EvidenceSettings, detector: Detector | None) -> None:
        self.began_s = 1e9
        self.ring = SoundRing(RATE_HZ)
        self.writer = HistoryWriter(folder / "history.db")
        self.writer.open()
        self.metrics = Metrics(CollectorRegistry())
        self.posted: list[Record] = []
        self.root = folder / "events"
        self.recordings = folder / "recordings"
        events = StoredEvents(self.writer)
        maker = EvidenceMaker(
            settings,
            {"pump": MachineSound(self.ring, lambda: detector, self.recordings)},
            EvidenceStore(self.root, settings, events),
            self.metrics,
            events=events,
            post=self.posted.append,
            external_url="https://monitor.example.com/",
        )
        self.worker = EvidenceWorker(maker, self.metrics)
        self.worker.open()

    def play(self, sound: np.ndarray, *, counts: bool = False, shift_s: float = 0.0) -> None:
        for first in range(0, len(sound), RATE_HZ):
            start = self.ring.end
            at_s = self.began_s + start / RATE_HZ
            self.ring.push(AudioChunk(sound[first : first + RATE_HZ], start, 1e9))
            score = WindowScore(
                "pump", 0, start, at_s, Quality.OK, 5.0 if counts else 0.5,
                None, False, 2.0, -40.0, 0, 0.0, replace(MODEL, window_samples=WINDOW),
            )  # fmt: skip
            verdict = EXCEEDS if counts else Verdict("normal")
            decision = Decision(State.NORMAL, shift_s=shift_s, verdict=verdict)
            self.emit(ScoredWindow(score, decision))

    def change(self, state: State, previous: State) -> None:
        at_s = self.began_s + self.ring.end / RATE_HZ
        self.emit(Transition("pump", "t", state, previous, "", at_s, False, event_id=EVENT))

    def emit(self, record: Record) -> None:
        if isinstance(record, Transition):
            self.writer.record(record)
        self.worker.emit(record)

    def fault(self) -> None:
        """Play 40 s of normal sound, then a tone for 12 s that raises an alarm, and its end."""
        self.play(noise(40, 1))
        self.play(noise(4, 2) + tone(4), counts=True)
        self.change(State.ALARM, State.NORMAL)
        self.play(noise(8, 3) + tone(8), counts=True)
        self.play(noise(20, 4))
        self.change(State.NORMAL, State.ALARM)

    def close(self) -> None:
        self.worker.close()
        self.writer.close()

    def event(self) -> Event:
        event = HistoryReader(self.writer.path).event(EVENT)
        assert event is not None
        return event

    def description(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads((self.root / EVENT / "evidence.json").read_bytes())
        return values

    def count(self, result: str) -> float | None:
        return self.metrics.registry.get_sample_value("asd_evidence_total", {"result": result})


@pytest.fixture
def make_rig(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(
        module: torch.nn.Module | None = None, *, statistics: bool = True, **settings: object
    ) -> Rig:
        detector = None
        if module is not None:
            detector = make_detector(tmp_path / "model.asd", module, statistics=statistics)
        rigs.append(Rig(tmp_path, EvidenceSettings.model_validate(settings), detector))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.close()


def test_a_clip_contains_the_sound_that_was_played(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(Level())
    rig.fault()
    rig.close()
    clip, rate_hz = soundfile.read(rig.root / EVENT / "clip.flac", dtype="float32")
    assert rate_hz == RATE_HZ
    expected = np.concatenate([noise(40, 1)[10 * RATE_HZ :], noise(4, 2) + tone(4)])
    np.testing.assert_allclose(clip[: len(expected)], expected, atol=2e-5)
    assert len(clip) == (30 + 4 + 15) * RATE_HZ
    assert rig.event().clip_s == 49


def test_the_headline_names_the_tone_its_level_and_its_time(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(Level())
    rig.fault()
    rig.close()
    event = rig.event()
    (band,) = event.bands
    assert event.headline == f"louder at 1.5 kHz, by {band.change_db:.0f} dB, for 12 s"
    edges_hz = np.array(rig.description()["spectrum"]["edges_hz"])
    width_hz = float(np.diff(edges_hz)[np.searchsorted(edges_hz, 1500) - 1])
    noise_power = 0.003**2 * width_hz / (RATE_HZ / 2)
    expected_db = 10 * np.log10((0.01**2 / 2 + noise_power) / noise_power)
    assert band.change_db == pytest.approx(expected_db, abs=1.0)
    assert band.from_s == pytest.approx(30, abs=0.3)
    assert band.to_s == pytest.approx(42, abs=0.3)


def test_the_sinks_receive_the_evidence_and_its_final_form(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(Level())
    rig.fault()
    rig.close()
    first, last = [record for record in rig.posted if isinstance(record, EvidenceReady)]
    assert (first.is_final, last.is_final) == (False, True)
    assert last.url == f"https://monitor.example.com/events/{EVENT}"
    assert Path(last.clip).is_file()
    assert Path(last.picture).is_file()
    assert last.bands == rig.event().bands
    assert rig.description()["headline"] == last.headline == rig.event().headline
    assert rig.description()["closed_s"] == rig.event().closed_s
    assert rig.count("kept") == 1


@pytest.mark.parametrize("keep", Keep)
def test_only_what_the_settings_allow_is_kept(make_rig: Callable[..., Rig], keep: Keep) -> None:
    rig = make_rig(Level(), keep=keep)
    rig.recordings.mkdir()
    soundfile.write(rig.recordings / "normal_id_00_00000000.wav", noise(10, 9), RATE_HZ)
    rig.fault()
    rig.close()
    names = {path.name for path in rig.root.rglob("*") if path.is_file()}
    assert (
        names
        == {
            Keep.CLIP: {
                *("clip.flac", "nearest.flac", "picture.png", "nearest.png", "evidence.json"),
            },
            Keep.PICTURE: {"picture.png", "nearest.png", "evidence.json"},
            Keep.NONE: set(),
        }[keep]
    )
    event = rig.event()
    assert bool(event.clip) is (keep is Keep.CLIP)
    assert bool(event.picture) is (keep is not Keep.NONE)
    assert event.nearest_normal == ("" if keep is Keep.NONE else "normal_id_00_00000000.wav")


def test_the_nearest_normal_recording_is_the_one_that_sounds_alike(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(Level())
    rig.recordings.mkdir()
    for index, sound in enumerate([noise(10) + tone(10, 400), noise(10) + tone(10), noise(10)]):
        soundfile.write(rig.recordings / f"normal_id_00_0000000{index}.wav", sound, RATE_HZ)
    rig.fault()
    rig.close()
    assert rig.event().nearest_normal == "normal_id_00_00000001.wav"


def test_without_statistics_the_recordings_are_compared_with(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(Level(), statistics=False)
    rig.recordings.mkdir()
    soundfile.write(rig.recordings / "normal_id_00_00000000.wav", noise(30, 9), RATE_HZ)
    rig.fault()
    rig.close()
    assert rig.event().headline.startswith("louder at 1.5 kHz, by ")


def test_without_normal_sound_the_headline_says_so(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(Level(), statistics=False)
    rig.fault()
    rig.close()
    assert rig.event().headline == NO_COMPARISON
    assert rig.event().clip == "clip.flac"


def test_without_normal_sound_a_model_that_localises_names_its_bands(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(Localising(), statistics=False)
    rig.fault()
    rig.close()
    text = rig.event().headline
    assert text.startswith("the score comes mostly from ")
    shares = np.array(rig.description()["spectrum"]["share_of_score"])
    edges_hz = np.array(rig.description()["spectrum"]["edges_hz"])
    assert shares[edges_hz[1:] <= 2100].sum() > 0.9


def test_normal_sound_between_the_parts_of_a_trouble_does_not_dilute_its_evidence(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(Level())
    rig.play(noise(40, 1))
    for part in range(2):  # 4 s of the fault, then 6 s without it
        rig.play(noise(4, 2 + part) + tone(4), counts=True)
        rig.change(State.WARNING, State.NORMAL)
        rig.play(noise(6, 12 + part), shift_s=1.0)
    rig.play(noise(20, 4))
    rig.change(State.NORMAL, State.WARNING)
    rig.close()
    (band,) = rig.event().bands
    assert band.change_db == pytest.approx(24, abs=1.5)
    assert rig.event().headline.startswith("louder at 1.5 kHz")
    assert rig.description()["counted"] == [[30, 34], [40, 44]]


def test_a_model_that_localises_ranks_the_bands(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(Localising())
    rig.fault()
    rig.close()
    (band,) = rig.description()["bands"]
    assert 0 < band["share_of_score"] <= 1
    assert band["frequency_hz"] == pytest.approx(1500, abs=8)


def test_a_full_disk_costs_the_clip_only_and_the_event_says_so(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(Level(), max_gb=1e-6)
    rig.fault()
    rig.close()
    event = rig.event()
    assert (event.clip, event.picture) == ("", "")
    assert event.headline.startswith("louder at 1.5 kHz")
    assert "no clip was kept: the limit is 1e-06 GB" in event.headline
    assert rig.count("failed") == 1
    assert not list(rig.root.rglob("*"))


def test_an_unexpected_error_is_counted_and_the_event_says_so(
    make_rig: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make_rig(Level())
    with monkeypatch.context() as patch:
        patch.setattr("asd_monitor.evidence.maker.build", None)
        rig.fault()
        rig.close()
    assert rig.count("failed") == 1
    assert rig.event().headline == "no clip was kept: an internal error, see the log"


def test_a_restart_keeps_the_evidence_of_an_open_event(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(Level())
    rig.play(noise(40, 1))
    rig.play(noise(4, 2) + tone(4), counts=True)
    rig.change(State.ALARM, State.NORMAL)
    rig.play(noise(15, 3) + tone(15), counts=True)
    rig.close()
    clip = (rig.root / EVENT / "clip.flac").read_bytes()
    assert rig.event().headline.endswith(" so far")
    rig = make_rig(Level())
    rig.play(noise(5, 4), counts=True)
    rig.change(State.ALARM, State.ALARM)
    rig.play(noise(40, 4))
    rig.change(State.NORMAL, State.ALARM)
    rig.close()
    assert (rig.root / EVENT / "clip.flac").read_bytes() == clip
    assert rig.event().headline.startswith("louder at 1.5 kHz, by ")


@pytest.mark.parametrize(
    ("differs_after", "duration"),
    [(True, ", for {} s (the monitor was stopped in between)"),
     (False, ", for at least {} s (until the monitor was stopped)")],
)  # fmt: skip
def test_a_restart_keeps_the_duration_in_the_headline(
    make_rig: Callable[..., Rig], differs_after: bool, duration: str
) -> None:
    rig = make_rig(Level())
    rig.play(noise(40, 1))
    rig.play(noise(4, 2) + tone(4), counts=True)
    rig.change(State.ALARM, State.NORMAL)
    rig.play(noise(15, 3) + tone(15), counts=True)
    rig.close()
    description = json.loads((rig.root / EVENT / "evidence.json").read_bytes())
    before = re.search(r"for (\d+) s so far$", rig.event().headline)
    assert before is not None
    rig = make_rig(Level())
    rig.began_s += 200
    if differs_after:
        rig.play(noise(5, 4) + tone(5), counts=True)
    last_counted_s = rig.began_s + 4
    rig.change(State.ALARM, State.ALARM)
    rig.play(noise(40, 4))
    rig.change(State.NORMAL, State.ALARM)
    rig.close()
    length_s = (
        f"{last_counted_s - description['differs_from_s']:.0f}" if differs_after else before[1]
    )
    assert rig.event().headline.endswith(duration.format(length_s))


def test_a_history_that_was_lost_is_completed_from_the_folders(
    make_rig: Callable[..., Rig],
) -> None:
    rig = make_rig(Level())
    rig.fault()
    rig.close()
    before = rig.event()
    for path in rig.writer.path.parent.glob("history.db*"):
        path.unlink()
    make_rig(Level()).close()
    restored = rig.event()
    assert (restored.headline, restored.bands, restored.clip, restored.closed_s) == (
        before.headline,
        before.bands,
        before.clip,
        before.closed_s,
    )


def test_an_event_whose_folder_is_gone_refers_to_no_files(make_rig: Callable[..., Rig]) -> None:
    rig = make_rig(Level())
    rig.fault()
    rig.close()
    for path in (rig.root / EVENT).iterdir():
        path.unlink()
    make_rig(Level()).close()
    event = rig.event()
    assert (event.clip, event.picture, event.nearest_normal) == ("", "", "")
    assert event.headline.startswith("louder at 1.5 kHz")
