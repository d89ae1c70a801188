"""Training clips of a section, which stay on disk until their samples are needed."""

from collections.abc import Iterable
from pathlib import Path

from asd_monitor.audio.lazy_clips import ClipCache, LazyClip
from asd_monitor.errors import SourceError
from asd_monitor.quickstart import Recording
from asd_offline.datasets import Rejected


def open_training_clips(
    paths: Iterable[Path], cache: ClipCache
) -> tuple[list[Recording], tuple[Rejected, ...]]:
    """Return the clips that can be read, and the others with reasons."""
    recordings, rejected = [], []
    for path in paths:
        try:
            recordings.append(Recording(path.name, LazyClip(path, cache)))
        except SourceError as error:
            rejected.append(Rejected(path, str(error)))
    return recordings, tuple(rejected)
