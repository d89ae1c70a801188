"""Faults as they sound: each adds its component to a machine's sound at a stated level.

Every fault here serves both the synthetic years and the injection into real recordings, so a
fault knows nothing of the machine but its sound and a rate at which it turns.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from asd_monitor.demo.pump_sound import DoubleArray, ringing, shaped_noise
from asd_offline.synth.run import strikes

LOST_SHARE = 0.9
"""Of the amplitude in a missing band: what is left is 20 dB down."""


@dataclass(frozen=True, slots=True)
class Scene:
    """The sound that a fault befalls."""

    sound: DoubleArray
    """``(n,)``, the machine's sound without the fault."""
    sample_rate_hz: int
    shaft_hz: float
    """Turns, or strokes, per second of the machine; a guess where it is not known."""
    level_db: float
    """Level that is wanted; only a fault that takes sound away needs to know it."""
    rng: np.random.Generator

    @property
    def duration_s(self) -> float:
        """Length of the sound."""
        return self.sound.size / self.sample_rate_hz

    def band(self, low_hz: float, high_hz: float) -> DoubleArray:
        """Noise of RMS 1 in a band, 24 dB per half octave down beside it."""
        high_hz = min(high_hz, 0.45 * self.sample_rate_hz)
        edges = {low_hz / 1.4: -24.0, low_hz: 0.0, high_hz: 0.0, high_hz * 1.4: -24.0}
        edges |= {low_hz / 4.0: -70.0, high_hz * 4.0: -70.0}
        return shaped_noise(self.rng, self.sound.size, self.sample_rate_hz, edges)

    def struck(
        self, times_s: DoubleArray, gains: DoubleArray, template: DoubleArray
    ) -> DoubleArray:
        """Return ``(n,)`` with the template struck at these times."""
        at = (times_s * self.sample_rate_hz).astype(np.int64)
        return strikes(self.sound.size, at, gains, template)


def impacts(scene: Scene) -> DoubleArray:
    """A spall in a bearing: impacts at several times the shaft's rate, ringing in its housing."""
    rng = scene.rng
    rate_hz = np.clip(scene.shaft_hz * rng.uniform(2.6, 6.4), 4.0, 160.0)
    modes = [(rng.uniform(1500, 3000), 0.003, 0.6), (rng.uniform(3000, 6500), 0.0015, 1.0)]
    template = ringing(scene.sample_rate_hz, modes, 0.015)
    count = int(scene.duration_s * rate_hz) + 2
    times_s = (np.arange(count) + rng.uniform() + rng.normal(0.0, 0.015, count)) / rate_hz
    zone = 1.0 + 0.6 * np.cos(2 * np.pi * scene.shaft_hz * times_s + rng.uniform(0, 6.3))
    return scene.struck(times_s, zone * rng.uniform(0.6, 1.4, count), template)


def whine(scene: Scene) -> DoubleArray:
    """A tone with overtones whose pitch and strength waver: a worn gear, a resonance."""
    rng = scene.rng
    tone_hz = np.exp(rng.uniform(np.log(500.0), np.log(4500.0)))
    knots = int(scene.duration_s / 0.3) + 3
    at = np.linspace(0, knots - 1, scene.sound.size)
    drift = np.interp(at, np.arange(knots), rng.normal(0.0, 0.003, knots))
    swell = 1.0 + 0.25 * np.interp(at, np.arange(knots), rng.uniform(-1, 1, knots))
    phase = 2 * np.pi * np.cumsum(tone_hz * (1.0 + drift)) / scene.sample_rate_hz
    tones = np.sin(phase)
    for order, weight in ((2, 0.4), (3, 0.2)):
        if order * tone_hz < 0.45 * scene.sample_rate_hz:
            tones = tones + weight * np.sin(order * phase)
    return np.asarray(tones * swell)


def hiss(scene: Scene) -> DoubleArray:
    """A leak: gas or steam through a narrow gap, in a broad band, fluttering a little."""
    rng = scene.rng
    centre_hz = min(rng.uniform(2200.0, 5200.0), 0.3 * scene.sample_rate_hz)
    knots = int(scene.duration_s / 0.12) + 3
    at = np.linspace(0, knots - 1, scene.sound.size)
    flutter = np.interp(at, np.arange(knots), rng.uniform(0.6, 1.4, knots))
    return scene.band(centre_hz / 1.35, centre_hz * 1.35) * flutter


def imbalance(scene: Scene) -> DoubleArray:
    """Amplitude modulation of the machine's own sound, one surge per turn.

    The surge has mean 0, so that the sound as a whole does not merely become louder.
    """
    rng = scene.rng
    rate_hz = scene.shaft_hz
    while rate_hz > 35.0:
        rate_hz /= 2.0
    time_s = np.arange(scene.sound.size) / scene.sample_rate_hz
    surge = np.exp(2.0 * (np.cos(2 * np.pi * rate_hz * time_s + rng.uniform(0, 6.3)) - 1.0))
    return np.asarray(scene.sound * (surge - surge.mean()))


