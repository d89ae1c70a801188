"""Slow drift: the sound of the last days against that of commissioning."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from asd_monitor.calibration.learned_levels import LearnedLevels
from asd_monitor.calibration.voices import VoiceStatistics
from asd_monitor.detection.voice_words import describe_voice
from asd_monitor.normal_sound.band_levels import band_edges_hz
from asd_monitor.normal_sound.statistics import NormalSound
from asd_monitor.recalibration.hours import Hour

WEEK_S = 7 * 86_400.0
DAY_S = 86_400.0
MIN_HOURS = 6
"""With fewer hours of sound nothing is said."""
NOTABLE_SCALES = 1.0
"""A voice that has moved by more scales of commissioning is reported; 1.5 would raise an alarm."""
NOTABLE_DB = 2.0
"""A frequency band that has changed by more is reported."""
MIN_GROWING_DAYS = 2
MIN_GROWTH_DB = 0.5
"""A change that has grown by less since a day has not grown since then."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reference:
    """The sound of commissioning."""

    voices: VoiceStatistics
    levels: LearnedLevels | None = None
    normal: NormalSound | None = None


@dataclass(frozen=True, slots=True)
class GroupDrift:
    """Drift of the voices of one part of the sound."""

    name: str
    """In words, such as ``tones``."""
    scales: float
    """Median deviation, in scales of commissioning; of the voice that has moved most."""


@dataclass(frozen=True, slots=True)
class BandDrift:
    """A frequency range whose level has changed."""

    low_hz: float
    high_hz: float
    change_db: float
    """Positive: louder."""
    days: int
    """For how many days the change has grown; 0 if it does not."""


@dataclass(frozen=True, slots=True)
class Drift:
    """The sound of the last days against that of commissioning."""

    from_s: float
    to_s: float
    hours: int
    """Number of hours with sound; the rest is empty with fewer than ``MIN_HOURS``."""
    groups: tuple[GroupDrift, ...] = ()
    """Largest deviation first."""
    level_db: float | None = None
    """Change of the level."""
    bands: tuple[BandDrift, ...] = ()
    """Ranges with a change of more than ``NOTABLE_DB``, the largest first."""

    @property
    def is_known(self) -> bool:
        """Whether there is enough sound to say something."""
        return bool(self.groups)

    @property
    def scales(self) -> float:
        """Largest deviation of a voice, in scales of commissioning."""
        return max((abs(group.scales) for group in self.groups), default=0.0)

    @property
    def largest_db(self) -> float:
        """Largest change of a band or of the level, in dB."""
        changes = [band.change_db for band in self.bands]
        changes += [] if self.level_db is None else [self.level_db]
        return max(changes, key=abs, default=0.0)

    @property
    def is_notable(self) -> bool:
        """Whether the drift is to be reported to the user."""
        return self.scales > NOTABLE_SCALES or abs(self.largest_db) > NOTABLE_DB

    @property
    def sentence(self) -> str:
        """The drift in one sentence for the user."""
        if not self.is_known:
            return (
                f"{self.hours} h of sound in this time; from {MIN_HOURS} h on it is compared with "
                "commissioning"
            )
        parts = [_describe_band(band) for band in self.bands[:2]]
        if not parts and self.level_db is not None and abs(self.level_db) > NOTABLE_DB:
            parts.append(f"{_describe_change(self.level_db)} in all than at commissioning")
        moved = [group for group in self.groups if abs(group.scales) > NOTABLE_SCALES]
        if moved:
            names = ", ".join(group.name for group in moved[:3])
            parts.append(
                f"{names} {'have' if len(moved) > 1 else 'has'} moved by up to {self.scales:.1f} "
                "times the normal spread"
            )
        return "; ".join(parts) or "no drift: it sounds as at commissioning"


def measure_drift(hours: Sequence[Hour], reference: Reference, from_s: float, to_s: float) -> Drift:
    """Compare the hours of a span with commissioning.

    Parameters
    ----------
    hours
        Of one model, oldest first; those before the span say since when a change has grown.
    reference
        The sound of commissioning.
    from_s, to_s
        The span, in seconds since the epoch.
    """
    inside = [hour for hour in hours if from_s <= hour.start_s < to_s]
    if len(inside) < MIN_HOURS:
        return Drift(from_s, to_s, len(inside))
    levels = [hour.level_dbfs for hour in inside if hour.level_dbfs is not None]
    level_db = None
    if levels and reference.levels is not None:
        level_db = float(np.median(levels)) - reference.levels.median_dbfs
    return Drift(
        from_s,
        to_s,
        len(inside),
        groups=_measure_groups(inside, reference.voices),
        level_db=level_db,
        bands=tuple(_measure_bands(inside, hours, reference.normal, to_s)),
    )


