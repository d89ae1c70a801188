"""Models of machine faults: each computes a component to add to a machine's sound.

The same faults serve the synthetic datasets and the injection into real recordings, so a
fault depends only on the machine's sound and its rotation rate.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from asd_monitor.synthesis.signals import DoubleArray, ringing, shaped_noise, superpose_events

REMOVED_FRACTION = 0.9
"""Fraction of the amplitude removed from a missing band, which leaves it 20 dB lower."""


@dataclass(frozen=True, slots=True)
class FaultContext:
    """The signal that a fault is added to."""

    sound: DoubleArray
    """``(n,)``, the machine's sound without the fault."""
    sample_rate_hz: int
    shaft_hz: float
    """Revolutions, or strokes, per second of the machine; a guess if unknown."""
    level_db: float
    """Requested level; used only by faults that remove sound."""
    rng: np.random.Generator

    @property
    def duration_s(self) -> float:
        """Duration of the sound."""
        return self.sound.size / self.sample_rate_hz

    def band(self, low_hz: float, high_hz: float) -> DoubleArray:
        """Return noise ``(n,)`` of RMS 1 in a band, with slopes of 24 dB per half octave."""
        high_hz = min(high_hz, 0.45 * self.sample_rate_hz)
        edges = {low_hz / 1.4: -24.0, low_hz: 0.0, high_hz: 0.0, high_hz * 1.4: -24.0}
        edges |= {low_hz / 4.0: -70.0, high_hz * 4.0: -70.0}
        return shaped_noise(self.rng, self.sound.size, self.sample_rate_hz, edges)

    def impulse_train(
        self, times_s: DoubleArray, gains: DoubleArray, template: DoubleArray
    ) -> DoubleArray:
        """Return ``(n,)`` with the template added at each time."""
        starts = (times_s * self.sample_rate_hz).astype(np.int64)
        return superpose_events(self.sound.size, starts, gains, template)


@dataclass(frozen=True, slots=True)
class FaultyClip:
    """A recording with an added fault."""

    sound: DoubleArray
    level_db: float
    """RMS of the fault's component relative to the RMS of the recording."""
    gain_db: float
    """Gain that gives the sum the RMS of the recording."""


def _impacts(
    context: FaultContext, low_hz: tuple[float, float], high_hz: tuple[float, float]
) -> DoubleArray:
    """Return impacts that excite two modes, each drawn from a range of frequencies."""
    rng = context.rng
    rate_hz = np.clip(context.shaft_hz * rng.uniform(2.6, 6.4), 4.0, 160.0)
    modes = [(rng.uniform(*low_hz), 0.003, 0.6), (rng.uniform(*high_hz), 0.0015, 1.0)]
    template = ringing(context.sample_rate_hz, modes, 0.015)
    count = int(context.duration_s * rate_hz) + 2
    times_s = (np.arange(count) + rng.uniform() + rng.normal(0.0, 0.015, count)) / rate_hz
    load_zone = 1.0 + 0.6 * np.cos(2 * np.pi * context.shaft_hz * times_s + rng.uniform(0, 6.3))
    return context.impulse_train(times_s, load_zone * rng.uniform(0.6, 1.4, count), template)


def impacts(context: FaultContext) -> DoubleArray:
    """Bearing spall: impacts at a multiple of the shaft rate that excite the housing."""
    return _impacts(context, (1500.0, 3000.0), (3000.0, 6500.0))


def high_impacts(context: FaultContext) -> DoubleArray:
    """Early bearing damage: impacts that excite modes above 8 kHz only."""
    return _impacts(context, (8500.0, 12000.0), (12000.0, 18000.0))


def _whine(context: FaultContext, low_hz: float, high_hz: float) -> DoubleArray:
    """Return a tone between two frequencies, with its overtones."""
    rng = context.rng
    tone_hz = np.exp(rng.uniform(np.log(low_hz), np.log(high_hz)))
    knots = int(context.duration_s / 0.3) + 3
    position = np.linspace(0, knots - 1, context.sound.size)
    drift = np.interp(position, np.arange(knots), rng.normal(0.0, 0.003, knots))
    swell = 1.0 + 0.25 * np.interp(position, np.arange(knots), rng.uniform(-1, 1, knots))
    phase = 2 * np.pi * np.cumsum(tone_hz * (1.0 + drift)) / context.sample_rate_hz
    tones = np.sin(phase)
    for order, weight in ((2, 0.4), (3, 0.2)):
        if order * tone_hz < 0.45 * context.sample_rate_hz:
            tones = tones + weight * np.sin(order * phase)
    return np.asarray(tones * swell)


