"""Find the folders of a challenge's machines, and what the names in them show.

:mod:`asd_offline.datasets.year_detection` chooses the year from it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from asd_monitor.audio.label_words import find_labels, parse_folder
from asd_monitor.errors import DatasetError
from asd_offline.datasets.audio_files import read_length
from asd_offline.datasets.clip import Domain, Rejected
from asd_offline.datasets.layouts import CHALLENGES
from asd_offline.datasets.layouts.attribute_words import is_hidden, named_attributes
from asd_offline.datasets.layouts.id_names import parse_id_name
from asd_offline.datasets.layouts.section_names import SectionName, parse_section_name
from asd_offline.datasets.parsed_name import UnrecognisedFileName
from asd_offline.datasets.scan import Folder, Tree

KNOWN_MACHINES: dict[str, str] = {
    machine.lower(): machine for challenge in CHALLENGES.values() for machine in challenge.machines
}
"""Official spelling by lower-case name."""
SUPPLEMENTAL_FOLDERS = frozenset(
    challenge.supplemental for challenge in CHALLENGES.values() if challenge.supplemental
)
SPLIT_FOLDERS = frozenset({"train", "test", "source_test", "target_test"})
"""Folders of the challenges that hold clips."""
_ARCHIVE_NAME = re.compile(
    r"(?:dev_data_|eval_data_train_|eval_data_test_|eval_data_|dev_|eval_)(.+?)(?:_train|_test)?(?:_r\d+)?",
    re.IGNORECASE,
)
RENAMED_FOLDER = "test_rename"
"""Folder next to ``test`` with the same clips under other names, which the organisers' baseline
writes."""


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


def supplemental_folders(tree: Tree, machines: Iterable[Path]) -> list[SplitFolder]:
    """Return the folders of supplemental data in the given folders of machines."""
    parents = set(machines)
    return [
        SplitFolder(
            folder=folder,
            split=folder.absolute[-1].lower(),
            machine=machine_name(folder.absolute[-2]),
            parent=folder.path.parent,
        )
        for folder in tree.folders
        if folder.path.parent in parents and folder.absolute[-1].lower() in SUPPLEMENTAL_FOLDERS
    ]


@dataclass(frozen=True)
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
    first_index: Mapping[Domain, int]
    """Lowest number of a training clip in each domain, -1 where there is none."""
    last_index: Mapping[Domain, int]
    """Highest number of a training clip in each domain, -1 where there is none."""
    hides_attributes: bool | None
    """Whether names have ``noAttribute`` instead of attributes; None if they have neither."""
    repeats_key: bool | None
    """Whether names have a key twice; None if they have no attributes."""
    folder_names: frozenset[str]
    """Names of the folders above, in lower case: perhaps those of archives."""
    supplemental: str
    """Name of the folder of supplemental data in lower case; empty if there is none."""
    example: Path
    """One of the clips."""

    @cached_property
    def channels(self) -> int | None:
        """Channels of the example by its header; None if it cannot be read."""
        try:
            return read_length(self.example).channels
        except DatasetError:
            return None


def collect_evidence(found: Sequence[SplitFolder], tree: Tree) -> list[LayoutEvidence]:
    """Read all names in each machine's folder; folders without official names are left out."""
    with_lists = {path.parent for path in tree.attribute_lists}
    by_parent: dict[Path, list[SplitFolder]] = {}
    for folder in found:
        by_parent.setdefault(folder.parent, []).append(folder)
    extra = {folder.parent: folder.split for folder in supplemental_folders(tree, by_parent)}
    evidence = [
        _machine_evidence(parent, folders, parent in with_lists, extra.get(parent, ""))
        for parent, folders in by_parent.items()
    ]
    return [machine for machine in evidence if machine.ids or machine.sectioned]


def _machine_evidence(
    parent: Path, folders: Sequence[SplitFolder], has_list: bool, supplemental: str
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
    training = [parts for parts in parsed if parts.split == "train"]
    tails = [parts.tail for parts in training or parsed if parts.tail]
    shown = [named_attributes(tail) for tail in tails if not is_hidden(tail)]
    first = folders[0].folder
    return LayoutEvidence(
        parent=parent,
        machine=folders[0].machine,
        ids=ids,
        sectioned=len(parsed),
        sections=frozenset(parts.section for parts in parsed),
        test_folders=frozenset(sectioned_folders - {"train"}),
        has_attribute_list=has_list,
        first_index=_indices(training, min),
        last_index=_indices(training, max),
        hides_attributes=len(shown) < len(tails) if tails else None,
        repeats_key=any(key.endswith("_2") for pairs in shown for key, _ in pairs)
        if shown
        else None,
        folder_names=frozenset(name.lower() for name in first.absolute),
        supplemental=supplemental,
        example=first.path / first.names[0],
    )


def _indices(
    training: Iterable[SectionName], choose: Callable[[Iterable[int]], int]
) -> dict[Domain, int]:
    """Return the lowest or the highest number of training clips in each domain, or -1."""
    domains: tuple[Domain, ...] = ("source", "target")
    numbers = {d: [parts.index for parts in training if parts.domain == d] for d in domains}
    return {domain: choose(found) if found else -1 for domain, found in numbers.items()}


def _is_id_name(name: str) -> bool:
    try:
        parse_id_name(name)
    except UnrecognisedFileName:
        return False
    return True


def unrecognised_files(tree: Tree, found: Sequence[SplitFolder]) -> list[Rejected]:
    """Return the sound files outside the folders that hold clips."""
    inside = {folder.folder.path for folder in found}
    return [
        Rejected(folder.path / name, _why_unrecognised(folder.path))
        for folder in tree.folders
        if folder.path not in inside and folder not in renamed_folders(tree)
        for name in folder.names
    ]


def renamed_folders(tree: Tree) -> list[Folder]:
    """Return the folders of test clips under other names, which are not read."""
    return [folder for folder in tree.folders if folder.absolute[-1].lower() == RENAMED_FOLDER]


def _why_unrecognised(folder: Path) -> str:
    if folder.parent.name == "train" and 1 in find_labels(folder.name):
        return (
            f"train/{folder.name}/ is a folder of faults by its name, and train/ holds normal "
            "sound only; move it to test/"
        )
    return "not in train/, test/, source_test/ or target_test/ of a machine"
