"""Find the bands in which a sound differs from a machine's normal sound."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from asd_monitor.normal_sound.band_levels import PEAK_QUANTILE, BandFrames, DoubleArray, to_db
from asd_monitor.normal_sound.statistics import LevelRange, NormalSound

MIN_DEVIATION_DB = 3.0
"""A band deviates if its level differs from normal by this much ..."""
MIN_OUTSIDE_DB = 1.0
"""... and is this far outside the range of normal sound."""
SLIGHT_DEVIATION_DB = 1.5
LEAKAGE_DB = 25.0
LEAKAGE_BANDS = 4
"""A band this far below one of its neighbours may only contain the leakage of the frames' taper."""
STRONGEST_WITHIN_DB = 1.5
"""Of bands whose differences are this close, the one with the most power is the strongest."""
MAX_DEVIATIONS = 3
MARK_BLOCK_S, MARK_BLOCKS = 0.25, 7
PEAK_BLOCK_S, PEAK_BLOCKS = 1.0, 3
"""A deviation is followed in blocks of this length, with a median over this many of them. Knocks
may come once a second."""
WIDE_OCTAVES = 0.75
"""A wider group of bands is described by its edges, a narrower one by its strongest frequency."""
OVERALL_FRACTION = 0.6
"""Fraction of all bands from which on a change in one direction is called overall."""


