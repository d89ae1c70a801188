"""Divide the training clips of a dataset into the targets of a model file."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256

from asd_monitor.errors import DatasetError
from asd_offline.datasets.clip import UNDIVIDED, Clip, SupplementalClip

MIN_CLIPS = 4
MIN_HELD_OUT = 10
"""Clips to hold out if a target has at least four times as many."""


@dataclass(frozen=True, slots=True)
class Target:
    """One machine, or one section of it, with its own memory bank and calibration."""

    name: str
    """``fan/id_00``, ``fan/section_00``, or ``press`` if a machine has no sections."""
    machine: str
    clips: tuple[Clip, ...]
    """Normal clips to train with and to fill memory banks with."""
    held_out: tuple[Clip, ...]
    """Normal clips that are used for calibration only."""
    supplemental: tuple[SupplementalClip, ...] = ()
    """Clips of the machine without noise, or of noise alone, which a model may use in addition.
    None of them is normal sound as a test clip has it."""


def group_by_machine(targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
    """Return the targets of each machine, machines in the order of their first target."""
    groups: dict[str, list[Target]] = {}
    for target in targets:
        groups.setdefault(target.machine, []).append(target)
    return {machine: tuple(group) for machine, group in groups.items()}


def target_name(clip: Clip | SupplementalClip) -> str:
    """Return the name of the target that a clip belongs to."""
    return clip.machine if clip.section == UNDIVIDED else f"{clip.machine}/{clip.section}"


def plan_targets(
    clips: Iterable[Clip],
    held_out_share: float = 0.1,
    supplemental: Iterable[SupplementalClip] = (),
) -> tuple[Target, ...]:
    """Group training clips by target, and hold some of each out for calibration.

    ``held_out_share`` of a target's clips is held out, but at least two, and at least ten or a
    quarter of them, whichever is fewer. Each domain contributes in proportion. The selection is
    deterministic, by file name. Each target receives the supplemental clips of its machine.

    Raises
    ------
    DatasetError
        If there are no clips, or a target has fewer than four.
    """
    groups: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        groups[target_name(clip)].append(clip)
    if not groups:
        raise DatasetError("expected training clips, found none; see docs/datasets.md")
    too_small = {name: len(group) for name, group in groups.items() if len(group) < MIN_CLIPS}
    if too_small:
        name, count = next(iter(too_small.items()))
        msg = (
            f"{name}: expected at least {MIN_CLIPS} normal training clips, half of them to "
            f"train with and half to calibrate on, found {count}; record more, or cut a long "
            "recording into clips"
        )
        raise DatasetError(msg)
    additional: dict[str, list[SupplementalClip]] = defaultdict(list)
    for extra in supplemental:
        additional[target_name(extra)].append(extra)
    return tuple(
        replace(_hold_out(name, group, held_out_share), supplemental=tuple(additional[name]))
        for name, group in sorted(groups.items())
    )


def _hold_out(name: str, clips: Sequence[Clip], share: float) -> Target:
    count = max(2, round(share * len(clips)), min(MIN_HELD_OUT, len(clips) // 4))
    # Every k-th clip in an order that shuffles clips but keeps each domain together.
    shuffled = sorted(clips, key=lambda clip: (clip.domain, sha256(clip.name.encode()).hexdigest()))
    indices = {math.floor((i + 0.5) * len(shuffled) / count) for i in range(count)}
    held_out = {shuffled[index].path for index in indices}
    return Target(
        name=name,
        machine=clips[0].machine,
        clips=tuple(clip for clip in clips if clip.path not in held_out),
        held_out=tuple(clip for clip in clips if clip.path in held_out),
    )