def rubbing(scene: Scene) -> DoubleArray:
    """Something scrapes once in a turn or every few turns: bursts of rough noise."""
    rng = scene.rng
    rate_hz = scene.shaft_hz
    while rate_hz > 6.0:
        rate_hz /= 2.0
    rate_hz = max(rate_hz, 1.0)
    length_s = min(rng.uniform(0.04, 0.13), 0.5 / rate_hz)
    count = int(scene.duration_s * rate_hz) + 2
    times_s = (np.arange(count) + rng.uniform() + rng.normal(0.0, 0.03, count)) / rate_hz
    burst = np.hanning(int(length_s * scene.sample_rate_hz))
    envelope = scene.struck(times_s, rng.uniform(0.5, 1.5, count), burst)
    centre_hz = rng.uniform(1200.0, 3500.0)
    return scene.band(centre_hz / 1.7, centre_hz * 1.7) * envelope


def rattle(scene: Scene) -> DoubleArray:
    """A loosened part: bouncing clusters of knocks at irregular times."""
    rng = scene.rng
    modes = [(rng.uniform(600, 1400), 0.008, 0.8), (rng.uniform(1600, 3600), 0.004, 1.0)]
    template = ringing(scene.sample_rate_hz, modes, 0.04)
    times_s, gains = [], []
    for start_s in rng.uniform(0.0, scene.duration_s, max(2, int(2.5 * scene.duration_s))):
        knocks = int(rng.integers(4, 12))
        bounces_s = rng.uniform(0.015, 0.035) * np.cumsum(0.85 ** np.arange(knocks))
        times_s.append(start_s + bounces_s * rng.uniform(0.9, 1.1, knocks))
        gains.append(rng.uniform(0.6, 1.4) * 0.82 ** np.arange(knocks))
    return scene.struck(np.concatenate(times_s), np.concatenate(gains), template)


def squeal(scene: Scene) -> DoubleArray:
    """A slipping belt: squeals that set in, sag in pitch, and stop."""
    rng = scene.rng
    out = np.zeros(scene.sound.size)
    base_hz = rng.uniform(1100.0, 2600.0)
    for start_s in rng.uniform(-0.2, scene.duration_s, max(2, int(0.9 * scene.duration_s))):
        length = int(rng.uniform(0.15, 0.6) * scene.sample_rate_hz)
        time_s = np.arange(length) / scene.sample_rate_hz
        pitch_hz = base_hz * rng.uniform(0.93, 1.07) * (1.0 - 0.12 * time_s / time_s[-1])
        phase = 2 * np.pi * np.cumsum(pitch_hz) / scene.sample_rate_hz
        tone = np.sin(phase) + 0.5 * np.sin(2 * phase) + 0.25 * np.sin(3 * phase)
        shudder = 1.0 + 0.4 * np.sin(2 * np.pi * rng.uniform(25.0, 60.0) * time_s)
        call = tone * shudder * np.sqrt(np.hanning(length))
        at, gain = int(start_s * scene.sample_rate_hz), rng.uniform(0.6, 1.2)
        first, last = max(at, 0), min(at + call.size, out.size)
        if first < last:
            out[first:last] += gain * call[first - at : last - at]
    return out


def missing_band(scene: Scene) -> DoubleArray:
    """A blocked flow or a covered opening: a band of the machine's own sound is 20 dB down.

    The band lies where the sound has its power, and is as wide as the level asks for.
    """
    spectrum = np.fft.rfft(scene.sound)
    power = np.abs(spectrum) ** 2
    power[0] = 0.0
    frequency_hz = np.fft.rfftfreq(scene.sound.size, 1.0 / scene.sample_rate_hz)
    likely = np.where((frequency_hz > 100.0) & (frequency_hz < 5000.0), power, 0.0)
    likely = likely if likely.any() else power
    centre_hz = frequency_hz[scene.rng.choice(likely.size, p=likely / likely.sum())]
    octaves = np.abs(np.log2(np.maximum(frequency_hz, 1.0) / centre_hz))
    nearest = np.argsort(octaves, kind="stable")
    wanted = 10.0 ** (scene.level_db / 10.0) * power.sum() / LOST_SHARE**2
    inside = nearest[: np.searchsorted(np.cumsum(power[nearest]), wanted) + 1]
    gone = np.zeros_like(spectrum)
    gone[inside] = -LOST_SHARE * spectrum[inside]
    return np.fft.irfft(gone, scene.sound.size)


FAULTS: dict[str, Callable[[Scene], DoubleArray]] = {
    "impacts": impacts,
    "whine": whine,
    "hiss": hiss,
    "imbalance": imbalance,
    "rubbing": rubbing,
    "rattle": rattle,
    "squeal": squeal,
    "missing_band": missing_band,
}
"""Every kind of fault; each returns its component, at any level, for a :class:`Scene`."""

LOUDEST_DB = {"missing_band": -1.0, "imbalance": 0.0}
"""Where a fault cannot be louder: what is taken away, or shifted in time, is the sound's own."""


def rms(sound: DoubleArray) -> float:
    """Root of the mean square about the mean."""
    return float(np.std(sound))


def fault_component(kind: str, scene: Scene) -> tuple[DoubleArray, float]:
    """Return a fault's component at its level, and that level in dB.

    The level is that of the component's RMS against the RMS of the machine's sound, both over
    the whole clip and all frequencies. It is the level asked for, or the kind's loudest.
    """
    level_db = min(scene.level_db, LOUDEST_DB.get(kind, np.inf))
    at_level = Scene(scene.sound, scene.sample_rate_hz, scene.shaft_hz, level_db, scene.rng)
    component = FAULTS[kind](at_level)
    component = component - component.mean()
    gain = 10.0 ** (level_db / 20.0) * rms(scene.sound) / max(rms(component), 1e-30)
    return component * gain, level_db
