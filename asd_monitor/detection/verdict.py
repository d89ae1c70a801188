"""Verdict of a window or a recording: the words that all commands, payloads and pages display.

A verdict names the rule whose limit is exceeded. No caller needs to know which rules there are.
"""

from collections.abc import Iterator, Sequence

from asd_monitor.audio.quality import DESCRIPTIONS
from asd_monitor.detection.alarm_settings import AlarmSettings
from asd_monitor.detection.decision_rule import DecisionRule
from asd_monitor.detection.machine_off import MachineOff
from asd_monitor.detection.rule_reading import RuleReading
from asd_monitor.detection.rules import Rules
from asd_monitor.records import NOT_SCORED, SCORED_QUALITIES, Quality, Verdict, WindowScore

_DOUBTFUL = SCORED_QUALITIES - {Quality.OK}

NO_LIMIT = Verdict(
    "no limit known", sentence="the model file has neither a threshold nor a normal range"
)


def judge_window(quality: Quality, readings: Sequence[RuleReading]) -> Verdict:
    """Return the verdict of a window, from what each rule finds.

    Parameters
    ----------
    quality
        Of the window; one that is not ok is never within a limit.
    readings
        Of the rules, the most urgent first.
    """
    exceeded = any(reading.exceeded for reading in readings)
    if quality is not Quality.OK and not (exceeded and quality in _DOUBTFUL):
        word = "not trusted" if quality in _DOUBTFUL else NOT_SCORED.word
        return Verdict(word, sentence=DESCRIPTIONS[quality])
    return _judge(readings)


def judge_clip(
    value: float | None,
    windows: Sequence[WindowScore],
    rule: DecisionRule,
    settings: AlarmSettings,
) -> Verdict:
    """Return the verdict of a recording.

    It is above a limit where its own score or its median window score is, or where its windows
    would give a warning if they were played to the monitor.

    Parameters
    ----------
    value
        Score of the recording; None where no window could be scored.
    windows
        Its windows in order of time; overlapping ones are skipped as by the alarm.
    rule
        Limits of the model file.
    settings
        Settings of the alarm.
    """
    if value is None:
        qualities = sorted({window.quality for window in windows})
        reasons = "; ".join(DESCRIPTIONS[quality] for quality in qualities)
        return Verdict(NOT_SCORED.word, sentence=reasons or "shorter than one window")
    off = _make_off_rule(rule, settings)
    levels = [window.level_dbfs for window in windows if window.quality is Quality.OK]
    verdict = off.read_clip([level for level in levels if level is not None])
    if verdict is not None:
        return verdict
    used = list(_windows_without_overlap(windows, rule.window_samples))
    rules = _make_rules(rule, settings)
    return _judge([rules.exceedances.read_clip(value, used), rules.sequential.read_clip(used)])


def explain_rules(rule: DecisionRule, settings: AlarmSettings) -> dict[str, str]:
    """Return for each rule that applies, by name, what gives a warning and what an alarm."""
    rules = _make_rules(rule, settings)
    without_voices = () if rule.voices is not None else (rules.sequential, rules.intermittent)
    explained = {
        made.name: made.explanation
        for made in rules.all
        if made not in without_voices and made.explanation
    }
    off = _make_off_rule(rule, settings)
    return {**explained, off.name: off.explanation} if off.explanation else explained


def _make_off_rule(rule: DecisionRule, settings: AlarmSettings) -> MachineOff:
    off = MachineOff(settings.off_margin_db)
    off.configure(rule)
    return off


def _make_rules(rule: DecisionRule, settings: AlarmSettings) -> Rules:
    rules = Rules(settings)
    rules.configure(rule)
    return rules


def _judge(readings: Sequence[RuleReading]) -> Verdict:
    exceeded = [reading for reading in readings if reading.exceeded]
    known = [reading for reading in readings if reading.limit is not None]
    if not exceeded and not known:
        return NO_LIMIT
    first = exceeded[0] if exceeded else known[-1]
    sentence = "; ".join(reading.sentence for reading in exceeded or [first])
    limit = None if first.limit is None else first.limit.value
    return Verdict(first.word, first.rule if exceeded else "", limit, sentence)


def _windows_without_overlap(
    windows: Sequence[WindowScore], window_samples: int
) -> Iterator[WindowScore]:
    """Yield the windows that the alarm would use."""
    end = None
    for window in windows:
        if window.value is not None and (end is None or window.window_start >= end):
            end = window.window_start + window_samples
            yield window