class Kind(StrEnum):
    """How a band differs."""

    LOUDER = "louder"
    QUIETER = "quieter"
    PEAKS = "louder peaks"
    """Its mean is normal, its loudest moments are not, as with knocks."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """Neighbouring bands that differ from normal sound in the same direction."""

    kind: Kind
    low_hz: float
    high_hz: float
    frequency_hz: float
    """Where the difference is largest."""
    difference_db: float
    """Of the strongest band: its level minus the median of normal sound."""
    is_overall: bool = False
    """Whether it covers most of the spectrum."""
    share: float | None = None
    """Fraction of the score that the model attributes to these bands, where it can localise."""

    @property
    def is_wide(self) -> bool:
        """Whether its edges describe it better than one frequency."""
        return self.high_hz >= self.low_hz * 2**WIDE_OCTAVES


@dataclass(frozen=True, slots=True)
class Comparison:
    """A sound compared with normal sound."""

    deviations: tuple[Deviation, ...]
    """The most important ones first."""
    is_slight: bool
    """Whether no band deviates clearly, and these are the bands that come closest to it."""
    level_db: DoubleArray
    """``(bands,)``: median over the windows."""


def compare(
    frames: Sequence[BandFrames], normal: NormalSound, importance: DoubleArray | None = None
) -> Comparison:
    """Compare windows of a sound with normal sound.

    Parameters
    ----------
    frames
        The windows, at least one.
    normal
        The normal sound.
    importance
        ``(bands,)``: fractions of the score that the model attributes to the bands, if it can.
    """
    mean_db = np.median([part.mean_db() for part in frames], axis=0)
    peak_db = np.median([part.peak_db() for part in frames], axis=0)
    spectrum = np.mean([part.spectrum.mean(0) for part in frames], axis=0)
    edges_hz, short_edges_hz = frames[0].edges_hz, frames[0].short_edges_hz
    for limit_db, outside_db in (
        (MIN_DEVIATION_DB, MIN_OUTSIDE_DB),
        (SLIGHT_DEVIATION_DB, 0.0),
    ):
        difference = _clear_difference(mean_db, normal.mean, limit_db, outside_db)
        groups = _groups(difference, mean_db, edges_hz, spectrum)
        if not groups:
            difference = _clear_difference(peak_db, normal.peak, limit_db, outside_db)
            groups = _groups(np.maximum(difference, 0), peak_db, short_edges_hz, None)
        if groups:
            ranked = _rank(groups, edges_hz, importance)
            is_slight = limit_db < MIN_DEVIATION_DB
            return Comparison(tuple(ranked[:MAX_DEVIATIONS]), is_slight, mean_db)
    return Comparison((), False, mean_db)


def deviating_times(
    frames: BandFrames, normal: NormalSound, deviation: Deviation
) -> list[tuple[float, float]]:
    """Return when a deviation is present, as spans in seconds from the start of the frames.

    It is present where the level of the bands is at least half-way, in dB, from the median of
    normal sound to the level of the deviation.
    """
    is_peaks = deviation.kind is Kind.PEAKS
    block_s = PEAK_BLOCK_S if is_peaks else MARK_BLOCK_S
    blocks = max(1, round(len(frames) * frames.hop_s / block_s))
    if is_peaks:
        bands = _bands_inside(frames.short_edges_hz, deviation)
        parts = np.array_split(frames.short_power[:, bands].sum(1), blocks)
        level = to_db(np.array([np.quantile(part, PEAK_QUANTILE) for part in parts]))
        usual = _sum_db(normal.peak.median_db[bands])
    else:
        bands = _bands_inside(frames.edges_hz, deviation)
        parts = np.array_split(frames.power[:, bands].sum(1), blocks)
        level = to_db(np.array([part.mean() for part in parts]))
        usual = _sum_db(normal.mean.median_db[bands])
    level = _running_median(level, PEAK_BLOCKS if is_peaks else MARK_BLOCKS)
    if deviation.kind is Kind.QUIETER:
        present = level <= usual + min(deviation.difference_db / 2, -1.0)
    else:
        present = level >= usual + max(_group_difference(deviation, level, usual) / 2, 1.0)
    total_s = len(frames) * frames.hop_s
    sizes = np.array([len(part) for part in parts])
    # A frame is centred half its length, one hop, after its start.
    edges_s = np.concatenate([[0.0], np.cumsum(sizes) / sizes.sum() * total_s + frames.hop_s / 2])
    edges = np.flatnonzero(np.diff(np.concatenate([[0], present.astype(np.int8), [0]])))
    return [
        (float(edges_s[first]), float(edges_s[last]))
        for first, last in zip(edges[::2], edges[1::2], strict=True)
    ]


def _group_difference(deviation: Deviation, level: DoubleArray, usual: float) -> float:
    """Return the difference of a whole group in dB: at most that of its strongest band."""
    return min(deviation.difference_db, float(np.quantile(level, 0.9)) - usual)


def _clear_difference(
    level_db: DoubleArray, usual: LevelRange, limit_db: float, outside_db: float
) -> DoubleArray:
    """Return the signed difference from the median by band; zero where it is not clear."""
    difference = level_db - usual.median_db
    loudest = np.maximum(level_db, usual.median_db)
    around = np.lib.stride_tricks.sliding_window_view(
        np.pad(loudest, LEAKAGE_BANDS, mode="edge"), 2 * LEAKAGE_BANDS + 1
    )
    is_leakage = loudest < around.max(1) - LEAKAGE_DB
    outside = (level_db > usual.high_db + outside_db) | (level_db < usual.low_db - outside_db)
    return np.where(outside & ~is_leakage & (np.abs(difference) >= limit_db), difference, 0.0)


def _groups(
    difference_db: DoubleArray,
    level_db: DoubleArray,
    edges_hz: DoubleArray,
    spectrum: DoubleArray | None,
) -> list[Deviation]:
    """Return runs of neighbouring bands that differ in the same direction.

    Without a spectrum to look for tones in, they are differences of peaks.
    """
    sign = np.sign(difference_db).astype(np.int64)
    groups = []
    for first in np.flatnonzero(np.diff(sign, prepend=0)).tolist():
        if sign[first] == 0:
            continue
        last = first
        while last + 1 < len(sign) and sign[last + 1] == sign[first]:
            last += 1
        groups.append(_make_group(first, last, difference_db, level_db, edges_hz, spectrum))
    return groups


def _make_group(
    first: int,
    last: int,
    difference_db: DoubleArray,
    level_db: DoubleArray,
    edges_hz: DoubleArray,
    spectrum: DoubleArray | None,
) -> Deviation:
    amount = np.abs(difference_db[first : last + 1])
    loudest = np.maximum(level_db, level_db - difference_db)[first : last + 1]
    near_strongest = amount >= amount.max() - STRONGEST_WITHIN_DB
    strongest = first + int(np.argmax(np.where(near_strongest, loudest, -np.inf)))
    low_hz, high_hz = float(edges_hz[strongest]), float(edges_hz[strongest + 1])
    frequency_hz = float(np.sqrt(low_hz * high_hz))
    if difference_db[first] < 0:
        kind = Kind.QUIETER
    elif spectrum is None:
        kind = Kind.PEAKS
    else:
        kind = Kind.LOUDER
        frequency_hz = _peak_hz(spectrum, low_hz, high_hz, 2 * float(edges_hz[-1]))
    return Deviation(
        kind,
        float(edges_hz[first]),
        float(edges_hz[last + 1]),
        frequency_hz,
        float(difference_db[strongest]),
        is_overall=bool(last - first + 1 >= OVERALL_FRACTION * len(difference_db)),
    )


def _peak_hz(spectrum: DoubleArray, low_hz: float, high_hz: float, sample_rate_hz: float) -> float:
    """Return the frequency of the strongest bin of a band."""
    bin_hz = sample_rate_hz / 2 / (len(spectrum) - 1)
    first, last = int(np.ceil(low_hz / bin_hz)), int(np.ceil(high_hz / bin_hz))
    peak = first + int(np.argmax(spectrum[first : max(last, first + 1)]))
    return peak * bin_hz


def _rank(
    groups: Sequence[Deviation], edges_hz: DoubleArray, importance: DoubleArray | None
) -> list[Deviation]:
    """Sort by what the model attributes to the bands, if known, and else by the difference."""
    if importance is not None:
        groups = [_with_share(group, edges_hz, importance) for group in groups]
    return sorted(
        groups, key=lambda group: ((group.share or 0.0), abs(group.difference_db)), reverse=True
    )


def _with_share(group: Deviation, edges_hz: DoubleArray, importance: DoubleArray) -> Deviation:
    share = float(importance[_bands_inside(edges_hz, group)].sum())
    return replace(group, share=round(share, 3))


def _bands_inside(edges_hz: DoubleArray, deviation: Deviation) -> npt.NDArray[np.bool_]:
    centres = np.sqrt(edges_hz[:-1] * edges_hz[1:])
    inside: npt.NDArray[np.bool_] = (centres > deviation.low_hz) & (centres < deviation.high_hz)
    return inside


def _sum_db(levels_db: DoubleArray) -> float:
    return float(10 * np.log10((10 ** (levels_db / 10)).sum()))


def _running_median(values: DoubleArray, count: int) -> DoubleArray:
    padded = np.pad(values, count // 2, mode="edge")
    return np.asarray(np.median(np.lib.stride_tricks.sliding_window_view(padded, count), axis=1))
