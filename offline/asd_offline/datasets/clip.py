"""Clips and datasets, whatever their layout on disk."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from asd_monitor.audio.label_words import ANOMALY as ANOMALY
from asd_monitor.audio.label_words import NORMAL as NORMAL
from asd_monitor.audio.natural_order import natural_key
from asd_monitor.unicode_names import to_nfc

Split = Literal["train", "test"]
Domain = Literal["", "source", "target"]
Subset = Literal["", "dev", "eval"]

UNDIVIDED = "all"
"""Section of clips whose machine is not divided into sections."""

_SUBSETS: tuple[Subset, ...] = ("dev", "eval")


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording of a dataset, with all that its name and the dataset's lists say about it."""

    path: Path
    year: int | None
    """Year of the DCASE challenge; None for recordings that belong to no challenge."""
    machine: str
    """Machine type as the challenge spells it (``fan``, ``ToyCar``), or the name of a machine."""
    section: str
    """``id_00`` (2020), ``section_00`` (2021 and later), or ``all`` if there are no sections."""
    domain: Domain
    """Empty if the dataset has no domains, or if only the ground truth gives the domain."""
    split: Split
    label: int | None
    """0 = normal, 1 = anomalous, None = unknown (an evaluation set without ground truth)."""
    attributes: tuple[tuple[str, str], ...] = ()
    """Conditions of operation or recording as (name, value), in the order of the dataset."""
    name: str = ""
    """File name, as official result files list it. For recordings of no challenge the path below
    the root, since ``normal/1.wav`` and ``anomaly/1.wav`` are different clips."""
    subset: Subset = ""
    """``dev`` or ``eval``; empty outside the challenges and for machines of neither set."""

    def __post_init__(self) -> None:
        """Store names in NFC, whatever form the disk or a list has them in."""
        for field in ("machine", "section", "name"):
            object.__setattr__(self, field, to_nfc(getattr(self, field)))


SupplementalContent = Literal["machine", "noise"]
"""Sound of the machine without background noise, or background noise without the machine."""


@dataclass(frozen=True, slots=True)
class SupplementalClip:
    """An additional recording of a challenge that is neither a training nor a test clip.

    It must not be trained on as normal sound of the machine: a noise clip does not contain the
    machine, and a machine clip lacks the background noise of the training clips.
    """

    path: Path
    machine: str
    section: str
    content: SupplementalContent
    """What the recording contains."""
    domain: Domain = ""
    """Empty if the file name does not give it."""
    attributes: tuple[tuple[str, str], ...] = ()
    name: str = ""
    """File name."""
    subset: Subset = ""

    def __post_init__(self) -> None:
        """Store names in NFC, as those of clips."""
        for field in ("machine", "section", "name"):
            object.__setattr__(self, field, to_nfc(getattr(self, field)))


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that was found but is not part of the dataset, and why."""

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
    """Decisions made while opening that the user should see, one sentence each."""
    supplemental: tuple[SupplementalClip, ...] = ()
    """Additional recordings of machines without noise, or of noise; not among ``clips``."""

    @property
    def sets(self) -> tuple[Subset, ...]:
        """The challenge's sets that have clips here, of ``dev`` and ``eval``."""
        present = {clip.subset for clip in self.clips}
        return tuple(subset for subset in _SUBSETS if subset in present)

    def machines(self) -> tuple[str, ...]:
        """Return the names of all machines, sorted."""
        return tuple(sorted({clip.machine for clip in self.clips}))

    def sections(self, machine: str) -> tuple[str, ...]:
        """Return the sections of one machine, sorted; empty for an unknown machine."""
        return tuple(sorted({clip.section for clip in self.clips if clip.machine == machine}))

    def select(
        self,
        machine: str | None = None,
        section: str | None = None,
        split: Split | None = None,
        domain: Domain | None = None,
    ) -> tuple[Clip, ...]:
        """Return the clips that meet every condition; None is no condition."""
        return tuple(
            clip
            for clip in self.clips
            if (machine is None or clip.machine == machine)
            and (section is None or clip.section == section)
            and (split is None or clip.split == split)
            and (domain is None or clip.domain == domain)
        )


def sort_clips(clips: Iterable[Clip]) -> tuple[Clip, ...]:
    """Sort by machine, section, split and name, so that results do not depend on the disk.

    Names are in natural order: recordings that are numbered or dated are in order of time.
    """
    return tuple(
        sorted(clips, key=lambda c: (c.machine, c.section, c.split, natural_key(c.name), c.path))
    )
