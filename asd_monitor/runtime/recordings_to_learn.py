"""Refuse to learn recordings as normal sound whose names say that they are not."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from asd_monitor.audio.files import read_header
from asd_monitor.audio.label_words import ANOMALY, find_labels, parse_folder
from asd_monitor.errors import ConfigError, SourceError
from asd_monitor.sources.playlist import find_recordings

MAX_LISTED = 3


def check_recordings_to_learn(machine: str, paths: Sequence[Path], required_s: float) -> None:
    """Check the recordings that a machine would be learned from.

    Parameters
    ----------
    machine
        Name of the machine, for the message.
    paths
        Files and folders, in the order in which they are played.
    required_s
        Sound that is learned from, in seconds; recordings after it are not checked.

    Raises
    ------
    ConfigError
        If a name of a file, or of a folder below the given one, says that it is of a fault.
    SourceError
        If a path does not exist, or a folder holds no recording.
    """
    abnormal = list(_find_abnormal(paths, required_s))
    if not abnormal:
        return
    listed = ", ".join(abnormal[:MAX_LISTED])
    if len(abnormal) > MAX_LISTED:
        listed += f", ... ({len(abnormal)} in all)"
    msg = (
        f"{machine}: expected recordings of normal sound to learn from, found names that say "
        f"otherwise: {listed}; move these recordings to another folder, or rename them if they "
        "are normal"
    )
    raise ConfigError(msg)


def _find_abnormal(paths: Sequence[Path], required_s: float) -> Iterator[str]:
    """Yield the names of recordings with words such as ``anomaly``, ``broken`` or ``leak``."""
    length_s = 0.0
    for path in paths:
        folder = parse_folder(path.absolute().name) if path.is_dir() else None
        is_labelled = folder is not None and not folder.is_name and ANOMALY in folder.labels
        for name, file in find_recordings([path]):
            if length_s >= required_s:
                return
            if is_labelled or any(ANOMALY in find_labels(part) for part in Path(name).parts):
                yield name
            try:
                length_s += read_header(file).duration_s
            except SourceError:
                continue  # skipped and reported when it is played
