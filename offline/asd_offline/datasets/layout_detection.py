"""Detect which challenge's layout a folder has, from file and folder names alone.

Certain evidence comes first: the form of the file names (ids or sections), the test folders,
attribute lists, the number of sections. Of the challenges that remain, the official machine types
and then the usual numbers of training clips decide.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.audio.label_words import find_labels, parse_folder
from asd_monitor.errors import DatasetError
from asd_offline.datasets.challenge import Challenge
from asd_offline.datasets.clip import Domain, Rejected
from asd_offline.datasets.layouts import CHALLENGES
from asd_offline.datasets.layouts.id_names import parse_id_name
from asd_offline.datasets.layouts.later_challenges import (
    LATER_MACHINES,
    SUPPLEMENTAL_FOLDER,
    SUPPLEMENTAL_YEAR,
)
from asd_offline.datasets.layouts.section_names import SectionName, parse_section_name
from asd_offline.datasets.parsed_name import UnrecognisedFileName
from asd_offline.datasets.scan import Folder, Tree

KNOWN_MACHINES: dict[str, str] = {
    machine.lower(): machine
    for machine in (*(m for c in CHALLENGES.values() for m in c.machines), *LATER_MACHINES)
}
"""Official spelling by lower-case name."""
SPLIT_FOLDERS = frozenset({"train", "test", "source_test", "target_test"})
"""Folders of the challenges that hold clips."""
_ARCHIVE_NAME = re.compile(
    r"(?:dev_data_|eval_data_train_|eval_data_test_|eval_data_|dev_|eval_)(.+?)(?:_train|_test)?",
    re.IGNORECASE,
)
_SUPPORTED = f"{min(CHALLENGES)} to {max(CHALLENGES)}"
_STRAY_SHARE = 0.1
"""File names of another form up to this share are stray files and decide nothing."""


@dataclass(frozen=True, slots=True)
class SplitFolder:
    """A folder whose name says that it holds training or test clips of a machine."""

    folder: Folder
    split: str
    """Its name in lower case."""
    machine: str
    parent: Path
    """The machine's own folder."""


def split_folders(tree: Tree) -> list[SplitFolder]:
    """Return the folders called ``train``, ``test``, ``source_test`` or ``target_test``."""
    return [
        SplitFolder(
            folder=folder,
            split=folder.absolute[-1].lower(),
            machine=machine_name(folder.absolute[-2]),
            parent=folder.path.parent,
        )
        for folder in tree.folders
        if len(folder.absolute) > 2
        and folder.absolute[-1].lower() in SPLIT_FOLDERS
        and not any(not parse_folder(part).is_name for part in folder.relative[-2:-1])
    ]


def machine_name(folder: str) -> str:
    """Return the machine that a folder is named for, in the official spelling if it has one.

    >>> machine_name("dev_data_toycar"), machine_name("pump-7")
    ('ToyCar', 'pump-7')
    """
    known = KNOWN_MACHINES.get(folder.lower())
    if known is None and (match := _ARCHIVE_NAME.fullmatch(folder)):
        known = KNOWN_MACHINES.get(match[1].lower())
    return known or folder


@dataclass(frozen=True, slots=True)
class LayoutEvidence:
    """What the names in one machine's folder show."""

    parent: Path
    machine: str
    ids: int
    """Clips whose names have machine ids."""
    sectioned: int
    """Clips whose names have sections."""
    sections: frozenset[str]
    test_folders: frozenset[str]
    """Test folders with section names in them."""
    has_attribute_list: bool
    last_index: Mapping[Domain, int]
    """Highest number of a training clip in each domain, -1 where there is none."""
    hidden_attributes: bool
    """True for ``noAttribute`` in names, which only later challenges have."""

    def years(self) -> frozenset[int]:
        """Return every year whose archives could look like this."""
        fitting = {year for year, challenge in CHALLENGES.items() if self._fits(challenge)}
        official = {year for year in fitting if self.machine in CHALLENGES[year].machines}
        return frozenset(official or fitting)

    def _fits(self, challenge: Challenge) -> bool:
        if challenge.section_word != self._section_word:
            return False
        if self._section_word == "id":
            return True
        if challenge.single_section and self.sections != {"section_00"}:
            return False
        if self.test_folders:
            return self.test_folders <= set(challenge.test_folders)
        return challenge.attribute_lists or not self.has_attribute_list

    @property
    def _section_word(self) -> str:
        few = not self.sectioned or self.sectioned < _STRAY_SHARE * self.ids
        return "id" if few else "section"

    @property
    def is_mixed(self) -> bool:
        """Whether names of both forms are more than a few stray files."""
        few, many = sorted((self.ids, self.sectioned))
        return few > _STRAY_SHARE * many


def collect_evidence(
    found: Sequence[SplitFolder], attribute_lists: Iterable[Path]
) -> list[LayoutEvidence]:
    """Read all names in each machine's folder; folders without official names are left out."""
    with_lists = {path.parent for path in attribute_lists}
    by_parent: dict[Path, list[SplitFolder]] = {}
    for folder in found:
        by_parent.setdefault(folder.parent, []).append(folder)
    evidence = [
        _machine_evidence(parent, folders, parent in with_lists)
        for parent, folders in by_parent.items()
    ]
    return [machine for machine in evidence if machine.ids or machine.sectioned]


