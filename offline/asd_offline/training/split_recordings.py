"""Recordings of one's own as clips: few and long ones are cut, leftovers left out.

An hour in one file is one clip: none would be left to calibrate on. It becomes a hundred, so that
a tenth can be held out in stretches that are long enough to have few neighbours in training.
"""

import hashlib
import math
import os
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from asd_monitor.errors import DatasetError, RunError
from asd_offline.datasets.audio_files import ClipLength, read_length
from asd_offline.datasets.clip import Clip
from asd_offline.datasets.targets import target_name
from asd_offline.recipes import LONGEST_CLIP_S, WINDOW_S

FEW_RECORDINGS = 8
"""With so many, at least two recordings are held out whole, which is better than parts of each."""
PARTS = 100
"""Of all that a target has."""
LEFTOVERS = 0.1
SUBTYPES = {"PCM_16": "int16", "PCM_24": "int32", "PCM_32": "int32"}
"""Written as they are read; everything else as float32."""


def cut_long(
    clips: Sequence[Clip], folder: Path, window_s: float | None
) -> tuple[list[Clip], list[str]]:
    """Return the clips, long ones of targets with fewer than eight recordings cut into parts.

    Parameters
    ----------
    clips
        Training clips of all targets.
    folder
        Where parts are kept; what is there from before is used again.
    window_s
        Parts are so many of these and a little more; 10 s if None.

    Returns
    -------
    tuple
        The clips, and a sentence for the user about each target that was cut.

    Raises
    ------
    DatasetError
        If a recording cannot be read.
    RunError
        If the parts cannot be written.
    """
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[target_name(clip)].append(clip)
    found, notes = [], []
    for name, group in groups.items():
        if len(group) >= FEW_RECORDINGS or group[0].year is not None:
            found += group
            continue
        lengths = [read_length(clip.path) for clip in group]
        window = window_s or WINDOW_S
        windows = round(sum(each.seconds for each in lengths) / PARTS / window)
        part_s = window * max(1, windows)
        parts = [
            part
            for clip, length in zip(group, lengths, strict=True)
            for part in _parts(clip, length, part_s, folder)
        ]
        found += parts
        if len(parts) > len(group):
            notes.append(
                f"{name}: few and long recordings, so they are cut into {len(parts)} clips of "
                f"{part_s:.3g} s and more"
            )
    return found, notes


def without_leftovers(
    clips: Sequence[Clip], window_s: float | None
) -> tuple[list[Clip], list[str]]:
    """Return the clips without a few that are too short, and a sentence for the user if any are.

    What ends early (the last file of a recorder, say) would else set the window of all. Too short
    is less than the window, or half of the median where none is given. Where it is more than one
    in ten, all are kept, for then it is no leftover.
    """
    if not clips or any(clip.year is not None for clip in clips):
        return list(clips), []
    lengths_s = [read_length(clip.path).seconds for clip in clips]
    least_s = window_s or 0.5 * median(lengths_s)
    short = [i for i, length_s in enumerate(lengths_s) if length_s < least_s]
    if not short or len(short) > LEFTOVERS * len(clips):
        return list(clips), []
    first = f"{clips[short[0]].name}, {lengths_s[short[0]]:.3g} s"
    note = f"left out, because shorter than {least_s:.3g} s: {len(short)} of {len(clips)} ({first})"
    return [clip for i, clip in enumerate(clips) if i not in set(short)], [note]


def _parts(clip: Clip, length: ClipLength, part_s: float, folder: Path) -> Iterator[Clip]:
    count = math.floor(length.seconds / part_s)
    if length.seconds <= LONGEST_CLIP_S or count < 2:
        yield clip
        return
    kept = folder / _key(clip.path, count)
    if not kept.is_dir():
        try:
            _write(clip.path, length, count, kept)
        except OSError as error:
            msg = f"{kept}: parts of a recording cannot be kept there: {error.strerror}"
            raise RunError(f"{msg}; choose another --cache") from error
    for i in range(count):
        name = f"{i:04d}.wav"
        yield replace(clip, path=kept / name, name=f"{clip.name}/{name}")


def _key(path: Path, count: int) -> str:
    status = path.stat()
    text = f"{path.resolve()} {status.st_size} {status.st_mtime_ns} {count}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _write(path: Path, length: ClipLength, count: int, kept: Path) -> None:
    """Write the first channel's parts, all or none; as old as the recording, for the cache."""
    import soundfile

    kept.parent.mkdir(parents=True, exist_ok=True)
    modified_ns = path.stat().st_mtime_ns
    with tempfile.TemporaryDirectory(dir=kept.parent) as temporary:
        made = Path(temporary) / "parts"
        made.mkdir()
        try:
            with soundfile.SoundFile(path) as opened:
                subtype = opened.subtype if opened.subtype in SUBTYPES else "FLOAT"
                kind = SUBTYPES.get(subtype, "float32")
                for i in range(count):
                    frames = length.frames * (i + 1) // count - length.frames * i // count
                    samples = opened.read(frames, dtype=kind, always_2d=True)[:, 0]
                    if len(samples) < frames:
                        raise DatasetError(f"{path}: cut short: fewer samples than its header says")
                    part = made / f"{i:04d}.wav"
                    soundfile.write(part, samples, length.rate_hz, subtype)
                    os.utime(part, ns=(modified_ns, modified_ns))
        except soundfile.LibsndfileError as error:
            if shutil.disk_usage(kept.parent).free < 1 << 20:
                raise RunError(
                    f"{kept.parent}: the disk is full; choose another --cache"
                ) from error
            raise DatasetError(f"{path}: cannot be cut into clips: {error}") from error
        if not kept.exists():  # another process may have been faster
            made.rename(kept)
