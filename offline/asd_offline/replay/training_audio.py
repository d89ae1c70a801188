"""Training clips of a section, which stay on disk until their samples are needed."""

from collections.abc import Iterable
from pathlib import Path

from asd_monitor.audio.lazy_clips import ClipCache, LazyClip
from asd_monitor.audio.quality import assess
from asd_monitor.audio.windowing import clip_windows
from asd_monitor.errors import SourceError
from asd_monitor.quickstart import Recording
from asd_monitor.records import SCORED_QUALITIES, FloatArray
from asd_offline.datasets import Rejected


def open_training_clips(
    paths: Iterable[Path], cache: ClipCache
) -> tuple[list[Recording], tuple[Rejected, ...]]:
    """Return the clips that can be learned from, and the others with reasons.

    Silent, stuck and broken parts of the former are left out by the fit.
    """
    recordings, rejected = [], []
    for path in paths:
        try:
            samples = LazyClip(path, cache)
        except SourceError as error:
            rejected.append(Rejected(path, str(error)))
            continue
        if reason := _why_unusable(cache.read(path), cache.sample_rate_hz):
            rejected.append(Rejected(path, reason))
        else:
            recordings.append(Recording(path.name, samples))
    return recordings, tuple(rejected)


def _why_unusable(samples: FloatArray, sample_rate_hz: int) -> str:
    """Return why none of a clip's seconds can be learned from; empty if one can."""
    seconds = clip_windows(samples, min(sample_rate_hz, len(samples)), sample_rate_hz)
    qualities = {assess(second).quality for second in seconds}
    if qualities & SCORED_QUALITIES:
        return ""
    words = ", ".join(sorted(quality.value.replace("_", " ") for quality in qualities))
    return f"no second of it can be learned from: {words} throughout"
