"""The alarm benchmark counts transitions into a state, and delays in windows."""

import numpy as np

from asd_monitor.demo.pump_sound import PumpSound
from asd_monitor.quickstart import Recording
from asd_offline.benchmarks.alarms import SAMPLE_RATE_HZ, StreamDetector, judge_stream


def test_a_plain_fault_of_the_pump_alarms_after_three_bouts_and_normal_sound_does_not() -> None:
    pump = PumpSound(1, SAMPLE_RATE_HZ)
    block = 10 * SAMPLE_RATE_HZ
    sound = [pump.block(n * block, block, 0.0).astype(np.float32) for n in range(8)]
    detector = StreamDetector(
        [Recording(str(n), samples, "one", 10.0 * n) for n, samples in enumerate(sound[:6])]
    )
    normal = [score for samples in sound[6:] for score in detector.scores(samples)]
    faulty = detector.scores(pump.block(8 * block, 4 * block, 1.0).astype(np.float32))
    result = judge_stream(detector, normal, faulty)
    assert (result.false_warnings, result.false_alarms) == (0, 0)
    assert result.warning_delay_s == 12.0
    assert result.alarm_delay_s == 22.0
    assert result.alarm_fraction == 1 - 10 / len(faulty)
