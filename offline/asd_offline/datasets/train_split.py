"""Which normal recordings are for training where nobody has said so."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from asd_offline.datasets.clip import NORMAL, Clip

_NUMERATOR, _DENOMINATOR = 2, 3


def assign_train_split(
    clips: Sequence[Clip], told: Collection[Path]
) -> tuple[list[Clip], list[str]]:
    """Give sections without training clips the first two thirds of their normal recordings.

    First in order of name, so that recordings made one after the other are not divided between
    training and test. Each section with at least two normal recordings keeps one for each side.
    Clips that are not known to be normal stay in the test split.

    Parameters
    ----------
    clips
        All clips.
    told
        Clips whose split was given; they are left as they are.

    Returns
    -------
    tuple
        The clips, and one sentence for the user about each section that was divided.
    """
    groups: dict[tuple[str, str], list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[clip.machine, clip.section].append(clip)
    shared, notes = [], []
    for (machine, section), group in sorted(groups.items()):
        free = [clip for clip in group if clip.label == NORMAL and clip.path not in told]
        normals = sorted(free, key=lambda clip: str(clip.path))
        if any(clip.split == "train" for clip in group) or not normals:
            shared += group
            continue
        count = max(1, len(normals) * _NUMERATOR // _DENOMINATOR)
        training = {clip.path for clip in normals[:count]}
        shared += [replace(c, split="train") if c.path in training else c for c in group]
        notes.append(
            f"{machine} {section}: no training split was given, so the first {count} of "
            f"{len(normals)} normal recordings in order of name are for training"
        )
    return shared, notes
