"""The acoustic path from machine to microphone, and the factory noise around it."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from asd_monitor.synthesis.signals import DoubleArray, ringing, shaped_noise, superpose_events


@lru_cache(maxsize=16)
def microphone_response(room_seed: int, n_samples: int, sample_rate_hz: int) -> DoubleArray:
    """Return the microphone's gain per bin: a high-pass with smooth deviations of a few dB."""
    rng = np.random.default_rng((room_seed, 1))
    frequency_hz = np.fft.rfftfreq(n_samples, 1.0 / sample_rate_hz)
    corner_hz = rng.uniform(50.0, 110.0)
    octave = np.log2(np.maximum(frequency_hz, 20.0) / 20.0)
    uneven_db = np.interp(octave, np.arange(10), rng.normal(0.0, 2.0, 10))
    bass = frequency_hz**2 / (frequency_hz**2 + corner_hz**2)
    return np.asarray(bass * 10.0 ** (uneven_db / 20.0))


@lru_cache(maxsize=16)
def room_response(
    room_seed: int, n_samples: int, sample_rate_hz: int
) -> npt.NDArray[np.complex128]:
    """Return the room's transfer function: direct sound, early reflections and a decaying tail."""
    rng = np.random.default_rng((room_seed, 2))
    decay_s = rng.uniform(0.2, 0.55)
    length = min(n_samples, int(decay_s * sample_rate_hz))
    time_s = np.arange(length) / sample_rate_hz
    response = rng.standard_normal(length) * 10.0 ** (-3.0 * time_s / decay_s)
    response *= 0.45 * 10.0 ** (rng.uniform(-3.0, 3.0) / 20.0) / np.sqrt(np.sum(response**2))
    response[0] += 1.0
    for _ in range(6):
        response[int(rng.uniform(0.002, 0.03) * sample_rate_hz) % length] += rng.normal(0.0, 0.25)
    return np.fft.rfft(response, n_samples)


def apply_room(sound: DoubleArray, room_seed: int, sample_rate_hz: int) -> DoubleArray:
    """Return a sound as the microphone records it across the room.

    The convolution is circular, so the clip starts with the reverberation of its own end
    instead of with silence.
    """
    spectrum = np.fft.rfft(sound)
    spectrum *= room_response(room_seed, sound.size, sample_rate_hz)
    spectrum *= microphone_response(room_seed, sound.size, sample_rate_hz)
    return np.fft.irfft(spectrum, sound.size)


def factory_noise(
    hall_seed: int, room_seed: int, n_samples: int, sample_rate_hz: int, rng: np.random.Generator
) -> DoubleArray:
    """Return the background noise of a factory hall at RMS 1: machines, murmur, occasional clanks.

    Parameters
    ----------
    hall_seed
        Determines the hall: its spectrum, the tones of other machines, the kind of events.
    room_seed
        Determines the microphone's frequency response.
    rng
        Source of everything that differs from clip to clip.
    """
    hall = np.random.default_rng((hall_seed, 3))
    tilt = hall.uniform(0.6, 1.3)
    corners = {60.0: 0.0, 300.0: -5.0, 1000.0: -11.0, 3000.0: -19.0, 8000.0: -27.0}
    spectrum = {f: tilt * level + hall.normal(0.0, 2.0) for f, level in corners.items()}
    sound = shaped_noise(rng, n_samples, sample_rate_hz, spectrum)
    knots = n_samples // sample_rate_hz * 2 + 4
    position = np.linspace(0, knots - 1, n_samples)
    sound *= 1.0 + 0.25 * np.interp(position, np.arange(knots), rng.uniform(-1, 1, knots))
    time_s = np.arange(n_samples) / sample_rate_hz
    for tone_hz in hall.uniform(80.0, 700.0, 3):
        level = 0.15 * hall.uniform(0.3, 1.0) * rng.uniform(0.5, 1.2)
        pitch_hz = tone_hz * rng.uniform(0.995, 1.005)
        cycles = ((pitch_hz * time_s + rng.uniform()) % 1.0).astype(np.float32)
        sound += level * np.sin(2 * np.pi * cycles)
    modes = [(hall.uniform(300, 900), 0.06, 1.0), (hall.uniform(1200, 3000), 0.02, 0.5)]
    clank = ringing(sample_rate_hz, modes, 0.3)
    count = rng.poisson(0.15 * n_samples / sample_rate_hz)
    events = superpose_events(
        n_samples, rng.integers(0, n_samples, count), rng.uniform(0.3, 2.0, count), clank
    )
    recorded_spectrum = np.fft.rfft(sound + events)
    recorded_spectrum *= microphone_response(room_seed, n_samples, sample_rate_hz)
    sound = np.fft.irfft(recorded_spectrum, n_samples)
    return np.asarray(sound / np.std(sound))
