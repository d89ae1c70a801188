"""Recordings are read completely and correctly, or refused with the reason."""

import re
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asd_monitor.audio.files import RESAMPLE_QUALITY, iter_recording, read_recording
from asd_monitor.errors import SourceError
from tests.rig.hostile_recordings import RATE_HZ, sound, with_data_size


@pytest.fixture(scope="module")
def wav_bytes(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("wav") / "good.wav"
    soundfile.write(path, sound(), RATE_HZ, subtype="PCM_16")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("container", "subtype", "step"),
    [
        ("WAV", "PCM_U8", 2**-7),
        ("WAV", "PCM_16", 2**-15),
        ("WAV", "PCM_24", 2**-23),
        ("WAV", "PCM_32", 2**-24),
        ("WAV", "FLOAT", 0),
        ("WAV", "DOUBLE", 0),
        ("WAVEX", "PCM_24", 2**-23),
        ("RF64", "PCM_16", 2**-15),
        ("FLAC", "PCM_16", 2**-15),
        ("AIFF", "PCM_16", 2**-15),
    ],
)
def test_every_sample_format_is_read_at_full_scale_1(
    tmp_path: Path, container: str, subtype: str, step: float
) -> None:
    path = tmp_path / "any.wav"
    soundfile.write(path, sound(), RATE_HZ, subtype=subtype, format=container)
    samples = read_recording(path, RATE_HZ)
    assert samples.dtype == np.float32
    np.testing.assert_allclose(samples, sound()[:, 0], atol=1.01 * step, rtol=0)


@pytest.mark.parametrize("channel", [0, 3, 7])
def test_one_channel_is_read_and_none_are_mixed(tmp_path: Path, channel: int) -> None:
    path = tmp_path / "eight.wav"
    soundfile.write(path, sound(channels=8), RATE_HZ, subtype="FLOAT")
    samples = read_recording(path, RATE_HZ, channel)
    np.testing.assert_array_equal(samples, sound(channels=8)[:, channel])


@pytest.mark.parametrize("channel", [2, -1])
def test_a_missing_channel_is_refused(tmp_path: Path, channel: int) -> None:
    soundfile.write(tmp_path / "two.wav", sound(channels=2), RATE_HZ)
    with pytest.raises(SourceError, match=f"no channel {channel}: it has 2"):
        read_recording(tmp_path / "two.wav", RATE_HZ, channel)


@pytest.mark.parametrize("block_frames", [37, 1000, 65_536])
@pytest.mark.parametrize("rate_hz", [8000, 16_000, 22_050, 44_100, 48_000])
def test_samples_do_not_depend_on_the_blocks_and_equal_one_resampling(
    tmp_path: Path, rate_hz: int, block_frames: int
) -> None:
    path = tmp_path / "other_rate.wav"
    samples = sound(rate_hz)[:, 0]
    soundfile.write(path, samples, rate_hz, subtype="FLOAT")
    blocks = list(iter_recording(path, RATE_HZ, block_frames=block_frames))
    at_once = soxr.resample(samples, rate_hz, RATE_HZ, quality=RESAMPLE_QUALITY)
    np.testing.assert_array_equal(np.concatenate(blocks), at_once)
    np.testing.assert_array_equal(read_recording(path, RATE_HZ), at_once)


def test_a_long_recording_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    soundfile.write(path, np.zeros(3600 * RATE_HZ // 4, np.int16), RATE_HZ)
    tracemalloc.start()
    count = sum(len(block) for block in iter_recording(path, 2 * RATE_HZ))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert count == 2 * 3600 * RATE_HZ // 4
    assert peak_bytes < count  # a quarter of its samples


@pytest.mark.parametrize(
    ("container", "subtype"),
    [
        ("WAV", "PCM_16"),
        ("WAV", "PCM_24"),
        ("WAV", "FLOAT"),
        ("WAV", "IMA_ADPCM"),
        ("RF64", "PCM_16"),
        ("AIFF", "PCM_16"),
        ("FLAC", "PCM_16"),
    ],
)
@pytest.mark.parametrize("fraction", [0.3, 0.9])
def test_a_truncated_recording_is_refused(
    tmp_path: Path, container: str, subtype: str, fraction: float
) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, sound(), RATE_HZ, subtype=subtype, format=container)
    content = path.read_bytes()
    path.write_bytes(content[: int(fraction * len(content))])
    with pytest.raises(SourceError, match=r"short\.wav: (cut short|cannot be read as audio)"):
        read_recording(path, RATE_HZ)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF])
