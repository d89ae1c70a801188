"""The microphone source, against the real PortAudio and a virtual microphone."""

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from asd_monitor.recordings import RESAMPLE_QUALITY
from asd_monitor.records import SourceState
from asd_monitor.sources.capture_messages import (
    CapturedAudio,
    CaptureStatus,
    MessageReader,
    WindowEnds,
    encode_audio,
    encode_status,
)
from asd_monitor.sources.devices import list_microphones
from asd_monitor.sources.microphone import MicrophoneSettings, MicrophoneSource
from asd_monitor.sources.model_rate import HELD_BACK_SAMPLES, ConstantRun
from tests.rig.listening import Listener, Score, noise
from tests.rig.virtual_microphone import (
    MakeMicrophones,
    VirtualSound,
    virtual_microphone_plugin,
    virtual_microphones,
)

__all__ = ["virtual_microphone_plugin", "virtual_microphones"]

RATE_HZ = 16000
TOLERANCE = round(0.05 * RATE_HZ)


@contextmanager
def listening(device: str | int, **settings: object) -> Iterator[Listener]:
    chosen = MicrophoneSettings.model_validate({"device": device, "latency_s": 0.3, **settings})
    source = MicrophoneSource("pump", chosen, RATE_HZ)
    try:
        yield Listener(source)
    finally:
        source.close()


def capture_process(parent: int | None = None) -> psutil.Process:
    (child,) = (
        process
        for process in psutil.Process(parent).children(recursive=True)
        if "asd_monitor.sources.capture_process" in process.cmdline()
    )
    return child


def assert_start_tells_the_true_place(listener: Listener, sound: Score) -> None:
    assert max(abs(error) for error in sound.errors(listener.chunks)) < TOLERANCE


def assert_every_loss_is_counted_once(listener: Listener) -> None:
    health = listener.source.health()
    assert health.samples == listener.count
    assert health.lost_samples == sum(listener.jumps)


def test_audio_at_the_models_rate_arrives_bit_exact(virtual_microphones: MakeMicrophones) -> None:
    sound = noise(10, RATE_HZ)
    virtual_microphones(pump=VirtualSound(sound, RATE_HZ))
    with listening("pump") as listener:
        health = listener.until_more(RATE_HZ)
    assert listener.jumps == []
    np.testing.assert_array_equal(
        listener.samples, sound[: listener.count].astype(np.float32) / 32768
    )
    assert (health.state, health.reason, health.device) == (SourceState.RUNNING, "", "pump")
    assert health.last_audio_at == pytest.approx(time.time(), abs=30)


