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
    sample_rate_hz: int = SAMPLE_RATE_HZ
    """Of the sound, and of the models that are fitted to it."""

    def fit(self, name: str, seconds: float, hop_s: float) -> Path:
        """Fit a model with another hop to some seconds of the sound; return its file."""
        sound = make_sound(seconds, self.sample_rate_hz)
        return fit(self.folder / name, sound, hop_s, self.sample_rate_hz)


def prepare(
    folder: Path,
    model: Path | None = None,
    *,
    quick: bool = False,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> BenchFixtures:
    """Write the sound, and fit the quick-start model with a hop of 1 s if no model is given."""
    sound = make_sound(QUICK_SOUND_S if quick else SOUND_S, sample_rate_hz)
    path = folder / "pump.wav"
    write_wav(path, sound, sample_rate_hz)
    if model is None:
        model = fit(folder / "hop-1s.asd", sound, hop_s=1.0, sample_rate_hz=sample_rate_hz)
    return BenchFixtures(folder, path, model, sample_rate_hz)


def make_sound(seconds: float, sample_rate_hz: int = SAMPLE_RATE_HZ) -> FloatArray:
    """Return the pump's sound, ``(n,)`` float32."""
    pump, block = PumpSound(1, sample_rate_hz), round(BLOCK_S * sample_rate_hz)
    blocks = [pump.block(i * block, block) for i in range(round(seconds / BLOCK_S))]
    return np.concatenate(blocks)


def write_wav(path: Path, samples: FloatArray, sample_rate_hz: int = SAMPLE_RATE_HZ) -> None:
    """Write a mono recording with 16 bits per sample."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate_hz)
        file.writeframes((32767 * np.clip(samples, -1, 1)).astype("<i2").tobytes())


def fit(path: Path, sound: FloatArray, hop_s: float, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Path:
    """Fit the quick-start model to the sound, and write its model file."""
    from asd_monitor import model_file, quickstart

    recording = quickstart.Recording("pump", sound)
    fitted = quickstart.fit([recording], target="pump", sample_rate_hz=sample_rate_hz, hop_s=hop_s)
    model_file.save(path, fitted.module, fitted.manifest, normal_sound=fitted.normal_sound)
    return path