def test_a_recording_written_to_a_pipe_is_read_to_its_end(
    tmp_path: Path, wav_bytes: bytes, size: int
) -> None:
    (tmp_path / "piped.wav").write_bytes(with_data_size(wav_bytes, size))
    assert len(read_recording(tmp_path / "piped.wav", RATE_HZ)) == RATE_HZ


@pytest.mark.parametrize("size", [44, 45])
def test_an_empty_recording_is_refused(tmp_path: Path, wav_bytes: bytes, size: int) -> None:
    path = tmp_path / "empty.wav"
    path.write_bytes(with_data_size(wav_bytes, 0))
    with pytest.raises(SourceError, match="holds no sound"):
        read_recording(path, RATE_HZ)
    path.write_bytes(wav_bytes[:size])
    with pytest.raises(SourceError, match="holds no sound"):
        read_recording(path, RATE_HZ)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    samples = sound()
    samples[12_345] = value
    soundfile.write(tmp_path / "nan.wav", samples, RATE_HZ, subtype="FLOAT")
    with pytest.raises(SourceError, match="not finite"):
        read_recording(tmp_path / "nan.wav", RATE_HZ)


@pytest.mark.parametrize("rate_hz", [1, 999, 768_001, 2_000_000])
def test_rates_out_of_range_are_refused(tmp_path: Path, wav_bytes: bytes, rate_hz: int) -> None:
    content = bytearray(wav_bytes)
    content[24:28] = struct.pack("<I", rate_hz)
    (tmp_path / "rate.wav").write_bytes(content)
    with pytest.raises(SourceError, match=f"found {rate_hz} Hz"):
        read_recording(tmp_path / "rate.wav", RATE_HZ)


def test_a_recording_shorter_than_the_minimum_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "brief.wav", sound(8000), RATE_HZ)
    with pytest.raises(SourceError, match=r"expected at least 1 s \(one window\), found 0.5 s"):
        read_recording(tmp_path / "brief.wav", RATE_HZ, min_samples=RATE_HZ)


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.wav", b""), ("a.wav", b"hello"), ("a.txt", b"x" * 5000), ("a.raw", b"\0" * 5000)],
)
def test_files_without_audio_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=rf"{re.escape(name)}'?: cannot be read as audio"):
        read_recording(tmp_path / name, RATE_HZ)


def test_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="found nothing there"):
        read_recording(tmp_path / "missing.wav", RATE_HZ)
    with pytest.raises(SourceError, match="found a folder"):
        read_recording(tmp_path, RATE_HZ)
    with pytest.raises(SourceError, match="found nothing there"):
        read_recording("a\0b.wav", RATE_HZ)


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(0, 60), value=st.integers(0, 255), length=st.integers(0, 32_044))
def test_a_damaged_header_raises_nothing_but_a_source_error(
    tmp_path: Path, wav_bytes: bytes, offset: int, value: int, length: int
) -> None:
    content = bytearray(wav_bytes)
    content[offset] = value
    path = tmp_path / "damaged.wav"
    for damaged in (content, content[:length]):
        path.write_bytes(damaged)
        try:
            samples = read_recording(path, RATE_HZ)
        except SourceError as error:
            assert str(path) in str(error)  # noqa: PT017 - both outcomes are correct
        else:
            assert np.all(np.isfinite(samples))
            assert len(samples) > 0
