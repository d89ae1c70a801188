"""The picture is a valid PNG whose positions are times and frequencies."""

import io

import numpy as np
import pytest
from PIL import Image

from asd_monitor.evidence.picture import (
    HEIGHT,
    WIDTH,
    Mark,
    difference_scale,
    draw_picture,
    level_scale,
    row_levels_db,
    y_fraction,
)
from asd_monitor.normal_sound.band_levels import BandFrames

RATE_HZ = 16_000


def frames_of(frequency_hz: float, seconds: float = 20.0, rate_hz: int = RATE_HZ) -> BandFrames:
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    noise = 0.001 * np.random.default_rng(0).standard_normal(len(time_s))
    sound = noise + 0.1 * np.sin(2 * np.pi * frequency_hz * time_s)
    return BandFrames.of(sound.astype(np.float32), rate_hz)


def test_the_png_is_read_by_another_program_and_carries_its_title() -> None:
    frames = frames_of(1000)
    png = draw_picture(frames, 20.0, level_scale([frames]), title="louder at 1 kHz, by 9 dB")
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.size == (WIDTH, HEIGHT)
    assert image.info["Title"] == "louder at 1 kHz, by 9 dB"
    assert len(png) < 60_000


@pytest.mark.parametrize("frequency_hz", [60, 250, 1000, 7000])
def test_a_tone_is_brightest_at_its_height(frequency_hz: float) -> None:
    levels = row_levels_db(frames_of(frequency_hz))
    row = int(levels.mean(1).argmax())
    assert (row + 0.5) / len(levels) == pytest.approx(y_fraction(frequency_hz, RATE_HZ), abs=0.025)


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("seconds", [0.05, 1.0, 90.0])
def test_any_rate_and_length_can_be_drawn(rate_hz: int, seconds: float) -> None:
    frames = frames_of(500, seconds, rate_hz)
    mark = Mark(10.0, rate_hz, -5.0, seconds + 100)
    png = draw_picture(frames, seconds, level_scale([frames]), [mark], [(0.0, seconds)])
    assert Image.open(io.BytesIO(png)).size == (WIDTH, HEIGHT)


def test_a_mark_frames_its_times_and_frequencies() -> None:
    frames = frames_of(1000)
    scale = level_scale([frames])
    images = [
        np.asarray(Image.open(io.BytesIO(draw_picture(frames, 20.0, scale, marks))).convert("RGB"))
        for marks in ([], [Mark(900, 1100, 5.0, 10.0)])
    ]
    changed = np.argwhere((images[0] != images[1]).any(2))
    top, left = changed.min(0)
    bottom, right = changed.max(0)
    assert left / WIDTH == pytest.approx(0.25, abs=0.01)
    assert right / WIDTH == pytest.approx(0.5, abs=0.01)
    assert 1 - top / HEIGHT == pytest.approx(y_fraction(1100, RATE_HZ), abs=0.025)
    assert 1 - bottom / HEIGHT == pytest.approx(y_fraction(900, RATE_HZ), abs=0.025)


def test_a_faint_line_in_a_quiet_band_is_clearly_brighter_than_normal() -> None:
    time_s = np.arange(20 * RATE_HZ) / RATE_HZ
    spectra = np.fft.rfft(np.random.default_rng(0).standard_normal((2, len(time_s))))
    slope = np.maximum(np.fft.rfftfreq(len(time_s), 1 / RATE_HZ), 30) ** -1.5
    normal, sound = np.fft.irfft(15 * slope * spectra, len(time_s))  # low tones dominate
    line = 0.0003 * np.sin(2 * np.pi * 900 * time_s) * (time_s > 10)
    frames = [BandFrames.of(each.astype(np.float32), RATE_HZ) for each in (sound + line, normal)]
    scale = difference_scale(*frames)
    contrasts = []
    for each in (level_scale(frames), scale):
        positions = each.positions(row_levels_db(frames[0]))
        row = int(y_fraction(900, RATE_HZ) * len(positions))
        half = positions.shape[1] // 2
        line_row = positions[row - 1 : row + 2].max(0)
        contrasts.append(np.median(line_row[half + 5 :]) - np.median(line_row[: half - 5]))
    assert contrasts[1] > max(0.5, 3 * contrasts[0])
    usual = scale.positions(row_levels_db(frames[1]))
    assert np.abs(np.median(usual, axis=1) - 1 / 3).max() < 1e-6  # one colour for all that is usual


def test_silence_can_be_drawn() -> None:
    frames = BandFrames.of(np.zeros(RATE_HZ, np.float32), RATE_HZ)
    assert draw_picture(frames, 1.0, level_scale([frames]))
