"""Tell which year's layout a folder has, from the names alone.

Certain evidence comes first: the form of the names (2020 has ids, later years sections), the test
folders (``source_test`` is 2021), attribute lists (2022 and later), sections other than 00 (not
2023). What remains is decided by the official machine types and by how the archives are numbered.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from asd_monitor.errors import DatasetError
from asd_offline.datasets.challenge import UnrecognisedFileName
from asd_offline.datasets.clip import Rejected
from asd_offline.datasets.layouts import dcase2020, section_names
from asd_offline.datasets.layouts.labelled_folders import LABEL_FOLDERS
from asd_offline.datasets.registry import CHALLENGES, KNOWN_MACHINES, LATER_MACHINES
from asd_offline.datasets.scan import Folder, Tree

SPLIT_FOLDERS = frozenset({"train", "test", "source_test", "target_test"})
_NO_MACHINE = SPLIT_FOLDERS | LABEL_FOLDERS.keys()
_ARCHIVE_NAME = re.compile(
    r"(?:dev_data_|eval_data_train_|eval_data_test_|eval_data_|dev_|eval_)(.+?)(?:_train|_test)?",
    re.IGNORECASE,
)
_SUPPORTED = f"{min(CHALLENGES)} to {max(CHALLENGES)}"
_STRAY_SHARE = 0.1


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
    """Folders called ``train``, ``test``, ``source_test`` or ``target_test``."""
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
        and not any(part.lower() in _NO_MACHINE for part in folder.relative[-2:-1])
    ]


def machine_name(folder: str) -> str:
    """The machine that a folder stands for, in the official spelling where there is one.

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
    """Clips with names as in 2020."""
    sectioned: int
    """Clips with names as in 2021 and later."""
    sections: frozenset[str]
    folders: frozenset[str]
    """Split folders with section names in them."""
    has_attribute_list: bool
    last_source: int
    """Highest number of a training clip in the source domain, -1 where there is none."""
    last_target: int
    hidden_attributes: bool
    """True for ``noAttribute`` in names, which begins with 2024."""

    def years(self) -> frozenset[int]:
        """Every year whose archives could look like this."""
        if not self.sectioned or self.sectioned < _STRAY_SHARE * self.ids:
            return frozenset({2020})
        if self.folders & {"source_test", "target_test"}:
            return frozenset() if "test" in self.folders else frozenset({2021})
        years = {2022, 2023} if "test" in self.folders else {2021, 2022, 2023}
        if self.has_attribute_list:
            years -= {2021}
        if self.sections != {"section_00"}:
            years -= {2023}
        official = {year for year in years if self.machine in CHALLENGES[year].machines}
        return frozenset(official or years)

    @property
    def is_mixed(self) -> bool:
        """Whether names of both forms are more than a few stray files."""
        few, many = sorted((self.ids, self.sectioned))
        return few > _STRAY_SHARE * many


def collect_evidence(
    found: Sequence[SplitFolder], attribute_lists: Iterable[Path]
) -> list[LayoutEvidence]:
    """Look at all names of each machine's folder; folders without official names are left out."""
    with_lists = {path.parent for path in attribute_lists}
    by_parent: dict[Path, list[SplitFolder]] = {}
    for each in found:
        by_parent.setdefault(each.parent, []).append(each)
    facts = [_look(parent, group, parent in with_lists) for parent, group in by_parent.items()]
    return [each for each in facts if each.ids or each.sectioned]


def _look(parent: Path, group: list[SplitFolder], has_list: bool) -> LayoutEvidence:
    ids, parsed, folders = 0, [], set()
    for each in group:
        for name in each.folder.names:
            if dcase2020.NAME.fullmatch(name):
                ids += 1
                continue
            try:
                parsed.append(section_names.read(name))
            except UnrecognisedFileName:
                continue
            folders.add(each.split)
    training = [parts for parts in parsed if parts.split == "train"]
    return LayoutEvidence(
        parent=parent,
        machine=group[0].machine,
        ids=ids,
        sectioned=len(parsed),
        sections=frozenset(parts.section for parts in parsed),
        folders=frozenset(folders),
        has_attribute_list=has_list,
        last_source=max((p.index for p in training if p.domain == "source"), default=-1),
        last_target=max((p.index for p in training if p.domain == "target"), default=-1),
        hidden_attributes=any(parts.tail.lower() == "noattribute" for parts in parsed),
    )


def detect(root: Path, facts: Sequence[LayoutEvidence], given: int | None) -> tuple[int, str]:
    """Choose the year, and say why where it is not certain.

    Raises
    ------
    DatasetError
        For years that are not supported, folders of more than one year, a given year that the
        folder contradicts, and a folder that fits several years.
    """
    refuse_later_years(root, facts)
    possible = frozenset(CHALLENGES)
    for each in facts:
        if each.is_mixed:
            raise _mixed(root, facts)
        possible &= each.years()
    if not possible:
        raise _mixed(root, facts)
    if given is not None:
        if given not in possible:
            raise _contradicted(root, given, possible)
        return given, ""
    if len(possible) == 1:
        return next(iter(possible)), ""
    return _most_likely(root, facts, possible)


def refuse_later_years(root: Path, facts: Iterable[LayoutEvidence]) -> None:
    """Raise DatasetError for what only 2024 and later have."""
    for each in facts:
        later = LATER_MACHINES.get(each.machine)
        if each.sectioned and (later or each.hidden_attributes):
            sign = f"machine type {each.machine}" if later else "noAttribute in file names"
            msg = (
                f"{root}: this looks like DCASE {later or 2024} or later ({sign} in "
                f"{each.parent}); supported are {_SUPPORTED}"
            )
            raise DatasetError(msg)


def _most_likely(
    root: Path, facts: Sequence[LayoutEvidence], possible: frozenset[int]
) -> tuple[int, str]:
    if 2023 in possible:
        note = "read as DCASE 2023, because there is no section but 00; --year says otherwise"
        return 2023, note
    # 2021 has 1000 source and 3 target training clips a section, 2022 has 990 and 10.
    if any(each.last_target >= 3 for each in facts):
        return 2022, "read as DCASE 2022, because of more than 3 training clips in domain target"
    if any(each.last_source >= 990 for each in facts):
        return 2021, "read as DCASE 2021, because of more than 990 training clips in domain source"
    years = " and ".join(str(year) for year in sorted(possible))
    msg = (
        f"{root}: the names fit DCASE {years}, and nothing here tells them apart "
        f"(test clips or attributes_<SS>.csv would); give the year with --year"
    )
    raise DatasetError(msg)


def _mixed(root: Path, facts: Sequence[LayoutEvidence]) -> DatasetError:
    groups: dict[str, Path] = {}
    for each in facts:
        years = {2020, *each.years()} if each.is_mixed else each.years()
        name = " or ".join(str(year) for year in sorted(years)) or "more than one year"
        groups.setdefault(name, each.parent)
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
    """Sound files outside the folders that hold clips."""
    inside = {each.folder.path for each in found}
    reason = "not in train/, test/, source_test/ or target_test/ of a machine"
    return [
        Rejected(folder.path / name, reason)
        for folder in tree.folders
        if folder.path not in inside
        for name in folder.names
    ]
