"""The demo's simulated pump: hours of normal sound, faults of several levels, and slow drift."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import soxr

from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.quickstart import Recording
from asd_monitor.records import FloatArray
from asd_monitor.synthesis.signals import shaped_noise
from asd_offline.benchmarks.timelines.fitted import SAMPLE_RATE_HZ, FittedMachine
from asd_offline.timeline.outcome import StreamOutcome

FAULT_LEVELS = (0.02, 0.05, 0.1, 0.2)
BLOCK_S = 120
"""Length of a part of normal sound, and of a step of the drift."""
FAULT_S = 300
LEAD_S = 60
CLIP_S = 10


@dataclass(frozen=True, slots=True)
class Drift:
    """A slow change, in steps of two minutes."""

    name: str
    unit: str
    step: float
    steps: int


DRIFTS = (
    Drift("louder", "dB", 0.25, 12),
    Drift("faster", "%", 0.2, 10),
    Drift("pink background, from 10 dB below the pump", "dB", 0.5, 12),
)


class PumpMachine:
    """A pump whose normal sound is learned.

    Parameters
    ----------
    seed
        Of the pump.
    learn_s
        Seconds of normal sound to learn.
    """

    def __init__(self, seed: int, learn_s: int) -> None:
        self._pump = PumpSound(seed, SAMPLE_RATE_HZ)
        self._background = np.random.default_rng([seed, 1])
        self.test_s = learn_s + 600
        self._machine = FittedMachine(
            [
                Recording(str(at_s), self._sound(at_s, CLIP_S), "one", at_s)
                for at_s in range(0, learn_s, CLIP_S)
            ]
        )

    def play_normal(self, hours: float) -> StreamOutcome:
        """Play normal sound that was not learned."""
        blocks = range(self.test_s, self.test_s + round(3600 * hours), BLOCK_S)
        return self._machine.play(
            "normal", [self._machine.score(self._sound(at_s, BLOCK_S)) for at_s in blocks]
        )

    def play_fault(self, level: float) -> StreamOutcome:
        """Play a minute of normal sound and five minutes of a fault that starts abruptly."""
        lead = self._machine.score(self._sound(self.test_s, LEAD_S))
        fault = self._sound(self.test_s + LEAD_S, FAULT_S, level)
        return self._machine.play(f"{level:g}", [lead, self._machine.score(fault, f"{level:g}")])

    def find_drift(self, drift: Drift) -> float | None:
        """Return the size of a drift at which it raises the alarm; None if it does not.

        The first block has no drift.
        """
        parts = [
            self._machine.score(self._drifted(drift, number * drift.step, number))
            for number in range(drift.steps + 1)
        ]
        labelled = [parts[0], *(replace(part, label=drift.name) for part in parts[1:])]
        (fault,) = self._machine.play(drift.name, labelled).faults
        return None if fault.delay_s is None else drift.step * (1 + int(fault.delay_s / BLOCK_S))

    def _drifted(self, drift: Drift, size: float, number: int) -> FloatArray:
        at_s = self.test_s + number * BLOCK_S
        sound = self._sound(at_s, BLOCK_S)
        if drift.name == "louder":
            return np.asarray(sound * np.float32(10 ** (size / 20)))
        if drift.name == "faster":
            return self._faster(at_s, size)
        pink = {20.0 * 2**octave: -3.0 * octave for octave in range(9)}
        noise = shaped_noise(self._background, sound.size, SAMPLE_RATE_HZ, pink)
        # The background is there from the first block on, which has been learned without it.
        level = float(np.std(sound)) * 10 ** ((size - 10) / 20) if number else 0.0
        return np.asarray(sound + level * noise, np.float32)

    def _faster(self, at_s: int, percent: float) -> FloatArray:
        """Return a block that is played faster: all frequencies rise by the same factor."""
        factor = 1 + percent / 100
        sound = self._sound(at_s, int(BLOCK_S * factor) + 1)
        faster = soxr.resample(sound, factor, 1.0, quality="VHQ")
        return np.asarray(faster[: BLOCK_S * SAMPLE_RATE_HZ], np.float32)

    def _sound(self, start_s: int, duration_s: int, fault: float = 0.0) -> FloatArray:
        start, count = start_s * SAMPLE_RATE_HZ, duration_s * SAMPLE_RATE_HZ
        return self._pump.block(start, count, fault).astype(np.float32)


def measure_pump(seed: int, learn_s: int, hours: float) -> Iterator[StreamOutcome]:
    """Yield a stream of normal sound, and one for each level of the fault."""
    machine = PumpMachine(seed, learn_s)
    yield machine.play_normal(hours)
    for level in FAULT_LEVELS:
        yield machine.play_fault(level)