def test_another_rate_is_converted_like_the_whole_at_once(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound = noise(10, 48000)
    virtual_microphones(pump=VirtualSound(sound, 48000))
    with listening("pump") as listener:
        listener.until_more(RATE_HZ)
    whole = soxr.resample(sound.astype(np.float32) / 32768, 48000, RATE_HZ, quality="HQ")
    count = listener.count - RATE_HZ // 10  # the end was cut off by closing
    np.testing.assert_array_equal(listener.samples[:count], whole[:count])


def test_channels_are_chosen_or_averaged_and_microphones_do_not_mix(
    virtual_microphones: MakeMicrophones,
) -> None:
    two, one = noise(10, RATE_HZ, channels=2), noise(10, RATE_HZ, seed=1)
    virtual_microphones(fan=VirtualSound(two, RATE_HZ), pump=VirtualSound(one, RATE_HZ))
    with (
        listening("fan", channel=1) as right,
        listening("fan", channel="mean") as mean,
        listening("pump") as other,
    ):
        for listener in (right, mean, other):
            listener.until_more(RATE_HZ // 2)
    float_two = two.astype(np.float32) / 32768
    first = Score(two[:, 1]).position(right.samples)
    np.testing.assert_array_equal(right.samples, float_two[first : first + right.count, 1])
    averaged = float_two.mean(axis=1)
    first = int(np.flatnonzero(averaged == mean.samples[0])[0])
    np.testing.assert_allclose(mean.samples, averaged[first : first + mean.count], atol=1e-7)
    np.testing.assert_array_equal(other.samples, one[: other.count].astype(np.float32) / 32768)


def test_an_unplugged_microphone_is_missing_comes_back_and_disturbs_no_other(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound, other_sound = noise(60, RATE_HZ), noise(60, RATE_HZ, seed=1)
    mics = virtual_microphones(
        pump=VirtualSound(sound, RATE_HZ), fan=VirtualSound(other_sound, RATE_HZ)
    )
    with listening("pump") as listener, listening("fan") as other:
        listener.until_more(RATE_HZ // 2)
        mics["pump"].unplug()
        health = listener.until_state(SourceState.MISSING)
        assert "'pump' is not there" in health.reason
        assert "'fan'" in health.reason
        mics["pump"].heal()
        listener.until_state(SourceState.RUNNING)
        health = listener.until_more(RATE_HZ // 2)
        other.until_more(1)
    assert health.reopens >= 1
    assert_start_tells_the_true_place(listener, Score(sound))
    assert_every_loss_is_counted_once(listener)
    assert sum(listener.jumps) > RATE_HZ
    assert other.jumps == []
    np.testing.assert_array_equal(
        other.samples, other_sound[: other.count].astype(np.float32) / 32768
    )


def test_a_microphone_missing_at_start_is_found_when_it_appears(
    virtual_microphones: MakeMicrophones,
) -> None:
    mics = virtual_microphones(pump=VirtualSound(noise(10, RATE_HZ), RATE_HZ, plugged=False))
    with listening("pump") as listener:
        health = listener.until_state(SourceState.MISSING)
        assert "'pump' is not there" in health.reason
        assert health.last_audio_at is None
        mics["pump"].heal()
        listener.until_state(SourceState.RUNNING)
        health = listener.until_more(RATE_HZ // 4)
    assert (health.lost_samples, health.reopens) == (0, 0)
    assert listener.chunks[0].start == 0


def test_a_frozen_microphone_is_told_and_its_pause_is_lost_audio(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound = noise(60, RATE_HZ)
    mics = virtual_microphones(pump=VirtualSound(sound, RATE_HZ))
    with listening("pump") as listener:
        listener.until_more(RATE_HZ // 2)
        mics["pump"].freeze()
        health = listener.until_state(SourceState.FROZEN)
        assert "delivered nothing" in health.reason
        mics["pump"].heal()
        listener.until_state(SourceState.RUNNING)
        listener.until_more(RATE_HZ)
    assert_start_tells_the_true_place(listener, Score(sound))
    assert_every_loss_is_counted_once(listener)


def test_digital_silence_is_told_and_loses_nothing(virtual_microphones: MakeMicrophones) -> None:
    sound = noise(60, RATE_HZ)
    mics = virtual_microphones(pump=VirtualSound(sound, RATE_HZ))
    with listening("pump") as listener:
        listener.until_more(RATE_HZ // 4)
        mics["pump"].mute()
        health = listener.until_state(SourceState.SILENT)
        assert "every sample is 0" in health.reason
        mics["pump"].heal()
        listener.until_state(SourceState.RUNNING)
    assert listener.jumps == []


def test_a_stuck_value_is_silence_too(virtual_microphones: MakeMicrophones) -> None:
    virtual_microphones(pump=VirtualSound(np.full(RATE_HZ, 77, np.int16), RATE_HZ))
    with listening("pump") as listener:
        listener.until_state(SourceState.SILENT)


def test_a_replaced_sound_is_heard_without_a_gap(virtual_microphones: MakeMicrophones) -> None:
    mics = virtual_microphones(pump=VirtualSound(noise(10, RATE_HZ), RATE_HZ))
    with listening("pump") as listener:
        listener.until_more(RATE_HZ // 4)
        mics["pump"].replace_sound(np.array([100, -100] * 100, np.int16))
        listener.until(lambda: bool((abs(listener.samples[-200:]) < 0.01).all()), "the new sound")
    assert listener.jumps == []


def test_audio_lost_by_a_stall_is_counted_by_the_clock(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound = noise(60, RATE_HZ)
    virtual_microphones(pump=VirtualSound(sound, RATE_HZ))
    with listening("pump", latency_s=0.5) as listener:
        listener.until_more(RATE_HZ)
        stalled = capture_process()
        stalled.suspend()
        time.sleep(1.3)
        stalled.resume()
        health = listener.until(lambda: bool(listener.jumps), "a gap")
        health = listener.until_more(RATE_HZ)
    assert health.overflows >= 1
    assert health.reopens == 0
    assert len(listener.jumps) == 1
    assert_start_tells_the_true_place(listener, Score(sound))
    assert_every_loss_is_counted_once(listener)


def test_a_stall_shorter_than_the_latency_loses_nothing(
    virtual_microphones: MakeMicrophones,
) -> None:
    sound = noise(60, RATE_HZ)
    virtual_microphones(pump=VirtualSound(sound, RATE_HZ))
    with listening("pump", latency_s=2.0) as listener:
        listener.until_more(RATE_HZ)
        stalled = capture_process()
        stalled.suspend()
        time.sleep(0.8)
        stalled.resume()
        listener.until_more(2 * RATE_HZ)
    assert listener.jumps == []
    np.testing.assert_array_equal(
        listener.samples, sound[: listener.count].astype(np.float32) / 32768
    )


def test_audio_comes_with_the_windows_that_it_completes(
    virtual_microphones: MakeMicrophones,
) -> None:
    """Callbacks come every 75 ms; a process woken by each would send 13 pieces a second."""
    virtual_microphones(pump=VirtualSound(noise(20, 48000), 48000))
    with listening("pump") as listener:
        listener.until_more(1)
        listener.source.expect_windows(end := listener.count + 777, RATE_HZ)
        listener.until_more(RATE_HZ)
        first = len(listener.chunks)
        listener.until_more(4 * RATE_HZ)
        ends = [chunk.start + len(chunk.samples) - end for chunk in listener.chunks[first - 1 :]]
        completing = [b // RATE_HZ > a // RATE_HZ for a, b in itertools.pairwise(ends)]
        assert sum(completing) > len(completing) / 2
        assert_every_loss_is_counted_once(listener)


def test_a_capture_process_that_is_started_again_knows_the_windows(
    virtual_microphones: MakeMicrophones,
) -> None:
    virtual_microphones(pump=VirtualSound(noise(20, 48000), 48000))
    with listening("pump") as listener:
        listener.source.expect_windows(RATE_HZ, RATE_HZ)
        listener.until_more(1)
        capture_process().kill()
        listener.until(lambda: listener.source.health().reopens > 0, "the next process")
        assert '"window_ends": [16000, 16000]' in capture_process().cmdline()[-1]
        listener.until_more(2 * RATE_HZ)
        assert_every_loss_is_counted_once(listener)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 32000, 44100, 48000, 96000, 192000])
def test_the_resampler_holds_back_what_frames_for_counts_on(rate_hz: int) -> None:
    resampler = soxr.ResampleStream(rate_hz, RATE_HZ, 1, quality=RESAMPLE_QUALITY)
    came = 0
    for block in range(1, 300):
        came += len(resampler.resample_chunk(np.zeros(rate_hz // 37, np.float32)))
        assert block * (rate_hz // 37) * RATE_HZ / rate_hz - came > HELD_BACK_SAMPLES


def test_a_run_of_one_value_is_counted_from_where_it_begins() -> None:
    run = ConstantRun()
    run.observe(np.concatenate([np.arange(1.0, 1000.0), np.zeros(5000)]).astype(np.float32))
    assert (run.frames, run.value) == (5000, 0)
    run.observe(np.zeros(3000, np.float32))
    assert run.frames == 8000
    run.observe(np.full(3000, 0.5, np.float32))
    assert run.frames == 3000
    run.observe(np.append(np.zeros(3000), [1.0, 0.0, 0.0]).astype(np.float32))
    assert run.frames == 0
    run.observe(np.full(3000, np.nan, np.float32))
    assert run.frames == 0


@given(end=st.integers(0, 10**9), hop=st.integers(1, 10**6), index=st.integers(0, 10**9))
def test_the_next_window_end_is_the_first_beyond(end: int, hop: int, index: int) -> None:
    after = WindowEnds(end, hop).after(index)
    assert index < after <= index + hop
    assert (after - end) % hop == 0
    data = WindowEnds(1, 2).encode() + WindowEnds(end, hop).encode()
    assert WindowEnds.newest(data) == WindowEnds(end, hop)


def test_messages_are_the_same_however_they_were_chopped() -> None:
    audio = CapturedAudio(5, 1.0, 2.0, 3.0, np.arange(1000, dtype=np.float32))
    status = CaptureStatus(SourceState.RUNNING, device="pump")
    data = b"".join([*encode_audio(audio), *encode_status(status)]) * 3
    for size in (1, 7, 4096, len(data)):
        reader = MessageReader()
        pieces = [memoryview(data)[at : at + size] for at in range(0, len(data), size)]
        messages = [each for piece in pieces for each in reader.feed(piece)]
        assert messages[1::2] == [status] * 3
        for each in messages[::2]:
            assert isinstance(each, CapturedAudio)
            assert each.start == 5
            assert np.array_equal(each.samples, audio.samples)


def test_a_killed_capture_process_is_started_again(virtual_microphones: MakeMicrophones) -> None:
    sound = noise(60, RATE_HZ)
    virtual_microphones(pump=VirtualSound(sound, RATE_HZ))
    with listening("pump") as listener:
        listener.until_more(RATE_HZ // 2)
        killed = capture_process()
        killed.kill()
        health = listener.until_state(SourceState.MISSING)
        assert "exit code -9" in health.reason
        listener.until_state(SourceState.RUNNING)
        health = listener.until_more(RATE_HZ // 2)
        assert capture_process() != killed
    assert health.reopens == 1
    assert_start_tells_the_true_place(listener, Score(sound))
    assert_every_loss_is_counted_once(listener)


def test_a_hanging_capture_process_is_replaced(virtual_microphones: MakeMicrophones) -> None:
    virtual_microphones(pump=VirtualSound(noise(60, RATE_HZ), RATE_HZ))
    with listening("pump") as listener:
        listener.until_more(RATE_HZ // 4)
        hanging = capture_process()
        hanging.suspend()
        health = listener.until_state(SourceState.FROZEN)
        assert "does not answer" in health.reason
        listener.until_state(SourceState.MISSING)
        listener.until_state(SourceState.RUNNING)
        assert not hanging.is_running()


def test_a_reader_that_does_not_come_loses_the_oldest_audio_and_sees_the_gap(
    virtual_microphones: MakeMicrophones, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asd_monitor.sources.microphone.QUEUE_S", 0.5)
    sound = noise(60, RATE_HZ)
    virtual_microphones(pump=VirtualSound(sound, RATE_HZ))
    with listening("pump") as listener:
        listener.until_more(1)
        listener.until(lambda: listener.source.health().lost_samples == 0, "nothing lost")
        while listener.source.health().lost_samples == 0:
            time.sleep(0.05)
        listener.until_more(RATE_HZ // 4)
    assert Score(sound).errors(listener.chunks) == [0] * len(listener.chunks)
    assert_every_loss_is_counted_once(listener)


def test_a_pinned_index_never_means_another_microphone(
    virtual_microphones: MakeMicrophones,
) -> None:
    mics = virtual_microphones(
        pump=VirtualSound(noise(20, RATE_HZ), RATE_HZ),
        fan=VirtualSound(noise(20, RATE_HZ, seed=1), RATE_HZ),
    )
    first = {each.name: each.index for each in list_microphones()}["pump"]
    with listening(first) as listener:
        listener.until_more(RATE_HZ // 4)
        mics["pump"].unplug()  # now the fan's microphone has its index
        health = listener.until_state(SourceState.MISSING)
    assert health.device == "pump"
    assert "'alsa:pump' is not there" in health.reason


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"rate_hz": 44100}, "cannot be opened at 44100 Hz; its own rate is 16000 Hz"),
        ({"channel": 2}, "has no channel 2 (from 0): it has 1"),
    ],
)
def test_what_the_device_does_not_offer_is_told_in_plain_words(
    virtual_microphones: MakeMicrophones, settings: dict[str, object], reason: str
) -> None:
    virtual_microphones(pump=VirtualSound(noise(1, RATE_HZ), RATE_HZ))
    with listening("pump", **settings) as listener:
        assert reason in listener.until_state(SourceState.MISSING).reason


def test_the_capture_process_ends_with_the_monitor(
    virtual_microphones: MakeMicrophones, tmp_path: Path
) -> None:
    mics = virtual_microphones(pump=VirtualSound(noise(10, RATE_HZ), RATE_HZ))
    script = tmp_path / "monitor.py"
    script.write_text(
        "import time\n"
        "from asd_monitor.sources.microphone import MicrophoneSettings, MicrophoneSource\n"
        "source = MicrophoneSource('pump', MicrophoneSettings(device='pump'), 16000)\n"
        "source.open(lambda: None)\n"
        "while not source.read():\n"
        "    time.sleep(0.05)\n"
        "print('heard', flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, script],
        env=mics.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as monitor:
        assert monitor.stdout is not None
        assert monitor.stderr is not None
        assert monitor.stdout.readline() == "heard\n"
        child = capture_process(monitor.pid)
        child.suspend()  # even one that cannot notice by itself
        os.kill(monitor.pid, signal.SIGKILL)
        psutil.wait_procs([child], timeout=20)
        assert not child.is_running()
        assert monitor.stderr.read() == ""


@pytest.mark.parametrize(
    "wrong", [{"device": "x", "latency_s": 9}, {"device": "x", "chanel": 1}, {"channel": 0}]
)
def test_wrong_settings_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MicrophoneSettings.model_validate(wrong)


def test_a_number_in_text_is_an_index() -> None:
    assert MicrophoneSettings(device="3").device == 3


def test_the_capture_process_stays_small() -> None:
    script = (
        "import sys, asd_monitor.sources.capture_process\n"
        "print(sorted({'torch', 'pydantic', 'sounddevice', 'soundfile'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed == "[]\n"
