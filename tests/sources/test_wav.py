"""Recordings as a source, paced or as fast as they are read."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from pydantic import ValidationError

from asd_monitor.audio.files import read_recording
from asd_monitor.errors import SourceError
from asd_monitor.records import AudioChunk, SourceState
from asd_monitor.sources.pacing import PacedWakeups
from asd_monitor.sources.wav import WavSettings, WavSource
from tests.rig.listening import Listener, noise

RATE_HZ = 16000


class Clock:
    """A clock that a test advances."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def write(path: Path, seconds: float, rate_hz: int = RATE_HZ, seed: int = 0) -> Path:
    soundfile.write(path, noise(seconds, rate_hz, seed), rate_hz, subtype="PCM_16")
    return path


def unpaced(*paths: Path, loop: bool = False) -> WavSource:
    return WavSource("pump", WavSettings(paths=paths, paced=False, loop=loop), RATE_HZ)


def read_all(source: WavSource) -> list[AudioChunk]:
    source.open(lambda: None)
    chunks = []
    while source.health().state is SourceState.RUNNING:
        chunks += source.read()
    return chunks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "b.wav", 1.3, 44100, seed=1)
    write(tmp_path / "a.flac", 0.7, RATE_HZ, seed=2)
    (tmp_path / "readme.txt").write_text("not audio")
    return tmp_path


def test_samples_equal_those_of_the_recording_read_at_once(folder: Path) -> None:
    chunks = read_all(unpaced(folder))
    for name in ("a.flac", "b.wav"):
        samples = np.concatenate([c.samples for c in chunks if c.recording == name])
        np.testing.assert_array_equal(samples, read_recording(folder / name, RATE_HZ))


def test_a_folder_is_played_in_order_with_one_running_index(folder: Path) -> None:
    source = unpaced(folder)
    chunks = read_all(source)
    assert list(dict.fromkeys(c.recording for c in chunks)) == ["a.flac", "b.wav"]
    ends = [0] + [c.start + len(c.samples) for c in chunks]
    assert [c.start for c in chunks] == ends[:-1]
    health = source.health()
    assert (health.state, health.reason) == (SourceState.ENDED, "")
    assert (health.samples, health.lost_samples) == (ends[-1], 0)


def test_an_unreadable_recording_is_skipped_and_reported(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "aa.wav").write_bytes(b"RIFF, but not really")
    source = unpaced(folder)
    chunks = read_all(source)
    assert list(dict.fromkeys(c.recording for c in chunks)) == ["a.flac", "b.wav"]
    assert source.health().reason.startswith("skipped 1 of 3 recordings; first: ")
    assert "aa.wav" in caplog.text


@pytest.mark.parametrize("name", ["missing.wav", "empty"])
def test_paths_without_recordings_are_refused_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match=name):
        unpaced(tmp_path / name)


def test_an_unpaced_recording_ends_when_the_source_is_opened(tmp_path: Path) -> None:
    paths = (write(tmp_path / "a.wav", 3), write(tmp_path / "b.wav", 2))
    settings = WavSettings(paths=paths, paced=False)
    source = WavSource("pump", settings, RATE_HZ, wall_clock=lambda: 5e8)
    source.open(lambda: None)
    chunks = [chunk for _ in range(10) for chunk in source.read()]
    assert chunks[-1].captured_at == pytest.approx(5e8)
    first = chunks[0]
    assert first.captured_at - len(first.samples) / RATE_HZ == pytest.approx(5e8 - 5)
    source.close()


def test_a_paced_source_delivers_what_is_due_and_nothing_more(tmp_path: Path) -> None:
    clock = Clock()
    settings = WavSettings(paths=(write(tmp_path / "a.wav", 3),))
    source = WavSource("pump", settings, RATE_HZ, clock=clock, wall_clock=lambda: 5e8)
    source.open(lambda: None)
    assert source.read() == []
    clock.now_s += 1.1
    chunks = source.read()
    assert sum(len(c.samples) for c in chunks) == RATE_HZ  # whole quarters of a second
    assert chunks[-1].captured_at == pytest.approx(5e8 - 0.1)
    assert source.read() == []
    clock.now_s += 60
    source.read()
    assert source.health().state is SourceState.ENDED
    source.close()


