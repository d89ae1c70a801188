"""Describe in one sentence how the sound of an event differs from normal sound."""

import re
from collections.abc import Sequence

from asd_monitor.evidence.deviations import Deviation, Kind
from asd_monitor.terminal.durations import format_rough_duration

NO_COMPARISON = (
    "there is no normal sound to compare with: no levels of it in the model file, and no recordings"
)
NO_BAND = "no frequency band is louder or quieter than in normal sound by 3 dB or more"


def describe(
    deviations: Sequence[Deviation], *, is_slight: bool, duration_s: float | None, ongoing: bool
) -> str:
    """Return the headline: ``louder at 250 Hz and 700 Hz, by 6 and 9 dB, for 92 s``.

    Parameters
    ----------
    deviations
        The bands that differ; none: the headline says so.
    is_slight
        Whether the differences are below those that count as clear.
    duration_s
        For how long the sound has differed; None if it is not known.
    ongoing
        Whether it still differs.
    """
    if not deviations:
        return NO_BAND
    parts = []
    for kind in Kind:
        group = [deviation for deviation in deviations if deviation.kind is kind]
        if group:
            parts.append(_describe_kind(kind, sorted(group, key=lambda d: d.frequency_hz)))
    text = "; ".join(parts)
    if is_slight:
        text = f"slightly {text}"
    if duration_s is not None and round(duration_s) > 0:
        text += f", for {format_rough_duration(duration_s)}"
        if ongoing:
            text += " so far"
    return text


def describe_localisation(bands_hz: tuple[float, float] | None) -> str:
    """Return the headline where only the model says which bands make its score."""
    if bands_hz is None:
        return NO_COMPARISON
    low, high = bands_hz
    return f"the score comes mostly from {_format_range(low, high)}; {NO_COMPARISON}"


def complete_duration(headline: str, duration_s: float | None) -> str:
    """Return the headline of an event that a restart of the monitor interrupted, at its end.

    Parameters
    ----------
    headline
        That of the earlier run, which ends with the duration so far.
    duration_s
        From the beginning of the difference to its end; None if no window after the restart
        differed, so that only the duration so far is known.
    """
    if duration_s is None:
        return re.sub(
            r", for ([^,]*) so far$", r", for at least \1 (until the monitor was stopped)", headline
        )
    length = f", for {format_rough_duration(duration_s)} (the monitor was stopped in between)"
    return re.sub(r", for [^,]* so far$", length, headline)


def _describe_kind(kind: Kind, group: Sequence[Deviation]) -> str:
    """Return ``louder at 250 Hz and 700 Hz, by 6 and 9 dB``."""
    if group[0].is_overall:
        strongest = group[0]
        overall = "louder peaks overall" if kind is Kind.PEAKS else f"{kind} overall"
        return (
            f"{overall}, most at {format_hz(strongest.frequency_hz)}, "
            f"by {abs(strongest.difference_db):.0f} dB"
        )
    places = _join([_format_place(deviation) for deviation in group])
    verb = "" if group[0].is_wide else "at "
    differences = [_format_difference(deviation) for deviation in group]
    if len(set(differences)) == 1:
        differences = differences[:1]
    return f"{kind} {verb}{places}, by {_join(differences)} dB"


def _format_difference(deviation: Deviation) -> str:
    most = "up to " if deviation.is_wide else ""
    return f"{most}{abs(deviation.difference_db):.0f}"


def _format_place(deviation: Deviation) -> str:
    if deviation.is_wide:
        bands = _format_range(deviation.low_hz, deviation.high_hz)
        return f"from {bands} (most at {format_hz(deviation.frequency_hz)})"
    return format_hz(deviation.frequency_hz)


def _format_range(low_hz: float, high_hz: float) -> str:
    return f"{format_hz(low_hz)} to {format_hz(high_hz)}"


def format_hz(frequency_hz: float) -> str:
    """Return a frequency as precisely as it is known: ``75 Hz``, ``250 Hz``, ``1.3 kHz``."""
    if frequency_hz < 100:
        return f"{5 * round(frequency_hz / 5)} Hz"
    if frequency_hz < 995:
        return f"{10 * round(frequency_hz / 10)} Hz"
    return f"{round(frequency_hz / 1000, 1):g} kHz"


def _join(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
