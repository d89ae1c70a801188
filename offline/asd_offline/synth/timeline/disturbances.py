"""Sounds of the surroundings that are no faults: speech, knocks and passing vehicles."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from asd_monitor.synthesis.signals import DoubleArray, ringing, shaped_noise

FORMANTS_HZ = ((730.0, 1090.0), (270.0, 2290.0), (300.0, 870.0), (530.0, 1840.0), (570.0, 840.0))
"""First two formants of five vowels (Peterson and Barney, 1952)."""


@dataclass(frozen=True, slots=True)
class Disturbance:
    """One occurrence."""

    start_s: float
    duration_s: float
    kind: str
    level_db: float
    """RMS relative to the machine at full load."""
    seed: tuple[int, ...]


def speech(n_samples: int, rate_hz: int, rng: np.random.Generator) -> DoubleArray:
    """Return speech-like sound: voiced syllables at four per second, with pauses."""
    time_s = np.arange(n_samples) / rate_hz
    syllables = int(4 * n_samples / rate_hz) + 2
    pitch_hz = rng.uniform(95.0, 210.0) * (
        1.0 + 0.15 * np.interp(time_s * 4, np.arange(syllables), rng.normal(0, 0.7, syllables))
    )
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    vowels = rng.integers(0, len(FORMANTS_HZ), syllables)
    voiced = (rng.uniform(size=syllables) > 0.25).astype(float)
    index = np.minimum((time_s * 4).astype(int), syllables - 1)
    formants_hz = [np.array(FORMANTS_HZ)[vowels[index], number] for number in (0, 1)]
    sound = np.zeros(n_samples)
    for order in range(1, int(0.45 * rate_hz / 260.0)):
        frequency_hz = order * pitch_hz
        gain = sum(1.0 / (1.0 + ((frequency_hz - formant) / 90.0) ** 2) for formant in formants_hz)
        sound += gain * np.sin(order * phase) / order**0.5
    envelope = voiced[index] * np.sin(np.pi * ((time_s * 4) % 1.0)) ** 2
    return np.asarray(sound * envelope)


def knocks(n_samples: int, rate_hz: int, rng: np.random.Generator) -> DoubleArray:
    """Return a few blows of a hammer, or of a part that falls."""
    modes = [(rng.uniform(300, 900), 0.04, 0.8), (rng.uniform(1200, 4000), 0.015, 1.0)]
    blow = ringing(rate_hz, modes, 0.2)
    sound = np.zeros(n_samples + blow.size)
    for start in rng.integers(0, n_samples, int(rng.integers(1, 6))):
        sound[start : start + blow.size] += rng.uniform(0.4, 1.0) * blow
    return sound[:n_samples]


def vehicle(n_samples: int, rate_hz: int, rng: np.random.Generator) -> DoubleArray:
    """Return a passing truck: low noise that swells and fades."""
    spectrum = {40.0: 0.0, 150.0: 0.0, 500.0: -9.0, 2000.0: -22.0, 8000.0: -40.0}
    noise = shaped_noise(rng, n_samples, rate_hz, spectrum)
    return np.asarray(noise * np.hanning(n_samples))


DISTURBANCES: dict[str, Callable[[int, int, np.random.Generator], DoubleArray]] = {
    "speech": speech,
    "knocks": knocks,
    "vehicle": vehicle,
}
"""Every kind: from a number of samples, a rate in Hz and a generator to sound ``(n,)``."""

OCCURRENCE: dict[str, tuple[float, tuple[float, float], tuple[float, float]]] = {
    "speech": (6.0, (4.0, 20.0), (-15.0, -3.0)),
    "knocks": (12.0, (0.5, 3.0), (-12.0, 0.0)),
    "vehicle": (3.0, (15.0, 40.0), (-9.0, 0.0)),
}
"""Times per hour, duration in s and level in dB of each kind."""


def plan_disturbances(duration_s: float, seed: tuple[int, ...]) -> list[Disturbance]:
    """Draw the disturbances of a stream, in no particular order."""
    planned = []
    for number, (kind, (per_hour, lengths_s, levels_db)) in enumerate(OCCURRENCE.items()):
        rng = np.random.default_rng((*seed, 5, number))
        for index in range(rng.poisson(per_hour * duration_s / 3600)):
            planned.append(
                Disturbance(
                    float(rng.uniform(0, duration_s)),
                    float(rng.uniform(*lengths_s)),
                    kind,
                    float(rng.uniform(*levels_db)),
                    (*seed, 6, number, index),
                )
            )
    return planned


def add_disturbances(
    sound: DoubleArray, start_s: float, rate_hz: int, planned: list[Disturbance], rms: float
) -> None:
    """Add to a block, which starts at ``start_s``, the disturbances that fall into it.

    Parameters
    ----------
    sound
        ``(n,)``, changed in place.
    start_s
        Start of the block in the stream.
    rate_hz
        Sample rate.
    planned
        Disturbances of the stream.
    rms
        RMS of the machine at full load.
    """
    first = round(start_s * rate_hz)
    for event in _overlapping(planned, start_s, start_s + sound.size / rate_hz):
        begin, length = round(event.start_s * rate_hz), round(event.duration_s * rate_hz)
        made = DISTURBANCES[event.kind](length, rate_hz, np.random.default_rng(event.seed))
        made *= rms * 10.0 ** (event.level_db / 20.0) / max(float(np.std(made)), 1e-12)
        low, high = max(begin, first), min(begin + length, first + sound.size)
        sound[low - first : high - first] += made[low - begin : high - begin]


def _overlapping(planned: list[Disturbance], start_s: float, end_s: float) -> Iterator[Disturbance]:
    for event in planned:
        if event.start_s < end_s and event.start_s + event.duration_s > start_s:
            yield event
