"""The files of the benchmark: a synthetic recording, and models fitted to it."""

import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.records import FloatArray

SAMPLE_RATE_HZ = 16_000
SOUND_S = 120.0
QUICK_SOUND_S = 40.0
BLOCK_S = 1.0


@dataclass(frozen=True, slots=True)
class BenchFixtures:
    """Files in a temporary folder."""

    folder: Path
    sound: Path
    """The demo's pump, longer than any single run plays it."""
    model: Path


def prepare(folder: Path, model: Path | None = None, *, quick: bool = False) -> BenchFixtures:
    """Write the sound, and fit the quick-start model with a hop of 1 s if no model is given."""
    sound = make_sound(QUICK_SOUND_S if quick else SOUND_S)
    path = folder / "pump.wav"
    write_wav(path, sound)
    return BenchFixtures(folder, path, model or fit(folder / "hop-1s.asd", sound, hop_s=1.0))


def make_sound(seconds: float) -> FloatArray:
    """Return the pump's sound, ``(n,)`` float32 at 16 kHz."""
    pump, block = PumpSound(1, SAMPLE_RATE_HZ), round(BLOCK_S * SAMPLE_RATE_HZ)
    blocks = [pump.block(i * block, block) for i in range(round(seconds / BLOCK_S))]
    return np.concatenate(blocks)


def write_wav(path: Path, samples: FloatArray) -> None:
    """Write a mono recording with 16 bits per sample."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes((32767 * np.clip(samples, -1, 1)).astype("<i2").tobytes())


def fit(path: Path, sound: FloatArray, hop_s: float) -> Path:
    """Fit the quick-start model to the sound, and write its model file."""
    from asd_monitor import model_file, quickstart

    recording = quickstart.Recording("pump", sound)
    fitted = quickstart.fit([recording], target="pump", sample_rate_hz=SAMPLE_RATE_HZ, hop_s=hop_s)
    model_file.save(path, fitted.module, fitted.manifest, normal_sound=fitted.normal_sound)
    return path
