"""Split few long user recordings into clips, and drop recordings that are too short.

An hour in one file is one clip, which would leave none for calibration. It becomes a hundred
clips, so that a tenth can be held out in stretches long enough to be nearly independent of those
used for training.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from asd_monitor.errors import DatasetError
from asd_offline.datasets.audio_files import NEAR, ClipLength, read_length
from asd_offline.datasets.clip import Clip
from asd_offline.datasets.targets import target_name
from asd_offline.recipes import MAX_CLIP_S, WINDOW_S
from asd_offline.training.clip_parts import clip_parts, part_name

MIN_RECORDINGS = 8
"""With this many, at least two recordings are held out whole, which is better than parts."""
PARTS_PER_TARGET = 100
MAX_SHORT_FRACTION = 0.1
"""If more clips than this are short, short clips are normal and all are kept."""
PCM_DTYPES = {"PCM_16": "int16", "PCM_24": "int32", "PCM_32": "int32"}
"""Formats that parts are written in as they are read; all others become 32-bit float."""


def split_long_recordings(
    clips: Sequence[Clip], folder: Path, window_s: float | None, channels: Sequence[int] = NEAR
) -> tuple[list[Clip], list[str]]:
    """Split the long recordings of targets that have fewer than eight recordings.

    Parameters
    ----------
    clips
        Training clips of all targets.
    folder
        Where parts are kept; existing ones are used again.
    window_s
        The length of parts is a multiple of this, and a little more; None: of 10 s.
    channels
        Channels that parts have; those that a recording lacks are left out.

    Returns
    -------
    tuple
        The clips, and a sentence for the user about each target that was split.

    Raises
    ------
    DatasetError
        If a recording cannot be read.
    RunError
        If the parts cannot be written.
    """
    by_target: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        by_target[target_name(clip)].append(clip)
    result, notes = [], []
    for name, group in by_target.items():
        if len(group) >= MIN_RECORDINGS or group[0].year is not None:
            result += group
            continue
        lengths = [read_length(clip.path) for clip in group]
        multiple = window_s or WINDOW_S
        windows = round(sum(length.seconds for length in lengths) / PARTS_PER_TARGET / multiple)
        part_s = multiple * max(1, windows)
        parts = [
            part
            for clip, length in zip(group, lengths, strict=True)
            for part in _split(clip, length, part_s, folder, channels)
        ]
        result += parts
        if len(parts) > len(group):
            notes.append(
                f"{name}: few and long recordings, split into {len(parts)} clips of "
                f"{part_s:.3g} s and more"
            )
    return result, notes


def drop_short_clips(clips: Sequence[Clip], window_s: float | None) -> tuple[list[Clip], list[str]]:
    """Drop a few clips that are too short, such as the last file of a recorder.

    They would otherwise set the window of all. Too short is less than the window, or less than
    half of the median if none is given. If this concerns more than one clip in ten, all are kept.

    Returns
    -------
    tuple
        The clips, and a sentence for the user if any are dropped.
    """
    if not clips or any(clip.year is not None for clip in clips):
        return list(clips), []
    lengths_s = [read_length(clip.path).seconds for clip in clips]
    min_s = window_s or 0.5 * median(lengths_s)
    short = [index for index, length_s in enumerate(lengths_s) if length_s < min_s]
    if not short or len(short) > MAX_SHORT_FRACTION * len(clips):
        return list(clips), []
    first = f"{clips[short[0]].name}, {lengths_s[short[0]]:.3g} s"
    note = f"left out, because shorter than {min_s:.3g} s: {len(short)} of {len(clips)} ({first})"
    return [clip for index, clip in enumerate(clips) if index not in set(short)], [note]


def _split(
    clip: Clip, length: ClipLength, part_s: float, folder: Path, channels: Sequence[int]
) -> Iterator[Clip]:
    """Yield the parts of a recording, or the recording if it is short."""
    count = math.floor(length.seconds / part_s)
    if length.seconds <= MAX_CLIP_S or count < 2:
        yield clip
    else:
        used = [channel for channel in channels if channel < length.channels]
        write = partial(_write_parts, clip.path, length, count, used)
        yield from clip_parts(clip, folder, (count, used), count, write)


def _write_parts(
    path: Path, length: ClipLength, count: int, channels: Sequence[int], folder: Path
) -> None:
    """Write the parts of the given channels."""
    import soundfile

    with soundfile.SoundFile(path) as opened:
        subtype = opened.subtype if opened.subtype in PCM_DTYPES else "FLOAT"
        dtype = PCM_DTYPES.get(subtype, "float32")
        for index in range(count):
            start = length.frames * index // count
            frames = length.frames * (index + 1) // count - start
            samples = opened.read(frames, dtype=dtype, always_2d=True)[:, channels]
            if len(samples) < frames:
                raise DatasetError(f"{path}: cut short: fewer samples than its header says")
            soundfile.write(folder / part_name(index), samples, length.rate_hz, subtype)
