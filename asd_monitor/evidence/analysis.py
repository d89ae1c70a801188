"""Compare the sound of an event with normal sound: bands, times, headline."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from asd_monitor.evidence.attribution import attribute, strongest_range_hz
from asd_monitor.evidence.deviations import Comparison, Deviation, compare, deviating_times
from asd_monitor.evidence.headline import describe, describe_localisation
from asd_monitor.evidence.ring import Cut
from asd_monitor.evidence.watch import Request, ScorePoint
from asd_monitor.normal_sound.band_levels import BandFrames, DoubleArray
from asd_monitor.normal_sound.statistics import NormalSound, comparison_window_s
from asd_monitor.records import Band

if TYPE_CHECKING:
    from asd_monitor.model_file.loaded_model import LoadedModel

Span = tuple[float, float]
"""From and to, in seconds from the start of the clip."""
MAX_GAP_S = 3.0
"""Times of a deviation that are closer than this are framed together."""
MIN_ABOVE_FRACTION = 0.1
"""If fewer windows of a shift than this are above a limit, all its windows are compared."""


@dataclass(frozen=True)
class Analysis:
    """What differs in the sound of an event.

    Attributes
    ----------
    frames
        Levels of the clip.
    comparison
        The comparison with normal sound; None where there is none to compare with.
    times
        When each of its deviations is present.
    attribution
        ``(bands,)``: fractions of the score by band; None where the model cannot localise.
    counted
        When the windows were captured that are compared with normal sound: those above a limit.
    onset
        Sample index at which the sound began to differ.
    offset
        Sample index at which it ended to differ; None if it differs at the end of the clip.
    """

    frames: BandFrames
    comparison: Comparison | None
    times: tuple[tuple[Span, ...], ...]
    attribution: DoubleArray | None
    counted: tuple[Span, ...]
    onset: int
    offset: int | None

    def headline(self, last_counted_end: int, *, ongoing: bool) -> str:
        """Return what differs in one sentence.

        Parameters
        ----------
        last_counted_end
            End of the last window beyond a limit.
        ongoing
            Whether the event still lasts.
        """
        rate_hz = self.frames.sample_rate_hz
        if self.comparison is None:
            fractions = self.attribution
            return describe_localisation(
                None if fractions is None else strongest_range_hz(fractions, rate_hz)
            )
        ended = self.offset is not None
        end = last_counted_end if self.offset is None else self.offset
        return describe(
            self.comparison.deviations,
            is_slight=self.comparison.is_slight,
            duration_s=max(0, end - self.onset) / rate_hz,
            ongoing=ongoing and not ended,
        )

    def observe_end(self, cut: Cut, normal: NormalSound) -> "Analysis":
        """Return the analysis with the end of the deviations by the newest sound of the event."""
        if self.comparison is None or not len(cut.samples):
            return self
        frames = BandFrames.of(cut.to_float(), cut.sample_rate_hz)
        ends_s = [
            to_s
            for deviation in self.comparison.deviations
            for _, to_s in deviating_times(frames, normal.as_16_bits(), deviation)
        ]
        if not ends_s:
            return self
        end = cut.start + round(max(ends_s) * cut.sample_rate_hz)
        return replace(self, offset=max(end, self.offset or 0))

    def bands(self) -> tuple[Band, ...]:
        """Return the deviating bands with the time of each."""
        if self.comparison is None:
            return ()
        return tuple(
            Band(
                round(deviation.low_hz, 1),
                round(deviation.high_hz, 1),
                round(deviation.difference_db, 1),
                round(times[0][0], 2) if times else 0.0,
                round(times[-1][1], 2) if times else 0.0,
            )
            for deviation, times in zip(self.comparison.deviations, self.times, strict=True)
        )


def analyse(
    request: Request,
    cut: Cut,
    normal: NormalSound | None,
    model: "LoadedModel | None",
    target: int,
) -> Analysis:
    """Compare a clip with normal sound and with the model's view of it.

    Parameters
    ----------
    request
        What was requested, with the scores.
    cut
        The sound.
    normal
        The machine's normal sound, if known.
    model
        The model that scored it, if it is at hand.
    target
        Index of the machine's target in the model.
    """
    rate_hz = cut.sample_rate_hz
    samples = cut.to_float()
    frames = BandFrames.of(samples, rate_hz)
    counted = [point for point in request.points if point.counts]
    above = _select_above(counted)
    counted_spans = merge([_span(point, cut) for point in above])
    attribution = None
    if model is not None:
        window_samples = model.manifest.window_samples
        attribution = attribute(
            model,
            target,
            _windows(samples, cut, above, window_samples),
            _windows(
                samples,
                cut,
                [p for p in request.points if not p.counts and p.end <= _first(counted, cut)],
                window_samples,
            ),
        )
    if normal is None:
        onset = max(cut.start, _first(counted, cut))
        return Analysis(frames, None, (), attribution, counted_spans, onset, None)
    normal = normal.as_16_bits()
    windows = [
        frames.part(from_s, to_s)
        for from_s, to_s in _comparison_spans(counted_spans, normal.window_s, cut.duration_s)
    ]
    comparison = compare(windows, normal, attribution)
    times = tuple(
        _relevant(deviating_times(frames, normal, deviation), counted_spans)
        for deviation in comparison.deviations
    )
    onset, offset = _extent(comparison.deviations, times, cut, counted)
    return Analysis(frames, comparison, times, attribution, counted_spans, onset, offset)


def _select_above(counted: list[ScorePoint]) -> list[ScorePoint]:
    """Return the windows that show what differs: without those that were normal in between.

    Of a shift that only its mean shows, nearly all windows are within the limits: then all of them.
    """
    above = [point for point in counted if point.is_above]
    has_exceedance = any(
        point.threshold is not None and (point.value or 0.0) > point.threshold for point in above
    )
    is_enough = has_exceedance or len(above) >= MIN_ABOVE_FRACTION * len(counted)
    return above if above and is_enough else counted


def merge(spans: list[Span], max_gap_s: float = 0.0) -> tuple[Span, ...]:
    """Join spans that overlap or are at most a gap apart."""
    merged: list[Span] = []
    for from_s, to_s in sorted(spans):
        if merged and from_s <= merged[-1][1] + max_gap_s:
            merged[-1] = (merged[-1][0], max(merged[-1][1], to_s))
        else:
            merged.append((from_s, to_s))
    return tuple(merged)


def _span(point: ScorePoint, cut: Cut) -> Span:
    rate_hz = cut.sample_rate_hz
    return (
        max(0.0, (point.start - cut.start) / rate_hz),
        min(cut.duration_s, (point.end - cut.start) / rate_hz),
    )


def _first(counted: list[ScorePoint], cut: Cut) -> int:
    return counted[0].start if counted else cut.start


def _windows(
    samples: npt.NDArray[np.float32], cut: Cut, points: list[ScorePoint], window_samples: int
) -> list[npt.NDArray[np.float32]]:
    """Return the model's windows that lie in the clip."""
    starts = [point.start - cut.start for point in points]
    return [
        samples[start : start + window_samples]
        for start in starts
        if start >= 0 and start + window_samples <= len(samples)
    ]