def _measure_groups(hours: Sequence[Hour], voices: VoiceStatistics) -> tuple[GroupDrift, ...]:
    median = np.median([hour.voices for hour in hours], axis=0)
    deviations = (median - voices.centre) / voices.scale
    largest: dict[str, float] = {}
    for name, value in zip(voices.names, deviations.tolist(), strict=True):
        word = describe_voice(name)
        if abs(value) >= abs(largest.get(word, 0.0)):
            largest[word] = value
    groups = [GroupDrift(word, round(value, 3)) for word, value in largest.items()]
    return tuple(sorted(groups, key=lambda group: -abs(group.scales)))


def _measure_bands(
    inside: Sequence[Hour], hours: Sequence[Hour], normal: NormalSound | None, to_s: float
) -> Iterator[BandDrift]:
    """Yield ranges of neighbouring bands that changed in one direction, the largest first."""
    if normal is None:
        return
    reference = normal.as_16_bits().mean.median_db
    usable = [hour for hour in inside if len(hour.bands_db) == len(reference)]
    if len(usable) < MIN_HOURS:
        return
    change = np.median([hour.bands_db for hour in usable], axis=0) - reference
    edges = np.array(band_edges_hz(normal.sample_rate_hz))
    earlier = [hour for hour in hours if len(hour.bands_db) == len(reference)]
    found = []
    for first, last in _find_ranges(change):
        part = slice(first, last + 1)
        mean_db = float(change[part].mean())
        days = _count_growing_days(earlier, reference, part, to_s, mean_db)
        found.append(BandDrift(float(edges[first]), float(edges[last + 1]), mean_db, days))
    yield from sorted(found, key=lambda band: -abs(band.change_db))


def _find_ranges(change: Array) -> Iterator[tuple[int, int]]:
    """Yield first and last band of each range with a change of more than ``NOTABLE_DB``."""
    sign = np.where(np.abs(change) > NOTABLE_DB, np.sign(change), 0)
    borders = np.flatnonzero(np.diff(sign, prepend=0, append=0))
    for first, end in pairwise(borders):
        if sign[first] != 0:
            yield int(first), int(end) - 1


def _count_growing_days(
    hours: Sequence[Hour], reference: Array, part: slice, to_s: float, present_db: float
) -> int:
    """Return for how many days up to ``to_s`` the change in some bands has grown."""
    by_day: dict[int, list[float]] = {}
    for hour in hours:
        ago = int((to_s - hour.start_s) // DAY_S)
        change = np.asarray(hour.bands_db)[part] - reference[part]
        by_day.setdefault(ago, []).append(float(change.mean()) * np.sign(present_db))
    days = sorted(by_day)
    medians = [float(np.median(by_day[ago])) for ago in days]
    growing = 0
    for later in range(len(days) - 1):
        if medians[later] <= medians[later + 1]:
            break
        if medians[0] - medians[later + 1] >= MIN_GROWTH_DB:
            growing = days[later + 1]
    return growing if growing >= MIN_GROWING_DAYS else 0


def _describe_band(band: BandDrift) -> str:
    where = f"at {_describe_range(band.low_hz, band.high_hz)}"
    text = f"{_describe_change(band.change_db)} {where} than at commissioning"
    if band.days:
        text += f", {'rising' if band.change_db > 0 else 'falling'} for {band.days} days"
    return text


def _describe_change(change_db: float) -> str:
    return f"{abs(change_db):.1f} dB {'louder' if change_db > 0 else 'quieter'}"


def _describe_range(low_hz: float, high_hz: float) -> str:
    low, high = _round(low_hz), _round(high_hz)
    if low >= 1000:
        return f"{low / 1000:g} to {high / 1000:g} kHz"
    return f"{low:g} Hz to {high / 1000:g} kHz" if high >= 1000 else f"{low:g} to {high:g} Hz"


def _round(frequency_hz: float) -> float:
    """Return a frequency with one significant digit where that is close, else with two."""
    short = float(f"{frequency_hz:.1g}")
    is_close = abs(short - frequency_hz) <= 0.03 * frequency_hz
    return short if is_close else float(f"{frequency_hz:.2g}")
