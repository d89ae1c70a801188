"""Make the files of an event: sound, pictures and description."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from asd_monitor.evidence import picture
from asd_monitor.evidence.analysis import Analysis, analyse
from asd_monitor.evidence.clip import encode_flac
from asd_monitor.evidence.nearest import NormalRecordings
from asd_monitor.evidence.ring import FULL_SCALE, Cut
from asd_monitor.evidence.settings import Keep
from asd_monitor.evidence.store import (
    CLIP,
    DESCRIPTION,
    NEAREST_CLIP,
    NEAREST_PICTURE,
    PICTURE,
)
from asd_monitor.evidence.watch import Request
from asd_monitor.normal_sound.band_levels import MIN_FREQUENCY_HZ, BandFrames
from asd_monitor.normal_sound.statistics import NormalSound

if TYPE_CHECKING:
    from asd_monitor.model_file.loaded_model import LoadedModel

SCHEMA_VERSION = 1
COARSE_COLUMN_S = 0.25
"""Shortest time that a picture shows where no sound may be kept: syllables are shorter."""
MAX_NEAREST_S = 30.0
"""Only the beginning of a longer normal recording is copied."""


@dataclass(frozen=True)
class Reference:
    """What the sound of a machine is compared with.

    Attributes
    ----------
    normal
        Statistics of its normal sound; None if there are none.
    recordings
        Its normal recordings; None if there are none.
    model
        The model that scores it; None if it is not at hand.
    target
        Index of the machine's target in the model.
    """

    normal: NormalSound | None = None
    recordings: NormalRecordings | None = None
    model: "LoadedModel | None" = None
    target: int = 0


@dataclass(frozen=True)
class Evidence:
    """The evidence of an event, before it is written.

    Attributes
    ----------
    analysis
        What differs.
    files
        Content by file name, without the description.
    description
        Content of ``evidence.json``.
    nearest
        Name of the nearest normal recording; empty if there is none.
    """

    analysis: Analysis
    files: dict[str, bytes]
    description: dict[str, Any]
    nearest: str

    def all_files(self) -> dict[str, bytes]:
        """Return all files with the description last."""
        return {**self.files, DESCRIPTION: encode_description(self.description)}


def encode_description(description: dict[str, Any]) -> bytes:
    """Return the content of ``evidence.json``."""
    return json.dumps(description, allow_nan=False, indent=1).encode() + b"\n"


def build(request: Request, cut: Cut, reference: Reference, keep: Keep) -> Evidence:
    """Make the evidence of an event from its sound.

    Raises
    ------
    ModelFileError
        If the model fails.
    """
    analysis = analyse(request, cut, reference.normal, reference.model, reference.target)
    nearest = _find_nearest(analysis, reference, cut.sample_rate_hz)
    if nearest is None:
        scale = picture.level_scale([analysis.frames])
    else:
        scale = picture.difference_scale(analysis.frames, nearest.frames)
    headline = analysis.headline(request.last_counted_end, ongoing=True)
    min_column_s = COARSE_COLUMN_S if keep is Keep.PICTURE else 0.0
    files = {
        PICTURE: picture.draw_picture(
            analysis.frames,
            cut.duration_s,
            scale,
            _marks(analysis),
            analysis.counted,
            f"{request.machine}: {headline}",
            min_column_s,
        )
    }
    if nearest is not None:
        files[NEAREST_PICTURE] = picture.draw_picture(
            nearest.frames,
            nearest.duration_s,
            scale,
            title=f"{request.machine}: normal recording {nearest.path.name}",
            min_column_s=min_column_s,
        )
    if keep is Keep.CLIP:
        files[CLIP] = encode_flac(cut.samples, cut.sample_rate_hz)
        if nearest is not None:
            samples = np.clip(np.rint(nearest.samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE)
            files[NEAREST_CLIP] = encode_flac(samples.astype(np.int16), cut.sample_rate_hz)
    description = _describe(request, cut, analysis, reference, nearest, files, scale)
    return Evidence(analysis, files, description, "" if nearest is None else nearest.path.name)


@dataclass(frozen=True)
class _Nearest:
    path: Path
    samples: Any
    frames: BandFrames
    duration_s: float


def _find_nearest(analysis: Analysis, reference: Reference, sample_rate_hz: int) -> _Nearest | None:
    if reference.recordings is None or analysis.comparison is None:
        return None
    path = reference.recordings.nearest(analysis.comparison.level_db)
    samples = reference.recordings.read_nearest(path, sample_rate_hz)
    if samples is None:
        return None
    samples = samples[: round(MAX_NEAREST_S * sample_rate_hz)]
    frames = BandFrames.of(samples, sample_rate_hz)
    return _Nearest(path, samples, frames, len(samples) / sample_rate_hz)


def _marks(analysis: Analysis) -> list[picture.Mark]:
    if analysis.comparison is None:
        return []
    return [
        picture.Mark(deviation.low_hz, deviation.high_hz, from_s, to_s)
        for deviation, times in zip(analysis.comparison.deviations, analysis.times, strict=True)
        for from_s, to_s in times
    ]


def _describe(
    request: Request,
    cut: Cut,
    analysis: Analysis,
    reference: Reference,
    nearest: _Nearest | None,
    files: dict[str, bytes],
    scale: picture.Scale,
) -> dict[str, Any]:
    model = reference.model
    return {
        "schema": SCHEMA_VERSION,
        "event_id": request.event_id,
        "machine": request.machine,
        "state": str(request.state),
        "opened_s": round(request.opened_s, 3),
        "closed_s": None,
        "differs_from_s": _onset_s(request, cut, analysis),
        "headline": analysis.headline(request.last_counted_end, ongoing=True),
        "problem": "",
        "model": None
        if model is None
        else {
            "name": model.manifest.name,
            "sha256": model.sha256,
            "target": model.manifest.targets[reference.target],
        },
        "clip": {
            "file": CLIP if CLIP in files else None,
            "from_s": _wall_time_s(request, cut),
            "duration_s": round(cut.duration_s, 3),
            "sample_rate_hz": cut.sample_rate_hz,
        },
        "picture": {
            "file": PICTURE,
            "duration_s": round(cut.duration_s, 3),
            "min_hz": MIN_FREQUENCY_HZ,
            "max_hz": cut.sample_rate_hz / 2,
            "axis": "logarithmic",
            "level_db": [round(scale.low_db, 1), round(scale.high_db, 1)],
            "relative_to_normal": scale.usual_db is not None,
        },
        "nearest_normal": None
        if nearest is None
        else {
            "recording": nearest.path.name,
            "file": NEAREST_CLIP if NEAREST_CLIP in files else None,
            "picture": NEAREST_PICTURE,
            "duration_s": round(nearest.duration_s, 3),
        },
        "bands": _describe_bands(analysis),
        "spectrum": _describe_spectrum(analysis, reference.normal),
        "score": _describe_scores(request, cut),
        "counted": [[round(edge, 2) for edge in span] for span in analysis.counted],
        "more_clips": [],
    }


def _describe_bands(analysis: Analysis) -> list[dict[str, Any]]:
    if analysis.comparison is None:
        return []
    return [
        {
            "kind": str(deviation.kind),
            **asdict(band),
            "frequency_hz": round(deviation.frequency_hz, 1),
            "share_of_score": deviation.share,
        }
        for deviation, band in zip(analysis.comparison.deviations, analysis.bands(), strict=True)
    ]


def _describe_spectrum(analysis: Analysis, normal: NormalSound | None) -> dict[str, Any]:
    """Return the levels by band of the event and of normal sound."""

    def rounded(values: Any) -> list[float] | None:  # noqa: ANN401 - an array or None
        return None if values is None else [round(float(value), 2) for value in values]

    usual = None if normal is None else normal.mean
    return {
        "edges_hz": rounded(analysis.frames.edges_hz),
        "level_db": rounded(analysis.comparison and analysis.comparison.level_db),
        "normal_low_db": rounded(usual and usual.low_db),
        "normal_median_db": rounded(usual and usual.median_db),
        "normal_high_db": rounded(usual and usual.high_db),
        "share_of_score": rounded(analysis.attribution),
    }


def _describe_scores(request: Request, cut: Cut) -> dict[str, Any]:
    """Return the course of the score, at the ends of windows in seconds from the clip's start."""
    newest = request.points[-1] if request.points else None
    return {
        "threshold": newest.threshold if newest else None,
        "normal_range": newest.normal_range if newest else None,
        "points": [
            [round((point.end - cut.start) / cut.sample_rate_hz, 3), point.value, point.counts]
            for point in request.points
        ],
    }


def _onset_s(request: Request, cut: Cut, analysis: Analysis) -> float | None:
    """Return when the sound began to differ, in seconds since the epoch."""
    clip_from_s = _wall_time_s(request, cut)
    if clip_from_s is None:
        return None
    return round(clip_from_s + (analysis.onset - cut.start) / cut.sample_rate_hz, 3)


def _wall_time_s(request: Request, cut: Cut) -> float | None:
    """Return when the clip begins, in seconds since the epoch."""
    if not request.points:
        return None
    point = request.points[-1]
    return round(point.at_s - (point.end - cut.start) / cut.sample_rate_hz, 3)
