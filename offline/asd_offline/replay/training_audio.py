"""Which training clips can be used; their sound stays on disk until it is needed."""

from collections.abc import Iterable
from pathlib import Path

from asd_monitor.audio.lazy_clips import ClipCache, LazyClip
from asd_monitor.errors import SourceError
from asd_monitor.quickstart import Recording
from asd_offline.datasets import Rejected


def open_training(
    paths: Iterable[Path], reader: ClipCache
) -> tuple[list[Recording], list[Rejected]]:
    """Check that clips can be read; return those that can, and why the others cannot."""
    recordings, rejected = [], []
    for path in paths:
        try:
            recordings.append(Recording(path.name, LazyClip(path, reader)))
        except SourceError as error:
            rejected.append(Rejected(path, str(error)))
    return recordings, rejected
