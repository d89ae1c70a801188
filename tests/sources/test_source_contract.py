"""The contract of every source."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from asd_monitor.records import SourceState
from asd_monitor.sources import AudioSource
from asd_monitor.sources.microphone.settings import MicrophoneSettings
from asd_monitor.sources.microphone.source import MicrophoneSource
from asd_monitor.sources.wav import WavSettings, WavSource
from tests.rig.listening import Listener, noise
from tests.rig.virtual_microphone import (
    MakeMicrophones,
    VirtualSound,
)

RATE_HZ = 16000
MakeSource = Callable[[], AudioSource]


@pytest.fixture(params=["microphone", "paced recordings", "fast recordings"])
def make_source(
    request: pytest.FixtureRequest, virtual_microphones: MakeMicrophones, tmp_path: Path
) -> Iterator[MakeSource]:
    sources: list[AudioSource] = []
    sound = noise(3, 48000)
    virtual_microphones(pump=VirtualSound(sound, 48000))
    soundfile.write(tmp_path / "pump.wav", sound, 48000)

    def make() -> AudioSource:
        source: AudioSource
        if request.param == "microphone":
            source = MicrophoneSource(
                "pump", MicrophoneSettings(device="pump", latency_s=0.2), RATE_HZ
            )
        else:
            paced = request.param == "paced recordings"
            settings = WavSettings(paths=(tmp_path / "pump.wav",), paced=paced, loop=True)
            source = WavSource("pump", settings, RATE_HZ)
        sources.append(source)
        return source

    yield make
    for source in sources:
        source.close()


def test_chunks_are_mono_float32_read_only_and_contiguous_or_lost(make_source: MakeSource) -> None:
    listener = Listener(make_source())
    health = listener.until_more(RATE_HZ)
    for chunk in listener.chunks:
        assert chunk.samples.dtype == np.float32
        assert chunk.samples.ndim == 1
        assert len(chunk.samples) > 0
        assert not chunk.samples.flags.writeable
        assert np.abs(chunk.samples).max() <= 1.0
    assert listener.chunks[0].start == 0
    assert sum(listener.gaps) == health.lost_samples
    assert health.samples == listener.count


def test_times_of_capture_are_recent_and_in_order(make_source: MakeSource) -> None:
    listener = Listener(make_source())
    listener.until_more(RATE_HZ // 2)
    times = [chunk.captured_at for chunk in listener.chunks]
    assert times == sorted(times)
    assert times[-1] == pytest.approx(time.time(), abs=30)
    assert listener.source.health().last_audio_at == times[-1]


def test_the_health_becomes_running_and_the_reader_is_woken(make_source: MakeSource) -> None:
    source = make_source()
    assert source.health().state is SourceState.OPENING
    listener = Listener(source)
    health = listener.until_state(SourceState.RUNNING)
    assert (health.machine, health.reason) == ("pump", "")
    listener.until(lambda: listener.wakes > 0, "a wake")


def test_close_may_be_called_twice_and_ends_the_threads(make_source: MakeSource) -> None:
    before = threading.active_count()
    listener = Listener(make_source())
    listener.until_more(1)
    listener.source.close()
    listener.source.close()
    assert listener.source.health().state is SourceState.CLOSED
    listener.until(lambda: threading.active_count() <= before, "the end of the threads")


def test_close_may_be_called_before_the_first_audio(make_source: MakeSource) -> None:
    listener = Listener(make_source())
    listener.source.close()
    assert listener.source.health().state is SourceState.CLOSED


def test_close_may_be_called_before_open(make_source: MakeSource) -> None:
    source = make_source()
    source.close()
    assert source.health().state is SourceState.CLOSED
    assert source.read() == []
