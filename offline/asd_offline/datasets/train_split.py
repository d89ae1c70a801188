"""Choose training clips among recordings that are not divided into training and test."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from asd_monitor.audio.natural_order import natural_key
from asd_offline.datasets.clip import NORMAL, Clip

_NUMERATOR, _DENOMINATOR = 2, 3


def assign_train_split(
    clips: Sequence[Clip], explicit: Collection[Path]
) -> tuple[list[Clip], list[str]]:
    """Use the first two thirds of a section's normal recordings for training if none are yet.

    They are the first by name, in natural order (``2.wav`` before ``10.wav``), so that recordings
    made one after the other are not divided between training and test. A section with two or more
    normal recordings keeps at least one for each.
    Clips that are not known to be normal stay in the test split.

    Parameters
    ----------
    clips
        All clips.
    explicit
        Clips whose split was given; they are left as they are.

    Returns
    -------
    tuple
        The clips, and one sentence for the user about each section that was divided.
    """
    groups: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip.machine, clip.section].append(clip)
    assigned, notes = [], []
    for (machine, section), group in sorted(groups.items()):
        free = [clip for clip in group if clip.label == NORMAL and clip.path not in explicit]
        normals = sorted(free, key=lambda clip: natural_key(clip.path))
        if any(clip.split == "train" for clip in group) or not normals:
            assigned += group
            continue
        count = max(1, len(normals) * _NUMERATOR // _DENOMINATOR)
        training = {clip.path for clip in normals[:count]}
        assigned += [replace(c, split="train") if c.path in training else c for c in group]
        notes.append(
            f"{machine} {section}: no training split was given, so the first {count} of "
            f"{len(normals)} normal recordings by name are used for training"
        )
    return assigned, notes
