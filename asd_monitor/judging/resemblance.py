"""Compare events by the frequency bands in which they differ from normal sound."""

import math
from collections.abc import Iterable, Sequence

from asd_monitor.history.records import Event, NoteKind
from asd_monitor.records import Band

SIMILAR = 0.7
"""Two events are similar if the cosine of their changes is at least this."""
BANDS_PER_OCTAVE = 6
LOWEST_HZ = 20.0


def find_similar_fault(event: Event, events: Iterable[Event]) -> Event | None:
    """Return the most similar of the events that were judged as faults; None if none is similar."""
    faults = [
        other
        for other in events
        if other.verdict == NoteKind.FAULT and other.id != event.id and other.bands
    ]
    best = max(faults, key=lambda fault: compare(event.bands, fault.bands), default=None)
    return best if best is not None and compare(event.bands, best.bands) >= SIMILAR else None


def compare(bands: Sequence[Band], others: Sequence[Band]) -> float:
    """Return the cosine of two changes of sound: 1 for the same bands changed in proportion.

    Bands are spread over sixths of octaves. Without any band the result is 0.
    """
    one, two = _spread(bands), _spread(others)
    lengths = math.hypot(*one.values()) * math.hypot(*two.values())
    product = sum(change_db * two.get(index, 0.0) for index, change_db in one.items())
    return product / lengths if lengths else 0.0


def _spread(bands: Sequence[Band]) -> dict[int, float]:
    """Return the change of each sixth of an octave that is part of a band, in dB."""
    changes: dict[int, float] = {}
    for band in bands:
        for index in range(_index(band.low_hz), max(_index(band.low_hz) + 1, _index(band.high_hz))):
            if abs(band.change_db) > abs(changes.get(index, 0.0)):
                changes[index] = band.change_db
    return changes


def _index(frequency_hz: float) -> int:
    return round(BANDS_PER_OCTAVE * math.log2(max(frequency_hz, LOWEST_HZ) / LOWEST_HZ))
