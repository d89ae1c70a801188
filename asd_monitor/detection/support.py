"""How few false alarms the learned sound supports, and what more sound would be worth."""

from asd_monitor.calibration.alarm_rate import BOUTS_FOR_ALARM, PATHS, blocks_between_alarms
from asd_monitor.calibration.blocks import block_windows, blocks_per_month
from asd_monitor.detection.decision_rule import DecisionRule, describe_rate

HOUR_S = 3600.0


def supported_per_month(rule: DecisionRule, more_s: float = 0.0) -> float | None:
    """Return the fewest false alarms a month that the sound, and more of it, supports.

    Parameters
    ----------
    rule
        Decision rule of a machine.
    more_s
        Further normal sound that is as varied as the present one, in seconds.
    """
    voices = rule.voices
    if voices is None:
        return None
    block_s = block_windows(rule.window_s) * rule.window_s
    effective = voices.effective_blocks * (1 + more_s / block_s / voices.blocks)
    return float(PATHS * blocks_per_month(rule.window_s) / (effective + 1.0) ** BOUTS_FOR_ALARM)


def needed_s(rule: DecisionRule, false_alarms_per_month: float) -> float | None:
    """Return how much normal sound in all supports a rate of false alarms, in seconds."""
    voices = rule.voices
    if voices is None:
        return None
    asked = blocks_between_alarms(false_alarms_per_month, rule.window_s)
    blocks = (asked ** (1 / BOUTS_FOR_ALARM) - 1) * voices.blocks / voices.effective_blocks
    return float(blocks * block_windows(rule.window_s) * rule.window_s)


def describe_next_hour(rule: DecisionRule, false_alarms_per_month: float) -> str:
    """Return what another hour of normal sound would support, in one sentence for the user.

    Empty where nothing is known, or where all that is asked for is supported.
    """
    now, then = supported_per_month(rule), supported_per_month(rule, HOUR_S)
    if now is None or then is None or now <= false_alarms_per_month:
        return ""
    if then <= false_alarms_per_month:
        return f"another hour of normal sound would support {false_alarms_per_month:g} a month"
    return f"another hour of normal sound would support {describe_rate(then)}"