def whine(context: FaultContext) -> DoubleArray:
    """Worn gear or resonance: a tone with overtones, fluctuating in pitch and level."""
    return _whine(context, 500.0, 4500.0)


def high_whine(context: FaultContext) -> DoubleArray:
    """Electrical fault or dry contact: a tone above 8 kHz, fluctuating in pitch and level."""
    return _whine(context, 8500.0, min(16000.0, 0.42 * context.sample_rate_hz))


def _hiss(context: FaultContext, centre_hz: float) -> DoubleArray:
    """Return fluttering noise around a frequency."""
    rng = context.rng
    knots = int(context.duration_s / 0.12) + 3
    position = np.linspace(0, knots - 1, context.sound.size)
    flutter = np.interp(position, np.arange(knots), rng.uniform(0.6, 1.4, knots))
    return context.band(centre_hz / 1.35, centre_hz * 1.35) * flutter


def hiss(context: FaultContext) -> DoubleArray:
    """Leak: broadband noise of gas or steam through a narrow gap, with slight flutter."""
    return _hiss(context, min(context.rng.uniform(2200.0, 5200.0), 0.3 * context.sample_rate_hz))


def high_hiss(context: FaultContext) -> DoubleArray:
    """Small leak at high pressure: noise above 8 kHz, with slight flutter."""
    return _hiss(context, context.rng.uniform(11500.0, min(0.3 * context.sample_rate_hz, 16000.0)))


def imbalance(context: FaultContext) -> DoubleArray:
    """Imbalance: amplitude modulation of the machine's own sound, one peak per revolution.

    The modulation has mean 0, so the sound as a whole does not become louder.
    """
    rng = context.rng
    rate_hz = context.shaft_hz
    while rate_hz > 35.0:
        rate_hz /= 2.0
    time_s = np.arange(context.sound.size) / context.sample_rate_hz
    modulation = np.exp(2.0 * (np.cos(2 * np.pi * rate_hz * time_s + rng.uniform(0, 6.3)) - 1.0))
    return np.asarray(context.sound * (modulation - modulation.mean()))


def rubbing(context: FaultContext) -> DoubleArray:
    """Rubbing part: bursts of rough noise once per revolution, or every few revolutions."""
    rng = context.rng
    rate_hz = context.shaft_hz
    while rate_hz > 6.0:
        rate_hz /= 2.0
    rate_hz = max(rate_hz, 1.0)
    length_s = min(rng.uniform(0.04, 0.13), 0.5 / rate_hz)
    count = int(context.duration_s * rate_hz) + 2
    times_s = (np.arange(count) + rng.uniform() + rng.normal(0.0, 0.03, count)) / rate_hz
    burst = np.hanning(int(length_s * context.sample_rate_hz))
    envelope = context.impulse_train(times_s, rng.uniform(0.5, 1.5, count), burst)
    centre_hz = rng.uniform(1200.0, 3500.0)
    return context.band(centre_hz / 1.7, centre_hz * 1.7) * envelope


def rattle(context: FaultContext) -> DoubleArray:
    """Loose part: bouncing clusters of knocks at irregular times."""
    rng = context.rng
    modes = [(rng.uniform(600, 1400), 0.008, 0.8), (rng.uniform(1600, 3600), 0.004, 1.0)]
    template = ringing(context.sample_rate_hz, modes, 0.04)
    times_s, gains = [], []
    for start_s in rng.uniform(0.0, context.duration_s, max(2, int(2.5 * context.duration_s))):
        knocks = int(rng.integers(4, 12))
        bounces_s = rng.uniform(0.015, 0.035) * np.cumsum(0.85 ** np.arange(knocks))
        times_s.append(start_s + bounces_s * rng.uniform(0.9, 1.1, knocks))
        gains.append(rng.uniform(0.6, 1.4) * 0.82 ** np.arange(knocks))
    return context.impulse_train(np.concatenate(times_s), np.concatenate(gains), template)


def squeal(context: FaultContext) -> DoubleArray:
    """Slipping belt: squeals that start, fall in pitch and stop."""
    rng = context.rng
    out = np.zeros(context.sound.size)
    base_hz = rng.uniform(1100.0, 2600.0)
    for start_s in rng.uniform(-0.2, context.duration_s, max(2, int(0.9 * context.duration_s))):
        length = int(rng.uniform(0.15, 0.6) * context.sample_rate_hz)
        time_s = np.arange(length) / context.sample_rate_hz
        pitch_hz = base_hz * rng.uniform(0.93, 1.07) * (1.0 - 0.12 * time_s / time_s[-1])
        phase = 2 * np.pi * np.cumsum(pitch_hz) / context.sample_rate_hz
        tone = np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.25 * np.sin(3 * phase)
        shudder = 1.0 + 0.4 * np.sin(2 * np.pi * rng.uniform(25.0, 60.0) * time_s)
        squeal_sound = tone * shudder * np.sqrt(np.hanning(length))
        start, gain = int(start_s * context.sample_rate_hz), rng.uniform(0.6, 1.2)
        first, last = max(start, 0), min(start + squeal_sound.size, out.size)
        if first < last:
            out[first:last] += gain * squeal_sound[first - start : last - start]
    return out


