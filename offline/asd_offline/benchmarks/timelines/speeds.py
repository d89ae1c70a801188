"""Changes of speed: learned with such changes, they should not raise the alarm."""

import numpy as np
import soxr

from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.quickstart import Recording
from asd_monitor.records import FloatArray
from asd_offline.benchmarks.timelines.fitted import SAMPLE_RATE_HZ, FittedMachine
from asd_offline.timeline.outcome import StreamOutcome

HOLD_S = 30
"""The pump keeps a speed for this long."""
FAULT = 0.1


def measure_speeds(
    seed: int, learn_s: int, max_percent: float, learned_percent: float, test_s: int = 600
) -> tuple[StreamOutcome, StreamOutcome]:
    """Learn a pump whose speed changes; play it with changes of speed, then with a fault.

    Parameters
    ----------
    seed
        Of the pump.
    learn_s, test_s
        Seconds of sound to learn and to play.
    max_percent
        Largest change of speed while it is monitored.
    learned_percent
        Largest change of speed while it is learned.
    """
    pump = PumpSound(seed, SAMPLE_RATE_HZ)
    rng = np.random.default_rng([seed, 2])

    def sound(start_s: int, percent: float, fault: float = 0.0) -> FloatArray:
        factor = 1 + percent / 100
        count = int(HOLD_S * SAMPLE_RATE_HZ * factor) + SAMPLE_RATE_HZ
        block = pump.block(start_s * SAMPLE_RATE_HZ, count, fault).astype(np.float32)
        faster = soxr.resample(block, factor, 1.0, quality="VHQ")
        return np.asarray(faster[: HOLD_S * SAMPLE_RATE_HZ], np.float32)

    def speed(largest: float) -> float:
        return float(rng.uniform(-largest, largest))

    machine = FittedMachine(
        [
            Recording(str(at_s), sound(at_s, speed(learned_percent)), "one", at_s)
            for at_s in range(0, learn_s, HOLD_S)
        ]
    )
    starts_s = range(2 * learn_s, 2 * learn_s + test_s, HOLD_S)
    normal = [machine.score(sound(at_s, speed(max_percent))) for at_s in starts_s]
    faulty = [machine.score(sound(at_s, speed(max_percent), FAULT), "fault") for at_s in starts_s]
    return machine.play("normal", normal), machine.play("fault", [*normal[:2], *faulty[:10]])
