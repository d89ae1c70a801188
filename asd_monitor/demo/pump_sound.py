"""The sound of the demo's machine: a centrifugal pump with an optional bearing fault.

Every sample is a pure function of the seed and its index, so the sound is endless and does not
depend on how it is cut into blocks. It is computed in frames on a fixed grid: tones follow the
shaft's phase, turbulence is made of overlapping grains of a bank of shaped noise, and strokes and
impacts are looked up by their number.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from asd_monitor.synthesis.signals import DoubleArray, random_unit, ringing, shaped_noise

FloatArray = npt.NDArray[np.float32]

FRAME_SAMPLES = 2048
CACHED_FRAMES = 4
NOISE_BANK_S = 16.0
MAINS_HZ = 50.0
BEARING_ORDER = 3.58
"""Impacts per turn of the shaft: an outer-race defect of an eight-ball bearing."""
FAULT_RMS = 0.05
FAULT_NOISE_RMS = 0.022


@dataclass(frozen=True, slots=True)
class _Fluctuation:
    """A slow fluctuation with mean 0: a sum of sines with incommensurate periods of seconds."""

    depth: DoubleArray
    rate_hz: DoubleArray
    phase: DoubleArray

    @classmethod
    def draw(cls, rng: np.random.Generator, depth: float) -> "_Fluctuation":
        """Draw a random fluctuation of about this depth."""
        rates_hz = 1.0 / (np.array([1.3, 2.9, 5.3, 11.0]) * rng.uniform(0.85, 1.15, 4))
        depths = depth * np.array([0.4, 0.6, 0.8, 0.8]) * rng.uniform(0.8, 1.2, 4)
        return cls(depths, rates_hz, rng.uniform(0, 2 * np.pi, 4))

    def at(self, time_s: float) -> float:
        """Return the fluctuation at a time."""
        return float(np.sum(self.depth * np.sin(2 * np.pi * self.rate_hz * time_s + self.phase)))

    def gain(self, first_s: float, last_s: float) -> DoubleArray:
        """Return the gain of a frame, interpolated linearly between its first and last sample."""
        return np.linspace(1.0 + self.at(first_s), 1.0 + self.at(last_s), FRAME_SAMPLES)

    def integral(self, time_s: DoubleArray) -> DoubleArray:
        """Return the integral over time, up to a constant."""
        total = np.zeros_like(time_s)
        for depth, rate_hz, phase in zip(self.depth, self.rate_hz, self.phase, strict=True):
            total -= depth / (2 * np.pi * rate_hz) * np.cos(2 * np.pi * rate_hz * time_s + phase)
        return total


class PumpSound:
    """The endless sound of a pump, determined sample for sample by a seed.

    It consists of motor hum at twice the mains frequency, a shaft whose speed and load fluctuate,
    six blades that pass in turbulence, the tick of a valve about every second, a room, and
    occasional background sounds. The fault is a spall in a bearing: impacts at 3.58 times the
    shaft's rate make the housing ring, together with rough noise.

    Parameters
    ----------
    seed
        Determines the pump and its random fluctuations.
    sample_rate_hz
        Sampling rate, at least 8000.
    """

    def __init__(self, seed: int, sample_rate_hz: int = 16000) -> None:
        if sample_rate_hz < 8000:
            msg = f"sample_rate_hz: expected at least 8000, got {sample_rate_hz}"
            raise ValueError(msg)
        self.sample_rate_hz = sample_rate_hz
        self._seed = seed
        rng = np.random.default_rng((0x9D3B, seed))
        self._shaft_hz = rng.uniform(23.9, 24.6)
        self._speed, self._load = _Fluctuation.draw(rng, 0.0035), _Fluctuation.draw(rng, 0.11)
        self._murmur = _Fluctuation.draw(rng, 0.2)
        self._draw_tones(rng)
        self._draw_noise(rng)
        self._draw_impacts(rng)
        fade = np.sin(np.pi * (np.arange(2 * FRAME_SAMPLES) + 0.5) / (2 * FRAME_SAMPLES))
        self._fade_in, self._fade_out = fade[:FRAME_SAMPLES], fade[FRAME_SAMPLES:]
        self._frames: dict[int, tuple[DoubleArray, DoubleArray]] = {}

    def _draw_tones(self, rng: np.random.Generator) -> None:
        """Draw complex weights of the harmonics by order; the room sets gain and phase."""

        def weights(levels: list[float]) -> npt.NDArray[np.complex128]:
            count = len(levels)
            room = 10.0 ** (rng.normal(0.0, 2.0, count) / 20.0)
            phase = np.exp(2j * np.pi * rng.uniform(size=count))
            return np.asarray(np.array(levels) * room * phase)

        self._hum_tones = weights([0.0, 0.0, 0.020, 0.002, 0.009, 0.001, 0.005])
        self._shaft_tones = weights([0.0, 0.012, 0.006, 0.003])
        self._blade_tones = weights([0.0, 0.030, 0.017, 0.009, 0.006, 0.003, 0.002, 0.001])

    def _draw_noise(self, rng: np.random.Generator) -> None:
        n_bank = int(NOISE_BANK_S * self.sample_rate_hz)
        flow = {40.0: -6.0, 150.0: 0.0, 600.0: -4.0, 1500.0: -13.0, 4000.0: -22.0, 8000.0: -34.0}
        hall = {30.0: 0.0, 200.0: -8.0, 1000.0: -18.0, 8000.0: -32.0}
        rough = {300.0: -40.0, 1200.0: -12.0, 2500.0: 0.0, 5000.0: -3.0, 7500.0: -14.0}
        self._flow = 0.040 * shaped_noise(rng, n_bank, self.sample_rate_hz, flow)
        self._hall = 0.012 * shaped_noise(rng, n_bank, self.sample_rate_hz, hall)
        self._rough = shaped_noise(rng, n_bank, self.sample_rate_hz, rough)

    def _draw_impacts(self, rng: np.random.Generator) -> None:
        rate_hz = self.sample_rate_hz
        valve = [(740.0, 0.010, 0.6), (1630.0, 0.006, 1.0), (3480.0, 0.004, 0.8)]
        clank = [(410.0, 0.09, 1.0), (1070.0, 0.06, 0.6), (1910.0, 0.03, 0.3)]
        bearing = [(2870.0, 0.0016, 1.0), (4630.0, 0.0009, 0.7), (1420.0, 0.0025, 0.25)]
        self._valve = self._in_room(rng, ringing(rate_hz, valve, 0.06), 0.10)
        self._clank = self._in_room(rng, ringing(rate_hz, clank, 0.30), 0.25)
        self._bearing = ringing(rate_hz, bearing, 0.012)
        impacts_per_s = BEARING_ORDER * self._shaft_hz
        self._bearing *= FAULT_RMS / np.sqrt(np.sum(self._bearing**2) * impacts_per_s / rate_hz)

    def _in_room(self, rng: np.random.Generator, sound: DoubleArray, decay_s: float) -> DoubleArray:
        """Convolve with a room's response: noise that decays by 60 dB in seven time constants."""
        time_s = np.arange(int(3 * decay_s * self.sample_rate_hz)) / self.sample_rate_hz
        tail = 0.02 * rng.standard_normal(time_s.size) * np.exp(-time_s / decay_s)
        tail[0] = 1.0
        return np.convolve(sound, tail)

    def block(self, start_sample: int, n: int, fault_level: float = 0.0) -> FloatArray:
        """Return samples ``start_sample`` to ``start_sample + n``.

        Parameters
        ----------
        start_sample
            Index of the first sample, at least 0.
        n
            Number of samples.
        fault_level
            Factor of the fault's amplitude: 0 = healthy, 1 = a bearing close to failure.

        Returns
        -------
        ``(n,)`` float32 in [-1, 1].
        """
        if start_sample < 0 or n < 0 or not 0.0 <= fault_level <= 1.0:
            msg = (
                "expected start_sample >= 0, n >= 0 and fault_level in [0, 1], "
                f"got {start_sample}, {n}, {fault_level}"
            )
            raise ValueError(msg)
        first, last = start_sample // FRAME_SAMPLES, (start_sample + n) // FRAME_SAMPLES
        frames = [self._frame(index) for index in range(first, last + 1)]
        cut = slice(start_sample - first * FRAME_SAMPLES, start_sample - first * FRAME_SAMPLES + n)
        sound = np.concatenate([normal for normal, _ in frames])[cut]
        if fault_level > 0.0:
            sound = sound + fault_level * np.concatenate([fault for _, fault in frames])[cut]
        clipped: FloatArray = np.clip(sound, -1.0, 1.0).astype(np.float32)
        return clipped

    def _frame(self, index: int) -> tuple[DoubleArray, DoubleArray]:
        """Return the normal sound and the full fault of one frame, from a small cache."""
        if index not in self._frames:
            while len(self._frames) >= CACHED_FRAMES:
                self._frames.pop(next(iter(self._frames)))
            self._frames[index] = self._make_frame(index)
        return self._frames[index]

    def _make_frame(self, index: int) -> tuple[DoubleArray, DoubleArray]:
        # Impacts of the previous frame ring into this one: 12 ms, plus up to 8 samples of slip.
        before = self._bearing.size + 8
        start = index * FRAME_SAMPLES
        time_s = np.arange(start - before, start + FRAME_SAMPLES) / self.sample_rate_hz
        turns = self._shaft_hz * (time_s + self._speed.integral(time_s))
        shaft = np.exp(2j * np.pi * (turns[before:] % 1.0))
        load = self._load.gain(time_s[before], time_s[-1])
        murmur = self._murmur.gain(time_s[before], time_s[-1])
        cube = shaft * shaft * shaft
        blade = cube * cube
        mains = np.exp(2j * np.pi * ((MAINS_HZ * time_s[before:]) % 1.0))
        tones = _series(self._hum_tones, mains) + _series(self._shaft_tones, shaft)
        tones += load * _series(self._blade_tones, blade)
        flow = self._granulate(self._flow, 1, index) * load * (1.0 + 0.25 * blade.real)
        normal = tones + flow + murmur * self._granulate(self._hall, 2, index)
        normal += self._strokes(self._valve, 3, index, period_s=0.93, jitter_s=0.04, peak=0.18)
        normal += self._strokes(self._clank, 4, index, period_s=7.0, jitter_s=6.0, peak=0.02)
        return normal, self._fault(index, turns, before, shaft)

    def _granulate(self, bank: DoubleArray, stream: int, index: int) -> DoubleArray:
        """Return stationary noise: cross-faded grains from random positions of the bank."""
        grains = np.array([index, index + 1])
        reach = bank.size - 2 * FRAME_SAMPLES
        starts = (random_unit(self._seed, stream, grains) * reach).astype(np.int64)
        ending = bank[starts[0] + FRAME_SAMPLES : starts[0] + 2 * FRAME_SAMPLES]
        beginning = bank[starts[1] : starts[1] + FRAME_SAMPLES]
        return ending * self._fade_out + beginning * self._fade_in

    def _strokes(
        self,
        sound: DoubleArray,
        stream: int,
        index: int,
        *,
        period_s: float,
        jitter_s: float,
        peak: float,
    ) -> DoubleArray:
        """Return repeated events with jitter in time and random strength."""
        out = np.zeros(FRAME_SAMPLES)
        start = index * FRAME_SAMPLES
        period = period_s * self.sample_rate_hz
        reach = sound.size + jitter_s * self.sample_rate_hz
        numbers = np.arange(
            max(0, int((start - reach) / period)), int((start + FRAME_SAMPLES) / period) + 1
        )
        delays = random_unit(self._seed, stream, numbers) * jitter_s * self.sample_rate_hz
        strength = peak * (0.6 + 0.8 * random_unit(self._seed, stream + 50, numbers))
        for at, gain in zip((numbers * period + delays).astype(np.int64), strength, strict=True):
            _add_at(out, gain * sound, int(at) - start)
        return out

    def _fault(
        self, index: int, turns: DoubleArray, before: int, shaft: npt.NDArray[np.complex128]
    ) -> DoubleArray:
        """Return the impacts of the defect at full strength, with the housing's ring and noise."""
        passages = np.floor(turns * BEARING_ORDER).astype(np.int64)
        impacts = np.flatnonzero(np.diff(passages)) + 1
        numbers = passages[impacts]
        slip = (random_unit(self._seed, 5, numbers) * 8).astype(np.int64)
        strength = 0.6 + 0.8 * random_unit(self._seed, 6, numbers)
        out = np.zeros(FRAME_SAMPLES)
        for at, gain in zip(impacts - before + slip, strength, strict=True):
            _add_at(out, gain * self._bearing, int(at))
        rough = self._granulate(self._rough, 7, index) * (1.0 + 0.5 * shaft.real)
        return out + FAULT_NOISE_RMS * rough


def _series(
    weights: npt.NDArray[np.complex128], carrier: npt.NDArray[np.complex128]
) -> DoubleArray:
    """Return the real part of the sum of ``weights[order] * carrier**order`` (Horner's rule)."""
    total = np.full(carrier.size, weights[-1])
    for weight in weights[-2::-1]:
        total = total * carrier + weight
    return np.asarray(total.real)


def _add_at(out: DoubleArray, sound: DoubleArray, at: int) -> None:
    """Add ``sound`` to ``out``, starting at index ``at``, which may be outside of ``out``."""
    first, last = max(at, 0), min(at + sound.size, out.size)
    if first < last:
        out[first:last] += sound[first - at : last - at]
