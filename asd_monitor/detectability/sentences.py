"""What a model can and cannot detect, in sentences for the user."""

from asd_monitor.detectability.result import LIMITS_S, Detectability, FaultLevels
from asd_monitor.detection.decision_rule import describe_rate

TITLE = "What it can and cannot detect"
KIND_WORDS = {
    "impacts": ("impacts", "damaged bearing"),
    "whine": ("a whine", "worn gear, resonance"),
    "hiss": ("hissing", "leak"),
    "imbalance": ("pulsation at every revolution", "imbalance"),
    "rubbing": ("rubbing", "parts in contact"),
    "rattle": ("rattling", "loose part"),
    "squeal": ("squealing", "slipping belt"),
    "missing_band": ("a missing part of the sound", "blocked flow, covered opening"),
    "high_impacts": ("impacts above 8 kHz", "early bearing damage"),
    "high_whine": ("a whine above 8 kHz", "electrical fault, dry contact"),
    "high_hiss": ("hissing above 8 kHz", "small leak"),
}
"""The sound of each kind of fault, and a typical cause."""
TIME_WORDS = {60: "1 min", 300: "5 min"}


def describe_kind(kind: str) -> tuple[str, str]:
    """Return the sound of a kind of fault, and a typical cause; empty if none is known."""
    return KIND_WORDS.get(kind, (kind.replace("_", " "), ""))


def format_level(fault: FaultLevels, limit_s: int) -> str:
    """Return down to which level a fault is detected within a time, for a table."""
    level = fault.detected_db(limit_s)
    return "not detected" if level is None else f"{level:g} dB"


def describe(result: Detectability) -> str:
    """Return which faults are detected within the longest time, and down to which level."""
    if result.problem:
        return f"what it can and cannot detect was not measured: {result.problem}"
    limit_s = LIMITS_S[-1]
    found = [fault for fault in result.faults if fault.detected_db(limit_s) is not None]
    missed = [fault for fault in result.faults if fault.detected_db(limit_s) is None]
    rate = describe_rate(result.false_alarms_per_month)
    sentences = []
    if found:
        found.sort(key=lambda fault: fault.detected_db(limit_s) or 0.0)
        listed = _join(
            [f"{_name(fault)} down to {format_level(fault, limit_s)}" for fault in found], "and"
        )
        sentences.append(
            f"within {limit_s // 60} minutes, at {rate}, it detects {listed}, compared with the "
            "machine's own sound"
        )
    if missed:
        listed = _join([_name(fault) for fault in missed], "or")
        highest = max(fault.levels_db[0] for fault in missed)
        sentences.append(
            f"within {limit_s // 60} minutes it does not detect {listed}, even at {highest:g} dB"
        )
    return "; ".join(sentences)


def describe_method(result: Detectability) -> str:
    """Return how it was measured, and what reduces its reliability; empty with a problem."""
    if result.problem:
        return ""
    text = (
        f"measured with synthetic faults in {result.trials} parts of its own normal sound, each "
        "with a model that was fitted without that part; real faults may differ"
    )
    if result.alarmed_trials:
        total = result.trials + result.alarmed_trials
        text += (
            f"; in {result.alarmed_trials} of {total} parts normal sound alone raised the alarm, "
            "so they were left out: learn for longer"
        )
    return text


def _name(fault: FaultLevels) -> str:
    return describe_kind(fault.kind)[0]


def _join(items: list[str], word: str) -> str:
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {word} {items[-1]}"