@pytest.mark.parametrize("hop_s", [0.1, 1.0, 2.5])
def test_a_paced_source_delivers_audio_when_it_completes_a_window(
    tmp_path: Path, hop_s: float
) -> None:
    clock, end, hop = Clock(), round(1.3 * RATE_HZ), round(hop_s * RATE_HZ)
    settings = WavSettings(paths=(write(tmp_path / "a.wav", 20),))
    source = WavSource("pump", settings, RATE_HZ, clock=clock)
    source.open(lambda: None)
    source.expect_windows(end, hop)
    ends = []
    for _ in range(1500):
        clock.now_s += 0.01
        ends += [chunk.start + len(chunk.samples) for chunk in source.read()]
    window_ends = set(range(end, 15 * RATE_HZ - hop, hop))
    assert window_ends <= set(ends)
    assert max(np.diff(ends)) <= RATE_HZ
    assert len(ends) <= 15 / min(hop_s, 0.8) + 8  # the file is read in blocks
    source.close()


def test_a_timer_added_again_replaces_the_first_and_has_the_given_phase() -> None:
    woken = threading.Event()
    wakeups = PacedWakeups(slot_s=0.001)
    wakeups.add(woken.set, 1000.0)
    wakeups.add(woken.set, 500.0, origin_s=time.monotonic() - 499.9)
    assert woken.wait(400)
    wakeups.remove(woken.set)


def test_a_paced_source_that_is_not_read_loses_the_oldest_audio_and_counts_it(
    tmp_path: Path,
) -> None:
    clock = Clock()
    settings = WavSettings(paths=(write(tmp_path / "a.wav", 2),), loop=True)
    source = WavSource("pump", settings, RATE_HZ, clock=clock)
    source.open(lambda: None)
    clock.now_s += 60
    chunks = source.read()
    lost = 50 * RATE_HZ
    assert (chunks[0].start, chunks[0].lost_samples) == (lost, lost)
    assert source.health().lost_samples == lost
    assert chunks[-1].start + len(chunks[-1].samples) == 60 * RATE_HZ
    source.close()


def test_a_loop_continues_and_every_repetition_is_a_separate_recording(tmp_path: Path) -> None:
    source = unpaced(write(tmp_path / "a.wav", 0.5), loop=True)
    source.open(lambda: None)
    names: list[str] = []
    while len(set(names)) < 3:
        names += [chunk.recording for chunk in source.read()]
    source.close()
    assert list(dict.fromkeys(names)) == ["a.wav", "a.wav#2", "a.wav#3"]


def test_a_loop_without_a_readable_recording_ends(tmp_path: Path) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no")
    source = unpaced(bad, loop=True)
    assert read_all(source) == []
    assert source.health().state is SourceState.ENDED


def test_the_reader_is_woken_until_the_end(tmp_path: Path) -> None:
    woken = threading.Event()
    settings = WavSettings(paths=(write(tmp_path / "a.wav", 0.6),))
    source = WavSource("pump", settings, RATE_HZ)
    source.open(woken.set)
    received = 0
    while source.health().state is SourceState.RUNNING:
        assert woken.wait(timeout=400)
        woken.clear()
        received += sum(len(chunk.samples) for chunk in source.read())
    assert received == round(0.6 * RATE_HZ)
    assert woken.is_set()  # the end wakes it too


def test_paced_sources_share_one_thread_that_ends_with_the_last(tmp_path: Path) -> None:
    settings = WavSettings(paths=(write(tmp_path / "a.wav", 30),))
    wakeups = PacedWakeups(slot_s=0.001)
    before = threading.active_count()
    sources = [WavSource(str(i), settings, RATE_HZ, wakeups) for i in range(5)]
    listeners = [Listener(source) for source in sources]
    assert threading.active_count() == before + 1
    listeners[0].until_more(1)
    for source in sources:
        source.close()
    listeners[0].until(lambda: threading.active_count() == before, "the end of the thread")


def test_settings_need_a_path() -> None:
    with pytest.raises(ValidationError):
        WavSettings(paths=())


def test_a_recording_whose_channel_is_silent_is_reported_with_the_one_that_has_sound(
    tmp_path: Path,
) -> None:
    sound = noise(3, RATE_HZ, channels=3)
    sound[:, 0] = 0
    sound[:, 1] %= 2  # the noise of an input without a microphone
    soundfile.write(tmp_path / "a.wav", sound, RATE_HZ, subtype="PCM_16")
    source = unpaced(tmp_path / "a.wav")
    read_all(source)
    assert "channel 0 is silent, but channel 2 has sound: use `--channel 2`" in (
        source.health().reason
    )