def missing_band(context: FaultContext) -> DoubleArray:
    """Blocked flow or covered opening: a band of the machine's own sound, reduced by 20 dB.

    The centre is drawn in proportion to the sound's power; the width follows from the level.
    """
    spectrum = np.fft.rfft(context.sound)
    power = np.abs(spectrum) ** 2
    power[0] = 0.0
    frequency_hz = np.fft.rfftfreq(context.sound.size, 1.0 / context.sample_rate_hz)
    weights = np.where((frequency_hz > 100.0) & (frequency_hz < 5000.0), power, 0.0)
    weights = weights if weights.any() else power
    centre_hz = frequency_hz[context.rng.choice(weights.size, p=weights / weights.sum())]
    octaves = np.abs(np.log2(np.maximum(frequency_hz, 1.0) / centre_hz))
    nearest = np.argsort(octaves, kind="stable")
    removed_power = 10.0 ** (context.level_db / 10.0) * power.sum() / REMOVED_FRACTION**2
    inside = nearest[: np.searchsorted(np.cumsum(power[nearest]), removed_power) + 1]
    component = np.zeros_like(spectrum)
    component[inside] = -REMOVED_FRACTION * spectrum[inside]
    return np.fft.irfft(component, context.sound.size)


FAULTS: dict[str, Callable[[FaultContext], DoubleArray]] = {
    "impacts": impacts,
    "whine": whine,
    "hiss": hiss,
    "imbalance": imbalance,
    "rubbing": rubbing,
    "rattle": rattle,
    "squeal": squeal,
    "missing_band": missing_band,
}
"""Every kind of fault; each returns its component ``(n,)`` at an arbitrary level."""

HIGH_FREQUENCY_FAULTS: dict[str, Callable[[FaultContext], DoubleArray]] = {
    "high_impacts": high_impacts,
    "high_whine": high_whine,
    "high_hiss": high_hiss,
}
"""Kinds of fault whose sound is above 8 kHz; they need ``MIN_HIGH_FREQUENCY_RATE_HZ``."""
MIN_HIGH_FREQUENCY_RATE_HZ = 44_100

MAX_LEVEL_DB = {"missing_band": -1.0, "imbalance": 0.0}
"""Highest level in dB of faults that remove or modulate the machine's own sound."""


def kinds_at(sample_rate_hz: int) -> tuple[str, ...]:
    """Return the kinds of fault that sound of a sample rate can contain."""
    has_high = sample_rate_hz >= MIN_HIGH_FREQUENCY_RATE_HZ
    return (*FAULTS, *(HIGH_FREQUENCY_FAULTS if has_high else ()))


def rms(sound: DoubleArray) -> float:
    """Return the root mean square about the mean."""
    return float(np.std(sound))


def fault_component(kind: str, context: FaultContext) -> tuple[DoubleArray, float]:
    """Return a fault's component ``(n,)`` and its level in dB.

    The level is the RMS of the component relative to the RMS of the machine's sound, both over
    the whole clip and all frequencies: the requested level, or the maximum of the kind.
    """
    level_db = min(context.level_db, MAX_LEVEL_DB.get(kind, np.inf))
    at_level = FaultContext(
        context.sound, context.sample_rate_hz, context.shaft_hz, level_db, context.rng
    )
    component = (FAULTS | HIGH_FREQUENCY_FAULTS)[kind](at_level)
    component = component - component.mean()
    gain = 10.0 ** (level_db / 20.0) * rms(context.sound) / max(rms(component), 1e-30)
    return component * gain, level_db


def add_fault(kind: str, context: FaultContext) -> FaultyClip:
    """Add a fault to a recording at the requested level and restore the recording's RMS.

    The level is the RMS of the component relative to that of the recording, both about their
    means and over the whole clip. The sum is then scaled about its mean to the recording's RMS.
    """
    component, level_db = fault_component(kind, context)
    faulty = context.sound + component
    mean = faulty.mean()
    gain = rms(context.sound) / rms(faulty)
    return FaultyClip(mean + gain * (faulty - mean), level_db, float(20 * np.log10(gain)))