def _comparison_spans(counted: tuple[Span, ...], window_s: float, duration_s: float) -> list[Span]:
    """Return windows of the length of normal ones within the times that counted."""
    window_s = min(window_s, duration_s)
    spans = []
    for from_s, to_s in counted or ((0.0, duration_s),):
        starts = np.arange(from_s, max(to_s - window_s, from_s) + 1e-6, comparison_window_s(0.0))
        starts = np.minimum(starts, duration_s - window_s)
        spans += [(float(start), float(start) + window_s) for start in starts]
    return spans


def _relevant(times: list[Span], counted: tuple[Span, ...]) -> tuple[Span, ...]:
    """Return the times that overlap those that counted, joined where they are close."""
    joined = merge(times, MAX_GAP_S)
    if not counted:
        return joined
    return tuple(
        (from_s, to_s)
        for from_s, to_s in joined
        if any(from_s < end and to_s > start for start, end in counted)
    )


def _extent(
    deviations: tuple[Deviation, ...],
    times: tuple[tuple[Span, ...], ...],
    cut: Cut,
    counted: list[ScorePoint],
) -> tuple[int, int | None]:
    """Return where the first deviations begin and the last ones end, as sample indices."""
    spans = [span for spans in times for span in spans]
    if not spans:
        return _first(counted, cut), None
    rate_hz = cut.sample_rate_hz
    onset = cut.start + round(min(from_s for from_s, _ in spans) * rate_hz)
    end_s = max(to_s for _, to_s in spans)
    lasts = end_s > cut.duration_s - 2.0
    return onset, None if lasts else cut.start + round(end_s * rate_hz)