def _machine_evidence(
    parent: Path, folders: Sequence[SplitFolder], has_list: bool
) -> LayoutEvidence:
    ids = 0
    parsed: list[SectionName] = []
    sectioned_folders = set()
    for folder in folders:
        for name in folder.folder.names:
            if _is_id_name(name):
                ids += 1
                continue
            try:
                parsed.append(parse_section_name(name))
            except UnrecognisedFileName:
                continue
            sectioned_folders.add(folder.split)
    domains: tuple[Domain, ...] = ("source", "target")
    training = [parts for parts in parsed if parts.split == "train"]
    return LayoutEvidence(
        parent=parent,
        machine=folders[0].machine,
        ids=ids,
        sectioned=len(parsed),
        sections=frozenset(parts.section for parts in parsed),
        test_folders=frozenset(sectioned_folders - {"train"}),
        has_attribute_list=has_list,
        last_index={
            domain: max((parts.index for parts in training if parts.domain == domain), default=-1)
            for domain in domains
        },
        hidden_attributes=any(parts.tail.lower() == "noattribute" for parts in parsed),
    )


def _is_id_name(name: str) -> bool:
    try:
        parse_id_name(name)
    except UnrecognisedFileName:
        return False
    return True


def detect_year(
    root: Path, evidence: Sequence[LayoutEvidence], given: int | None
) -> tuple[int, str]:
    """Choose the year; the second value is a note on the reason if it is not certain.

    Raises
    ------
    DatasetError
        For years that are not supported, folders of more than one year, a given year that the
        folder contradicts, and a folder that fits several years.
    """
    refuse_later_challenges(root, evidence)
    possible = frozenset(CHALLENGES)
    for machine in evidence:
        if machine.is_mixed:
            raise _mixed(root, evidence)
        possible &= machine.years()
    if not possible:
        raise _mixed(root, evidence)
    if given is not None:
        if given not in possible:
            raise _contradicted(root, given, possible)
        return given, ""
    if len(possible) == 1:
        return next(iter(possible)), ""
    return _most_likely(root, evidence, possible)


def refuse_later_challenges(root: Path, evidence: Iterable[LayoutEvidence]) -> None:
    """Raise DatasetError for signs that only challenges after the supported ones have."""
    for machine in evidence:
        year = LATER_MACHINES.get(machine.machine)
        if machine.sectioned and (year or machine.hidden_attributes):
            sign = f"machine type {machine.machine}" if year else "noAttribute in file names"
            msg = (
                f"{root}: this looks like DCASE {year or max(CHALLENGES) + 1} or later ({sign} in "
                f"{machine.parent}); supported are {_SUPPORTED}"
            )
            raise DatasetError(msg)


def refuse_supplemental(tree: Tree, evidence: Iterable[LayoutEvidence]) -> None:
    """Raise DatasetError for a folder of supplemental data, which only later challenges have."""
    parents = {machine.parent for machine in evidence if machine.sectioned}
    for folder in tree.folders:
        if folder.path.name.lower() == SUPPLEMENTAL_FOLDER and folder.path.parent in parents:
            msg = (
                f"{tree.root}: this looks like DCASE {SUPPLEMENTAL_YEAR} or later ({folder.path}); "
                f"supported are {_SUPPORTED}"
            )
            raise DatasetError(msg)


def _most_likely(
    root: Path, evidence: Sequence[LayoutEvidence], possible: frozenset[int]
) -> tuple[int, str]:
    single = [year for year in possible if CHALLENGES[year].single_section]
    if len(single) == 1:
        reason = "there is no section but 00; --year overrides this"
        return single[0], f"read as DCASE {single[0]}, because {reason}"
    domains: tuple[Domain, ...] = ("target", "source")
    for domain in domains:
        last = max(machine.last_index[domain] for machine in evidence)
        counts = {year: CHALLENGES[year].training_clips[domain] for year in possible}
        most = max(counts.values())
        fitting = [year for year, count in counts.items() if last < count or count == most]
        if len(fitting) == 1:
            usual = max(count for count in counts.values() if count < most)
            reason = f"more than {usual} training clips in domain {domain}"
            return fitting[0], f"read as DCASE {fitting[0]}, because of {reason}"
    years = " and ".join(str(year) for year in sorted(possible))
    msg = (
        f"{root}: the names fit DCASE {years}, and nothing here distinguishes them "
        f"(test clips or attributes_<SS>.csv would); give the year with --year"
    )
    raise DatasetError(msg)


def _mixed(root: Path, evidence: Sequence[LayoutEvidence]) -> DatasetError:
    with_ids = {year for year, challenge in CHALLENGES.items() if challenge.section_word == "id"}
    groups: dict[str, Path] = {}
    for machine in evidence:
        years = machine.years() | with_ids if machine.is_mixed else machine.years()
        name = " or ".join(str(year) for year in sorted(years)) or "more than one year"
        groups.setdefault(name, machine.parent)
    listing = "; ".join(f"{name}: {path}" for name, path in sorted(groups.items()))
    msg = (
        f"{root}: expected the clips of one year, found names of several ({listing}); "
        "open one year's folder"
    )
    return DatasetError(msg)


def _contradicted(root: Path, given: int, possible: frozenset[int]) -> DatasetError:
    years = " or ".join(str(year) for year in sorted(possible))
    msg = f"{root}: opened as DCASE {given}, but folders and names are those of {years}"
    return DatasetError(msg)


def unrecognised_files(tree: Tree, found: Sequence[SplitFolder]) -> list[Rejected]:
    """Return the sound files outside the folders that hold clips."""
    inside = {folder.folder.path for folder in found}
    return [
        Rejected(folder.path / name, _why_unrecognised(folder.path))
        for folder in tree.folders
        if folder.path not in inside
        for name in folder.names
    ]


def _why_unrecognised(folder: Path) -> str:
    if folder.parent.name == "train" and 1 in find_labels(folder.name):
        return (
            f"train/{folder.name}/ is a folder of faults by its name, and train/ holds normal "
            "sound only; move it to test/"
        )
    return "not in train/, test/, source_test/ or target_test/ of a machine"
