"""Parts of a capture process that need no microphone."""

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from asd_monitor.audio.constant_runs import ConstantRun
from asd_monitor.audio.files import RESAMPLE_QUALITY
from asd_monitor.records import SourceState
from asd_monitor.sources.microphone.messages import (
    CapturedAudio,
    CaptureStatus,
    Command,
    MessageReader,
    TrackOptions,
    WindowEnds,
    decode_commands,
    encode_audio,
    encode_command,
    encode_status,
)
from asd_monitor.sources.microphone.resampler import MIN_RESAMPLER_DELAY_SAMPLES
from tests.rig.microphone_process import RATE_HZ


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 32000, 44100, 48000, 96000, 192000])
def test_the_resampler_holds_back_at_least_the_assumed_delay(rate_hz: int) -> None:
    resampler = soxr.ResampleStream(rate_hz, RATE_HZ, 1, quality=RESAMPLE_QUALITY)
    returned = 0
    for block in range(1, 300):
        returned += len(resampler.resample_chunk(np.zeros(rate_hz // 37, np.float32)))
        passed = block * (rate_hz // 37) * RATE_HZ / rate_hz
        assert passed - returned > MIN_RESAMPLER_DELAY_SAMPLES


def test_a_run_of_one_value_is_counted_from_its_start() -> None:
    run = ConstantRun()
    run.update(np.concatenate([np.arange(1.0, 1000.0), np.zeros(5000)]).astype(np.float32))
    assert (run.length, run.value) == (5000, 0)
    run.update(np.zeros(3000, np.float32))
    assert run.length == 8000
    run.update(np.full(3000, 0.5, np.float32))
    assert run.length == 3000
    run.update(np.append(np.zeros(3000), [1.0, 0.0, 0.0]).astype(np.float32))
    assert run.length == 0
    run.update(np.full(3000, np.nan, np.float32))
    assert run.length == 0


@given(end=st.integers(0, 10**9), hop=st.integers(1, 10**6), index=st.integers(0, 10**9))
def test_the_next_window_end_is_the_first_beyond_the_index(end: int, hop: int, index: int) -> None:
    after = WindowEnds(end, hop).after(index)
    assert index < after <= index + hop
    assert (after - end) % hop == 0


def test_commands_are_read_as_they_were_written() -> None:
    commands: list[tuple[int, Command]] = [
        (0, WindowEnds(10**12, 3)),
        (1, TrackOptions("mean", 96_000)),
        (2, TrackOptions(7, 8000)),
        (1, None),
    ]
    assert decode_commands(b"".join(encode_command(*each) for each in commands)) == commands


def test_messages_do_not_depend_on_how_the_bytes_are_split() -> None:
    audio = CapturedAudio(5, 77, 1.0, 2.0, 3.0, np.arange(1000, dtype=np.float32))
    status = CaptureStatus(SourceState.RUNNING, device="pump")
    data = b"".join([*encode_audio(0, audio), *encode_status(1, status)]) * 3
    for size in (1, 7, 4096, len(data)):
        reader = MessageReader()
        parts = [memoryview(data)[start : start + size] for start in range(0, len(data), size)]
        messages = [message for part in parts for message in reader.feed(part)]
        assert messages[1::2] == [(1, status)] * 3
        for track, message in messages[::2]:
            assert track == 0
            assert isinstance(message, CapturedAudio)
            assert (message.start, message.lost_samples) == (5, 77)
            assert np.array_equal(message.samples, audio.samples)
