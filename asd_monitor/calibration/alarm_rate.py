"""What an acceptable number of false alarms a month means for blocks and windows."""

from asd_monitor.calibration.blocks import block_windows, blocks_per_month

FALSE_ALARMS_PER_MONTH = 1.0
"""Default of what a user asks for."""
PATHS = 3
"""Rules that can raise the alarm; each gets the same part of the false alarms."""
BOUTS_FOR_ALARM = 3
"""Bouts of exceedances within a minute that raise the alarm."""
COMBINATIONS = 20
"""Number of ways to choose three of the six blocks of a minute."""
MAX_P = 0.005
"""Exceedances of the threshold are at most this frequent."""


def blocks_between_alarms(false_alarms_per_month: float, window_s: float) -> float:
    """Return how many blocks of normal sound lie between two false alarms of one rule."""
    return PATHS * blocks_per_month(window_s) / false_alarms_per_month


def exceedance_probability(false_alarms_per_month: float, window_s: float) -> float:
    """Return how often a window of normal sound may exceed the threshold.

    Three blocks with an exceedance within a minute raise the alarm. With independent blocks that
    happens once in :func:`blocks_between_alarms`; the windows of a block share its probability.
    """
    blocks = blocks_between_alarms(false_alarms_per_month, window_s)
    block = (1 / (COMBINATIONS * blocks)) ** (1 / BOUTS_FOR_ALARM)
    return float(min(block / block_windows(window_s), MAX_P))
