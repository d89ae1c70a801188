"""What a model file's targets are in a dataset, and which clips stay out of training."""

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from asd_monitor.errors import DatasetError
from asd_offline.datasets.clip import Clip
from asd_offline.datasets.layouts.labelled_folders import WHOLE

FEWEST_CLIPS = 4
HELD_OUT_AT_LEAST = 10


@dataclass(frozen=True, slots=True)
class Target:
    """One machine, or one section of it, with a bank and a calibration of its own."""

    name: str
    """``fan/id_00``, ``fan/section_00``, or ``press`` where a machine is not divided."""
    machine: str
    clips: tuple[Clip, ...]
    """Normal clips to train with and to fill memory banks with."""
    held_out: tuple[Clip, ...]
    """Normal clips that neither training nor a bank sees: for the calibration."""


def by_machine(targets: Sequence[Target]) -> dict[str, tuple[Target, ...]]:
    """Return the targets of each machine, in the order in which machines first come."""
    found: dict[str, list[Target]] = {}
    for target in targets:
        found.setdefault(target.machine, []).append(target)
    return {machine: tuple(of_it) for machine, of_it in found.items()}


def target_name(clip: Clip) -> str:
    """Return the name of the target that a clip belongs to."""
    return clip.machine if clip.section == WHOLE else f"{clip.machine}/{clip.section}"


def plan_targets(clips: Iterable[Clip], held_out_share: float = 0.1) -> tuple[Target, ...]:
    """Divide training clips by target, and keep some of each for the calibration.

    At least two clips of a target are held out, at least ten (but no more than a quarter) where
    there are so many, else ``held_out_share`` of them; of every domain its part. Which ones
    depends on their names alone.

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
    few = {name: len(group) for name, group in groups.items() if len(group) < FEWEST_CLIPS}
    if few:
        name, count = next(iter(few.items()))
        msg = (
            f"{name}: expected at least {FEWEST_CLIPS} normal training clips, half of them to "
            f"train with and half to calibrate on, found {count}; record more, or cut a long "
            "recording into clips"
        )
        raise DatasetError(msg)
    return tuple(_plan(name, group, held_out_share) for name, group in sorted(groups.items()))


def _plan(name: str, clips: Sequence[Clip], share: float) -> Target:
    count = max(2, round(share * len(clips)), min(HELD_OUT_AT_LEAST, len(clips) // 4))
    # Every k-th clip in an order that mixes clips but keeps the domains together.
    shuffled = sorted(clips, key=lambda clip: (clip.domain, _mixed(clip)))
    places = {math.floor((i + 0.5) * len(shuffled) / count) for i in range(count)}
    held = {shuffled[i].path for i in places}
    return Target(
        name=name,
        machine=clips[0].machine,
        clips=tuple(clip for clip in clips if clip.path not in held),
        held_out=tuple(clip for clip in clips if clip.path in held),
    )


def _mixed(clip: Clip) -> str:
    return sha256(clip.name.encode()).hexdigest()
