"""What a dataset consists of, whatever its layout on disk."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "test"]
Domain = Literal["", "source", "target"]
Subset = Literal["", "dev", "eval"]

NORMAL = 0
ANOMALY = 1


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording of a dataset, with everything that its name and its lists say of it."""

    path: Path
    year: int | None
    """Year of the DCASE challenge; None for recordings that follow no challenge."""
    machine: str
    """Machine type as the challenge spells it (``fan``, ``ToyCar``), or the name of a machine."""
    section: str
    """``id_00`` (2020), ``section_00`` (2021 and later), or ``all`` where nothing is divided."""
    domain: Domain
    """Empty where the year knows no domains, or where only the ground truth would tell."""
    split: Split
    label: int | None
    """0 = normal, 1 = anomalous, None = not known (an evaluation set without ground truth)."""
    attributes: tuple[tuple[str, str], ...] = ()
    """Conditions of operation or recording as (name, value); order as in the dataset."""
    name: str = ""
    """Bare file name, as official result files list it; where no year is followed, the path below
    the root, since ``normal/1.wav`` and ``anomaly/1.wav`` must not be taken for each other."""
    original_name: str = ""
    """Name with label and attributes that the ground truth gives; empty where there is none."""
    subset: Subset = ""
    """``dev`` or ``eval``; empty outside the challenges and for machines that they do not know."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that is there, but is not part of the dataset, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Dataset:
    """The clips below one folder, sorted by machine, section, split and name."""

    root: Path
    year: int | None
    clips: tuple[Clip, ...]
    rejected: tuple[Rejected, ...] = ()
    notes: tuple[str, ...] = ()
    """What was decided while opening and should be shown to the user, one sentence each."""

    @property
    def sets(self) -> tuple[Subset, ...]:
        """Which sets of the challenge are present: of ``dev`` and ``eval``, those with clips."""
        present = {clip.subset for clip in self.clips}
        return tuple(subset for subset in _SUBSETS if subset in present)

    def machines(self) -> tuple[str, ...]:
        """Names of all machines, sorted."""
        return tuple(sorted({clip.machine for clip in self.clips}))

    def sections(self, machine: str) -> tuple[str, ...]:
        """Sections of one machine, sorted; empty for a machine that is not there."""
        return tuple(sorted({clip.section for clip in self.clips if clip.machine == machine}))

    def select(
        self,
        machine: str | None = None,
        section: str | None = None,
        split: Split | None = None,
        domain: Domain | None = None,
    ) -> tuple[Clip, ...]:
        """Clips that meet every condition given; None asks nothing."""
        return tuple(
            clip
            for clip in self.clips
            if (machine is None or clip.machine == machine)
            and (section is None or clip.section == section)
            and (split is None or clip.split == split)
            and (domain is None or clip.domain == domain)
        )


_SUBSETS: tuple[Subset, ...] = ("dev", "eval")


def in_order(clips: Iterable[Clip]) -> tuple[Clip, ...]:
    """Sort by machine, section, split and name, so that results do not depend on the disk."""
    return tuple(sorted(clips, key=lambda c: (c.machine, c.section, c.split, c.name, c.path)))
