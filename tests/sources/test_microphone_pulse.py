"""The microphone source on a sound server, which hides a lost microphone behind silence."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from asd_monitor.records import SourceState
from asd_monitor.sources.microphone.settings import MicrophoneSettings
from asd_monitor.sources.microphone.source import MicrophoneSource
from tests.rig.listening import Listener
from tests.rig.pulse_server import PulseServer, pulse_server

RATE_HZ = 16000


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PulseServer]:
    with tempfile.TemporaryDirectory() as short, pulse_server(Path(short), ["vmic", "other"]) as it:
        for name in ("ALSA_CONFIG_PATH", "PULSE_SERVER", "XDG_RUNTIME_DIR"):
            monkeypatch.setenv(name, it.environment[name])
        it.play_noise("vmic")
        yield it


@pytest.mark.soak
def test_a_stream_that_was_moved_to_a_silent_source_is_noticed_and_brought_back(
    server: PulseServer,
) -> None:
    settings = MicrophoneSettings(device="vmic", latency_s=0.3)
    source = MicrophoneSource("pump", settings, RATE_HZ)
    try:
        listener = Listener(source)
        listener.until_more(RATE_HZ)
        server.stop_playing()
        server.unload_sinks("vmic")
        assert "digital silence" in listener.until_state(SourceState.SILENT).reason
        server.load_sink("vmic")
        server.play_noise("vmic")
        health = listener.until_state(SourceState.RUNNING)
        assert health.reopens >= 1
        health = listener.until_more(RATE_HZ // 2)
        assert health.lost_samples == sum(listener.gaps)
    finally:
        source.close()


@pytest.mark.soak
def test_a_sound_server_that_ends_is_a_missing_microphone(server: PulseServer) -> None:
    source = MicrophoneSource("pump", MicrophoneSettings(device="vmic", latency_s=0.3), RATE_HZ)
    try:
        listener = Listener(source)
        listener.until_more(RATE_HZ // 2)
        server.close()
        assert "vmic" in listener.until_state(SourceState.MISSING).reason
    finally:
        source.close()
